/** The stream port's framing, its answer to hostile bytes, and its work for guests without offloads. */

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CSUM } from '../../../src/core/link/frame.ts';
import { verifyL4 } from '../../../src/core/link/offload.ts';
import { SOCK_STREAM } from '../../../src/node/linux/constants.ts';
import { close, read, write } from '../../../src/node/linux/libc.ts';
import { address, mapRegion } from '../../../src/node/linux/memory.ts';
import { openStreamPort, type StreamPort, TX_RING } from '../../../src/node/netd/ports/stream.ts';
import { ethernet, FakeHost, frameOf, pair, superframe } from '../../support/port-host.ts';

const buffer = mapRegion(1 << 20);

function framed(...frames: Uint8Array[]): Buffer {
  return Buffer.concat(
    frames.flatMap((frame) => {
      const prefix = Buffer.alloc(4);
      prefix.writeUInt32BE(frame.length);
      return [prefix, frame];
    }),
  );
}

function prefix(length: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return bytes;
}

describe('the stream port', () => {
  let host: FakeHost;
  let port: StreamPort;
  let theirs: number;
  beforeEach(() => {
    host = new FakeHost();
    [port, theirs] = plug();
  });
  afterEach(() => {
    port.close();
    close(theirs);
  });

  function plug(): [StreamPort, number] {
    const [ours, far] = pair(SOCK_STREAM);
    const opened = openStreamPort(3, ours, host);
    if (opened === null) throw new Error('no room');
    return [opened, far];
  }
  function send(fd: number, bytes: Uint8Array): void {
    buffer.bytes.set(bytes);
    expect(write(fd, address(buffer, 0, bytes.length), bytes.length)).toBe(bytes.length);
  }
  function receive(fd: number): Buffer {
    const pieces: Uint8Array[] = [];
    for (;;) {
      const n = read(fd, address(buffer, 0, buffer.bytes.length), buffer.bytes.length);
      if (n <= 0) return Buffer.concat(pieces);
      pieces.push(buffer.bytes.slice(0, n));
    }
  }
  function receiveFrames(fd: number): Uint8Array[] {
    const frames: Uint8Array[] = [];
    const bytes = receive(fd);
    for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
      frames.push(Uint8Array.from(bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at))));
    }
    return frames;
  }

  test('puts a frame together that arrives byte by byte', () => {
    for (const byte of framed(ethernet(60), ethernet(14))) {
      send(theirs, Uint8Array.of(byte));
      host.turn();
    }
    expect(host.received.map(({ bytes }) => bytes)).toEqual([ethernet(60), ethernet(14)]);
  });

  test('finds the frames wherever the stream is cut (property)', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 14, max: 65_550 }), { minLength: 1, maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 6 }),
        (lengths, cuts) => {
          host.received.length = 0;
          const frames = lengths.map((length, i) => ethernet(length, i));
          const stream = framed(...frames);
          for (let at = 0, cut = 0; at < stream.length; cut += 1) {
            const end = Math.min(stream.length, at + cuts[cut % cuts.length]!);
            send(theirs, stream.subarray(at, end));
            host.settle();
            at = end;
          }
          expect(host.received.length).toBe(frames.length);
          const same = host.received.every(({ bytes }, i) => Buffer.compare(bytes, frames[i]!) === 0);
          expect(same).toBe(true);
        },
      ),
      { numRuns: 40, interruptAfterTimeLimit: 4000 },
    );
  });

  test.each([0, 1, 13, 65_551, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])(
    'a length of %i ends this port, after the frames before it, and no other',
    (length) => {
      const [other, otherGuest] = plug();
      send(theirs, Buffer.concat([framed(ethernet(60)), prefix(length), framed(ethernet(61))]));
      send(otherGuest, framed(ethernet(62)));
      host.settle();
      expect(host.ended.map(({ reason }) => reason)).toEqual(['badLength']);
      expect(host.ended[0]?.port === port).toBe(true);
      expect(host.received.map(({ bytes }) => bytes.length).sort()).toEqual([60, 62]);
      other.transmit(frameOf(ethernet(70)));
      host.settle();
      expect(receiveFrames(otherGuest)).toEqual([ethernet(70)]);
      other.close();
      close(otherGuest);
    },
  );

  test('random bytes end the port or leave it waiting, and never throw (property)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 4000 }), (bytes) => {
        const [victim, fd] = plug();
        send(fd, bytes);
        host.settle();
        victim.close();
        close(fd);
        expect(host.arena.inUse('ring')).toBe(1);
      }),
      { numRuns: 200, interruptAfterTimeLimit: 3000 },
    );
  });

  test('sends all frames of a turn by one write', () => {
    for (let i = 0; i < 5; i += 1) port.transmit(frameOf(ethernet(100 + i)));
    expect(receive(theirs).length).toBe(0);
    expect(host.flushes.length).toBe(1);
    host.turn();
    expect(receiveFrames(theirs).length).toBe(5);
  });

  test('cuts a TCP superframe into segments with right checksums', () => {
    const frame = superframe(10_000, 1460);
    port.transmit(frame);
    host.settle();
    const frames = receiveFrames(theirs);
    expect(frames.map(({ length }) => length)).toEqual([1514, 1514, 1514, 1514, 1514, 1514, 10_000 - 6 * 1460 + 54]);
    for (const bytes of frames) expect(verifyL4(frameOf(bytes))).toBe(true);
    const payload = Buffer.concat(frames.map((bytes) => bytes.subarray(54)));
    expect(Buffer.compare(payload, frame.region.bytes.subarray(frame.offset + 54, frame.offset + frame.length))).toBe(
      0,
    );
    expect(port.stats).toMatchObject({ txFrames: 1, txBytes: frame.length });
  });

  test('finishes a partial checksum', () => {
    const frame = superframe(100, 1460);
    frame.gsoType = 0;
    frame.gsoSize = 0;
    const view = new DataView(frame.region.bytes.buffer, frame.offset);
    // The pseudo-header's sum, as a guest leaves it: 10.0.0.1, 10.0.0.2, TCP, 120 bytes.
    view.setUint16(50, 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 6 + 120);
    expect(frame.csum).toBe(CSUM.PARTIAL);
    port.transmit(frame);
    host.settle();
    const [bytes] = receiveFrames(theirs);
    expect(bytes!.length).toBe(154);
    expect(verifyL4(frameOf(bytes!))).toBe(true);
  });

  test('a superframe goes in whole or not at all', () => {
    const small = frameOf(ethernet(1514));
    for (let waiting = 0; waiting < TX_RING - 30_000; waiting += 4 + small.length) port.transmit(small);
    const before = port.room();
    port.transmit(superframe(60_000, 1460));
    expect(port.room()).toBe(before);
    expect(port.stats.drops).toEqual({ queueFull: 1 });
    host.settle();
    for (let i = 0; i < 20; i += 1) {
      for (const bytes of receiveFrames(theirs)) expect(bytes.length).toBe(1514);
      host.settle();
    }
  });

  test.each([1460, 536])(
    'a superframe that fits by room() fits with the headers of all its segments, MSS %i',
    (mss) => {
      for (let payload = 20_000; payload <= 64_000; payload += 2000) {
        const [fresh, fd] = plug();
        const frame = superframe(payload, mss);
        for (let i = 0; i < 100 && fresh.room() >= frame.length; i += 1) fresh.transmit(frame);
        expect(fresh.stats.drops).toEqual({});
        expect(fresh.stats.txFrames).toBeGreaterThan(5);
        fresh.close();
        close(fd);
      }
    },
  );

  test('the ring carries on over its end, again and again', () => {
    let sent = 0;
    let came = 0;
    for (let round = 0; round < 60; round += 1) {
      for (let i = 0; i < 40 && port.room() > 9100; i += 1) {
        port.transmit(frameOf(ethernet(9014, sent)));
        sent += 1;
      }
      host.turn();
      // Read a part only, so that the ring is never empty and its head wanders.
      const n = read(theirs, address(buffer, 0, 9018 * 20), 9018 * 20);
      if (n > 0) came += n;
    }
    for (let i = 0; i < 100; i += 1) {
      came += receive(theirs).length;
      host.settle();
    }
    expect(port.stats.drops).toEqual({});
    expect(sent * 9018).toBeGreaterThan(4 * TX_RING);
    expect(came).toBe(sent * 9018);
  });
});
