/** What a netd costs: CPU while nothing happens, memory while everything does. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Daemon } from '../../scripts/lib/daemon.ts';
import { connectRequestResponse } from '../measure/ab.ts';
import { iperf } from '../measure/iperf.ts';
import { cpuMs, residentMb } from '../measure/process-usage.ts';
import type { Plan } from '../options.ts';
import type { Results } from '../results.ts';
import { messageOf } from '../running.ts';
import { say, warn } from '../say.ts';
import { openvmnet } from '../subjects/openvmnet.ts';
import type { Guest } from '../subjects/subject.ts';

export async function measureResources(daemon: Daemon, plan: Plan, results: Results): Promise<void> {
  say(`\nnetd of vmnet8: ${plan.idleSeconds} s idle, then ${plan.loadSeconds} s of load`);
  const pid = await daemon.netdPid('vmnet8');
  const guest = await openvmnet(daemon).start(1500);
  try {
    const idleCpuPercent = await idleCpu(pid, plan.idleSeconds);
    say(`  idle CPU ${idleCpuPercent.toFixed(3)} %`);
    const during = await peakDuring(pid, () => load(guest, plan.loadSeconds));
    const { now, peak } = residentMb(pid);
    // Half as long again: a heap has its highest point within the first part, a leak does not.
    const after = await peakDuring(pid, () => load(guest, plan.loadSeconds / 2));
    results.resources = {
      loadSeconds: plan.loadSeconds,
      rssPeakMb: peak,
      rssEndMb: now,
      rssGrowth: after / during,
      idleCpuPercent,
    };
    say(`  RSS ${now.toFixed(0)} MB at the end, ${peak.toFixed(0)} MB at most, later × ${(after / during).toFixed(3)}`);
  } finally {
    await guest.stop();
  }
}

async function idleCpu(pid: number, seconds: number): Promise<number> {
  await sleep(2000); // the guest's own chatter after its interface came up
  const before = { cpu: cpuMs(pid), at: performance.now() };
  await sleep(seconds * 1000);
  return (100 * (cpuMs(pid) - before.cpu)) / (performance.now() - before.at);
}

/** Highest resident memory in MB while a task runs. */
async function peakDuring(pid: number, task: () => Promise<void>): Promise<number> {
  let highest = residentMb(pid).now;
  const sampler = setInterval(() => {
    highest = Math.max(highest, residentMb(pid).now);
  }, 250);
  await task().finally(() => clearInterval(sampler));
  return highest;
}

/** Streams both ways and connections, a slice of each in turn. */
async function load(guest: Guest, seconds: number): Promise<void> {
  const slice = Math.max(1, Math.round(seconds / 15));
  const until = performance.now() + seconds * 1000;
  const kinds: (() => Promise<number>)[] = [
    () => iperf(guest, 'up', slice, 4),
    () => iperf(guest, 'down', slice, 4),
    () => connectRequestResponse(guest, 50, slice),
  ];
  for (let turn = 0; performance.now() < until; turn++) {
    await kinds[turn % kinds.length]?.().catch(async (error) => {
      warn(`load: ${messageOf(error)}`);
      await sleep(1000);
    });
  }
}
