/**
 * The world of one network over Linux system calls: sockets registered on the network's epoll instance, randomness from
 * a pool, the wall clock.
 */

import { randomFillSync } from 'node:crypto';
import {
  type EchoSocket,
  IO,
  type SocketListener,
  type TcpSocket,
  type UdpSocket,
  type World,
} from '../../core/base/ports.ts';
import { mayPing, openPing4, RawEcho } from './echo-socket.ts';
import type { Epoll } from './epoll.ts';
import { HAS_PEEK_OFFSET, openTcp4 } from './tcp-socket.ts';
import { openUdp4 } from './udp-socket.ts';

/** How guests' pings reach the outside. */
export type EchoWay = 'ping-socket' | 'raw' | 'unavailable';

const POOL_WORDS = 1024;

/** `World` over system calls. */
export class LinuxWorld implements World {
  private readonly epoll: Epoll;
  private readonly usesPeekOffset: boolean;
  private raw: RawEcho | null = null;
  private readonly pingAllowed: boolean;
  private readonly pool = new Uint32Array(POOL_WORDS);
  private unused = 0;

  /** `usesPeekOffset` false takes the way of kernels without SO_PEEK_OFF for TCP; tests use both. */
  constructor(epoll: Epoll, usesPeekOffset: boolean = HAS_PEEK_OFFSET) {
    this.epoll = epoll;
    this.usesPeekOffset = usesPeekOffset;
    this.pingAllowed = mayPing();
  }

  /** Takes over a raw ICMP socket, for hosts that allow no ping sockets. */
  useRawEcho(fd: number): void {
    this.raw?.close();
    this.raw = new RawEcho(fd, this.epoll);
  }

  /** How echo requests are sent now. */
  get echo(): EchoWay {
    if (this.pingAllowed) return 'ping-socket';
    return this.raw === null ? 'unavailable' : 'raw';
  }

  connectTcp4(address: number, port: number, listener: SocketListener): TcpSocket | number {
    return openTcp4(this.epoll, address, port, listener, this.usesPeekOffset);
  }

  openUdp4(listener: SocketListener): UdpSocket | number {
    return openUdp4(this.epoll, listener);
  }

  openEcho4(listener: SocketListener): EchoSocket | number {
    if (this.pingAllowed) return openPing4(this.epoll, listener);
    return this.raw === null ? IO.DENIED : this.raw.open(listener);
  }

  random32(): number {
    if (this.unused === 0) {
      randomFillSync(this.pool);
      this.unused = POOL_WORDS;
    }
    this.unused -= 1;
    const word = this.pool[this.unused] as number;
    this.pool[this.unused] = 0;
    return word;
  }

  wallClock(): number {
    return Date.now();
  }
}
