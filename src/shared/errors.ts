/**
 * Every mistake that an operator or a client can make, in one table: what it is called, what is said about it, what to
 * do, the HTTP status of the API's answer and the exit code of `vmnet`. `docs/errors.md` is this table as a page; a
 * test holds the two equal.
 *
 * `{words in braces}` are filled in from the details of a {@link UserError}; the compiler asks for exactly those.
 * A code is a promise to scripts: it may be added to, never renamed. Bytes from a guest never end up here (those are
 * counted drops), nor do our own bugs, which are assertions and surface as `INTERNAL`.
 */

/** Exit codes of `vmnet` and `vmnetd` for errors of their own. `ns` and `run` pass the command's code on otherwise. */
export const EXIT = {
  OK: 0,
  /** Something failed that fits none of the others; a bug of ours among them. */
  FAILED: 1,
  /** The command line, the configuration or a request is wrong: mend it and try again. */
  USAGE: 2,
  /** The daemon runs when it should not, or does not when it should. */
  DAEMON: 3,
  /** This host lacks a privilege, a device, a tool or room. */
  HOST: 4,
  /** What was asked for exists, is taken, or is unknown. */
  CONFLICT: 5,
} as const;

interface ErrorEntry {
  readonly message: string;
  readonly hint: string;
  readonly httpStatus: number;
  readonly exitCode: number;
}

/** The table. Grouped by where the mistake is made; `docs/errors.md` keeps this order. */
export const ERRORS = {
  USAGE: {
    message: '{problem}',
    hint: '{hint}',
    httpStatus: 400,
    exitCode: EXIT.USAGE,
  },
  REQUEST_INVALID: {
    message: 'The request is not valid: {problem}',
    hint: 'src/shared/api.ts lists every request with its fields.',
    httpStatus: 400,
    exitCode: EXIT.USAGE,
  },
  ROUTE_UNKNOWN: {
    message: 'The API has no {method} {path}.',
    hint: 'Try GET /v1/status. A vmnet command that asks for this is newer than the daemon: restart it by `vmnet down` and `vmnet up`.',
    httpStatus: 404,
    exitCode: EXIT.CONFLICT,
  },

  CONFIG_UNREADABLE: {
    message: 'The configuration {file} cannot be read: {reason}',
    hint: 'Name another file by `vmnet up -f FILE`, or leave -f out: no file is needed.',
    httpStatus: 400,
    exitCode: EXIT.USAGE,
  },
  CONFIG_SYNTAX: {
    message: '{place}: this is not YAML: {problem}',
    hint: 'YAML nests by indentation with spaces, never tabs; a key ends in a colon and a space.',
    httpStatus: 400,
    exitCode: EXIT.USAGE,
  },
  CONFIG_INVALID: {
    message: '{place}: {path}: {problem}',
    hint: '{hint}',
    httpStatus: 400,
    exitCode: EXIT.USAGE,
  },
  CONFIG_UNKNOWN_KEY: {
    message: '{place}: unknown key `{key}` in {path}',
    hint: '{hint}',
    httpStatus: 400,
    exitCode: EXIT.USAGE,
  },
  SUBNET_COLLIDES: {
    message: '{place}: the subnet {subnet} of {network} overlaps {other}',
    hint: 'Give it another subnet, or leave `subnet` out: a free one is chosen and kept.',
    httpStatus: 409,
    exitCode: EXIT.USAGE,
  },
  SUBNET_NONE_FREE: {
    message: 'No free 192.168.X.0/24 or 172.X.Y.0/24 is left for {network}: the routes of this host cover them all',
    hint: 'Name one in the configuration, 10.99.8.0/24 for example, as `subnet` of {network}.',
    httpStatus: 409,
    exitCode: EXIT.HOST,
  },

  DAEMON_RUNS: {
    message: 'vmnetd runs already in {runDir} (pid {pid})',
    hint: 'See it by `vmnet status`, end it by `vmnet down`, or start another instance with its own VMNET_RUN_DIR and VMNET_STATE_DIR.',
    httpStatus: 409,
    exitCode: EXIT.DAEMON,
  },
  STATE_IN_USE: {
    message: 'The state directory {stateDir} is in use by another vmnetd (pid {pid})',
    hint: 'Instances share nothing: give this one a VMNET_STATE_DIR of its own beside its VMNET_RUN_DIR.',
    httpStatus: 409,
    exitCode: EXIT.DAEMON,
  },
  DAEMON_NOT_RUNNING: {
    message: 'No vmnetd runs in {runDir}',
    hint: 'Start it by `vmnet up --detach`. If it runs elsewhere, set VMNET_RUN_DIR as it has it (root and users have separate ones).',
    httpStatus: 503,
    exitCode: EXIT.DAEMON,
  },
  DAEMON_START_FAILED: {
    message: 'vmnetd ended before it was ready: {reason}',
    hint: 'Its log tells why: {log}',
    httpStatus: 500,
    exitCode: EXIT.FAILED,
  },
  DAEMON_UNREACHABLE: {
    message: 'vmnetd in {runDir} does not answer: {reason}',
    hint: 'Its log is {log}. `vmnet down` then `vmnet up` replaces it.',
    httpStatus: 503,
    exitCode: EXIT.DAEMON,
  },
  DAEMON_STOPPING: {
    message: 'vmnetd is stopping',
    hint: 'Wait until `vmnet down` has returned, then start it anew by `vmnet up`.',
    httpStatus: 503,
    exitCode: EXIT.DAEMON,
  },
  DIRECTORY_UNUSABLE: {
    message: 'The directory {directory} cannot be used: {reason}',
    hint: 'Set {variable} to a directory that you own.',
    httpStatus: 500,
    exitCode: EXIT.HOST,
  },
  SOCKET_PATH_TOO_LONG: {
    message: 'The socket path {path} has {length} bytes; Linux takes 107 (unix(7))',
    hint: 'Set VMNET_RUN_DIR to a shorter directory, /run/openvmnet or /tmp/vmnet for example.',
    httpStatus: 500,
    exitCode: EXIT.HOST,
  },

  NETWORK_UNKNOWN: {
    message: 'There is no network {network}',
    hint: 'Configured are: {known}.',
    httpStatus: 404,
    exitCode: EXIT.CONFLICT,
  },
  NETWORK_UNAVAILABLE: {
    message: 'The network {network} is not available: {reason}',
    hint: '`vmnet status` shows the state of every network.',
    httpStatus: 409,
    exitCode: EXIT.CONFLICT,
  },
  NETD_START_FAILED: {
    message: 'The data plane of {network} did not start: {reason}',
    hint: 'Its log tells more: {log}',
    httpStatus: 500,
    exitCode: EXIT.FAILED,
  },
  NETD_BUSY: {
    message: 'The data plane of {network} is being restarted',
    hint: 'Try again in a moment; `vmnet status` shows how often it was restarted.',
    httpStatus: 503,
    exitCode: EXIT.FAILED,
  },
  PORT_UNKNOWN: {
    message: 'The network {network} has no port {port}',
    hint: '`vmnet ports` lists them.',
    httpStatus: 404,
    exitCode: EXIT.CONFLICT,
  },
  PORT_NOT_DETACHABLE: {
    message: 'Port {port} of {network} is not a namespace guest ({kind})',
    hint: 'A guest on the stream socket leaves by closing its connection; the gateway stays.',
    httpStatus: 409,
    exitCode: EXIT.CONFLICT,
  },

  GUEST_PROCESS_UNKNOWN: {
    message: 'There is no process {pid}',
    hint: 'Give the pid of a living process inside the namespace that is to become a guest.',
    httpStatus: 404,
    exitCode: EXIT.CONFLICT,
  },
  GUEST_NAMESPACE_IS_HOST: {
    message: "Process {pid} lives in the host's own network namespace",
    hint: 'Start it in a namespace of its own: `unshare --net` (root) or `unshare --user --map-root-user --net`. `vmnet ns` does that for you.',
    httpStatus: 409,
    exitCode: EXIT.USAGE,
  },
  GUEST_NAMESPACE_DENIED: {
    message: 'The network namespace of process {pid} cannot be entered: {reason}',
    hint: "vmnetd of an ordinary user enters only namespaces inside that user's own user namespaces. Run vmnetd as root, or create the guest by `vmnet ns`.",
    httpStatus: 403,
    exitCode: EXIT.HOST,
  },
  GUEST_INTERFACE_TAKEN: {
    message: 'Process {pid} has an interface {interface} in its namespace already',
    hint: 'Choose another interface name.',
    httpStatus: 409,
    exitCode: EXIT.CONFLICT,
  },
  GUEST_NAME_TAKEN: {
    message: 'The network {network} has a guest named {name} already',
    hint: 'Choose another --name, or end the other guest: `vmnet ports` shows its pid.',
    httpStatus: 409,
    exitCode: EXIT.CONFLICT,
  },
  GUEST_ADDRESS_INVALID: {
    message: "{address} cannot be a guest's address on {network}: {reason}",
    hint: 'The network is {subnet}; static addresses are best taken outside of the DHCP range.',
    httpStatus: 400,
    exitCode: EXIT.USAGE,
  },
  GUEST_ADDRESS_TAKEN: {
    message: 'The address {address} is taken on {network}',
    hint: '`vmnet leases` and `vmnet ports` show by whom.',
    httpStatus: 409,
    exitCode: EXIT.CONFLICT,
  },
  POOL_EMPTY: {
    message: 'The DHCP range of {network} has no free address left',
    hint: 'Widen dhcp.range in the configuration, or give the guest a static address by --ip.',
    httpStatus: 409,
    exitCode: EXIT.CONFLICT,
  },
  PORTS_FULL: {
    message: 'The network {network} takes no more guests ({limit})',
    hint: 'Put the guest on another network, or detach one.',
    httpStatus: 409,
    exitCode: EXIT.CONFLICT,
  },

  PRIVILEGE_MISSING: {
    message: '{operation} is not permitted: {reason}',
    hint: '{hint}',
    httpStatus: 403,
    exitCode: EXIT.HOST,
  },
  TUN_MISSING: {
    message: '/dev/net/tun cannot be opened: {reason}',
    hint: 'Load the module by `modprobe tun`; in a container pass `--device /dev/net/tun`. The stream socket (`vmnet socket NET`) works without it.',
    httpStatus: 500,
    exitCode: EXIT.HOST,
  },
  TOOL_MISSING: {
    message: 'The program {tool} is not installed',
    hint: 'On Debian and Ubuntu: apt install {package}',
    httpStatus: 500,
    exitCode: EXIT.HOST,
  },
  COMMAND_NOT_FOUND: {
    message: 'The command {command} was not found',
    hint: 'Give its path, or see that PATH has it.',
    httpStatus: 400,
    exitCode: 127,
  },
  COMMAND_NOT_EXECUTABLE: {
    message: 'The command {command} cannot be executed: {reason}',
    hint: 'Make it executable (chmod +x), or name the interpreter that is to run it.',
    httpStatus: 400,
    exitCode: 126,
  },
  GUEST_SETUP_FAILED: {
    message: 'The namespace of the guest could not be set up: {reason}',
    hint: '{hint}',
    httpStatus: 500,
    exitCode: EXIT.HOST,
  },
  QEMU_UNSUITABLE: {
    message: '{command} cannot be attached: {reason}',
    hint: '{hint}',
    httpStatus: 400,
    exitCode: EXIT.HOST,
  },

  INTERNAL: {
    message: 'A bug in openvmnet: {reason}',
    hint: 'Please report it together with the logs in {runDir}.',
    httpStatus: 500,
    exitCode: EXIT.FAILED,
  },
} as const satisfies Record<string, ErrorEntry>;

/** Name of an entry of {@link ERRORS}. */
export type ErrorCode = keyof typeof ERRORS;

/** The names in braces within a text. */
type Holes<S extends string> = S extends `${string}{${infer Hole}}${infer Rest}`
  ? Hole extends `${string}{${infer Inner}`
    ? Inner | Holes<Rest>
    : Hole | Holes<Rest>
  : never;

/** What the texts of one code ask for. */
export type ErrorDetails<C extends ErrorCode> = Record<
  Holes<(typeof ERRORS)[C]['message']> | Holes<(typeof ERRORS)[C]['hint']>,
  string | number
>;

/** An error as the API sends it and as `vmnet --json` prints it: `{error: {code, message, hint}}`. */
export interface ErrorBody {
  error: { code: string; message: string; hint: string };
}

/** A mistake of the operator or of a client: shown as message and hint, without a stack. */
export class UserError<C extends ErrorCode = ErrorCode> extends Error {
  readonly code: C;
  readonly hint: string;
  readonly httpStatus: number;
  readonly exitCode: number;

  constructor(code: C, details: ErrorDetails<C>) {
    const entry: ErrorEntry = ERRORS[code];
    super(fill(entry.message, details));
    this.name = 'UserError';
    this.code = code;
    this.hint = fill(entry.hint, details);
    this.httpStatus = entry.httpStatus;
    this.exitCode = entry.exitCode;
  }

  /** The wire form. */
  toBody(): ErrorBody {
    return { error: { code: this.code, message: this.message, hint: this.hint } };
  }
}

/** Whether a text names an entry of the table. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

/** Exit code that belongs to a code heard from the daemon, which may be newer than we are. */
export function exitCodeOf(code: string): number {
  return isErrorCode(code) ? ERRORS[code].exitCode : EXIT.FAILED;
}

/** HTTP status that belongs to a code. */
export function httpStatusOf(code: string): number {
  return isErrorCode(code) ? ERRORS[code].httpStatus : 500;
}

/** Puts details into a text; a brace without a detail stays as it is. */
function fill(text: string, details: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) =>
    Object.hasOwn(details, name) ? String(details[name]) : whole,
  );
}
