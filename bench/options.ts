/** How long everything takes. The full run fits into twelve minutes; `--quick` only shows that all parts work. */
export interface Plan {
  quick: boolean;
  rounds: number;
  iperfSeconds: number;
  abSeconds: number;
  loadSeconds: number;
  idleSeconds: number;
  starts: number;
  /** Names of sections and subjects to keep; empty for all. */
  only: string[];
}

const FULL: Plan = {
  quick: false,
  rounds: 3,
  iperfSeconds: 4,
  abSeconds: 2.5,
  loadSeconds: 60,
  idleSeconds: 12,
  starts: 5,
  only: [],
};
const QUICK: Plan = {
  quick: true,
  rounds: 1,
  iperfSeconds: 1,
  abSeconds: 1,
  loadSeconds: 12,
  idleSeconds: 3,
  starts: 2,
  only: [],
};

export const HELP = `npm run bench -- [--quick] [--only NAME]…

Measures openvmnet beside its peers in one run, prints the figures and their ratios, and writes
bench/results/latest.json and bench/results/throughput.svg (a full run only). About 10 minutes.

  --quick      one short round of everything: shows that it works, not how fast it is
  --only NAME  only this section (throughput, connections, vm, resources, startup) or this subject
               (openvmnet, slirp4netns, pasta, kernel, loopback, vm-openvmnet,
               vm-openvmnet-65520, vm-user, vm-tap); repeatable
`;

/** Reads the command line; throws with a sentence when it makes no sense. */
export function parsePlan(argv: readonly string[], names: readonly string[]): Plan | 'help' {
  const plan = argv.includes('--quick') ? { ...QUICK } : { ...FULL };
  const only: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i];
    if (word === '--help' || word === '-h') return 'help';
    if (word === '--quick') continue;
    const name = argv[i + 1];
    if (word !== '--only' || name === undefined) throw new Error(`unknown: ${word}\n\n${HELP}`);
    if (!names.includes(name)) throw new Error(`--only knows ${names.join(', ')}`);
    only.push(name);
    i += 1;
  }
  return { ...plan, only };
}
