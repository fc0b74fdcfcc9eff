/**
 * Reaching into a guest's network namespace: opens a TAP there and brings its descriptor home.
 *
 * Theory of operation. `nsenter` enters the namespaces of a process, and runs a helper of ours (netns-helper.ts) in
 * them, which opens the TAP and sends the descriptor over a socket pair. Root enters the network namespace alone; an
 * ordinary user enters the user namespace that owns it as well, in which that same user is root. Takes 60–90 ms, most
 * of it the start of Node. Nothing is left behind on failure: the interface dies with its last descriptor.
 */

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { close } from './libc.ts';
import { closeAll, receiveDescriptors } from './unix-fd.ts';
import { pairUnix } from './unix-stream.ts';

/** Frames that the guest's kernel queues towards netd before it drops: more than a full TCP window at MTU 1500. */
const QUEUE_LENGTH = 10_000;

/** Longest time that the helper may take. */
const TIMEOUT_MS = 10_000;

/** The TAP could not be opened: `code` is an errno's name (EPERM, EBUSY, …), `NSENTER` (the namespace could not be entered) or `OTHER`. */
export class NamespaceError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'NamespaceError';
    this.code = code;
  }
}

/**
 * Opens the TAP `name` in the network namespace of process `pid`, with the given MAC (48-bit number) and MTU, down and
 * without an address. Returns its descriptor, which the caller owns. Rejects with {@link NamespaceError}.
 */
export async function openTapInNamespace(pid: number, name: string, mac: number, mtu = 1500): Promise<number> {
  const helper = fileURLToPath(new URL('./netns-helper.js', import.meta.url));
  const asRoot = process.geteuid?.() === 0;
  const enter = asRoot ? ['-n'] : ['-U', '--preserve-credentials', '-n'];
  const command = [process.execPath, helper, name, String(mac), String(mtu), String(QUEUE_LENGTH)];
  const [ours, theirs] = pairUnix();
  try {
    const outcome = await run('nsenter', ['-t', String(pid), ...enter, '--', ...command], theirs);
    const descriptors: number[] = [];
    receiveDescriptors(ours, descriptors);
    const [tap, ...surplus] = descriptors;
    closeAll(surplus);
    if (outcome.exitCode === 0 && tap !== undefined) return tap;
    closeAll(descriptors);
    throw explain(outcome);
  } finally {
    close(ours);
    close(theirs);
  }
}

interface Outcome {
  exitCode: number | null;
  errors: string;
}

/** Runs a program whose descriptor 3 is `fd`; resolves when it has ended. */
function run(program: string, args: string[], fd: number): Promise<Outcome> {
  return new Promise((resolve) => {
    let errors = '';
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe', fd], timeout: TIMEOUT_MS });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-4000);
    });
    child.on('error', (error) => resolve({ exitCode: null, errors: error.message }));
    child.on('close', (exitCode) => resolve({ exitCode, errors }));
  });
}

/** The helper's own words if it got as far as that, else nsenter's. */
function explain(outcome: Outcome): NamespaceError {
  const line = outcome.errors.trim().split('\n').at(-1) ?? '';
  try {
    const told = JSON.parse(line) as { code?: unknown; message?: unknown };
    if (typeof told.code === 'string' && typeof told.message === 'string') {
      return new NamespaceError(told.code, told.message);
    }
  } catch {
    // Not the helper's: nsenter failed, or Node did.
  }
  return new NamespaceError('NSENTER', line === '' ? 'nsenter failed without a word' : line);
}
