import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Timer, TimerTable } from '../../../src/core/base/timer-table.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** Notes when it fired; does `afterwards` after that. */
class TestTimer extends Timer {
  readonly name: number;
  readonly fired: { name: number; deadline: number }[];
  armedFor = NEVER;
  afterwards: ((now: number) => void) | null = null;
  constructor(name: number, fired: { name: number; deadline: number }[]) {
    super();
    this.name = name;
    this.fired = fired;
  }
  override onTimer(now: number): void {
    this.fired.push({ name: this.name, deadline: this.armedFor });
    this.armedFor = NEVER;
    this.afterwards?.(now);
  }
}

function table(size: number) {
  const fired: { name: number; deadline: number }[] = [];
  const timers = new TimerTable();
  const list = Array.from({ length: size }, (_, name) => new TestTimer(name, fired));
  const arm = (i: number, deadline: number) => {
    list[i]!.armedFor = deadline;
    timers.arm(list[i]!, deadline);
  };
  return { timers, list, fired, arm };
}

describe('TimerTable', () => {
  test('fires what is due, in order of deadline, once', () => {
    const { timers, fired, arm } = table(3);
    arm(0, 30);
    arm(1, 10);
    arm(2, 20);
    expect(timers.pollAt()).toBe(10);
    timers.poll(9);
    expect(fired).toEqual([]);
    timers.poll(20);
    timers.poll(20);
    expect(fired.map((f) => f.name)).toEqual([1, 2]);
    expect(timers.pollAt()).toBe(30);
  });

  test('keeps the place of a timer that is put off, and tells the true next moment', () => {
    const { timers, fired, arm } = table(2);
    arm(0, 10);
    arm(0, 50);
    arm(1, 40);
    expect(timers.size).toBe(2);
    expect(timers.pollAt()).toBe(40);
    timers.poll(45);
    expect(fired.map((f) => f.name)).toEqual([1]);
    expect(timers.pollAt()).toBe(50);
  });

  test('says never when all that it holds is disarmed, and forgets it', () => {
    const { timers, list, arm } = table(2);
    arm(0, 10);
    arm(1, 20);
    timers.disarm(list[0]!);
    timers.remove(list[1]!);
    expect(timers.pollAt()).toBe(NEVER);
    expect(timers.size).toBe(0);
  });

  test('never fires more in one poll than it held, though timers arm themselves for now', () => {
    const { timers, list, fired, arm } = table(3);
    for (const timer of list) timer.afterwards = (now) => arm(timer.name, now);
    arm(0, 1);
    arm(1, 1);
    arm(2, 1);
    timers.poll(5);
    expect(fired.length).toBeLessThanOrEqual(3);
    timers.poll(5);
    expect(new Set(fired.map((f) => f.name)).size).toBe(3);
  });

  test('does not fire a timer that an earlier one disarmed or removed in the same poll', () => {
    const { timers, list, fired, arm } = table(4);
    arm(0, 1);
    arm(1, 2);
    arm(2, 3);
    arm(3, 4);
    list[0]!.afterwards = () => {
      timers.remove(list[1]!);
      timers.disarm(list[2]!);
    };
    timers.poll(10);
    expect(fired.map((f) => f.name)).toEqual([0, 3]);
  });

  test('behaves like a naive list under any sequence of operations', () => {
    const SIZE = 12;
    const timer = fc.nat(SIZE - 1);
    const operation = fc.oneof(
      fc.record({ op: fc.constant('arm' as const), timer, in: fc.nat(40) }),
      fc.record({ op: fc.constant('disarm' as const), timer }),
      fc.record({ op: fc.constant('remove' as const), timer }),
      fc.record({ op: fc.constant('poll' as const), by: fc.nat(15) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 120 }), (operations) => {
        const { timers, list, fired, arm } = table(SIZE);
        const model = new Map<number, number>();
        let now = 0;
        for (const o of operations) {
          if (o.op === 'arm') {
            arm(o.timer, now + o.in);
            model.set(o.timer, now + o.in);
          } else if (o.op === 'poll') {
            now += o.by;
            const due = [...model].filter(([, deadline]) => deadline <= now);
            for (const [name] of due) model.delete(name);
            timers.poll(now);
            const deadlines = fired.map((f) => f.deadline);
            expect(deadlines).toEqual([...deadlines].sort((a, b) => a - b));
            expect(fired.splice(0).sort((a, b) => a.name - b.name)).toEqual(
              due.map(([name, deadline]) => ({ name, deadline })).sort((a, b) => a.name - b.name),
            );
          } else {
            timers[o.op](list[o.timer]!);
            model.delete(o.timer);
          }
          expect(timers.pollAt()).toBe(Math.min(NEVER, ...model.values()));
          expect(timers.size).toBeLessThanOrEqual(SIZE);
        }
      }),
      { numRuns: 300 },
    );
  });
});
