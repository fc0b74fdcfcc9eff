/**
 * vmnetd as a process: started for `up`, waited for by `down`. The only thing that the command line does with the
 * daemon besides HTTP. It is spawned by path with `--ready-fd 3`, on which it writes one line of JSON when it is ready
 * or has failed. It gets a session of its own, so Ctrl-C in a terminal reaches `vmnet` alone, which then shuts it down
 * in order; and a file without a name as standard error, so that it may outlive us and still tell why it did not start.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { ReadyLine } from '../../shared/api.ts';
import { UserError } from '../../shared/errors.ts';
import { RUN_FILES } from '../../shared/paths.ts';
import { DaemonError } from './client.ts';

/** The daemon's program beside ours. */
const VMNETD = fileURLToPath(new URL('../vmnetd/main.js', import.meta.url));

/** Time for a start, netds included, and for an end. */
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 20_000;
/** Longest ready line taken, and what is shown of a crash. */
const READY_MAX_BYTES = 1 << 16;
const CRASH_MAX_BYTES = 4096;

/** A daemon that is ready. */
export interface StartedDaemon {
  pid: number;
  child: ChildProcess;
}

/** Starts vmnetd with these arguments and waits until it is ready. Rejects with what it said was wrong. */
export async function startDaemon(args: readonly string[], runDir: string): Promise<StartedDaemon> {
  const errors = openNameless();
  try {
    const child = spawn(process.execPath, [VMNETD, ...args, '--ready-fd', '3'], {
      detached: true,
      stdio: ['ignore', errors, errors, 'pipe'],
    });
    const line = await firstLine(child.stdio[3] as Readable, child);
    const ready = parseReady(line);
    if (ready === null) {
      const reason = crashReason(readAll(errors)) ?? endingText(child);
      throw new UserError('DAEMON_START_FAILED', { reason, log: join(runDir, RUN_FILES.log) });
    }
    if ('error' in ready) throw new DaemonError(ready.error);
    return { pid: ready.pid, child };
  } finally {
    closeSync(errors);
  }
}

/** Runs `vmnetd --stop`, which ends netds that a killed vmnetd has left behind. */
export async function stopLeftovers(runDir: string): Promise<void> {
  const errors = openNameless();
  try {
    const child = spawn(process.execPath, [VMNETD, '--stop', '--ready-fd', '3'], {
      stdio: ['ignore', errors, errors, 'pipe'],
    });
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const ready = parseReady(await firstLine(child.stdio[3] as Readable, child));
    if (ready !== null && 'error' in ready) throw new DaemonError(ready.error);
    if ((await ended) === 0) return;
    const reason = crashReason(readAll(errors)) ?? endingText(child);
    throw new UserError('DAEMON_START_FAILED', { reason, log: join(runDir, RUN_FILES.log) });
  } finally {
    closeSync(errors);
  }
}

/** Whether netds may be alive in a run directory whose vmnetd is gone: each has its control socket there. */
export function hasLeftovers(runDir: string): boolean {
  try {
    return readdirSync(runDir).some((file) => file.endsWith(RUN_FILES.control('')));
  } catch {
    return false;
  }
}

/** Pid in the lock file of a run directory, if it is that of a living vmnetd; null otherwise. */
export function lockedPid(runDir: string): number | null {
  try {
    const pid = Number.parseInt(readFileSync(join(runDir, RUN_FILES.lock), 'latin1'), 10);
    const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
    return commandLine.includes('vmnetd/main.') ? pid : null;
  } catch {
    return null;
  }
}

/** Resolves when a process is gone; rejects with `DAEMON_UNREACHABLE` when it still lives after 20 s. */
export async function waitForEnd(pid: number, runDir: string): Promise<void> {
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  while (isAlive(pid)) {
    if (Date.now() > deadline) {
      throw new UserError('DAEMON_UNREACHABLE', {
        runDir,
        reason: `process ${pid} has not ended within ${STOP_TIMEOUT_MS / 1000} s`,
        log: join(runDir, RUN_FILES.log),
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Whether a process runs; one that has ended and waits for its parent does not (proc(5), state Z). */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.charAt(stat.lastIndexOf(')') + 2) !== 'Z';
  } catch {
    return false;
  }
}

/** How a process of ours ended, as text. */
export function endingText(child: ChildProcess): string {
  if (child.signalCode !== null) return `it was ended by ${child.signalCode}`;
  return child.exitCode === null ? 'it did not say that it is ready' : `it ended with code ${child.exitCode}`;
}

/** The first line of a stream, or what came until its end or until 30 s are over. */
function firstLine(stream: Readable, child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    let ended = false;
    const finish = (): void => {
      clearTimeout(deadline);
      stream.destroy();
      resolve(text.split('\n')[0] ?? '');
    };
    const deadline = setTimeout(() => {
      child.kill('SIGKILL');
      finish();
    }, START_TIMEOUT_MS);
    stream.setEncoding('utf8');
    stream.on('data', (part: string) => {
      text += part;
      if (text.includes('\n') || text.length > READY_MAX_BYTES) finish();
    });
    const end = (): void => {
      if (ended) finish();
      ended = true;
    };
    // Without a ready line, wait for both, so that the exit code is known.
    stream.on('end', end);
    stream.on('error', () => undefined);
    child.once('exit', end);
    child.once('error', finish);
  });
}

function parseReady(line: string): ReadyLine | null {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== 'object' || value === null) return null;
    return 'error' in value || 'ready' in value ? (value as ReadyLine) : null;
  } catch {
    return null;
  }
}

/** The line that tells most of a crash: the error's own, not its stack. */
function crashReason(text: string): string | null {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return lines.find((line) => /^(\w*Error|error)\b.*:/.test(line)) ?? lines.at(-1) ?? null;
}

/** A file that is gone when the last descriptor is closed. */
function openNameless(): number {
  const directory = mkdtempSync(join(tmpdir(), 'vmnet-'));
  const descriptor = openSync(join(directory, 'stderr'), 'a+', 0o600);
  rmSync(directory, { recursive: true });
  return descriptor;
}

function readAll(descriptor: number): string {
  const size = Math.min(fstatSync(descriptor).size, CRASH_MAX_BYTES);
  const bytes = Buffer.alloc(size);
  return bytes.toString('utf8', 0, readSync(descriptor, bytes, 0, size, 0));
}
