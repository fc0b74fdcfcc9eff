/** The project's bar (issue 2, "Must hold"), held against the figures of one run. */
import type { Results, Throughput, Verdict } from '../results.ts';

type Side = 'up' | 'down';

/** One line of the table: `value` is NaN where a figure is missing. `limit` at least (or at most) makes it hold. */
interface Requirement {
  what: string;
  value: number;
  sense: 'at least' | 'at most';
  must: number;
  aim?: number;
  unit: '×' | ' MB' | ' %' | ' s';
  digits?: number;
}

export function judge(results: Results): Verdict[] {
  return requirements(results).map(({ what, value, sense, must, aim, unit, digits = 2 }) => {
    const holds = (limit: number): boolean => (sense === 'at least' ? value >= limit : value <= limit);
    const text = (limit: number): string => `${sense === 'at least' ? '≥' : '≤'} ${limit}${unit}`;
    const verdict = Number.isNaN(value) ? 'not measured' : !holds(must) ? 'short' : aim && holds(aim) ? 'aim' : 'ok';
    return {
      what,
      must: text(must),
      aim: aim === undefined ? '' : text(aim),
      value: Number.isNaN(value) ? '–' : `${value.toFixed(digits)}${unit}`,
      verdict,
    };
  });
}

function requirements(results: Results): Requirement[] {
  const plain = results.throughput['1500'] ?? {};
  const rate = (table: Record<string, Throughput>, name: string, side: Side): number =>
    table[name]?.[side].median ?? Number.NaN;
  const against = (peer: string, side: Side): number => rate(plain, 'openvmnet', side) / rate(plain, peer, side);
  const connections = (name: string, key: string): number => results.connections[name]?.[key]?.median ?? Number.NaN;
  const vm = (side: Side): number => rate(results.vm, 'vm-openvmnet', side) / rate(results.vm, 'vm-user', side);
  const { resources, startup } = results;
  return [
    {
      what: 'TCP up, MTU 1500, against slirp4netns',
      value: against('slirp4netns', 'up'),
      sense: 'at least',
      must: 4,
      unit: '×',
    },
    {
      what: 'TCP down, MTU 1500, against slirp4netns',
      value: against('slirp4netns', 'down'),
      sense: 'at least',
      must: 4,
      unit: '×',
    },
    {
      what: 'TCP up, MTU 1500, against kernel NAT',
      value: against('kernel', 'up'),
      sense: 'at least',
      must: 0.65,
      aim: 1,
      unit: '×',
    },
    {
      what: 'TCP down, MTU 1500, against kernel NAT',
      value: against('kernel', 'down'),
      sense: 'at least',
      must: 1,
      aim: 1,
      unit: '×',
    },
    ...[
      { key: '1', must: 0.8 },
      { key: '50', must: 1 },
    ].map(({ key, must }) => ({
      what: `connections/s, ${key} at a time, against pasta`,
      value: connections('openvmnet', key) / connections('pasta', key),
      sense: 'at least' as const,
      must,
      aim: 1.2,
      unit: '×' as const,
    })),
    {
      what: 'Linux VM, TCP up, against -netdev user',
      value: vm('up'),
      sense: 'at least',
      must: 1.5,
      aim: 2,
      unit: '×',
    },
    {
      what: 'Linux VM, TCP down, against -netdev user',
      value: vm('down'),
      sense: 'at least',
      must: 1.5,
      aim: 2,
      unit: '×',
    },
    {
      what: `netd RSS at most in ${resources?.loadSeconds ?? 60} s of load`,
      value: resources?.rssPeakMb ?? Number.NaN,
      sense: 'at most',
      must: 150,
      unit: ' MB',
      digits: 0,
    },
    {
      what: 'netd RSS flat: its peak while the load goes on',
      value: resources?.rssGrowth ?? Number.NaN,
      sense: 'at most',
      must: 1.1,
      unit: '×',
      digits: 3,
    },
    {
      what: 'netd CPU while idle',
      value: resources?.idleCpuPercent ?? Number.NaN,
      sense: 'at most',
      must: 0.5,
      unit: ' %',
      digits: 3,
    },
    {
      what: 'vmnet up --detach, to ready',
      value: startup?.upSeconds.median ?? Number.NaN,
      sense: 'at most',
      must: 1.5,
      unit: ' s',
    },
    {
      what: 'vmnet ns --net vmnet8 -- true',
      value: startup?.nsSeconds.median ?? Number.NaN,
      sense: 'at most',
      must: 0.6,
      unit: ' s',
    },
  ];
}
