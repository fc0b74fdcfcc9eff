/**
 * Stands in for vmnetd: answers the API on `<run dir>/api.sock` from a table, and notes what it was asked. The command
 * line runs in process against it, with its output kept.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '../../src/node/cli/program.ts';
import type { Flow, Lease, NetworkStatus, Port, Status } from '../../src/shared/api.ts';
import type { ErrorBody } from '../../src/shared/errors.ts';

/** What is answered to a request; a text is sent as it is. */
export type Answer = { status: number; body: unknown } | { status: number; text: string };

export interface Asked {
  method: string;
  url: string;
  body: unknown;
}

export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

export class FakeDaemon {
  readonly runDir: string;
  readonly asked: Asked[] = [];
  /** Answers by `METHOD /path`, without the query. */
  readonly answers = new Map<string, Answer | ((asked: Asked) => Answer)>();
  readonly #server: Server;

  private constructor() {
    this.runDir = mkdtempSync(join(tmpdir(), 'vmnet-cli-'));
    this.#server = createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8');
      request.on('data', (part: string) => {
        text += part;
      });
      request.on('end', () => {
        const asked = {
          method: request.method ?? '',
          url: request.url ?? '',
          body: text === '' ? null : JSON.parse(text),
        };
        this.asked.push(asked);
        const known = this.answers.get(`${asked.method} ${asked.url.split('?')[0]}`);
        const answer = typeof known === 'function' ? known(asked) : (known ?? failure('ROUTE_UNKNOWN', 404));
        response.writeHead(answer.status, { 'content-type': 'application/json' });
        response.end('text' in answer ? answer.text : answer.body === null ? '' : JSON.stringify(answer.body));
      });
    });
  }

  /** Listens in a run directory of its own. */
  static async start(): Promise<FakeDaemon> {
    const daemon = new FakeDaemon();
    await new Promise<void>((resolve) => daemon.#server.listen(join(daemon.runDir, 'api.sock'), resolve));
    return daemon;
  }

  /** Answers a GET with a value. */
  get(path: string, body: unknown): void {
    this.answers.set(`GET ${path}`, { status: 200, body });
  }

  /** Runs `vmnet ARGV` as a user of this daemon. */
  vmnet(...argv: string[]): Promise<CliResult> {
    return runHere(argv, { VMNET_RUN_DIR: this.runDir });
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.runDir, { recursive: true, force: true });
  }
}

/** Runs `vmnet ARGV` in this process; on a terminal of 80 columns with `tty`. */
export async function runHere(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
  tty = false,
): Promise<CliResult> {
  let stdout = '';
  let stderr = '';
  const code = await runCli(argv, {
    env: { PATH: process.env.PATH, ...env },
    uid: process.getuid?.() ?? 0,
    home: '/home/somebody',
    cwd: process.cwd(),
    stdout: { isTTY: tty, columns: 80, write: (text) => (stdout += text) },
    stderr: { isTTY: tty, columns: 80, write: (text) => (stderr += text) },
  });
  return { code, stdout, stderr };
}

/** An error as the API sends it. */
export function failure(code: string, status: number, message = 'it went wrong', hint = 'mend it'): Answer {
  return { status, body: { error: { code, message, hint } } satisfies ErrorBody };
}

export function networkStatus(changes: Partial<NetworkStatus> = {}): NetworkStatus {
  return {
    name: 'vmnet8',
    mode: 'nat',
    subnet: '192.168.88.0/24',
    pid: 4713,
    state: 'running',
    gateway: '192.168.88.2',
    host: '192.168.88.1',
    hostAddress: '198.51.100.2',
    mtu: 1500,
    socket: '/run/openvmnet/vmnet8.sock',
    ports: 3,
    leases: 2,
    flows: 12,
    restarts: 0,
    rssBytes: 61_200_000,
    uptimeSeconds: 200,
    echo: 'ping-socket',
    counters: {},
    warnings: [],
    ...changes,
  };
}

export const VMNET1 = networkStatus({
  name: 'vmnet1',
  mode: 'hostonly',
  subnet: '192.168.73.0/24',
  pid: 4712,
  gateway: null,
  host: null,
  hostAddress: null,
  socket: '/run/openvmnet/vmnet1.sock',
  ports: 0,
  leases: 0,
  flows: 0,
  rssBytes: 48_000_000,
});

export function statusOf(...networks: NetworkStatus[]): Status {
  return {
    daemon: {
      pid: 4711,
      version: '0.1.0',
      uptimeSeconds: 200,
      runDir: '/run/openvmnet',
      stateDir: '/var/lib/openvmnet',
      configFile: null,
      rootless: false,
    },
    networks,
  };
}

export function port(changes: Partial<Port> = {}): Port {
  return {
    network: 'vmnet8',
    port: 2,
    kind: 'tap',
    name: 'web',
    interface: 'eth0',
    pid: 48_123,
    macs: ['02:11:22:33:44:55'],
    addresses: ['192.168.88.128'],
    rxFrames: 900,
    rxBytes: 1_234_567,
    txFrames: 1700,
    txBytes: 104_857_600,
    drops: {},
    ...changes,
  };
}

export const GATEWAY_PORT = port({
  port: 1,
  kind: 'gateway',
  name: null,
  interface: null,
  pid: null,
  macs: ['02:76:6d:00:00:08'],
  addresses: ['192.168.88.2'],
});

export const VM_PORT = port({
  port: 3,
  kind: 'stream',
  name: null,
  interface: null,
  pid: null,
  macs: ['52:54:00:12:34:56'],
  addresses: [],
  drops: { runt: 1, queueFull: 2048, none: 0 },
});

export function lease(changes: Partial<Lease> = {}): Lease {
  return {
    network: 'vmnet8',
    address: '192.168.88.129',
    mac: '52:54:00:12:34:56',
    name: 'debian',
    expiresAt: '2026-08-01T12:00:00.000Z',
    ...changes,
  };
}

export function flow(changes: Partial<Flow> = {}): Flow {
  return {
    network: 'vmnet8',
    protocol: 'tcp',
    state: 'ESTABLISHED',
    guest: { our: '203.0.113.10:443', endpoint: '192.168.88.128:40112' },
    host: { our: '198.51.100.2:51820', endpoint: '203.0.113.10:443', fd: 23, pid: 4713 },
    rxBytes: 1830,
    txBytes: 5_242_880,
    ageMs: 12_300,
    idleMs: 40,
    ...changes,
  };
}
