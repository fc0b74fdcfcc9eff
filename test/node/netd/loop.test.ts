/** One turn of the loop: what happens in which order, and how long it sleeps. */

import { beforeEach, describe, expect, test } from 'vitest';
import { EPOLLIN, SOCK_STREAM } from '../../../src/node/linux/constants.ts';
import { Epoll } from '../../../src/node/linux/epoll.ts';
import { close, write } from '../../../src/node/linux/libc.ts';
import { address, mapRegion } from '../../../src/node/linux/memory.ts';
import { Loop } from '../../../src/node/netd/loop.ts';
import { pair } from '../../support/port-host.ts';

const byte = address(mapRegion(1), 0, 1);

describe('the loop', () => {
  let epoll: Epoll;
  let loop: Loop;
  let happened: string[];
  let deadline: number;

  beforeEach(() => {
    epoll = new Epoll();
    loop = new Loop(epoll);
    happened = [];
    deadline = Number.POSITIVE_INFINITY;
    loop.network = {
      poll: () => void happened.push('poll'),
      endTurn: () => void happened.push('endTurn'),
      pollAt: () => deadline,
    };
  });

  function sleptFor(limitMs: number): number {
    const from = performance.now();
    loop.turn(limitMs);
    return performance.now() - from;
  }

  test('a turn is: events, timers, end of the turn, flushes', () => {
    const [near, far] = pair(SOCK_STREAM);
    write(far, byte, 1);
    epoll.add(near, EPOLLIN, {
      onEvents() {
        happened.push('event');
        loop.flushLater({ flush: () => void happened.push('flush') });
      },
    });
    loop.turn(0);
    expect(happened).toEqual(['event', 'poll', 'endTurn', 'flush']);
    close(near);
    close(far);
  });

  test('reads the clock once a turn, before the events', () => {
    const before = loop.clock.now;
    const seen: number[] = [];
    const [near, far] = pair(SOCK_STREAM);
    epoll.add(near, EPOLLIN, {
      onEvents() {
        for (const from = performance.now(); performance.now() < from + 5; );
        seen.push(loop.clock.now);
      },
    });
    sleptFor(20);
    write(far, byte, 1);
    loop.turn(0);
    expect(seen[0]).toBeGreaterThanOrEqual(before + 19);
    expect(loop.clock.now).toBe(seen[0]);
    close(near);
    close(far);
  });

  test('sleeps until the network’s deadline', () => {
    loop.turn(0);
    deadline = loop.clock.now + 30;
    const slept = sleptFor(-1);
    expect(slept).toBeGreaterThan(25);
    expect(slept).toBeLessThan(500);
  });

  test('does not sleep when the deadline has passed', () => {
    loop.turn(0);
    deadline = loop.clock.now - 1000;
    expect(sleptFor(-1)).toBeLessThan(500);
  });

  test('without a deadline it sleeps as long as it may', () => {
    expect(sleptFor(40)).toBeGreaterThan(35);
  });

  test('a deadline centuries away is no deadline of 0', () => {
    deadline = 1e15;
    expect(sleptFor(40)).toBeGreaterThan(35);
  });

  test('sleeps without a network', () => {
    loop.network = null;
    expect(sleptFor(40)).toBeGreaterThan(35);
  });

  test('what is to be flushed while flushing waits for the next turn, which does not sleep', () => {
    const again = {
      flush() {
        happened.push('flush');
        if (happened.filter((what) => what === 'flush').length < 3) loop.flushLater(again);
      },
    };
    loop.flushLater(again);
    loop.turn(0);
    expect(happened).toEqual(['poll', 'endTurn', 'flush']);
    expect(sleptFor(1000)).toBeLessThan(500);
    loop.turn(0);
    expect(happened.filter((what) => what === 'flush').length).toBe(3);
    expect(sleptFor(40)).toBeGreaterThan(35);
  });

  test('an exception of a handler passes through: a bug ends the process', () => {
    loop.network!.poll = () => {
      throw new Error('bug');
    };
    expect(() => loop.turn(0)).toThrow('bug');
  });
});
