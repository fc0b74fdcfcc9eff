/**
 * A TCP connection of the host, as the gateway's TCP proxy uses it (core/base/ports.ts).
 *
 * Theory of operation. Bytes towards the guest stay in the kernel's receive queue until the guest has acknowledged
 * them: they are read by MSG_PEEK, and discarded later by a read with MSG_TRUNC, which copies nothing. To peek behind
 * bytes that are in flight already, the kernel keeps an offset for the socket (SO_PEEK_OFF; for TCP since Linux 6.9):
 * a peek begins there and moves it forward, consuming moves it back by as much. We track it in a field, so that
 * `setsockopt` is needed only for the first peek beyond the beginning and after a retransmission. Older kernels refuse
 * the option for TCP; there the peek is a `recvmsg` whose first parts are a waste buffer of `skip` bytes: right, and
 * slower by the copy. test/node/linux/kernel.test.ts proves all of these properties.
 *
 * Registered once, edge-triggered, for both directions. The kernel reports writability by itself only after a write
 * that found the buffer full; {@link LinuxTcpSocket.notifyWritable} asks for it without one, by EPOLL_CTL_MOD.
 *
 * Urgent data are left in the stream (SO_OOBINLINE): otherwise a byte would be missing between what was peeked and
 * what is consumed. One object costs 130 bytes of ours, beside what the kernel keeps.
 */

import { IO, READY, type Region, type SocketListener, type TcpSocket } from '../../core/base/ports.ts';
import {
  AF_INET,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  POLLOUT,
  POLLRDHUP,
  SHUT_WR,
  SK_MEMINFO_SNDBUF,
  SK_MEMINFO_VARS,
  SK_MEMINFO_WMEM_QUEUED,
  SO_ERROR,
  SO_LINGER,
  SO_MEMINFO,
  SO_OOBINLINE,
  SO_PEEK_OFF,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from './constants.ts';
import type { Epoll, EpollHandler } from './epoll.ts';
import { EAGAIN, EINPROGRESS, errnoToIo, lastIo } from './errno.ts';
import { guestSocket4 } from './guest-socket.ts';
import { close, connect, errno, poll, recv, recvmsg, send, shutdown, socket } from './libc.ts';
import { AT, address, mapRegion, scratchAddress, scratchWords } from './memory.ts';
import { MAX_PARTS, MESSAGE, putMessage, putPart } from './message.ts';
import {
  getOption,
  localAddress4,
  localPort,
  optionWord,
  putSockaddr4,
  SOCKADDR,
  SOCKADDR_IN_SIZE,
  setOption,
  setOptionPair,
} from './socket-option.ts';

const EVENTS = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
const PEEK = MSG_PEEK | MSG_DONTWAIT;
const DISCARD = MSG_TRUNC | MSG_DONTWAIT;
const SEND = MSG_DONTWAIT | MSG_NOSIGNAL;

/** The kernel's peek offset is off: peeking begins at the first unconsumed byte. */
const PEEK_OFFSET_OFF = -1;

/** Whether this kernel has SO_PEEK_OFF for TCP. Asked once, at start. */
function probePeekOffset(): boolean {
  const fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const has = setOption(fd, SOL_SOCKET, SO_PEEK_OFF, 0) === 0;
  close(fd);
  return has;
}

/** True on kernels with SO_PEEK_OFF for TCP (≥ 6.9). */
export const HAS_PEEK_OFFSET = probePeekOffset();

/** Bits of {@link LinuxTcpSocket.state}. */
const STANDS = 1;
const FAILED = 2;
/** The listener waits for WRITABLE: while connecting, after a short write, after notifyWritable. */
const WANTS_WRITABLE = 4;

/** A non-blocking TCP connection over system calls. Made by {@link openTcp4}. */
export class LinuxTcpSocket implements TcpSocket, EpollHandler {
  /** −1 once closed. */
  fd: number;
  private entry = -1;
  private state = WANTS_WRITABLE;
  /** Where the kernel's next peek begins, as far as we know. */
  private peekOffset = PEEK_OFFSET_OFF;
  private readonly epoll: Epoll;
  private readonly listener: SocketListener;
  private readonly usesPeekOffset: boolean;

  constructor(fd: number, epoll: Epoll, listener: SocketListener, usesPeekOffset: boolean) {
    this.fd = fd;
    this.epoll = epoll;
    this.listener = listener;
    this.usesPeekOffset = usesPeekOffset;
  }

  /** Begins to listen for readiness; false when the kernel has no memory for it. */
  register(): boolean {
    this.entry = this.epoll.add(this.fd, EVENTS, this);
    return this.entry >= 0;
  }

  /** The kernel tells all that is ready with every event; a listener hears of WRITABLE only if it waits for it. */
  onEvents(events: number): void {
    let readiness = 0;
    if ((events & EPOLLIN) !== 0) readiness |= READY.READABLE;
    // A peek stops short at an urgent mark, too, and no edge tells of what lies behind it.
    if ((events & (EPOLLRDHUP | EPOLLPRI)) !== 0) readiness |= READY.READABLE | READY.END;
    if ((events & EPOLLOUT) !== 0) {
      if ((this.state & WANTS_WRITABLE) !== 0) readiness |= READY.WRITABLE;
      this.state = (this.state & ~WANTS_WRITABLE) | STANDS;
    }
    if ((events & (EPOLLERR | EPOLLHUP)) !== 0) {
      readiness |= READY.ERROR;
      this.state |= FAILED;
    }
    if (readiness !== 0) this.listener.onReady(readiness);
  }

  /** Without a system call in the usual case: a connection that is writable and has no error stands. */
  result(): number {
    if ((this.state & (STANDS | FAILED)) === STANDS) return 0;
    if (getOption(this.fd, SOL_SOCKET, SO_ERROR, 1) < 0) return lastIo();
    const error = optionWord(0);
    if (error !== 0) return errnoToIo(error);
    // SO_ERROR is 0 in SYN-SENT as well, but only a connection that stands (or stood) is writable.
    if ((this.state & STANDS) !== 0) return 0;
    return (pollNow(this.fd, POLLOUT) & POLLOUT) !== 0 ? 0 : IO.WOULD_BLOCK;
  }

  write(region: Region, offset: number, length: number): number {
    const sent = send(this.fd, address(region, offset, length), length, SEND);
    if (sent === length) return sent;
    this.state |= WANTS_WRITABLE;
    if (sent >= 0) return sent;
    const error = errno();
    return error === EAGAIN ? 0 : errnoToIo(error);
  }

  peek(region: Region, offset: number, length: number, skip: number): number {
    const at = address(region, offset, length);
    if (!this.usesPeekOffset && skip > 0) return peekBehindWaste(this.fd, at, length, skip);
    if (skip !== this.peekOffset && (skip > 0 || this.peekOffset !== PEEK_OFFSET_OFF)) {
      if (setOption(this.fd, SOL_SOCKET, SO_PEEK_OFF, skip) < 0) return lastIo();
      this.peekOffset = skip;
    }
    const copied = recv(this.fd, at, length, PEEK);
    if (copied < 0) return lastIo();
    if (this.peekOffset !== PEEK_OFFSET_OFF) this.peekOffset += copied;
    return copied;
  }

  consume(length: number): void {
    // More than one turn only where the kernel stops a read early: at an urgent mark.
    while (length > 0) {
      const discarded = recv(this.fd, 0, length, DISCARD);
      if (discarded <= 0) return;
      length -= discarded;
      if (this.peekOffset !== PEEK_OFFSET_OFF) this.peekOffset = Math.max(0, this.peekOffset - discarded);
    }
  }

  /**
   * Three quarters of the send buffer's free bytes. The kernel counts true sizes there: 1 % above the payload when it
   * is written in large pieces, more in small ones. Lockless in the kernel, 300 ns.
   */
  sendSpace(): number {
    if (getOption(this.fd, SOL_SOCKET, SO_MEMINFO, SK_MEMINFO_VARS) < 0) return 0;
    const limit = optionWord(SK_MEMINFO_SNDBUF);
    const queued = optionWord(SK_MEMINFO_WMEM_QUEUED);
    return limit > queued ? Math.floor((limit - queued) * 0.75) : 0;
  }

  notifyWritable(): void {
    if (this.fd < 0) return;
    this.state |= WANTS_WRITABLE;
    this.epoll.modify(this.entry, this.fd, EVENTS);
  }

  shutdown(): void {
    shutdown(this.fd, SHUT_WR);
  }

  reset(): void {
    if (this.fd < 0) return;
    setOptionPair(this.fd, SOL_SOCKET, SO_LINGER, 1, 0);
    this.close();
  }

  close(): void {
    if (this.fd < 0) return;
    if (this.entry >= 0) this.epoll.remove(this.entry, this.fd, true);
    close(this.fd);
    this.fd = -1;
  }

  localAddress4(): number {
    return localAddress4(this.fd);
  }

  localPort(): number {
    return localPort(this.fd);
  }
}

/**
 * Starts a connection to an IPv4 address; returns the socket, registered, or an IO code. Other failures, and success,
 * arrive as readiness. Registering comes after `connect`: a socket that isn't connecting yet polls as hung up.
 */
export function openTcp4(
  epoll: Epoll,
  host: number,
  port: number,
  listener: SocketListener,
  usesPeekOffset: boolean,
): LinuxTcpSocket | number {
  const fd = guestSocket4(SOCK_STREAM);
  if (fd < 0) return fd;
  setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  setOption(fd, SOL_SOCKET, SO_OOBINLINE, 1);
  putSockaddr4(host, port);
  if (connect(fd, SOCKADDR, SOCKADDR_IN_SIZE) < 0) {
    const error = errno();
    if (error !== EINPROGRESS) {
      close(fd);
      return errnoToIo(error);
    }
  }
  const tcp = new LinuxTcpSocket(fd, epoll, listener, usesPeekOffset);
  if (tcp.register()) return tcp;
  tcp.close();
  return IO.NO_RESOURCES;
}

const POLLFD = scratchAddress(AT.POLLFD, 8);

/** The ready ones of the given poll bits, without waiting; POLLERR and POLLHUP are masked out. */
function pollNow(fd: number, events: number): number {
  scratchWords[AT.POLLFD / 4] = fd;
  scratchWords[AT.POLLFD / 4 + 1] = events;
  return poll(POLLFD, 1, 0) === 1 ? ((scratchWords[AT.POLLFD / 4 + 1] as number) >> 16) & events : 0;
}

/** The waste buffer of the slow peek, given as often as `skip` asks for: 4 MiB in flight at most. */
const WASTE_SIZE = 65_536;
let waste = 0;

/** Peeks behind `skip` bytes on a kernel without SO_PEEK_OFF for TCP. */
function peekBehindWaste(fd: number, at: number, length: number, skip: number): number {
  let copied = receiveBehindWaste(fd, at, length, skip);
  // Nothing lies behind `skip`. If the peer is done this may be the end; but bytes and FIN may have come since, so look again.
  const done = copied === skip && (pollNow(fd, POLLRDHUP) & POLLRDHUP) !== 0;
  if (done) copied = receiveBehindWaste(fd, at, length, skip);
  if (copied < 0) return copied;
  if (copied > skip) return copied - skip;
  if (!done && copied > 0) return IO.WOULD_BLOCK;
  // The read ended well at the bytes to skip, so an error is still pending behind them.
  const broken = getOption(fd, SOL_SOCKET, SO_ERROR, 1) === 0 ? optionWord(0) : 0;
  return broken === 0 ? 0 : errnoToIo(broken);
}

/** One `recvmsg` whose leading parts all lie on one waste buffer; returns the bytes of all parts, or an IO code. */
function receiveBehindWaste(fd: number, at: number, length: number, skip: number): number {
  if (waste === 0) waste = address(mapRegion(WASTE_SIZE), 0, WASTE_SIZE);
  let parts = 0;
  for (let left = skip; left > 0; left -= WASTE_SIZE) {
    if (parts === MAX_PARTS - 1) return IO.WOULD_BLOCK;
    putPart(parts, waste, Math.min(left, WASTE_SIZE));
    parts += 1;
  }
  putPart(parts, at, length);
  putMessage(parts + 1, 0, 0);
  const copied = recvmsg(fd, MESSAGE, PEEK);
  return copied < 0 ? lastIo() : copied;
}
