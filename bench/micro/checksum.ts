/**
 * The Internet checksum and segmentation in nanoseconds, against other ways to write them. V8 decides which is best, so
 * this is to be run again when Node changes. The memory is an external ArrayBuffer's, as in the daemon.
 *
 *   npx rolldown -p node -f esm bench/micro/checksum.ts -o dist/bench/checksum.js && node dist/bench/checksum.js
 */
import { copyBytes } from '../../src/core/base/bytes.ts';
import { foldSum, sumBytes } from '../../src/core/base/checksum.ts';
import { CSUM, Frame, GSO } from '../../src/core/link/frame.ts';
import { offloadIsValid, segmentCount, segmentInto, verifyL4 } from '../../src/core/link/offload.ts';
import { ETHER_TYPE, ethernetEmit } from '../../src/core/wire/ethernet.ts';
import { IP_PROTOCOL, IPV4_DF, ipv4Emit } from '../../src/core/wire/ipv4.ts';
import { TCP, tcpEmit } from '../../src/core/wire/tcp.ts';

const PAYLOAD = 1460;
const SUPERFRAME_PAYLOAD = 45 * PAYLOAD - 500;

const buffer = new ArrayBuffer(4 << 20);
const bytes = new Uint8Array(buffer);
const u16 = new Uint16Array(buffer);
const i32 = new Int32Array(buffer);
const u32 = new Uint32Array(buffer);
const view = new DataView(buffer);
for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7919) >>> 3;

/** The contestants sum whole, aligned words only: what is left out favours them. */
const contestants: Record<string, (offset: number, length: number) => number> = {
  'sumBytes (ours)': (offset, length) => sumBytes(bytes, offset, length),

  'bytes, two accumulators, unrolled by 8'(offset, length) {
    let first = 0;
    let second = 0;
    for (let i = offset; i < offset + length; i += 4) {
      first += bytes[i]! + bytes[i + 2]!;
      second += bytes[i + 1]! + bytes[i + 3]!;
    }
    return first * 256 + second;
  },

  '16-bit view, unrolled by 8'(offset, length) {
    let sum = 0;
    const end = (offset + length) >> 1;
    let i = offset >> 1;
    for (; i + 7 < end; i += 8) {
      sum += u16[i]! + u16[i + 1]! + u16[i + 2]! + u16[i + 3]! + u16[i + 4]! + u16[i + 5]! + u16[i + 6]! + u16[i + 7]!;
    }
    for (; i < end; i++) sum += u16[i]!;
    return sum;
  },

  '32-bit view, both halves masked'(offset, length) {
    let low = 0;
    let high = 0;
    const end = (offset + length) >> 2;
    let i = offset >> 2;
    for (; i + 3 < end; i += 4) {
      const a = i32[i]!;
      const b = i32[i + 1]!;
      const c = i32[i + 2]!;
      const d = i32[i + 3]!;
      low = (low + (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff)) | 0;
      high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
    }
    return low + high;
  },

  '32-bit view, sum and sum of high halves'(offset, length) {
    let sum = 0;
    let high = 0;
    const end = (offset + length) >> 2;
    let i = offset >> 2;
    for (; i + 7 < end; i += 8) {
      const a = i32[i]!;
      const b = i32[i + 1]!;
      const c = i32[i + 2]!;
      const d = i32[i + 3]!;
      const e = i32[i + 4]!;
      const f = i32[i + 5]!;
      const g = i32[i + 6]!;
      const h = i32[i + 7]!;
      sum = (sum + a + b + c + d + e + f + g + h) | 0;
      high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
      high = (high + (e >>> 16) + (f >>> 16) + (g >>> 16) + (h >>> 16)) | 0;
    }
    return sum + high;
  },

  '32-bit view, doubles, one after another'(offset, length) {
    let even = 0;
    let uneven = 0;
    const end = (offset + length) >> 2;
    for (let i = offset >> 2; i + 3 < end; i += 4) {
      even += u32[i]!;
      uneven += u32[i + 1]!;
      even += u32[i + 2]!;
      uneven += u32[i + 3]!;
    }
    return even + uneven;
  },

  'DataView, 32 bits, unaligned'(offset, length) {
    let sum = 0;
    let high = 0;
    const end = offset + length;
    for (let i = offset; i + 15 < end; i += 16) {
      const a = view.getInt32(i, true);
      const b = view.getInt32(i + 4, true);
      const c = view.getInt32(i + 8, true);
      const d = view.getInt32(i + 12, true);
      sum = (sum + a + b + c + d) | 0;
      high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
    }
    return sum + high;
  },
};

/** Copies and sums in one loop, where source and destination are aligned alike. */
function fusedCopyAndSum(to: number, from: number, length: number): number {
  let sum = 0;
  let j = to >> 2;
  const end = (from + length) >> 2;
  for (let i = from >> 2; i + 3 < end; i += 4, j += 4) {
    const a = u32[i]!;
    const b = u32[i + 1]!;
    const c = u32[i + 2]!;
    const d = u32[i + 3]!;
    u32[j] = a;
    u32[j + 1] = b;
    u32[j + 2] = c;
    u32[j + 3] = d;
    sum += a + b + (c + d);
  }
  return sum;
}

let sink = 0;

/** Best of several rounds, since other programs only ever make it slower. */
function nanoseconds(calls: number, run: () => number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 9; round++) {
    const begin = process.hrtime.bigint();
    for (let i = 0; i < calls; i++) sink += run();
    best = Math.min(best, Number(process.hrtime.bigint() - begin) / calls);
  }
  return best;
}

function report(name: string, ns: number, size: number): void {
  const rate = `${((size * 8) / ns).toFixed(1)} Gbit/s`;
  console.log(`${name.padEnd(44)} ${ns.toFixed(ns < 1000 ? 1 : 0).padStart(8)} ns ${rate.padStart(14)}`);
}

function superframe(): Frame {
  const region = { bytes, base: 0 };
  const frame = new Frame(region);
  frame.setPlain(region, 1 << 20, 54 + SUPERFRAME_PAYLOAD);
  const at = frame.offset;
  ethernetEmit(bytes, at, 0x0200_0000_0001, 0x0200_0000_0002, ETHER_TYPE.IPV4);
  ipv4Emit(bytes, at + 14, 40 + SUPERFRAME_PAYLOAD, 1, IPV4_DF, 64, IP_PROTOCOL.TCP, 0xc0a80802, 0xc0a80880);
  tcpEmit(bytes, at + 34, 80, 40000, 1, 2, 20, TCP.ACK | TCP.PSH, 65535);
  frame.csum = CSUM.PARTIAL;
  frame.csumStart = 34;
  frame.csumOffset = 16;
  frame.gsoType = GSO.TCPV4;
  frame.gsoSize = PAYLOAD;
  frame.hdrLen = 54;
  return frame;
}

function main(): void {
  console.log(`node ${process.version}, V8 ${process.versions.v8}`);
  console.log(`\nsum of ${PAYLOAD} bytes`);
  for (const [name, sum] of Object.entries(contestants)) {
    report(
      name,
      nanoseconds(20_000, () => sum(1024, PAYLOAD)),
      PAYLOAD,
    );
  }
  report(
    'sumBytes, source odd',
    nanoseconds(20_000, () => sumBytes(bytes, 1023, PAYLOAD)),
    PAYLOAD,
  );
  report(
    'sumBytes, 20 bytes',
    nanoseconds(20_000, () => foldSum(sumBytes(bytes, 1024, 20))),
    20,
  );

  console.log(`\ncopy of ${PAYLOAD} bytes with its sum`);
  const apart = 2 << 20;
  const copyThenSum = (): number => {
    copyBytes(bytes, apart, bytes, 1024, PAYLOAD);
    return sumBytes(bytes, apart, PAYLOAD);
  };
  report('copyBytes, then sumBytes', nanoseconds(20_000, copyThenSum), PAYLOAD);
  report(
    'one loop',
    nanoseconds(20_000, () => fusedCopyAndSum(apart, 1024, PAYLOAD)),
    PAYLOAD,
  );

  const frame = superframe();
  if (!offloadIsValid(frame)) throw new Error('the superframe is not valid');
  const count = segmentCount(frame);
  const segment = new Frame(frame.region);
  console.log(`\n64 KiB superframe into ${count} frames`);
  const cut = (): number => {
    let at = apart;
    for (let i = 0; i < count; i++) at += 4 + segmentInto(frame, i, bytes, at + 4);
    return at;
  };
  segment.setPlain(frame.region, apart + 4, segmentInto(frame, 0, bytes, apart + 4));
  if (!verifyL4(segment)) throw new Error('segmentInto made a wrong checksum');
  report('segmentInto, all of them', nanoseconds(500, cut), SUPERFRAME_PAYLOAD);
  report(
    'verifyL4 of one',
    nanoseconds(20_000, () => Number(verifyL4(segment))),
    PAYLOAD,
  );
  if (sink === 0) console.log('');
}

main();
