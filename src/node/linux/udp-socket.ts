/**
 * An unconnected UDP socket of the host (core/base/ports.ts).
 *
 * Theory of operation. IP_RECVERR is on: an ICMP error for an earlier datagram is kept by the kernel in the socket's
 * error queue, with the address that the datagram went to. {@link LinuxUdpSocket.receive} drains that queue first and
 * returns each error as an IO code, with `fromAddress4` and `fromPort` telling which destination failed. The same
 * error also sits in the socket as "pending" and would make the next, innocent `sendto` fail; a send that meets it is
 * therefore tried once more, which the kernel then takes at its own merit.
 *
 * The local port is chosen by the kernel, at random, at the first datagram. Edge-triggered: drain until WOULD_BLOCK.
 */

import { IO, READY, type Region, type SocketListener, type UdpSocket } from '../../core/base/ports.ts';
import {
  EPOLLERR,
  EPOLLET,
  EPOLLIN,
  IP_RECVERR,
  IPPROTO_IP,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_NOSIGNAL,
  SOCK_DGRAM,
} from './constants.ts';
import type { Epoll, EpollHandler } from './epoll.ts';
import { errnoToIo, lastIo } from './errno.ts';
import { guestSocket4 } from './guest-socket.ts';
import { close, recvfrom, recvmsg, sendto } from './libc.ts';
import { AT, address, CONTROL_SIZE, scratchAddress, scratchView } from './memory.ts';
import { MESSAGE, putMessage, putPart, receivedControlLength } from './message.ts';
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
  sockaddrPort,
} from './socket-option.ts';

/** Without EPOLLOUT: the kernel would report it after every datagram that left. A send that finds no room is a lost datagram. */
const EVENTS = EPOLLIN | EPOLLET;
const WASTE = scratchAddress(AT.WASTE, 2048);
const CMSG_HEADER = 16;

/** True for errors that an earlier datagram's ICMP error may have left behind, rather than this call's own. */
function isPendingError(io: number): boolean {
  return (
    io === IO.REFUSED ||
    io === IO.HOST_UNREACHABLE ||
    io === IO.NET_UNREACHABLE ||
    io === IO.TOO_LONG ||
    io === IO.DENIED ||
    io === IO.OTHER
  );
}

/** A non-blocking UDP socket over system calls. Made by {@link openUdp4}. */
export class LinuxUdpSocket implements UdpSocket, EpollHandler {
  /** −1 once closed. */
  fd: number;
  fromAddress4 = 0;
  fromPort = 0;
  private entry = -1;
  private errorsQueued = false;
  private readonly epoll: Epoll;
  private readonly listener: SocketListener;

  constructor(fd: number, epoll: Epoll, listener: SocketListener) {
    this.fd = fd;
    this.epoll = epoll;
    this.listener = listener;
  }

  /** Begins to listen for readiness; false when the kernel has no memory for it. */
  register(): boolean {
    this.entry = this.epoll.add(this.fd, EVENTS, this);
    return this.entry >= 0;
  }

  onEvents(events: number): void {
    let readiness = 0;
    if ((events & EPOLLIN) !== 0) readiness |= READY.READABLE;
    if ((events & EPOLLERR) !== 0) {
      // An error is something to receive: listeners that know only READABLE find it as well.
      readiness |= READY.ERROR | READY.READABLE;
      this.errorsQueued = true;
    }
    this.listener.onReady(readiness);
  }

  sendTo4(region: Region, offset: number, length: number, host: number, port: number): number {
    const at = address(region, offset, length);
    putSockaddr4(host, port);
    for (let retried = false; ; retried = true) {
      const sent = sendto(this.fd, at, length, MSG_DONTWAIT | MSG_NOSIGNAL, SOCKADDR, SOCKADDR_IN_SIZE);
      if (sent >= 0) return sent;
      const io = lastIo();
      if (retried || !isPendingError(io)) return io;
    }
  }

  receive(region: Region, offset: number, capacity: number): number {
    if (this.errorsQueued) {
      const error = this.receiveError();
      if (error !== 0) return error;
      this.errorsQueued = false;
    }
    const length = this.receiveDatagram(region, offset, capacity);
    if (length >= 0 || length === IO.WOULD_BLOCK || this.fd < 0) return length;
    // A pending error. The error queue tells which destination it was; empty, it has been told already: go on.
    const error = this.receiveError();
    this.errorsQueued = error !== 0;
    return error !== 0 ? error : this.receiveDatagram(region, offset, capacity);
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

  private receiveDatagram(region: Region, offset: number, capacity: number): number {
    putLength(SOCKADDR_IN_SIZE);
    const length = recvfrom(this.fd, address(region, offset, capacity), capacity, MSG_DONTWAIT, SOCKADDR, SOCKLEN);
    if (length < 0) return lastIo();
    this.fromAddress4 = sockaddrHost();
    this.fromPort = sockaddrPort();
    return length;
  }

  /** Takes one ICMP error off the error queue: its IO code, or 0 when there is none. */
  private receiveError(): number {
    putPart(0, WASTE, 2048);
    putMessage(1, SOCKADDR_IN_SIZE, CONTROL_SIZE);
    if (recvmsg(this.fd, MESSAGE, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return 0;
    // msg_name is the destination of the datagram that failed.
    this.fromAddress4 = sockaddrHost();
    this.fromPort = sockaddrPort();
    if (
      receivedControlLength() < CMSG_HEADER + 16 ||
      scratchView.getInt32(AT.CONTROL + 8, true) !== IPPROTO_IP ||
      scratchView.getInt32(AT.CONTROL + 12, true) !== IP_RECVERR
    ) {
      return IO.OTHER;
    }
    // struct sock_extended_err begins with ee_errno. Never WOULD_BLOCK, which would mean "drained".
    const io = errnoToIo(scratchView.getUint32(AT.CONTROL + CMSG_HEADER, true));
    return io === IO.WOULD_BLOCK ? IO.OTHER : io;
  }
}

/** Opens an unconnected UDP socket; returns it, registered, or an IO code. */
export function openUdp4(epoll: Epoll, listener: SocketListener): LinuxUdpSocket | number {
  const fd = guestSocket4(SOCK_DGRAM);
  if (fd < 0) return fd;
  setOption(fd, IPPROTO_IP, IP_RECVERR, 1);
  const udp = new LinuxUdpSocket(fd, epoll, listener);
  if (udp.register()) return udp;
  udp.close();
  return IO.NO_RESOURCES;
}
