/**
 * Sockets opened on behalf of guests, which may use up most of this process's descriptors but never the last ones.
 *
 * Flows are bounded by number, but the limit of open descriptors may be lower than that bound (`ulimit -n`). If guests
 * reached it, no TAP could be handed over, no control connection accepted and no file in /proc read. The kernel always
 * gives the lowest free descriptor (POSIX, "File Descriptor Allocation"), so its number alone tells how many are in use.
 */

import { IO } from '../../core/base/ports.ts';
import { AF_INET, SOCK_CLOEXEC, SOCK_NONBLOCK } from './constants.ts';
import { lastIo } from './errno.ts';
import { close, socket } from './libc.ts';

/** Kept for ports (two a TAP, one a stream), control connections and the files of the runtime. */
const RESERVE = 640;

let ceiling = Number.POSITIVE_INFINITY;

/** Keeps descriptors free of guests' sockets: {@link RESERVE}, or half of them where `limit` is as low as that. */
export function reserveDescriptors(limit: number): void {
  ceiling = limit - Math.min(RESERVE, Math.floor(limit / 2));
}

/** A non-blocking, close-on-exec IPv4 socket, or an IO code: NO_RESOURCES also where only the reserve is left. */
export function guestSocket4(type: number, protocol = 0): number {
  const fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) return lastIo();
  if (fd < ceiling) return fd;
  close(fd);
  return IO.NO_RESOURCES;
}
