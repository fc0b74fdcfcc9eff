/**
 * Giving up everything that the data plane doesn't need, and making sure of it.
 *
 * Theory of operation. netd is started with no_new_privs (by setpriv), so nothing that it could execute would regain a
 * privilege. Started by root it then becomes nobody: no supplementary groups, gid and uid 65534 — after all code has been loaded, since nobody may
 * not be able to read it. glibc changes the ids of every thread, and the kernel clears the capabilities as the last id
 * leaves 0. What holds is not what we called but what the kernel says: the status of every thread is read back, and netd ends
 * if one of them could still do more. An ordinary user's netd has no privileges to give up; there only no_new_privs is checked.
 *
 * Before that, inherited descriptors are closed, and the soft limit of open descriptors is raised to the hard one.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { F_GETFD, FD_CLOEXEC, RLIMIT_NOFILE } from '../linux/constants.ts';
import { must } from '../linux/errno.ts';
import { close, fcntl, getrlimit, setrlimit } from '../linux/libc.ts';
import { AT, scratchAddress, scratchView } from '../linux/memory.ts';

/** uid and gid of nobody, on every Linux. */
const NOBODY = 65_534;

/**
 * Closes descriptors that were inherited, but for standard ones and those in `keep`. What Node opened for itself is
 * close-on-exec, and so can't have been inherited.
 */
export function closeInherited(keep: readonly number[]): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name);
    if (fd <= 2 || keep.includes(fd)) continue;
    const flags = fcntl(fd, F_GETFD, 0);
    if (flags >= 0 && (flags & FD_CLOEXEC) === 0) close(fd);
  }
}

/** Raises the soft limit of open descriptors to the hard one; returns it. */
export function raiseDescriptorLimit(): number {
  const at = scratchAddress(AT.PAIR, 16);
  must(getrlimit(RLIMIT_NOFILE, at), 'getrlimit NOFILE');
  const hard = [scratchView.getUint32(AT.PAIR + 8, true), scratchView.getUint32(AT.PAIR + 12, true)] as const;
  scratchView.setUint32(AT.PAIR, hard[0], true);
  scratchView.setUint32(AT.PAIR + 4, hard[1], true);
  must(setrlimit(RLIMIT_NOFILE, at), 'setrlimit NOFILE');
  return hard[0] + hard[1] * 0x1_0000_0000;
}

/** Becomes nobody if this is root; then checks, and throws unless every thread is as powerless as it should be. */
export function dropPrivileges(): void {
  const wasRoot = process.geteuid?.() === 0;
  if (wasRoot) {
    process.setgroups?.([]);
    process.setgid?.(NOBODY);
    process.setuid?.(NOBODY);
  }
  for (const thread of readdirSync('/proc/self/task')) {
    const problem = powerLeft(readFileSync(`/proc/self/task/${thread}/status`, 'utf8'), wasRoot);
    if (problem !== null) throw new Error(`privileges could not be dropped: thread ${thread} has ${problem}`);
  }
}

/**
 * What a thread with this `/proc/…/status` could still do that it must not; null when nothing. With `dropped` its ids
 * have to be nobody's and all of its capability sets but the bounding one empty.
 */
export function powerLeft(status: string, dropped: boolean): string | null {
  const fields = new Map(
    status.split('\n').map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
  const expected: [string, (value: string) => boolean][] = [['NoNewPrivs', (value) => value === '1']];
  if (dropped) {
    const nobody = (value: string) => value.split(/\s+/).every((id) => id === String(NOBODY));
    expected.push(['Uid', nobody], ['Gid', nobody], ['Groups', (value) => value === '']);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) {
      expected.push([set, (value) => /^0+$/.test(value)]);
    }
  }
  for (const [name, holds] of expected) {
    const value = fields.get(name);
    if (value === undefined || !holds(value)) return `${name} ${value ?? 'missing'}`;
  }
  return null;
}
