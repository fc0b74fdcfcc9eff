/**
 * Starts one netd process: without new privileges, in a session of its own (so that a Ctrl-C for vmnetd, or its end,
 * leaves it alone), with nothing but its log and, as descriptor 3, the socket on which it listens for us.
 *
 * `setpriv` execs netd, so the pid is netd's own. The environment is cut down to what Node itself reads: netd has no
 * business with the operator's variables.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { UserError } from '../../shared/errors.ts';
import { listenUnix } from '../linux/unix-stream.ts';

/** A log that has grown beyond this is set aside as `.1` before a process appends to it. */
const LOG_BYTES_MAX = 1024 * 1024;

/** How far back the end of a log is searched. */
const LAST_WORDS_BYTES = 16 * 1024;

const PASSED_ON = ['PATH', 'LANG', 'TZ', 'NODE_OPTIONS', 'NODE_V8_COVERAGE'];

/** How a netd is started unless a test says otherwise. */
export function defaultNetdCommand(): string[] {
  const main = fileURLToPath(new URL('../netd/main.js', import.meta.url));
  return ['setpriv', '--no-new-privs', process.execPath, main];
}

/** Where a netd belongs. */
export interface NetdPlace {
  runDir: string;
  controlPath: string;
  logPath: string;
}

/** A netd that was started, and where in its log its own lines begin. */
export interface SpawnedNetd {
  child: ChildProcess;
  logOffset: number;
  /** How it ended, as text, once it has. */
  exited: Promise<string>;
}

/** Starts netd, listening on its control path. Resolves once the program runs; throws TOOL_MISSING when it cannot be found. */
export async function spawnNetd(command: readonly string[], place: NetdPlace): Promise<SpawnedNetd> {
  const { runDir, controlPath, logPath } = place;
  const [program = '', ...args] = command;
  const control = listenUnix(controlPath);
  const log = openLog(logPath);
  const logOffset = fstatSync(log).size;
  try {
    // The run directory tells people which instance a process belongs to.
    const env: NodeJS.ProcessEnv = { VMNET_RUN_DIR: runDir };
    for (const name of PASSED_ON) if (process.env[name] !== undefined) env[name] = process.env[name];
    const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log, control], env, cwd: '/' });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    const exited = new Promise<string>((resolve) => {
      child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `ended by ${signal}`));
    });
    return { child, logOffset, exited };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new UserError('TOOL_MISSING', { tool: program, package: 'util-linux' });
    }
    throw error;
  } finally {
    closeSync(control);
    closeSync(log);
  }
}

/** Opens a log for appending, after setting an overgrown one aside. */
export function openLog(path: string): number {
  try {
    if (statSync(path).size > LOG_BYTES_MAX) renameSync(path, `${path}.1`);
  } catch {
    // There is none yet.
  }
  return openSync(path, 'a', 0o600);
}

/**
 * What a process said last, for an error message: the message of the exception that ended it, else its last line. Only
 * what was logged behind `from` bytes counts, and of that the last 16 KiB. Empty when it said nothing.
 */
export function lastWords(path: string, from: number): string {
  let text: string;
  try {
    const bytes = readFileSync(path);
    text = bytes.subarray(Math.max(from, bytes.length - LAST_WORDS_BYTES)).toString('utf8');
  } catch {
    return '';
  }
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const words = lines.findLast((line) => /^(Uncaught )?\w*Error\b.*:/.test(line)) ?? lines.at(-1) ?? '';
  return words.slice(0, 300);
}
