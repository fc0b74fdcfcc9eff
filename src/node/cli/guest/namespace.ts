/**
 * A command in fresh network and mount namespaces, held before its start until its NICs are there (prologue.ts). Root
 * makes the two namespaces; an ordinary user makes a user namespace around them, in which he is root over them.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { UserError } from '../../../shared/errors.ts';
import { type Ending, endingOf, findTool } from '../child.ts';
import { PROLOGUE, REPORT } from './prologue.ts';

/** Kept of what failing tools say. */
const COMPLAINT_MAX = 2000;

/** A namespace whose command waits for its settings. */
export class HeldGuest {
  readonly pid: number;
  /** How the command, or what came before it, ended. Never rejects. */
  readonly ending: Promise<Ending>;
  #ended: Ending | null = null;
  readonly #child: ChildProcess;
  readonly #channel: Socket;
  readonly #reports: Reports;
  readonly #root: boolean;

  constructor(child: ChildProcess, pid: number, root: boolean) {
    this.pid = pid;
    this.#child = child;
    this.#root = root;
    this.ending = endingOf(child).then((ending) => {
      this.#ended = ending;
      return ending;
    });
    this.#channel = child.stdio[3] as Socket;
    this.#reports = new Reports(this.#channel, child.stderr as Readable);
  }

  /** Resolves when the process is in its namespaces; `PRIVILEGE_MISSING` when it can't have them. */
  async ready(): Promise<void> {
    if (await this.#reports.next(REPORT.READY)) return;
    await this.ending;
    throw namespacesRefused(this.#reports.complaint(), this.#root);
  }

  /** Makes the settings and lets the command start; `GUEST_SETUP_FAILED` when they fail. */
  async start(settings: string): Promise<void> {
    this.#channel.end(settings);
    if (await this.#reports.next(REPORT.DONE)) {
      this.#child.stderr?.destroy();
      return;
    }
    const ending = await this.ending;
    if (ending.signal !== null) return;
    throw new UserError('GUEST_SETUP_FAILED', {
      reason: this.#reports.complaint() || 'its first process ended early',
      hint: 'ip (iproute2), mount and umount (util-linux) must be there, and tmpfs must be mountable in a mount namespace.',
    });
  }

  /** Ends a guest whose command has not started. Resolves to how it had ended before, if it had: Ctrl-C, for example. */
  async abandon(): Promise<Ending | null> {
    const before = this.#ended;
    this.#child.kill('SIGKILL');
    // The shell's `cat` outlives it: our end of the channel is what it waits for, and its standard error keeps us awake.
    this.#channel.destroy();
    this.#child.stderr?.destroy();
    await this.ending;
    return before;
  }
}

/** Spawns the command's process. Standard input and output are ours; its standard error is, once the command runs. */
export function holdGuest(command: readonly string[], root: boolean, path: string | undefined): HeldGuest {
  const unshare = findTool('unshare', 'util-linux', path);
  const namespaces = root ? ['--net', '--mount'] : ['--user', '--map-root-user', '--net', '--mount'];
  const child = spawn(unshare, [...namespaces, '--', '/bin/sh', '-c', PROLOGUE, 'vmnet', ...command], {
    stdio: ['inherit', 'inherit', 'pipe', 'pipe', 2],
  });
  if (child.pid === undefined) throw namespacesRefused('no process could be started', root);
  return new HeldGuest(child, child.pid, root);
}

/** The prologue's reports, line by line, and what tools complained of meanwhile. */
class Reports {
  #lines: string[] = [];
  #partial = '';
  #ended = false;
  #wake: (() => void) | null = null;
  #complaint = '';

  constructor(channel: Socket, stderr: Readable) {
    channel.setEncoding('utf8');
    channel.on('data', (text: string) => {
      const parts = (this.#partial + text).split('\n');
      this.#partial = parts.pop() ?? '';
      this.#lines.push(...parts);
      this.#wake?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    channel.on('close', end);
    channel.on('error', end);
    stderr.setEncoding('utf8');
    stderr.on('data', (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-COMPLAINT_MAX);
    });
    stderr.on('error', () => undefined);
  }

  /** Whether this line is reported next; false when the reports end before. */
  async next(line: string): Promise<boolean> {
    while (this.#lines.length === 0 && !this.#ended) {
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
    return this.#lines.shift() === line;
  }

  complaint(): string {
    return this.#complaint.trim().replace(/\s*\n\s*/g, '; ');
  }
}

function namespacesRefused(complaint: string, root: boolean): UserError {
  return new UserError('PRIVILEGE_MISSING', {
    operation: root ? 'Making network and mount namespaces' : 'Making a user namespace',
    reason: complaint.replace(/^unshare: /, '') || 'unshare(1) failed',
    hint: root
      ? 'root lacks CAP_SYS_ADMIN here. In a container: `--cap-add SYS_ADMIN --device /dev/net/tun`, or attach a VM by `vmnet run`, which needs neither.'
      : userNamespaceHint(readSetting),
  });
}

/** What to do where user namespaces are refused, by the first switch that is off (user_namespaces(7)). */
export function userNamespaceHint(read: (path: string) => string | null): string {
  const otherwise = 'or run vmnetd and vmnet as root, or attach a VM by `vmnet run`, which needs no namespace.';
  if (read('/proc/sys/kernel/unprivileged_userns_clone') === '0') {
    return `Allow user namespaces: \`sudo sysctl kernel.unprivileged_userns_clone=1\`, ${otherwise}`;
  }
  if (read('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === '1') {
    return `AppArmor restricts user namespaces: \`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0\`, ${otherwise}`;
  }
  if (read('/proc/sys/user/max_user_namespaces') === '0') {
    return `No user namespaces are allowed: \`sudo sysctl user.max_user_namespaces=15000\`, ${otherwise}`;
  }
  return `User namespaces are refused here (in a container its seccomp profile may do that): allow them, ${otherwise}`;
}

function readSetting(path: string): string | null {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return null;
  }
}
