/**
 * The far end for tests of node/linux: plain sockets on 127.0.0.1 over the same system calls, all in one thread, so that
 * a test decides each step. Kernel work on loopback is done when a call returns; {@link settle} waits for what is not.
 */

import { strict as assert } from 'node:assert';
import {
  AF_INET,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SHUT_WR,
  SO_LINGER,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../src/node/linux/constants.ts';
import type { Epoll } from '../../src/node/linux/epoll.ts';
import { lastIo, must } from '../../src/node/linux/errno.ts';
import {
  accept4,
  bind,
  close,
  listen,
  recv,
  recvfrom,
  send,
  sendto,
  shutdown,
  socket,
} from '../../src/node/linux/libc.ts';
import { address, mapRegion } from '../../src/node/linux/memory.ts';
import {
  localPort,
  putLength,
  putSockaddr4,
  SOCKADDR,
  SOCKADDR_IN_SIZE,
  SOCKLEN,
  setOptionPair,
  sockaddrPort,
} from '../../src/node/linux/socket-option.ts';

/** 127.0.0.1. */
export const LOOPBACK = 0x7f00_0001;

const buffer = mapRegion(1 << 20);

/** Runs turns of the loop until `done`, at most two seconds. Returns false when it never was. */
export function settle(epoll: Epoll, done: () => boolean): boolean {
  for (let i = 0; i < 200; i += 1) {
    epoll.dispatch(epoll.wait(0));
    if (done()) return true;
    epoll.dispatch(epoll.wait(10));
  }
  return done();
}

/** Runs turns until nothing is ready any more. */
export function drain(epoll: Epoll): void {
  for (let count = epoll.wait(20); count > 0; count = epoll.wait(20)) epoll.dispatch(count);
}

/** Something that listens on a port of loopback. */
export class Listener {
  readonly fd: number;
  readonly port: number;

  constructor(backlog = 128) {
    this.fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket');
    putSockaddr4(LOOPBACK, 0);
    must(bind(this.fd, SOCKADDR, SOCKADDR_IN_SIZE), 'bind');
    must(listen(this.fd, backlog), 'listen');
    this.port = localPort(this.fd);
  }

  accept(): Peer {
    return new Peer(must(accept4(this.fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC), 'accept4'));
  }

  close(): void {
    close(this.fd);
  }
}

/** A port of loopback on which nobody listens. */
export function deadPort(): number {
  const listener = new Listener();
  listener.close();
  return listener.port;
}

/** The far end of one connection. */
export class Peer {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Sends all of the bytes, which must fit the socket buffers. */
  send(bytes: Uint8Array | string): void {
    const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
    for (let from = 0; from < data.length; ) {
      const length = Math.min(data.length - from, buffer.bytes.length);
      buffer.bytes.set(data.subarray(from, from + length));
      from += must(send(this.fd, address(buffer, 0, length), length, MSG_DONTWAIT | MSG_NOSIGNAL), 'send');
    }
  }

  /** Reads what is there, at most `length` bytes; an IO code when there is nothing, no bytes at the end. */
  receive(length = buffer.bytes.length): Uint8Array | number {
    const received = recv(this.fd, address(buffer, 0, length), length, MSG_DONTWAIT);
    return received < 0 ? lastIo() : buffer.bytes.slice(0, received);
  }

  /** Reads `length` bytes, running turns of the loop meanwhile. */
  receiveAll(epoll: Epoll, length: number): Uint8Array {
    const out = new Uint8Array(length);
    let got = 0;
    settle(epoll, () => {
      for (;;) {
        const piece = this.receive(Math.min(buffer.bytes.length, length - got));
        if (typeof piece === 'number' || piece.length === 0) return got === length;
        out.set(piece, got);
        got += piece.length;
        if (got === length) return true;
      }
    });
    assert.equal(got, length);
    return out;
  }

  end(): void {
    shutdown(this.fd, SHUT_WR);
  }

  reset(): void {
    setOptionPair(this.fd, SOL_SOCKET, SO_LINGER, 1, 0);
    close(this.fd);
  }

  close(): void {
    close(this.fd);
  }
}

/** A UDP socket bound to loopback. */
export class UdpPeer {
  readonly fd: number;
  readonly port: number;
  /** Where the last datagram came from. */
  fromPort = 0;

  constructor() {
    this.fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket');
    putSockaddr4(LOOPBACK, 0);
    must(bind(this.fd, SOCKADDR, SOCKADDR_IN_SIZE), 'bind');
    this.port = localPort(this.fd);
  }

  receive(): string | number {
    putLength(SOCKADDR_IN_SIZE);
    const length = recvfrom(this.fd, address(buffer, 0, 65_536), 65_536, MSG_DONTWAIT, SOCKADDR, SOCKLEN);
    if (length < 0) return lastIo();
    this.fromPort = sockaddrPort();
    return Buffer.from(buffer.bytes.slice(0, length)).toString();
  }

  send(text: string, port: number): void {
    const length = Buffer.byteLength(text);
    buffer.bytes.set(Buffer.from(text));
    putSockaddr4(LOOPBACK, port);
    must(sendto(this.fd, address(buffer, 0, length), length, 0, SOCKADDR, SOCKADDR_IN_SIZE), 'sendto');
  }

  close(): void {
    close(this.fd);
  }
}
