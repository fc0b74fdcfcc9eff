/**
 * Opens the raw ICMP socket that a privileged vmnetd passes to netd on hosts that allow no ping sockets. Needs
 * CAP_NET_RAW; using the descriptor afterwards needs nothing (raw(7)). See echo-socket.ts for what netd does with it.
 */

import { AF_INET, IPPROTO_ICMP, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from './constants.ts';
import { must } from './errno.ts';
import { socket } from './libc.ts';

/** A raw ICMP socket: non-blocking, close-on-exec, the caller's to close. Throws {@link SystemCallError} (EPERM). */
export function openRawIcmp(): number {
  return must(socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP), 'socket SOCK_RAW');
}
