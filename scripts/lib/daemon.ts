/**
 * A vmnet instance of its own: private run and state directories in one place (see namespace-lab.ts), driven through the
 * command line as its users do. `stop()` ends it and proves nothing; the e2e tests check what it leaves behind.
 */
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHANNEL_LOOP, CommandChannel } from './command-channel.ts';
import type { Install } from './install.ts';
import type { Place } from './namespace-lab.ts';
import { type Background, isAlive, type RunOptions, type RunResult } from './process.ts';

export interface NetworkStatus {
  name: string;
  mode: string;
  subnet: string | null;
  pid: number | null;
  state: string;
  gateway: string | null;
  host: string | null;
  hostAddress: string | null;
  echo: string;
  socket: string | null;
  restarts: number;
  rssBytes: number;
  ports: number;
  leases: number;
  flows: number;
}

export interface Status {
  daemon: { pid: number; version: string; runDir: string; stateDir: string; rootless: boolean };
  networks: NetworkStatus[];
}

export interface PortStatus {
  network: string;
  port: number;
  kind: string;
  name: string | null;
  interface: string | null;
  pid: number | null;
  macs: string[];
  addresses: string[];
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
  drops: Record<string, number>;
}

export interface LeaseStatus {
  network: string;
  address: string;
  mac: string;
  name: string | null;
  expiresAt: string;
}

/** A shell inside a namespace guest. */
export interface Guest {
  /** Of `vmnet ns`. */
  readonly pid: number;
  /** Time from start to the first prompt. */
  readonly startMs: number;
  exec: CommandChannel['exec'];
  must: CommandChannel['must'];
  stop(): Promise<void>;
}

/** What a guest started in the background ends with it: the processes of its network namespace. */
const GUEST_SHELL = `channel_file=$(mktemp)
farewell() {
  trap '' TERM HUP INT
  rm -f "$channel_file"
  own=$(readlink /proc/self/ns/net)
  for process in /proc/[0-9]*; do
    [ "\${process#/proc/}" = $$ ] || [ "$(readlink $process/ns/net 2>/dev/null)" != "$own" ] || kill "\${process#/proc/}"
  done 2>/dev/null
}
trap farewell EXIT
trap exit TERM HUP INT
${CHANNEL_LOOP}`;

export class Daemon {
  readonly place: Place;
  readonly install: Install;
  readonly runDir: string;
  readonly stateDir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #base: string | null;
  #guests: Background[] = [];

  constructor(place: Place, install: Install, directories?: { runDir: string; stateDir: string }) {
    this.place = place;
    this.install = install;
    this.#base = directories === undefined ? mkdtempSync(join(tmpdir(), 'vmn-')) : null;
    if (this.#base !== null && place.fileOwner !== process.getuid?.()) {
      chownSync(this.#base, place.fileOwner, place.fileOwner);
    }
    this.runDir = directories?.runDir ?? join(this.#base ?? '', 'run');
    this.stateDir = directories?.stateDir ?? join(this.#base ?? '', 'state');
    this.env = { VMNET_RUN_DIR: this.runDir, VMNET_STATE_DIR: this.stateDir };
  }

  /** `vmnet …` as an argument vector for `place.run`. */
  argv(args: readonly string[]): string[] {
    return [process.execPath, this.install.cli, ...args];
  }

  /** Runs `vmnet …` to its end. */
  vmnet(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.place.run(this.argv(args), { ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs `vmnet …`, which must succeed, and gives its standard output. */
  must(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return this.place.must(this.argv(args), { ...options, env: { ...this.env, ...options.env } });
  }

  /** `vmnet up --detach`; resolves when the daemon says that it is ready. */
  async up(args: readonly string[] = []): Promise<void> {
    await this.must(['up', '--detach', ...args]);
  }

  async down(): Promise<void> {
    await this.must(['down']);
  }

  async status(): Promise<Status> {
    return JSON.parse(await this.must(['status', '--json']));
  }

  async network(name = 'vmnet8'): Promise<NetworkStatus> {
    const found = (await this.status()).networks.find((network) => network.name === name);
    if (found === undefined) throw new Error(`no network ${name}`);
    return found;
  }

  /** pid of the network's netd. */
  async netdPid(name = 'vmnet8'): Promise<number> {
    const { pid, state } = await this.network(name);
    if (pid === null) throw new Error(`${name} has no netd (${state})`);
    return pid;
  }

  async ports(name = 'vmnet8'): Promise<PortStatus[]> {
    const ports: PortStatus[] = JSON.parse(await this.must(['ports', '--json']));
    return ports.filter((port) => port.network === name);
  }

  async leases(): Promise<LeaseStatus[]> {
    return JSON.parse(await this.must(['leases', '--json']));
  }

  async flows(): Promise<Record<string, unknown>[]> {
    return JSON.parse(await this.must(['flows', '--json']));
  }

  async socket(name = 'vmnet8'): Promise<string> {
    return (await this.must(['socket', name])).trim();
  }

  /** A namespace guest with a shell: `vmnet ns ARGS -- sh`. */
  async guest(args: readonly string[] = ['--net', 'vmnet8']): Promise<Guest> {
    const startedAt = process.hrtime.bigint();
    const shell = this.place.start(this.argv(['ns', ...args, '--', 'sh', '-c', GUEST_SHELL]), this.env);
    this.#guests.push(shell);
    const channel = new CommandChannel(shell, () => this.logs());
    await channel.ready(30_000);
    return {
      pid: shell.pid,
      startMs: Number((process.hrtime.bigint() - startedAt) / 1_000_000n),
      exec: (command, timeoutMs) => channel.exec(command, timeoutMs),
      must: (command, timeoutMs) => channel.must(command, timeoutMs),
      stop: () => shell.stop(),
    };
  }

  /** The ends of all logs, for error messages. */
  logs(): string {
    return ['vmnetd.log', 'netd-vmnet8.log', 'netd-vmnet1.log']
      .map((name) => join(this.runDir, name))
      .filter((file) => existsSync(file))
      .map((file) => `--- ${file}\n${readFileSync(file, 'utf8').slice(-2000)}`)
      .join('\n');
  }

  /** Ends guests and daemon, by force where asking fails, and removes the directories that it made. */
  async stop(): Promise<void> {
    await Promise.allSettled(this.#guests.map((guest) => guest.stop()));
    const status = await this.status().catch(() => null);
    await this.vmnet(['down']).catch(() => null);
    for (const pid of [status?.daemon.pid, ...(status?.networks ?? []).map((network) => network.pid)]) {
      if (typeof pid === 'number' && isAlive(pid)) process.kill(pid, 'SIGKILL');
    }
    if (this.#base !== null) rmSync(this.#base, { recursive: true, force: true });
  }
}
