/** Child processes for tests, demo and bench: run one to its end, or start one and stop it again by its own pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface RunOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Written to standard input, which is then closed. */
  input?: string | Uint8Array;
  /** After this the process is killed and `code` is -1; 60 s unless told. */
  timeoutMs?: number;
}

export interface RunResult {
  /** Exit status; 128 + number is not imitated: -1 for a signal or a time-out. */
  code: number;
  stdout: string;
  stderr: string;
  /** Wall-clock time. */
  ms: number;
}

/** Runs `argv` and gives what it printed, at most 64 MiB a stream. Rejects only when it cannot be started. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { env = process.env, cwd, input, timeoutMs = 60_000 } = options;
  return new Promise((resolve, reject) => {
    const startedAt = process.hrtime.bigint();
    const child = spawn(argv[0] ?? '', argv.slice(1), { env, cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    const out = collect(child.stdout);
    const err = collect(child.stderr);
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      const ms = Number((process.hrtime.bigint() - startedAt) / 1_000_000n);
      resolve({ code: code ?? -1, stdout: out(), stderr: err(), ms });
    });
  });
}

/** Like `run`, and rejects unless the exit status is 0. */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(argv, options);
  if (code === 0) return stdout;
  throw new Error(`exit status ${code} from: ${argv.join(' ')}\n${stdout.slice(-2000)}\n${stderr.slice(-4000)}`.trim());
}

const LIMIT = 64 << 20;

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= LIMIT) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

const LAST_WORDS_MS = 300;

/** A process that runs beside the test. */
export class Background {
  readonly child: ChildProcess;
  readonly what: string;
  #stdout = '';
  #stderr = '';
  #gone = false;
  #listeners = new Set<() => void>();

  constructor(argv: readonly string[], options: Pick<RunOptions, 'env' | 'cwd'> = {}) {
    this.what = argv.join(' ');
    this.child = spawn(argv[0] ?? '', argv.slice(1), {
      env: options.env ?? process.env,
      cwd: options.cwd,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.child.stdin?.on('error', () => {});
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.#stdout = (this.#stdout + chunk.toString('utf8')).slice(-1_000_000);
      this.#tell();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString('utf8')).slice(-100_000);
      this.#tell();
    });
    this.child.on('error', (error) => {
      this.#stderr += error.message;
      this.#gone = true;
      this.#tell();
    });
    this.child.on('close', () => {
      this.#gone = true;
      this.#tell();
    });
    // What it left running in the background may hold its output open for ever: the last words get a moment, no more.
    this.child.on('exit', () => {
      setTimeout(() => {
        this.child.stdout?.destroy();
        this.child.stderr?.destroy();
      }, LAST_WORDS_MS).unref();
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get gone(): boolean {
    return this.#gone;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  write(text: string): void {
    this.child.stdin?.write(text);
  }

  /** Waits until standard output matches; rejects when the process ends first or time is up. */
  async expect(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpExecArray> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = pattern.exec(this.#stdout);
      if (match !== null) return match;
      const left = deadline - Date.now();
      if (this.#gone || left <= 0) {
        const why = this.#gone ? `ended (${this.child.signalCode ?? this.child.exitCode})` : 'timed out';
        throw new Error(
          `${this.what}: ${why} before ${pattern}\n${this.#stdout.slice(-2000)}\n${this.#stderr.slice(-2000)}`,
        );
      }
      await this.#change(left);
    }
  }

  /** Waits for the end and gives the exit status, -1 for a signal. */
  async end(timeoutMs = 60_000): Promise<number> {
    const deadline = Date.now() + timeoutMs;
    while (!this.#gone) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${this.what}: still running after ${timeoutMs} ms\n${this.#stderr.slice(-2000)}`);
      await this.#change(left);
    }
    return this.child.exitCode ?? -1;
  }

  /** Closes its input and ends it: SIGTERM, and SIGKILL 3 s later. */
  async stop(): Promise<void> {
    if (this.#gone) return;
    this.child.stdin?.end();
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 3000);
    await this.end(20_000).finally(() => clearTimeout(timer));
  }

  #change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#listeners.add(done);
    });
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Repeats `probe` until it gives something else than null or false; rejects with `what` when time is up. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | null | false> | T | null | false,
  timeoutMs = 10_000,
  everyMs = 100,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last = '';
  for (;;) {
    try {
      const value = await probe();
      if (value !== null && value !== false) return value;
    } catch (error) {
      last = error instanceof Error ? `: ${error.message}` : '';
    }
    if (Date.now() >= deadline) throw new Error(`not within ${timeoutMs} ms: ${what}${last}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** The fields of /proc/PID/stat after the command name (the first is the state, field 3 of proc(5)), or null. */
export function processStat(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

/** Whether a process of this pid exists; a zombie does not count. */
export function isAlive(pid: number): boolean {
  const state = processStat(pid)?.[0];
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** CPU time of a process so far, user and system, in ms (at 100 ticks a second, as on every Linux of today). */
export function cpuMs(pid: number): number {
  const stat = processStat(pid);
  return stat === null ? Number.NaN : (Number(stat[11]) + Number(stat[12])) * 10;
}

/** Resident memory of a process in bytes. */
export function rssBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) * 1024;
}
