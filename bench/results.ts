/** What a run found out: the shape of bench/results/latest.json. No names of hosts, no paths. */
import { cpus, release, totalmem } from 'node:os';
import type { Reading } from './measure/statistics.ts';

/** Gbit/s of one TCP stream; `up` is from the guest. */
export interface Throughput {
  up: Reading;
  down: Reading;
}

export interface Resources {
  /** Whole seconds that the load lasted. */
  loadSeconds: number;
  /** MB (10⁶ bytes) of netd. */
  rssPeakMb: number;
  rssEndMb: number;
  /** Highest reading while the load goes on for half as long again, against the highest of the first time: 1 is flat. */
  rssGrowth: number;
  /** CPU time of netd as a share of wall time, with one idle guest attached. */
  idleCpuPercent: number;
}

export interface Startup {
  upSeconds: Reading;
  nsSeconds: Reading;
}

export interface Verdict {
  what: string;
  must: string;
  aim: string;
  value: string;
  verdict: 'aim' | 'ok' | 'short' | 'not measured';
}

export interface Results {
  takenAt: string;
  quick: boolean;
  rounds: number;
  machine: Record<string, string | number>;
  versions: Record<string, string>;
  /** By MTU, then by subject. */
  throughput: Record<string, Record<string, Throughput>>;
  /** New connections a second, by subject, then by concurrency. */
  connections: Record<string, Record<string, Reading>>;
  vm: Record<string, Throughput>;
  resources: Resources | null;
  startup: Startup | null;
  requirements: Verdict[];
  /** What did not run, and why. */
  skipped: Record<string, string>;
}

export function emptyResults(quick: boolean, rounds: number): Results {
  return {
    takenAt: new Date().toISOString(),
    quick,
    rounds,
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryGb: Math.round(totalmem() / 1e9),
      kernel: release().split('-')[0] ?? '',
      node: process.version,
    },
    versions: {},
    throughput: {},
    connections: {},
    vm: {},
    resources: null,
    startup: null,
    requirements: [],
    skipped: {},
  };
}
