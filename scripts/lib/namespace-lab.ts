/**
 * Two machines in namespaces, so that nothing of the real one is touched and nothing leaves it:
 *
 *     guests … vmnetd/netd run here            the Internet: one machine with services
 *     ┌──────────── host ────────────┐  veth  ┌──────────── world ───────────┐
 *     │ 198.51.100.2 (default route) ├────────┤ 198.51.100.1, 203.0.113.10   │
 *     │ own /etc/resolv.conf         │        │                              │
 *     └──────────────────────────────┘        └──────────────────────────────┘
 *
 * Each is held by a process of ours that ends when its standard input closes; with it go the namespace and all its
 * interfaces, however the test ended. Root makes plain network and mount namespaces; an ordinary user makes them inside
 * one user namespace, so that the same lab stands without any privilege. In both, `host.user` is an ordinary user: no
 * capability, a uid that is not 0.
 */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Background, must, type RunOptions, type RunResult, run } from './process.ts';

export const HOST_ADDRESS = '198.51.100.2';
/** The world's address on the cable to the host. */
export const WORLD_ADDRESS = '198.51.100.1';
/** An address behind the world: reached by the host's default route. */
export const INTERNET_ADDRESS = '203.0.113.10';

/** The ordinary user of a lab made by root. Needs no entry in /etc/passwd. */
const USER_ID = 61_001;

/** Somewhere to run commands: a namespace and an identity. */
export class Place {
  readonly #prefix: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Whether commands run with uid 0 there. */
  readonly isRoot: boolean;
  /** uid of the real machine that files for this place must belong to. */
  readonly fileOwner: number;

  constructor(prefix: readonly string[], env: NodeJS.ProcessEnv, isRoot: boolean, fileOwner: number) {
    this.#prefix = prefix;
    this.env = env;
    this.isRoot = isRoot;
    this.fileOwner = fileOwner;
  }

  /** The argument vector that runs `argv` there. */
  argv(argv: readonly string[]): string[] {
    return [...this.#prefix, ...argv];
  }

  run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this.argv(argv), { ...options, env: { ...this.env, ...options.env } });
  }

  must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    return must(this.argv(argv), { ...options, env: { ...this.env, ...options.env } });
  }

  start(argv: readonly string[], env: NodeJS.ProcessEnv = {}): Background {
    return new Background(this.argv(argv), { env: { ...this.env, ...env } });
  }
}

/** Environment for a place: nothing of the caller's that could lead to the real machine's daemon. */
function cleanEnv(home: string, extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, HOME: home, TMPDIR: '/tmp', ...extra };
  for (const name of ['VMNET_RUN_DIR', 'VMNET_STATE_DIR', 'XDG_RUNTIME_DIR', 'XDG_STATE_HOME']) delete env[name];
  return env;
}

export interface LabOptions {
  /** Written to the host's own /etc/resolv.conf; the world's name server unless told. */
  resolvConf?: string;
  /** gids whose processes may open ping sockets in the host; none unless told, as in a fresh namespace. */
  pingGroups?: 'all' | 'none';
}

export class NamespaceLab {
  /** Root of the machine that plays the host. */
  readonly host: Place;
  /** An ordinary user of the same machine. */
  readonly user: Place;
  /** Root of the machine that plays the Internet. */
  readonly world: Place;
  /** A folder for files of a test, removed with the lab; everybody may write there. */
  readonly folder: string;
  readonly #holders: Background[];

  private constructor(host: Place, user: Place, world: Place, folder: string, holders: Background[]) {
    this.host = host;
    this.user = user;
    this.world = world;
    this.folder = folder;
    this.#holders = holders;
  }

  static async create(options: LabOptions = {}): Promise<NamespaceLab> {
    const asRoot = process.getuid?.() === 0;
    const folder = mkdtempSync(join(tmpdir(), 'vmnet-lab-'));
    chmodSync(folder, 0o777);
    const home = join(folder, 'home');
    mkdirSync(home);
    if (asRoot) chownSync(home, USER_ID, USER_ID);
    const resolvConf = join(folder, 'resolv.conf');
    writeFileSync(resolvConf, options.resolvConf ?? `nameserver ${INTERNET_ADDRESS}\n`);
    const holders: Background[] = [];
    try {
      const hold = async (argv: readonly string[]): Promise<Background> => {
        const script = 'mount --bind "$0" /etc/resolv.conf && ip link set lo up && echo up && exec cat';
        const holder = new Background([...argv, 'sh', '-c', script, resolvConf]);
        holders.push(holder);
        await holder.expect(/^up$/m);
        return holder;
      };
      const hostHolder = await hold(['unshare', ...(asRoot ? [] : ['-U', '-r']), '-n', '-m']);
      const enterUser = asRoot ? [] : ['-U', '--preserve-credentials'];
      const enter = (pid: number): string[] => ['nsenter', '-t', String(pid), ...enterUser, '-n', '-m', '--'];
      // The world shares the host's user namespace, so that one command can put each end of the cable into its place.
      const worldHolder = await hold([...(asRoot ? [] : enter(hostHolder.pid)), 'unshare', '-n', '-m']);
      const own = process.getuid?.() ?? 0;
      const host = new Place(enter(hostHolder.pid), cleanEnv(home), true, own);
      const world = new Place(enter(worldHolder.pid), cleanEnv(home), true, own);
      const user = asRoot ? ordinaryUser(host, home) : await nestedUser(host, hostHolder.pid, home, own, holders);
      await cable(host, world, worldHolder.pid, options.pingGroups ?? 'none');
      return new NamespaceLab(host, user, world, folder, holders);
    } catch (error) {
      await Promise.all(holders.map((holder) => holder.stop()));
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#holders.reverse().map((holder) => holder.stop()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function ordinaryUser(host: Place, home: string): Place {
  const id = String(USER_ID);
  const prefix = ['setpriv', '--reuid', id, '--regid', id, '--clear-groups', '--inh-caps=-all', '--'];
  return new Place(host.argv(prefix), cleanEnv(home, { USER: 'guest-user', LOGNAME: 'guest-user' }), false, USER_ID);
}

/** Without root: a user namespace inside the lab's in which we are uid 1000 again, kept by one holder for all commands. */
async function nestedUser(
  host: Place,
  hostPid: number,
  home: string,
  own: number,
  holders: Background[],
): Promise<Place> {
  const holder = host.start(['unshare', '-U', '--map-user=1000', '--map-group=1000', 'sh', '-c', 'echo up; exec cat']);
  holders.push(holder);
  await holder.expect(/^up$/m);
  // nsenter keeps its pid through exec, and unshare -U does not fork: the holder's pid is in the new user namespace.
  const pid = String(holder.pid);
  const prefix = ['nsenter', '-t', String(hostPid), '-n', '-m', '-U', '--preserve-credentials', '--'];
  const inner = ['nsenter', '-t', pid, '-U', '--preserve-credentials', '--'];
  return new Place([...prefix, ...inner], cleanEnv(home), false, own);
}

/** A user namespace knows gids that are mapped into it only: 0, which is ours. */
const PING_FOR_ALL = `range=/proc/sys/net/ipv4/ping_group_range
     { echo '0 2147483647' >$range || echo '0 0' >$range; } 2>/dev/null`;

async function cable(host: Place, world: Place, worldPid: number, pingGroups: 'all' | 'none'): Promise<void> {
  const groups = pingGroups === 'all' ? PING_FOR_ALL : ':';
  await host.must([
    ...['sh', '-ec'],
    `ip link add uplink type veth peer name eth0 netns ${worldPid}
     ip addr add ${HOST_ADDRESS}/24 dev uplink
     ip link set uplink up
     ip route add default via ${WORLD_ADDRESS}
     ${groups}`,
  ]);
  await world.must([
    ...['sh', '-ec'],
    `ip addr add ${WORLD_ADDRESS}/24 dev eth0
     ip addr add ${INTERNET_ADDRESS}/32 dev lo
     ip link set eth0 up`,
  ]);
}
