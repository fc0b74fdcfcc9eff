/**
 * A process around a port under test: real epoll and arena, and a network that keeps a copy of what the port hands it.
 */

import { CSUM, Frame, HEADROOM, MAX_FRAME } from '../../src/core/link/frame.ts';
import type { SwitchPort } from '../../src/core/link/port.ts';
import { Arena } from '../../src/node/linux/arena.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../../src/node/linux/constants.ts';
import { Epoll } from '../../src/node/linux/epoll.ts';
import { must } from '../../src/node/linux/errno.ts';
import { socketpair } from '../../src/node/linux/libc.ts';
import { AT, mapRegion, scratchAddress, scratchWords } from '../../src/node/linux/memory.ts';
import type { CablePort, FlushablePort, PortHost, PortNetwork } from '../../src/node/netd/ports/port-host.ts';

/** Offload state of a received frame, with a copy of its bytes. */
export interface Received {
  bytes: Uint8Array;
  csum: number;
  csumStart: number;
  csumOffset: number;
  gsoType: number;
  gsoSize: number;
  hdrLen: number;
}

/** `PortHost` for tests. */
export class FakeHost implements PortHost {
  readonly epoll = new Epoll();
  readonly arena = new Arena(64 << 20);
  /** What ports handed to the network, in order. */
  readonly received: Received[] = [];
  readonly drained: SwitchPort[] = [];
  readonly ended: { port: CablePort; reason: string }[] = [];
  flushes: FlushablePort[] = [];
  /** Runs for each frame, while it is borrowed. */
  onFrame: ((port: SwitchPort, frame: Frame) => void) | null = null;

  readonly network: PortNetwork = {
    receive: (port, frame) => {
      const { csum, csumStart, csumOffset, gsoType, gsoSize, hdrLen, offset, length } = frame;
      const bytes = frame.region.bytes.slice(offset, offset + length);
      this.received.push({ bytes, csum, csumStart, csumOffset, gsoType, gsoSize, hdrLen });
      this.onFrame?.(port, frame);
      // Whoever holds a frame may use the scratch space before it.
      frame.region.bytes.fill(0xee, offset - HEADROOM, offset);
    },
    portDrained: (port) => {
      this.drained.push(port);
    },
  };

  flushLater(port: FlushablePort): void {
    this.flushes.push(port);
  }

  /** As netd does it: the port is closed at once. */
  portEnded(port: CablePort, reason: string): void {
    this.ended.push({ port, reason });
    port.close();
  }

  /** One turn that doesn't sleep: events, then flushes. Returns the number of events. */
  turn(): number {
    const count = this.epoll.wait(0);
    this.epoll.dispatch(count);
    const ports = this.flushes;
    this.flushes = [];
    for (const port of ports) port.flush();
    return count;
  }

  /** Turns until nothing is ready any more. */
  settle(limit = 10_000): void {
    for (let i = 0; i < limit; i += 1) if (this.turn() === 0 && this.flushes.length === 0) return;
    throw new Error('the port does not come to rest');
  }
}

/** A frame in memory of its own, with headroom. */
export function frameOf(bytes: Uint8Array): Frame {
  const region = mapRegion(HEADROOM + MAX_FRAME);
  region.bytes.set(bytes, HEADROOM);
  const frame = new Frame(region);
  frame.setPlain(region, HEADROOM, bytes.length);
  return frame;
}

/** An Ethernet frame of `length` bytes, recognisable by `seed`. */
export function ethernet(length: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i += 1) bytes[i] = (i * 7 + seed * 31) & 0xff;
  bytes.set([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0x88, 0xb5]);
  return bytes;
}

/** Two connected unix sockets of a type; a SEQPACKET pair has the manners of a TAP: one read or write, one frame. */
export function pair(type: number): [number, number] {
  const at = scratchAddress(AT.PAIR, 8);
  must(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, at), 'socketpair');
  return [scratchWords[AT.PAIR / 4] as number, scratchWords[AT.PAIR / 4 + 1] as number];
}

/** A TCP/IPv4 superframe as a guest's kernel makes it: `payload` bytes behind 54 of headers, checksum partial. */
export function superframe(payload: number, mss: number): Frame {
  const bytes = new Uint8Array(54 + payload);
  const view = new DataView(bytes.buffer);
  bytes.set([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0x08, 0x00]);
  bytes.set([0x45, 0], 14);
  view.setUint16(16, 40 + payload);
  view.setUint16(18, 77);
  view.setUint16(20, 0x4000);
  bytes.set([64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 22);
  view.setUint16(34, 40_000);
  view.setUint16(36, 80);
  view.setUint32(38, 1_000_000);
  view.setUint32(42, 2_000_000);
  bytes.set([0x50, 0x18, 0x10, 0x00], 46);
  for (let i = 54; i < bytes.length; i += 1) bytes[i] = i & 0xff;
  const frame = frameOf(bytes);
  frame.csum = CSUM.PARTIAL;
  frame.csumStart = 34;
  frame.csumOffset = 16;
  frame.gsoType = 1;
  frame.gsoSize = mss;
  frame.hdrLen = 54;
  return frame;
}
