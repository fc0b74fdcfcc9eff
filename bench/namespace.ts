/** Network namespaces that play guests and routers: each is held open by a process of ours that does nothing. */
import { readFileSync } from 'node:fs';
import { Background, eventually, must, run } from '../scripts/lib/process.ts';

/** A command that holds a namespace: prints its pid, then waits for the end of its input, thus at the latest for ours. */
export const HOLD = ['sh', '-c', 'echo pid $$; exec cat'] as const;

/** A fresh network namespace with `lo` up. */
export class Namespace {
  readonly pid: number;
  readonly #holder: Background | null;

  /** For a namespace whose holder somebody else ends. */
  constructor(pid: number, holder: Background | null = null) {
    this.pid = pid;
    this.#holder = holder;
  }

  static async create(): Promise<Namespace> {
    const holder = new Background(['unshare', '--net', '--', ...HOLD]);
    const [, pid] = await holder.expect(/^pid (\d+)$/m);
    const namespace = new Namespace(Number(pid), holder);
    await namespace.must('ip', 'link', 'set', 'lo', 'up');
    return namespace;
  }

  /** `argv` as a command line that runs inside. */
  wrap(argv: readonly string[]): string[] {
    return ['nsenter', '-t', String(this.pid), '-n', '--', ...argv];
  }

  async exec(argv: readonly string[], timeoutMs: number): Promise<{ code: number; output: string }> {
    const { code, stdout, stderr } = await run(this.wrap(argv), { timeoutMs });
    return { code, output: code === 0 ? stdout : stdout + stderr };
  }

  must(...argv: string[]): Promise<string> {
    return must(this.wrap(argv));
  }

  /** Waits until some other interface than `lo` has an IPv4 address. */
  async configured(): Promise<void> {
    await eventually(
      'an address in the namespace',
      async () => /\binet\b/.test(await this.must('ip', '-4', '-o', 'addr', 'show', 'scope', 'global')),
      10_000,
      50,
    );
  }

  /** Ports enough for thousands of connections a second, and their quick reuse. */
  async tuneForConnections(): Promise<void> {
    await this.must('sh', '-c', CONNECTION_SYSCTLS);
  }

  async stop(): Promise<void> {
    await this.#holder?.stop();
  }
}

/** Written inside of the namespace in question: /proc/sys/net is that of the writer. */
export const CONNECTION_SYSCTLS =
  'echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse; echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range';

/** The only child of a process; rejects when it has none in time. */
export function onlyChild(pid: number): Promise<number> {
  return eventually(
    `a child of process ${pid}`,
    () => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]) || null,
    5000,
    20,
  );
}
