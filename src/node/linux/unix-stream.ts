/**
 * Unix stream sockets by descriptor: what vmnetd opens and hands to a netd, and what a netd reads and writes. All are
 * non-blocking and close-on-exec. Opening throws {@link SystemCallError}: it is the operator's path, not a guest's.
 */

import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import {
  AF_UNIX,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SO_PEERCRED,
  SO_SNDBUF,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from './constants.ts';
import { lastIo, must } from './errno.ts';
import { accept4, bind, close, connect, listen, recv, send, socket, socketpair } from './libc.ts';
import { AT, scratch, scratchAddress, scratchView, scratchWords } from './memory.ts';
import { getOption, optionWord, setOption } from './socket-option.ts';

/** Longest path of a unix socket, in bytes: sun_path without its zero (unix(7)). */
export const SOCKET_PATH_MAX = 107;

const SOCKADDR = scratchAddress(AT.SOCKADDR, 110);

/** Writes a sockaddr_un at AT.SOCKADDR; returns its length. Throws a RangeError when the path is too long. */
function putSockaddrUnix(path: string): number {
  const bytes = Buffer.from(path);
  if (bytes.length === 0 || bytes.length > SOCKET_PATH_MAX) {
    throw new RangeError(`socket path of ${bytes.length} bytes; 1 to ${SOCKET_PATH_MAX} are possible: ${path}`);
  }
  scratchView.setUint16(AT.SOCKADDR, AF_UNIX, true);
  scratch.bytes.set(bytes, AT.SOCKADDR + 2);
  scratch.bytes[AT.SOCKADDR + 2 + bytes.length] = 0;
  return 2 + bytes.length + 1;
}

function openUnix(): number {
  return must(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket AF_UNIX');
}

/**
 * Listens at a path, in place of a socket that lies there already; returns the descriptor. The socket has its mode
 * before anyone can connect: until `listen` the kernel refuses connections.
 */
export function listenUnix(path: string, mode = 0o600, backlog = 64): number {
  const length = putSockaddrUnix(path);
  const fd = openUnix();
  try {
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path);
    must(bind(fd, SOCKADDR, length), `bind ${path}`);
    chmodSync(path, mode);
    must(listen(fd, backlog), `listen ${path}`);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** Connects to a listening path; returns the descriptor. Unix sockets connect at once or fail (EAGAIN: backlog full). */
export function connectUnix(path: string): number {
  const length = putSockaddrUnix(path);
  const fd = openUnix();
  try {
    must(connect(fd, SOCKADDR, length), `connect ${path}`);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** Takes one connection off a listener; returns its descriptor, or an IO code (WOULD_BLOCK: none waits). */
export function acceptUnix(fd: number): number {
  const accepted = accept4(fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return accepted < 0 ? lastIo() : accepted;
}

/** Two connected descriptors. */
export function pairUnix(): [number, number] {
  const at = scratchAddress(AT.PAIR, 8);
  must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, at), 'socketpair');
  return [scratchWords[AT.PAIR / 4] as number, scratchWords[AT.PAIR / 4 + 1] as number];
}

/** Asks for a send buffer of `bytes`; the kernel gives up to net.core.wmem_max. */
export function growSendBuffer(fd: number, bytes: number): void {
  setOption(fd, SOL_SOCKET, SO_SNDBUF, bytes);
}

/** The process that connected, as seen from our pid namespace; 0 when it can't be told. */
export function peerPid(fd: number): number {
  return getOption(fd, SOL_SOCKET, SO_PEERCRED, 3) < 0 ? 0 : optionWord(0);
}

/** Reads up to `length` bytes to an address; returns how many (0: end of stream), or an IO code. */
export function receiveUnix(fd: number, at: number, length: number): number {
  const received = recv(fd, at, length, MSG_DONTWAIT);
  return received < 0 ? lastIo() : received;
}

/** Writes up to `length` bytes from an address; returns how many the kernel took, or an IO code. */
export function sendUnix(fd: number, at: number, length: number): number {
  const sent = send(fd, at, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 ? lastIo() : sent;
}
