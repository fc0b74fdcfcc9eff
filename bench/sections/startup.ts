import { daemonHere } from '../../scripts/lib/daemon-here.ts';
import { reading } from '../measure/statistics.ts';
import type { Plan } from '../options.ts';
import type { Results } from '../results.ts';
import { say } from '../say.ts';

/** Wall time of `vmnet up --detach` until it returns (ready), and of `vmnet ns --net vmnet8 -- true`, on defaults. */
export async function measureStartup(plan: Plan, results: Results): Promise<void> {
  say('\nstart-up, no configuration file');
  const up: number[] = [];
  const ns: number[] = [];
  const daemon = daemonHere();
  try {
    for (let start = 0; start < plan.starts; start++) {
      up.push(await secondsOf(() => daemon.up()));
      ns.push(await secondsOf(() => daemon.must(['ns', '--net', 'vmnet8', '--', 'true'])));
      await daemon.down();
      say(`  start ${start + 1}  up ${up.at(-1)?.toFixed(2)} s   ns ${ns.at(-1)?.toFixed(2)} s`);
    }
    results.startup = { upSeconds: reading(up), nsSeconds: reading(ns) };
  } finally {
    await daemon.stop();
  }
}

async function secondsOf(task: () => Promise<unknown>): Promise<number> {
  const before = performance.now();
  await task();
  return (performance.now() - before) / 1000;
}
