/**
 * A program that `vmnet` runs in its own place (`ns`, `run`): it has our terminal, our signals reach it, and its end is
 * our end. Ctrl-C is sent by the terminal to the whole foreground process group, the program included, so it is not
 * passed on a second time then; TERM, HUP and signals from elsewhere are.
 */

import type { ChildProcess } from 'node:child_process';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { delimiter, resolve } from 'node:path';
import { UserError } from '../../shared/errors.ts';

/** How a process ended. */
export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
}

const PASSED_ON: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP'];
const FROM_KEYBOARD: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT']);

/** Passes our signals on to the child until it has ended; resolves to how. A spawn that failed ends with code 127. */
export function endingOf(child: ChildProcess): Promise<Ending> {
  const listeners = PASSED_ON.map((signal) => {
    const listener = (): void => {
      if (!(FROM_KEYBOARD.has(signal) && inForeground())) child.kill(signal);
    };
    process.on(signal, listener);
    return { signal, listener };
  });
  return new Promise((settle) => {
    const end = (ending: Ending): void => {
      for (const { signal, listener } of listeners) process.off(signal, listener);
      settle(ending);
    };
    child.once('error', () => end({ code: 127, signal: null }));
    child.once('exit', (code, signal) => end({ code, signal }));
  });
}

/** The shell's convention: the code, or 128 and the number of the signal. */
export function exitCodeFrom(ending: Ending): number {
  if (ending.signal !== null) return 128 + osConstants.signals[ending.signal];
  return ending.code ?? 1;
}

/** Whether we are in the foreground of a terminal, whose keys then signal our children as well (proc(5): stat, tpgid). */
function inForeground(): boolean {
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[2] === fields[5];
  } catch {
    return false;
  }
}

/** Where the tools of system administrators are, for users whose PATH lacks them. */
const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** Path of a tool that we need ourselves, or `TOOL_MISSING` with the Debian package that has it. */
export function findTool(tool: string, packageName: string, path: string | undefined): string {
  for (const directory of `${path ?? ''}${delimiter}${SYSTEM_PATH}`.split(delimiter)) {
    if (directory.startsWith('/') && lookAt(`${directory}/${tool}`) === 'executable') return `${directory}/${tool}`;
  }
  throw new UserError('TOOL_MISSING', { tool, package: packageName });
}

/**
 * Throws `COMMAND_NOT_FOUND` (exit code 127) or `COMMAND_NOT_EXECUTABLE` (126) as execvp(3) would find them, before
 * anything has been set up for the command.
 */
export function checkCommand(command: string, path: string | undefined, cwd: string): void {
  const candidates = command.includes('/')
    ? [resolve(cwd, command)]
    : (path ?? SYSTEM_PATH).split(delimiter).map((directory) => resolve(cwd, directory, command));
  const found = candidates.map(lookAt);
  if (command !== '' && found.includes('executable')) return;
  if (command !== '' && found.includes('directory') && command.includes('/')) {
    throw new UserError('COMMAND_NOT_EXECUTABLE', { command, reason: 'it is a directory' });
  }
  if (command !== '' && found.includes('file')) {
    throw new UserError('COMMAND_NOT_EXECUTABLE', { command, reason: 'permission denied' });
  }
  throw new UserError('COMMAND_NOT_FOUND', { command: command === '' ? "''" : command });
}

function lookAt(path: string): 'executable' | 'file' | 'directory' | 'nothing' {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) return 'directory';
  } catch {
    return 'nothing';
  }
  try {
    accessSync(path, constants.X_OK);
    return 'executable';
  } catch {
    return 'file';
  }
}
