/**
 * ICMP echo of the host (core/base/ports.ts), in the two ways that Linux offers.
 *
 * Theory of operation. A *ping socket* (SOCK_DGRAM, IPPROTO_ICMP) needs no privilege where the sysctl
 * net.ipv4.ping_group_range admits one of our groups. The kernel chooses its identifier, computes checksums, and
 * delivers only replies to it. Elsewhere root may pass us one *raw* ICMP socket: {@link RawEcho} then shares it between
 * all conversations, tells them apart by identifiers of its own, computes checksums and parses IP headers.
 *
 * A raw reply is handed over inside of `onReady`: it lies in one buffer, and is gone when the listener returns without
 * having received it. Without either way `openEcho4` says DENIED, and nobody pretends that a far host answered.
 *
 * Bound of raw conversations: one a 16-bit identifier, 65,535 in all.
 */

import { randomInt } from 'node:crypto';
import { get16 } from '../../core/base/bytes.ts';
import { finish, sumBytes } from '../../core/base/checksum.ts';
import { type EchoSocket, IO, READY, type Region, type SocketListener } from '../../core/base/ports.ts';
import {
  EPOLLERR,
  EPOLLET,
  EPOLLIN,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_FILTER,
  IPPROTO_ICMP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_DGRAM,
  SOL_RAW,
} from './constants.ts';
import type { Epoll, EpollHandler } from './epoll.ts';
import { lastIo } from './errno.ts';
import { guestSocket4 } from './guest-socket.ts';
import { close, recvfrom, sendto } from './libc.ts';
import { address, mapRegion } from './memory.ts';
import {
  localAddress4,
  localPort,
  putLength,
  putSockaddr4,
  SOCKADDR,
  SOCKADDR_IN_SIZE,
  SOCKLEN,
  setOption,
  sockaddrHost,
} from './socket-option.ts';

const ICMP_HEADER = 8;
const DATAGRAM_MAX = 65_535;
const EVENTS = EPOLLIN | EPOLLET;
/** Datagrams taken off the raw socket in one turn; the registration is level-triggered, so the rest comes in the next. */
const RAW_BUDGET = 64;

/** Replies of all kinds of echo sockets come in here first: a ping socket's reply begins with the ICMP header, not wanted by the core. */
const inbox = mapRegion(DATAGRAM_MAX + 1);

/** Writes an echo request's header into the 8 bytes before `offset`. */
function putEchoHeader(bytes: Uint8Array, offset: number, identifier: number, sequence: number): number {
  const header = offset - ICMP_HEADER;
  bytes[header] = ICMP_ECHO_REQUEST;
  bytes[header + 1] = 0;
  bytes[header + 2] = 0;
  bytes[header + 3] = 0;
  bytes[header + 4] = identifier >>> 8;
  bytes[header + 5] = identifier;
  bytes[header + 6] = sequence >>> 8;
  bytes[header + 7] = sequence;
  return header;
}

/** Sends header and payload; returns the payload's length or an IO code. */
function sendEcho(fd: number, region: Region, header: number, length: number, host: number): number {
  putSockaddr4(host, 0);
  const total = ICMP_HEADER + length;
  const sent = sendto(
    fd,
    address(region, header, total),
    total,
    MSG_DONTWAIT | MSG_NOSIGNAL,
    SOCKADDR,
    SOCKADDR_IN_SIZE,
  );
  return sent < 0 ? lastIo() : length;
}

/** A ping socket. */
class PingSocket implements EchoSocket, EpollHandler {
  fd: number;
  fromAddress4 = 0;
  sequence = 0;
  private entry = -1;
  private readonly epoll: Epoll;
  private readonly listener: SocketListener;

  constructor(fd: number, epoll: Epoll, listener: SocketListener) {
    this.fd = fd;
    this.epoll = epoll;
    this.listener = listener;
  }

  register(): boolean {
    this.entry = this.epoll.add(this.fd, EVENTS, this);
    return this.entry >= 0;
  }

  onEvents(events: number): void {
    this.listener.onReady((events & EPOLLERR) !== 0 ? READY.READABLE | READY.ERROR : READY.READABLE);
  }

  /** The kernel sets identifier and checksum. */
  sendEcho4(region: Region, offset: number, length: number, host: number, sequence: number): number {
    const header = putEchoHeader(region.bytes, offset, 0, sequence);
    return sendEcho(this.fd, region, header, length, host);
  }

  receive(region: Region, offset: number, capacity: number): number {
    for (;;) {
      putLength(SOCKADDR_IN_SIZE);
      const length = recvfrom(this.fd, address(inbox, 0, DATAGRAM_MAX), DATAGRAM_MAX, MSG_DONTWAIT, SOCKADDR, SOCKLEN);
      if (length < 0) return lastIo();
      if (length < ICMP_HEADER || inbox.bytes[0] !== ICMP_ECHO_REPLY) continue;
      this.fromAddress4 = sockaddrHost();
      this.sequence = get16(inbox.bytes, 6);
      return copyOut(ICMP_HEADER, length - ICMP_HEADER, region, offset, capacity);
    }
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

/** Copies a payload from the inbox, cut to what there is room for. */
function copyOut(from: number, length: number, region: Region, offset: number, capacity: number): number {
  const copied = Math.min(length, capacity);
  region.bytes.set(inbox.bytes.subarray(from, from + copied), offset);
  return copied;
}

/** One conversation of the shared raw socket. Its `fd` is the raw socket's, its port the identifier on the wire. */
class RawEchoSocket implements EchoSocket {
  fromAddress4 = 0;
  sequence = 0;
  readonly identifier: number;
  readonly listener: SocketListener;
  /** Where the reply that is being delivered lies in the inbox; −1 when there is none. */
  payload = -1;
  payloadLength = 0;
  private readonly hub: RawEcho;

  constructor(hub: RawEcho, identifier: number, listener: SocketListener) {
    this.hub = hub;
    this.identifier = identifier;
    this.listener = listener;
  }

  get fd(): number {
    return this.hub.fd;
  }

  sendEcho4(region: Region, offset: number, length: number, host: number, sequence: number): number {
    const header = putEchoHeader(region.bytes, offset, this.identifier, sequence);
    const sum = finish(sumBytes(region.bytes, header, ICMP_HEADER + length));
    region.bytes[header + 2] = sum >>> 8;
    region.bytes[header + 3] = sum;
    return sendEcho(this.hub.fd, region, header, length, host);
  }

  receive(region: Region, offset: number, capacity: number): number {
    if (this.payload < 0) return IO.WOULD_BLOCK;
    const from = this.payload;
    this.payload = -1;
    return copyOut(from, this.payloadLength, region, offset, capacity);
  }

  close(): void {
    this.payload = -1;
    this.hub.release(this);
  }

  localAddress4(): number {
    return localAddress4(this.hub.fd);
  }

  localPort(): number {
    return this.identifier;
  }
}

/** The raw ICMP socket that vmnetd passed, shared by all conversations. */
export class RawEcho implements EpollHandler {
  readonly fd: number;
  private readonly epoll: Epoll;
  private readonly entry: number;
  private readonly sockets = new Map<number, RawEchoSocket>();
  /** Begins anywhere, so that two processes with raw sockets rarely use the same identifiers. */
  private nextIdentifier = randomInt(0x10000);

  /** Takes over the descriptor of a raw ICMP socket. */
  constructor(fd: number, epoll: Epoll) {
    this.fd = fd;
    this.epoll = epoll;
    // A bit each type that is *not* wanted.
    setOption(fd, SOL_RAW, ICMP_FILTER, ~(1 << ICMP_ECHO_REPLY));
    this.entry = epoll.add(fd, EPOLLIN, this);
  }

  /** Opens a conversation, or says NO_RESOURCES when all identifiers are in use. */
  open(listener: SocketListener): EchoSocket | number {
    if (this.entry < 0 || this.sockets.size >= 0xffff) return IO.NO_RESOURCES;
    while (this.sockets.has(this.nextIdentifier)) this.nextIdentifier = (this.nextIdentifier + 1) & 0xffff;
    const opened = new RawEchoSocket(this, this.nextIdentifier, listener);
    this.sockets.set(opened.identifier, opened);
    this.nextIdentifier = (this.nextIdentifier + 1) & 0xffff;
    return opened;
  }

  release(closed: RawEchoSocket): void {
    if (this.sockets.get(closed.identifier) === closed) this.sockets.delete(closed.identifier);
  }

  /** Stops listening and closes the descriptor. */
  close(): void {
    if (this.entry >= 0) this.epoll.remove(this.entry, this.fd);
    this.sockets.clear();
    close(this.fd);
  }

  onEvents(): void {
    for (let i = 0; i < RAW_BUDGET; i += 1) {
      putLength(SOCKADDR_IN_SIZE);
      const length = recvfrom(this.fd, address(inbox, 0, DATAGRAM_MAX), DATAGRAM_MAX, MSG_DONTWAIT, SOCKADDR, SOCKLEN);
      if (length < 0) return;
      this.deliver(length, sockaddrHost());
    }
  }

  /** Finds whose reply it is: other programs' replies come by here as well, as this is a copy of all that the host gets. */
  private deliver(length: number, from: number): void {
    const bytes = inbox.bytes;
    const icmp = ((bytes[0] as number) & 0x0f) * 4;
    if (icmp < 20 || length < icmp + ICMP_HEADER || bytes[icmp] !== ICMP_ECHO_REPLY) return;
    const owner = this.sockets.get(get16(bytes, icmp + 4));
    if (owner === undefined || finish(sumBytes(bytes, icmp, length - icmp)) !== 0) return;
    owner.fromAddress4 = from;
    owner.sequence = get16(bytes, icmp + 6);
    owner.payload = icmp + ICMP_HEADER;
    owner.payloadLength = length - icmp - ICMP_HEADER;
    owner.listener.onReady(READY.READABLE);
    owner.payload = -1;
  }
}

/** Opens a ping socket; returns it, registered, or an IO code: DENIED where the kernel does not admit our groups. */
export function openPing4(epoll: Epoll, listener: SocketListener): EchoSocket | number {
  const fd = openPingDescriptor();
  if (fd < 0) return fd;
  const ping = new PingSocket(fd, epoll, listener);
  if (ping.register()) return ping;
  ping.close();
  return IO.NO_RESOURCES;
}

/** Whether this process may open ping sockets. */
export function mayPing(): boolean {
  const fd = openPingDescriptor();
  if (fd >= 0) close(fd);
  return fd >= 0;
}

/** A descriptor, or an IO code. */
function openPingDescriptor(): number {
  return guestSocket4(SOCK_DGRAM, IPPROTO_ICMP);
}
