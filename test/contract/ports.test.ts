/**
 * What the switch and the network may rely on of every port kind. The cables are socket pairs: a stream, and a
 * SEQPACKET pair that behaves like a TAP (one frame a read or write, EAGAIN when full).
 */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { IO } from '../../src/core/base/ports.ts';
import { SO_SNDBUF, SOCK_STREAM, SOL_SOCKET } from '../../src/node/linux/constants.ts';
import { lastIo } from '../../src/node/linux/errno.ts';
import { close, read, write } from '../../src/node/linux/libc.ts';
import { address, mapRegion } from '../../src/node/linux/memory.ts';
import { setOption } from '../../src/node/linux/socket-option.ts';
import type { CablePort } from '../../src/node/netd/ports/port-host.ts';
import { openStreamPort } from '../../src/node/netd/ports/stream.ts';
import { TapPort, takeReceiveSlot } from '../../src/node/netd/ports/tap.ts';
import { ethernet, FakeHost, frameOf, pair } from '../support/port-host.ts';

const SOCK_SEQPACKET = 5;
const VNET_HDR = 10;
const buffer = mapRegion(1 << 18);

/** The guest's end of a cable. */
interface Guest {
  /** Sends frames in one go. */
  send(...frames: Uint8Array[]): void;
  /** All complete frames that have come. */
  receive(): Uint8Array[];
  unplug(): void;
}

interface Cable {
  port: CablePort;
  guest: Guest;
}

function writeAll(fd: number, bytes: Uint8Array): void {
  buffer.bytes.set(bytes);
  const sent = write(fd, address(buffer, 0, bytes.length), bytes.length);
  if (sent !== bytes.length) throw new Error(`sent ${sent} of ${bytes.length}: ${lastIo()}`);
}

function readSome(fd: number): Uint8Array | null {
  const n = read(fd, address(buffer, 0, buffer.bytes.length), buffer.bytes.length);
  if (n < 0 && lastIo() !== IO.WOULD_BLOCK) throw new Error(`read: ${lastIo()}`);
  return n <= 0 ? null : buffer.bytes.slice(0, n);
}

function tapCable(host: FakeHost): Cable {
  const [ours, theirs] = pair(SOCK_SEQPACKET);
  // A real TAP takes all that is written. A short send buffer shows what happens where one doesn't.
  setOption(ours, SOL_SOCKET, SO_SNDBUF, 65_536 * 2);
  const port = new TapPort(7, ours, host, takeReceiveSlot(host.arena));
  return {
    port,
    guest: {
      send(...frames) {
        for (const frame of frames) writeAll(theirs, Buffer.concat([new Uint8Array(VNET_HDR), frame]));
      },
      receive() {
        const frames: Uint8Array[] = [];
        for (let bytes = readSome(theirs); bytes !== null; bytes = readSome(theirs)) frames.push(bytes.slice(VNET_HDR));
        return frames;
      },
      unplug: () => close(theirs),
    },
  };
}

function streamCable(host: FakeHost): Cable {
  const [ours, theirs] = pair(SOCK_STREAM);
  const port = openStreamPort(7, ours, host);
  if (port === null) throw new Error('no room for a port');
  let pending = Buffer.alloc(0);
  return {
    port,
    guest: {
      send(...frames) {
        const prefixed = frames.flatMap((frame) => {
          const prefix = Buffer.alloc(4);
          prefix.writeUInt32BE(frame.length);
          return [prefix, frame];
        });
        writeAll(theirs, Buffer.concat(prefixed));
      },
      receive() {
        for (let bytes = readSome(theirs); bytes !== null; bytes = readSome(theirs)) {
          pending = Buffer.concat([pending, bytes]);
        }
        const frames: Uint8Array[] = [];
        while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE()) {
          const end = 4 + pending.readUInt32BE();
          frames.push(Uint8Array.from(pending.subarray(4, end)));
          pending = pending.subarray(end);
        }
        return frames;
      },
      unplug: () => close(theirs),
    },
  };
}

describe.each([
  ['a TAP port', tapCable],
  ['a stream port', streamCable],
])('%s', (_name, plug) => {
  let host: FakeHost;
  let port: CablePort;
  let guest: Guest;
  beforeEach(() => {
    host = new FakeHost();
    ({ port, guest } = plug(host));
  });
  afterEach(() => port.close());

  test.each([14, 60, 1514, 9014, 65_549])('hands a frame of %i bytes to the network, and counts it', (length) => {
    const frame = ethernet(length);
    guest.send(frame);
    host.settle();
    expect(host.received.length).toBe(1);
    expect(Buffer.compare(host.received[0]!.bytes, frame)).toBe(0);
    expect(port.stats).toMatchObject({ rxFrames: 1, rxBytes: length, txFrames: 0, drops: {} });
  });

  test.each([14, 60, 1514, 9014, 65_549])('sends a frame of %i bytes to the cable, and counts it', (length) => {
    const bytes = ethernet(length);
    port.transmit(frameOf(bytes));
    host.settle();
    const [came, ...others] = guest.receive();
    expect(Buffer.compare(came!, bytes)).toBe(0);
    expect(others).toEqual([]);
    expect(port.stats).toMatchObject({ txFrames: 1, txBytes: length, rxFrames: 0, drops: {} });
  });

  test('keeps the order of frames in both directions', () => {
    const frames = Array.from({ length: 40 }, (_, i) => ethernet(100 + i, i));
    guest.send(...frames);
    for (const frame of frames) port.transmit(frameOf(frame));
    host.settle();
    expect(host.received.map(({ bytes }) => bytes)).toEqual(frames);
    expect(guest.receive()).toEqual(frames);
  });

  test('does not change the bytes of a frame that it sends', () => {
    const bytes = ethernet(300);
    const frame = frameOf(bytes);
    port.transmit(frame);
    host.settle();
    expect(frame.region.bytes.slice(frame.offset, frame.offset + frame.length)).toEqual(bytes);
  });

  test('sends to itself what it just received, from where it lies', () => {
    const bytes = ethernet(500);
    host.onFrame = (from, frame) => from.transmit(frame);
    guest.send(bytes, ethernet(80));
    host.settle();
    expect(guest.receive()).toEqual([bytes, ethernet(80)]);
  });

  test('a guest that doesn’t read: a bounded queue, then counted drops; what was queued arrives whole and in order', () => {
    const frames = Array.from({ length: 2000 }, (_, i) => ethernet(1514, i));
    for (const frame of frames) {
      port.transmit(frameOf(frame));
      host.turn();
    }
    const dropped = port.stats.drops.queueFull ?? 0;
    expect(dropped).toBeGreaterThan(0);
    expect(port.room()).toBeLessThan(1514);
    expect(host.drained.length).toBe(0);

    const came: Uint8Array[] = [];
    for (let i = 0; i < 200; i += 1) {
      came.push(...guest.receive());
      host.settle();
    }
    expect(came.length).toBe(frames.length - dropped);
    expect(Buffer.compare(Buffer.concat(came), Buffer.concat(frames.slice(0, came.length)))).toBe(0);
    expect(port.stats.txFrames).toBe(came.length);
  });

  test('tells the network when its queue has drained, and has room again', () => {
    for (let i = 0; i < 2000; i += 1) port.transmit(frameOf(ethernet(1514)));
    host.settle();
    for (let i = 0; i < 200; i += 1) {
      guest.receive();
      host.settle();
    }
    expect(host.drained.length).toBeGreaterThan(0);
    expect(host.drained[0] === port).toBe(true);
    expect(port.room()).toBeGreaterThan(65_536);
  });

  test('a sender that stays below room() never meets a drop', () => {
    const frame = frameOf(ethernet(1514));
    for (let i = 0; i < 3000; i += 1) {
      if (port.room() >= frame.length) port.transmit(frame);
      if (i % 10 === 0) host.turn();
    }
    expect(port.stats.drops).toEqual({});
  });

  test('ends once when the guest unplugs, after what it sent', () => {
    guest.send(ethernet(60));
    guest.unplug();
    host.settle();
    expect(host.received.length).toBe(1);
    expect(host.ended.map(({ port: ended }) => ended === port)).toEqual([true]);
  });

  test('ends when the guest unplugs while frames wait for it', () => {
    for (let i = 0; i < 2000; i += 1) port.transmit(frameOf(ethernet(1514)));
    host.settle();
    guest.unplug();
    host.settle();
    expect(host.ended.length).toBe(1);
  });

  test('once closed it takes frames without a word, and closing again does nothing', () => {
    port.close();
    port.close();
    port.transmit(frameOf(ethernet(60)));
    host.settle();
    expect(port.stats).toMatchObject({ txFrames: 0, drops: {} });
  });

  test('closing gives all memory and its place on the loop back, frames that wait included', () => {
    for (let i = 0; i < 2000; i += 1) port.transmit(frameOf(ethernet(1514)));
    host.settle();
    port.close();
    const { arena, epoll } = host;
    expect([arena.inUse('small'), arena.inUse('large'), arena.inUse('ring'), epoll.size]).toEqual([0, 0, 0, 0]);
  });

  test('a port that is closed while it hands over a frame stops there', () => {
    host.onFrame = (from) => (from as CablePort).close();
    guest.send(ethernet(60), ethernet(61), ethernet(62));
    host.settle();
    expect(host.received.length).toBe(1);
  });

  test('a guest that doesn’t read does not keep another from receiving', () => {
    const other = plug(host);
    for (let i = 0; i < 2000; i += 1) {
      port.transmit(frameOf(ethernet(1514)));
      other.port.transmit(frameOf(ethernet(100, i)));
      host.turn();
      if (i % 50 === 0) other.guest.receive();
    }
    host.settle();
    expect(other.port.stats).toMatchObject({ txFrames: 2000, drops: {} });
    other.port.close();
  });
});
