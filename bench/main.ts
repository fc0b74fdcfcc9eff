/**
 * `npm run bench`: openvmnet beside its peers, in one run, on one machine. Absolute figures differ by a factor of two
 * between machines of one kind and between minutes of one machine; so subjects take turns, rounds begin with a different
 * one each time, medians are compared, and every requirement is a ratio wherever that makes sense.
 *
 * Sections: throughput, connections, vm, resources, startup. Runs as root inside a network namespace of its own, which
 * scripts/bench.sh makes. A subject that cannot run here is named with the reason, and its ratios are "not measured".
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { daemonHere } from '../scripts/lib/daemon-here.ts';
import { REPOSITORY } from '../scripts/lib/install.ts';
import { HELP, type Plan, parsePlan } from './options.ts';
import { missingProgram } from './programs.ts';
import { chart } from './report/chart.ts';
import { summaryTable, withFigures } from './report/documents.ts';
import { judge } from './report/requirements.ts';
import { report } from './report/tables.ts';
import { emptyResults, type Results } from './results.ts';
import { live, messageOf, stopGuests } from './running.ts';
import { say, warn } from './say.ts';
import { measureConnections } from './sections/connections.ts';
import { measureResources } from './sections/resources.ts';
import { measureStartup } from './sections/startup.ts';
import { measureThroughput, measureVms } from './sections/throughput.ts';
import { kernelNat } from './subjects/kernel-nat.ts';
import { loopback } from './subjects/loopback.ts';
import { BENCH_CONFIG, openvmnet } from './subjects/openvmnet.ts';
import { pasta } from './subjects/pasta.ts';
import { slirp4netns } from './subjects/slirp4netns.ts';
import type { Subject } from './subjects/subject.ts';
import { vmOnOpenvmnet, vmOnOpenvmnetJumbo } from './subjects/vm-openvmnet.ts';
import { vmOnTap } from './subjects/vm-tap.ts';
import { vmOnUserNetdev } from './subjects/vm-user.ts';
import { World } from './world.ts';

const SECTIONS = ['throughput', 'connections', 'vm', 'resources', 'startup'];
const SUBJECTS = [
  'openvmnet',
  'slirp4netns',
  'pasta',
  'kernel',
  'loopback',
  'vm-openvmnet',
  'vm-openvmnet-65520',
  'vm-user',
  'vm-tap',
];

async function main(): Promise<number> {
  const plan = parsePlan(process.argv.slice(2), [...SECTIONS, ...SUBJECTS]);
  if (plan === 'help') {
    process.stdout.write(HELP);
    return 0;
  }
  const missing = ['ip', 'nsenter', 'unshare', 'iperf3', 'ab', 'perl'].filter(
    (name) => missingProgram(name, '') !== null,
  );
  if (missing.length > 0) throw new Error(`not installed: ${missing.join(', ')} (scripts/provision.sh installs them)`);

  const results = emptyResults(plan.quick, plan.rounds);
  const world = await World.open();
  const daemon = daemonHere();
  const stop = async (): Promise<void> => {
    await stopGuests(live);
    await daemon.stop();
    await world.close();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stop().then(() => process.exit(130)));
  try {
    const guests = [openvmnet(daemon), slirp4netns, pasta, kernelNat(world), loopback];
    const vms = [vmOnOpenvmnet(daemon), vmOnOpenvmnetJumbo(daemon), vmOnUserNetdev, vmOnTap];
    const labels = new Map([...guests, ...vms].map(({ name, label }) => [name, label]));
    const takes = (section: string): boolean => isWanted(section, SECTIONS, plan);
    if (
      SUBJECTS.some((name) => name.includes('openvmnet') && isWanted(name, SUBJECTS, plan)) &&
      plan.only.join() !== 'startup'
    ) {
      const config = join(daemon.runDir, '../vmnet.yaml');
      writeFileSync(config, BENCH_CONFIG);
      await daemon.up(['-f', config]);
    }
    const usable = await usableSubjects(guests, plan, results);
    const section = async (name: string, task: () => Promise<void>): Promise<void> => {
      if (!takes(name)) return;
      await task().catch((error) => {
        warn(`${name}: ${messageOf(error)}`);
        results.skipped[name] = messageOf(error);
      });
    };
    await section('throughput', () => measureThroughput(usable, plan, results));
    await section('connections', () => measureConnections(usable, plan, results));
    await section('vm', async () => measureVms(await usableSubjects(vms, plan, results), plan, results));
    if (isWanted('openvmnet', SUBJECTS, plan)) {
      await section('resources', () => measureResources(daemon, plan, results));
      await section('startup', () => measureStartup(plan, results));
    }
    results.requirements = judge(results);
    process.stdout.write(report(results, labels));
    write(results, labels, plan);
    return 0;
  } finally {
    await stop();
  }
}

/** Whether `--only` leaves `name` in: names of its own kind narrow the choice, names of the other kind don't. */
function isWanted(name: string, kind: readonly string[], plan: Plan): boolean {
  const chosen = plan.only.filter((word) => kind.includes(word));
  return chosen.length === 0 || chosen.includes(name);
}

async function usableSubjects(subjects: readonly Subject[], plan: Plan, results: Results): Promise<Subject[]> {
  const usable: Subject[] = [];
  for (const subject of subjects) {
    if (!isWanted(subject.name, SUBJECTS, plan)) continue;
    const obstacle = await subject.obstacle();
    if (obstacle !== null) {
      warn(`${subject.label}: ${obstacle}`);
      results.skipped[subject.name] = obstacle;
      continue;
    }
    const version = await subject.version();
    if (version !== null) results.versions[subject.name] = version;
    usable.push(subject);
  }
  return usable;
}

/** Only a full run may replace the published figures. */
function write(results: Results, labels: Map<string, string>, plan: Plan): void {
  if (plan.quick || plan.only.length > 0) {
    say('Not written to bench/results: only a full run is.');
    return;
  }
  const folder = join(REPOSITORY, 'bench/results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'latest.json'), `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(join(folder, 'throughput.svg'), chart(results, labels));
  const documents = {
    'README.md': summaryTable(results, labels),
    'docs/performance.md': `\`\`\`text\n${report(results, labels).trim()}\n\`\`\``,
  };
  for (const [name, figures] of Object.entries(documents)) {
    const file = join(REPOSITORY, name);
    writeFileSync(file, withFigures(readFileSync(file, 'utf8'), figures));
  }
  say('Written: bench/results/, and the figures in README.md and docs/performance.md');
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 2;
}
