/**
 * Where an instance keeps its files. The command line and the daemon must agree on it, so it is a pure function of the
 * environment and the user. `VMNET_RUN_DIR` and `VMNET_STATE_DIR` make separate instances; one daemon a run directory.
 */

/** The two directories of an instance, as absolute paths. */
export interface Directories {
  /** Sockets, lock and logs: gone after a reboot. */
  runDir: string;
  /** Leases and chosen subnets: kept. */
  stateDir: string;
}

/** What the answer depends on: environment, effective user id and home directory. */
export interface PathInputs {
  env: Readonly<Record<string, string | undefined>>;
  uid: number;
  home: string;
  /** Working directory, for relative paths in the variables. */
  cwd: string;
}

/** The directories of the instance that these inputs select. Nothing is created or looked at. */
export function directoriesOf(inputs: PathInputs): Directories {
  const { env, uid, home, cwd } = inputs;
  const absolute = (path: string) => trimmed(path.startsWith('/') ? path : `${cwd}/${path}`);
  return { runDir: absolute(runDirOf(env, uid)), stateDir: absolute(stateDirOf(env, uid, home)) };
}

function runDirOf(env: PathInputs['env'], uid: number): string {
  if (env.VMNET_RUN_DIR) return env.VMNET_RUN_DIR;
  if (uid === 0) return '/run/openvmnet';
  if (env.XDG_RUNTIME_DIR) return `${env.XDG_RUNTIME_DIR}/openvmnet`;
  return `/tmp/openvmnet-${uid}`;
}

function stateDirOf(env: PathInputs['env'], uid: number, home: string): string {
  if (env.VMNET_STATE_DIR) return env.VMNET_STATE_DIR;
  if (uid === 0) return '/var/lib/openvmnet';
  return `${env.XDG_STATE_HOME || `${home}/.local/state`}/openvmnet`;
}

/** Without doubled, dotted or trailing slashes: every byte of a socket's path counts. */
function trimmed(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return `/${parts.join('/')}`;
}

/** Names of files within the run directory. */
export const RUN_FILES = {
  /** The HTTP API. */
  api: 'api.sock',
  /** Held locked by the one daemon of the directory; contains its pid. */
  lock: 'lock',
  /** Pids and start times of the running netds. */
  netds: 'netds.json',
  log: 'vmnetd.log',
  /** For QEMU's `-netdev stream`. */
  stream: (network: string) => `${network}.sock`,
  control: (network: string) => `${network}.ctl`,
  netdLog: (network: string) => `netd-${network}.log`,
} as const;

/** Names of files within the state directory. */
export const STATE_FILES = {
  /** Held locked by the one daemon that uses the directory; contains its pid. */
  lock: 'lock',
  /** Subnets that were chosen for networks without one in the configuration. */
  networks: 'networks.json',
  leases: (network: string) => `${network}.leases.jsonl`,
} as const;

/** Longest path of a unix socket in bytes: sun_path of unix(7) without the closing zero. */
export const SOCKET_PATH_MAX = 107;
