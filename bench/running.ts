/** Guests of several subjects at once, and measurements that take turns between them. */
import { type Reading, reading, rotated } from './measure/statistics.ts';
import { say, warn } from './say.ts';
import type { Guest, Subject } from './subjects/subject.ts';

export interface Running {
  subject: Subject;
  guest: Guest;
}

/** Starts a guest of each subject; one that cannot start is told of and left out. */
export async function startGuests(subjects: readonly Subject[], mtu: number): Promise<Running[]> {
  const running: Running[] = [];
  for (const subject of subjects) {
    try {
      const one = { subject, guest: await subject.start(mtu) };
      running.push(one);
      live.add(one);
    } catch (error) {
      warn(`${subject.label}: no guest: ${messageOf(error)}`);
    }
  }
  return running;
}

/** Guests that run now: what an interrupted bench has to stop. */
export const live = new Set<Running>();

export async function stopGuests(running: Iterable<Running>): Promise<void> {
  for (const one of [...running]) {
    const { subject, guest } = one;
    live.delete(one);
    await guest.stop().catch((error) => warn(`${subject.label}: ${messageOf(error)}`));
  }
}

/**
 * Takes `measure` `rounds` times of every guest, a different one first each time, so that a slow minute of the machine
 * meets them all. A failed measurement is told of and is no sample. Gives a reading for each key of each subject.
 */
export async function takeTurns(
  running: readonly Running[],
  rounds: number,
  keys: readonly string[],
  measure: (guest: Guest, key: string) => Promise<number>,
  unit: string,
): Promise<Map<string, Record<string, Reading>>> {
  const samples = new Map(
    running.map(({ subject }) => [subject.name, new Map(keys.map((key) => [key, [] as number[]]))]),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { subject, guest } of rotated(running, round)) {
      const figures: string[] = [];
      for (const key of keys) {
        try {
          const value = await measure(guest, key);
          samples.get(subject.name)?.get(key)?.push(value);
          figures.push(`${key} ${value >= 100 ? Math.round(value) : value.toFixed(2)}`);
        } catch (error) {
          figures.push(`${key} failed`);
          warn(`${subject.label}, ${key}: ${messageOf(error)}`);
        }
      }
      say(`  round ${round + 1}  ${subject.label.padEnd(28)} ${figures.join('   ')}  ${unit}`);
    }
  }
  return new Map(
    [...samples].map(([name, byKey]) => [
      name,
      Object.fromEntries([...byKey].map(([key, values]) => [key, reading(values)])),
    ]),
  );
}

export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n').slice(0, 4).join(' | ');
}
