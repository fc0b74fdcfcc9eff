import { type Direction, iperf } from '../measure/iperf.ts';
import type { Plan } from '../options.ts';
import type { Results, Throughput } from '../results.ts';
import { startGuests, stopGuests, takeTurns } from '../running.ts';
import { say } from '../say.ts';
import type { Subject } from '../subjects/subject.ts';

const DIRECTIONS: Direction[] = ['up', 'down'];

/** One TCP stream each way at both MTUs; loopback has one MTU of its own and is measured once. */
export async function measureThroughput(subjects: readonly Subject[], plan: Plan, results: Results): Promise<void> {
  for (const mtu of [1500, 65520]) {
    say(`\niperf3, one stream, MTU ${mtu}`);
    const taking = subjects.filter((subject) => mtu === 1500 || subject.name !== 'loopback');
    results.throughput[mtu] = await bothDirections(taking, mtu, plan);
  }
}

/** The same inside of Linux VMs. They boot one after the other, then take turns. */
export async function measureVms(subjects: readonly Subject[], plan: Plan, results: Results): Promise<void> {
  if (subjects.length > 0) say('\niperf3 inside of a Linux VM (QEMU, TCG), one stream');
  results.vm = await bothDirections(subjects, 1500, plan);
}

async function bothDirections(
  subjects: readonly Subject[],
  mtu: number,
  plan: Plan,
): Promise<Record<string, Throughput>> {
  if (subjects.length === 0) return {};
  const running = await startGuests(subjects, mtu);
  try {
    const measure = (guest: (typeof running)[0]['guest'], key: string): Promise<number> =>
      iperf(guest, key as Direction, plan.iperfSeconds);
    const taken = await takeTurns(running, plan.rounds, DIRECTIONS, measure, 'Gbit/s');
    return Object.fromEntries([...taken].map(([name, { up, down }]) => [name, { up, down } as Throughput]));
  } finally {
    await stopGuests(running);
  }
}
