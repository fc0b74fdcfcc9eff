import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { get16, put16 } from '../../../src/core/base/bytes.ts';
import { CSUM, type Frame, GSO, HEADROOM, MAX_FRAME } from '../../../src/core/link/frame.ts';
import {
  checksumComplete,
  MAX_UDP_SEGMENTS,
  MIN_TCP_GSO_SIZE,
  offloadIsValid,
  segmentCount,
  segmentInto,
  segmentLength,
  verifyL4,
} from '../../../src/core/link/offload.ts';
import { ipv4ChecksumIsRight } from '../../../src/core/wire/ipv4.ts';
import { emitted, hexOf } from '../../support/bytes.ts';
import {
  ARP_REQUEST,
  ECHO_REQUEST,
  MLD_REPORT,
  ROUTER_SOLICITATION,
  TCP4_DATA_PARTIAL,
  TCP4_SYN,
  TCP6_SYN,
  UDP_PARTIAL,
  UDP4,
  UDP6,
} from '../../support/captures.ts';
import { layout, modelSegments, PLAIN, plainFrame, type Shape, superframe } from '../../support/superframe.ts';

/** All segments of a frame, each written to a buffer of its own between guard bytes. */
function segmentsOf(frame: Frame): Uint8Array[] {
  return Array.from({ length: segmentCount(frame) }, (_, i) => {
    const segment = emitted((out, outOffset) => segmentInto(frame, i, out, outOffset), 66_000);
    expect(segment).toHaveLength(segmentLength(frame, i));
    return segment;
  });
}

function expectModel(shape: Shape): void {
  const frame = superframe(shape);
  const before = hexOf(frame.region.bytes);
  expect(offloadIsValid(frame)).toBe(true);
  const segments = segmentsOf(frame);
  expect(segments.map((segment) => hexOf(segment))).toEqual(modelSegments(shape).map((segment) => hexOf(segment)));
  for (const segment of segments) {
    expect(verifyL4(plainFrame(segment))).toBe(true);
    if (shape.version === 4) expect(ipv4ChecksumIsRight(segment, layout(shape).l3)).toBe(true);
  }
  expect(hexOf(frame.region.bytes)).toBe(before);
}

const KINDS = [
  { version: 4, protocol: 'tcp' },
  { version: 6, protocol: 'tcp' },
  { version: 4, protocol: 'udp' },
  { version: 6, protocol: 'udp' },
] as const;

const shape: fc.Arbitrary<Shape> = fc.record({
  version: fc.constantFrom(4 as const, 6 as const),
  protocol: fc.constantFrom('tcp' as const, 'udp' as const),
  vlan: fc.boolean(),
  ipExtra: fc.nat(3),
  tcpOptions: fc.nat(10),
  tcpFlags: fc.nat(255),
  seq: fc.nat(0xffff_ffff),
  ipId: fc.nat(0xffff),
  payload: fc.uint8Array({ minLength: 0, maxLength: 900 }),
  gsoSize: fc.integer({ min: 8, max: 1000 }),
  padding: fc.nat(9),
});

describe('segmentation', () => {
  it.each(KINDS)('cuts $protocol over IPv$version as the model does', (kind) => {
    expectModel({ ...PLAIN, ...kind });
  });

  it.each(KINDS)('cuts a superframe of the largest size, $protocol over IPv$version', (kind) => {
    const room = 65535 - 60;
    const payload = Uint8Array.from({ length: room }, (_, i) => (i * 151 + 7) >>> 2);
    const frame = superframe({ ...PLAIN, ...kind, payload });
    expect(offloadIsValid(frame)).toBe(true);
    expect(segmentCount(frame)).toBe(45);
    const out = new Uint8Array(2000);
    const begin = layout({ ...PLAIN, ...kind }).payload;
    let at = 0;
    for (let i = 0; i < 45; i++) {
      const length = segmentInto(frame, i, out, HEADROOM);
      expect(verifyL4(plainFrame(out.subarray(HEADROOM, HEADROOM + length)))).toBe(true);
      const piece = hexOf(out, HEADROOM + begin, HEADROOM + length);
      expect(piece).toBe(hexOf(payload, at, at + 1460));
      at += length - begin;
    }
    expect(at).toBe(room);
  });

  it('cuts any superframe as the model does', () => {
    fc.assert(fc.property(shape, expectModel), { numRuns: 300 });
  });

  it('keeps FIN and PSH for the last segment, CWR for the first, and ECE on all', () => {
    const [FIN, PSH, CWR, ECE, ACK] = [1, 8, 128, 64, 16];
    const frame = superframe({ ...PLAIN, tcpFlags: FIN | PSH | CWR | ECE | ACK });
    frame.gsoType |= GSO.ECN;
    expect(offloadIsValid(frame)).toBe(true);
    expect(segmentsOf(frame).map((segment) => segment[14 + 20 + 13])).toEqual([
      ACK | ECE | CWR,
      ACK | ECE,
      ACK | ECE | FIN | PSH,
    ]);
  });

  it('lets sequence number and identification wrap', () => {
    expectModel({ ...PLAIN, seq: 0xffff_ff00, ipId: 0xffff });
  });

  it('leaves a superframe of one segment whole', () => {
    for (const kind of KINDS) {
      expectModel({ ...PLAIN, ...kind, tcpFlags: 0x99, payload: PLAIN.payload.subarray(0, 1460) });
      expectModel({ ...PLAIN, ...kind, payload: new Uint8Array(0) });
    }
  });

  it('does not use the checksum that the guest put there', () => {
    const frame = superframe(PLAIN);
    put16(frame.region.bytes, frame.offset + layout(PLAIN).checksum, 0xdead);
    expect(segmentsOf(frame).map((segment) => hexOf(segment))).toEqual(modelSegments(PLAIN).map((s) => hexOf(s)));
  });

  it('does not use the header length that the guest put there', () => {
    const frame = superframe(PLAIN);
    frame.hdrLen = 0;
    expect(segmentsOf(frame).map((segment) => hexOf(segment))).toEqual(modelSegments(PLAIN).map((s) => hexOf(s)));
  });

  it('stores a UDP checksum of 0 as 0xffff', () => {
    const found = new Set<number>();
    for (let i = 0; i <= 0xffff && !found.has(0xffff); i++) {
      const payload = Uint8Array.of(i >> 8, i & 255, 1, 2);
      const one = { ...PLAIN, protocol: 'udp' as const, payload, gsoSize: 4 };
      const segment = segmentsWithoutGuards(superframe(one))[0]!;
      found.add(get16(segment, layout(one).checksum));
    }
    expect(found.has(0xffff)).toBe(true);
    expect(found.has(0)).toBe(false);
  });

  it('writes into the array that the frame itself lies in', () => {
    const frame = superframe(PLAIN);
    const bytes = new Uint8Array(20_000);
    bytes.set(frame.region.bytes);
    frame.region = { bytes, base: 0 };
    const length = segmentInto(frame, 1, bytes, 10_000);
    expect(hexOf(bytes, 10_000, 10_000 + length)).toBe(hexOf(modelSegments(PLAIN)[1]!));
  });
});

function segmentsWithoutGuards(frame: Frame): Uint8Array[] {
  const out = new Uint8Array(2000);
  return Array.from({ length: segmentCount(frame) }, (_, i) => out.slice(0, segmentInto(frame, i, out, 0)));
}

describe('frames without GSO', () => {
  it('are one segment, copied as they are', () => {
    for (const captured of [TCP4_SYN, UDP6, ARP_REQUEST]) {
      const frame = plainFrame(captured);
      expect(segmentsOf(frame).map((segment) => hexOf(segment))).toEqual([hexOf(captured)]);
    }
  });

  it.each([
    ['TCP', TCP4_DATA_PARTIAL, 16],
    ['UDP', UDP_PARTIAL, 6],
  ])('have their partial checksum finished: %s as Linux hands it to a NIC', (_name, captured, csumOffset) => {
    const frame = plainFrame(captured);
    expect(verifyL4(frame)).toBe(false);
    frame.csum = CSUM.PARTIAL;
    frame.csumStart = 34;
    frame.csumOffset = csumOffset;
    const [segment] = segmentsOf(frame);
    expect(verifyL4(plainFrame(segment!))).toBe(true);
    expect(hexOf(frame.region.bytes, HEADROOM)).toBe(hexOf(captured));
  });

  it('get the checksum that Linux computes itself', () => {
    for (const [captured, start, offset, pseudo] of [
      [TCP4_SYN, 34, 16, [192, 168, 88, 1, 192, 168, 88, 2, 0, 6, 0, 40]],
      [UDP4, 34, 6, [192, 168, 88, 1, 192, 168, 88, 2, 0, 17, 0, 13]],
    ] as const) {
      const b = Uint8Array.from(captured);
      let sum = 0;
      for (let i = 0; i < pseudo.length; i += 2) sum += pseudo[i]! * 256 + pseudo[i + 1]!;
      put16(b, start + offset, (sum & 0xffff) + (sum >>> 16));
      checksumComplete(b, 0, b.length, start, offset);
      expect(hexOf(b)).toBe(hexOf(captured));
    }
  });
});

describe('offloadIsValid', () => {
  it('takes plain frames of every length from an Ethernet header to the largest', () => {
    const frame = plainFrame(new Uint8Array(MAX_FRAME + 1));
    for (const [length, valid] of [
      [0, false],
      [13, false],
      [14, true],
      [MAX_FRAME, true],
      [MAX_FRAME + 1, false],
    ] as const) {
      frame.length = length;
      expect(offloadIsValid(frame)).toBe(valid);
    }
  });

  it('takes no frame that leaves its region', () => {
    const frame = plainFrame(TCP4_SYN);
    frame.length++;
    expect(offloadIsValid(frame)).toBe(false);
    frame.offset = -1;
    expect(offloadIsValid(frame)).toBe(false);
  });

  it('takes a partial checksum anywhere behind the Ethernet header, wholly inside of the frame', () => {
    const frame = plainFrame(new Uint8Array(60));
    frame.csum = CSUM.PARTIAL;
    for (const [start, offset, valid] of [
      [14, 0, true],
      [13, 0, false],
      [0, 0, false],
      [58, 0, true],
      [59, 0, false],
      [34, 24, true],
      [34, 25, false],
      [0xffff, 0xffff, false],
      [14, -1, false],
    ] as const) {
      frame.csumStart = start;
      frame.csumOffset = offset;
      expect(offloadIsValid(frame)).toBe(valid);
    }
  });

  const states: [string, Partial<Shape>, (frame: Frame) => Partial<Frame>][] = [
    ['without a partial checksum', {}, () => ({ csum: CSUM.UNVERIFIED })],
    ['with a checksum called right', {}, () => ({ csum: CSUM.VALID })],
    ['with an unknown checksum state', {}, () => ({ csum: 3 })],
    ['of the IPv6 type with an IPv4 packet', {}, () => ({ gsoType: GSO.TCPV6 })],
    ['of the IPv4 type with an IPv6 packet', { version: 6 }, () => ({ gsoType: GSO.TCPV4 })],
    ['of the UDP type with a TCP packet', {}, () => ({ gsoType: GSO.UDP_L4 })],
    ['of the TCP type with a UDP packet', { protocol: 'udp' }, () => ({ gsoType: GSO.TCPV4 })],
    ['of the UFO type', { protocol: 'udp' }, () => ({ gsoType: GSO.UDP })],
    ['of no type but ECN', {}, () => ({ gsoType: GSO.ECN })],
    ['of UDP with ECN', { protocol: 'udp' }, (f) => ({ gsoType: f.gsoType | GSO.ECN })],
    ['of a type unknown', {}, () => ({ gsoType: 2 })],
    ['with a segment size of 0', {}, () => ({ gsoSize: 0 })],
    ['with a tiny segment size', {}, () => ({ gsoSize: MIN_TCP_GSO_SIZE - 1 })],
    ['with a UDP segment size of 0', { protocol: 'udp' }, () => ({ gsoSize: 0 })],
    ['with more UDP datagrams than allowed', { protocol: 'udp' }, () => ({ gsoSize: 31 })],
    ['whose checksum begins elsewhere', {}, (f) => ({ csumStart: f.csumStart + 2 })],
    ['whose checksum lies elsewhere', {}, () => ({ csumOffset: 6 })],
    ['whose UDP checksum lies elsewhere', { protocol: 'udp' }, () => ({ csumOffset: 16 })],
    ['with headers longer than the frame', {}, (f) => ({ hdrLen: f.length + 1 })],
    ['cut inside of the IP packet', {}, (f) => ({ length: f.length - 1 })],
    ['cut inside of the Ethernet header', {}, () => ({ length: 15 })],
    ['cut inside of the VLAN tag', { vlan: true }, () => ({ length: 17 })],
  ];

  it.each(states)('takes no superframe %s', (_name, change, broken) => {
    const frame = superframe({ ...PLAIN, ...change });
    expect(offloadIsValid(frame)).toBe(true);
    Object.assign(frame, broken(frame));
    expect(offloadIsValid(frame)).toBe(false);
  });

  const bytes: [string, Partial<Shape>, number, number][] = [
    ['of another EtherType', {}, 12, 9],
    ['with a fragment', {}, 14 + 6, 0x20],
    ['with an IP header of 16 bytes', {}, 14, 0x44],
    ['with another IP protocol', {}, 14 + 9, 132],
    ['with a TCP header of 16 bytes', {}, 34 + 12, 0x40],
    ['with two VLAN tags', { vlan: true }, 16, 0x81],
  ];

  it.each(bytes)('takes no superframe %s', (_name, change, index, value) => {
    const frame = superframe({ ...PLAIN, ...change });
    frame.region.bytes[frame.offset + index] = value;
    expect(offloadIsValid(frame)).toBe(false);
  });

  it('takes no superframe whose TCP header leaves the packet', () => {
    const frame = superframe({ ...PLAIN, payload: new Uint8Array(0) });
    expect(offloadIsValid(frame)).toBe(true);
    frame.region.bytes[frame.offset + 34 + 12] = 0x60;
    expect(offloadIsValid(frame)).toBe(false);
  });

  it('takes no superframe whose packet ends inside of its UDP header, even if the frame does not', () => {
    const frame = superframe({ ...PLAIN, protocol: 'udp', payload: new Uint8Array(0), padding: 20 });
    expect(offloadIsValid(frame)).toBe(true);
    put16(frame.region.bytes, frame.offset + 16, 20 + 7);
    expect(offloadIsValid(frame)).toBe(false);
  });

  it('bounds how many segments a superframe makes', () => {
    const payload = new Uint8Array(MAX_UDP_SEGMENTS * 10);
    expect(segmentCount(superframe({ ...PLAIN, payload, gsoSize: MIN_TCP_GSO_SIZE }))).toBe(160);
    const udp = superframe({ ...PLAIN, protocol: 'udp', payload, gsoSize: 10 });
    expect(offloadIsValid(udp)).toBe(true);
    expect(segmentCount(udp)).toBe(MAX_UDP_SEGMENTS);
    const oneMore = new Uint8Array(MAX_UDP_SEGMENTS * 10 + 1);
    expect(offloadIsValid(superframe({ ...PLAIN, protocol: 'udp', payload: oneMore, gsoSize: 10 }))).toBe(false);
  });

  it('makes whatever it takes safe to cut: no segment leaves its length, no byte of the source changes', () => {
    const hostile = fc.record({
      csum: fc.nat(3),
      csumStart: fc.nat(80),
      csumOffset: fc.constantFrom(6, 16, 0, 0xffff),
      gsoType: fc.constantFrom(0, 1, 3, 4, 5, 0x80, 0x81, 0x84, 0x85),
      gsoSize: fc.nat(2000),
      hdrLen: fc.nat(0xffff),
    });
    const spoil = fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 3 });
    let taken = 0;
    fc.assert(
      fc.property(shape, hostile, spoil, fc.boolean(), fc.nat(100), (base, state, changes, keepState, cut) => {
        const frame = superframe(base);
        if (!keepState) Object.assign(frame, state);
        for (const [at, value] of changes) frame.region.bytes[frame.offset + at] = value;
        frame.length = Math.max(0, frame.length - cut);
        if (!offloadIsValid(frame)) return;
        taken++;
        const before = hexOf(frame.region.bytes);
        const count = segmentCount(frame);
        expect(count).toBeGreaterThan(0);
        expect(count).toBeLessThan(1000);
        for (let i = 0; i < count; i++) {
          const length = segmentLength(frame, i);
          expect(length).toBeGreaterThanOrEqual(14);
          const out = new Uint8Array(length + 20).fill(0xa5);
          expect(segmentInto(frame, i, out, 10)).toBe(length);
          expect([...out.subarray(0, 10), ...out.subarray(10 + length)].every((byte) => byte === 0xa5)).toBe(true);
        }
        expect(hexOf(frame.region.bytes)).toBe(before);
      }),
      { numRuns: 600 },
    );
    // The property says nothing unless both sides of the judgement are met.
    expect(taken).toBeGreaterThan(30);
  });
});

describe('verifyL4', () => {
  const CAPTURED: [string, Uint8Array, number][] = [
    ['TCP over IPv4', TCP4_SYN, 34],
    ['TCP over IPv6', TCP6_SYN, 54],
    ['UDP over IPv4', UDP4, 34],
    ['UDP over IPv6', UDP6, 54],
    ['ICMP', ECHO_REQUEST, 34],
    ['ICMPv6', ROUTER_SOLICITATION, 54],
    ['ICMPv6 behind a hop-by-hop header', MLD_REPORT, 62],
  ];

  it.each(CAPTURED)('takes the captured %s, and sees a changed bit anywhere in it', (_name, captured, l4) => {
    expect(verifyL4(plainFrame(captured))).toBe(true);
    for (let bit = l4 * 8; bit < captured.length * 8; bit++) {
      const other = Uint8Array.from(captured);
      other[bit >> 3]! ^= 1 << (bit & 7);
      expect(verifyL4(plainFrame(other))).toBe(false);
    }
  });

  it.each(CAPTURED.filter(([name]) => name !== 'ICMP'))('sees a changed address of %s', (_name, captured) => {
    const other = Uint8Array.from(captured);
    other[14 + 19]! ^= 4;
    expect(verifyL4(plainFrame(other))).toBe(false);
  });

  it.each(CAPTURED)('takes the captured %s with Ethernet padding and behind a VLAN tag', (_name, captured) => {
    expect(verifyL4(plainFrame(Uint8Array.from([...captured, 0xde, 0xad, 0xbe])))).toBe(true);
    const tagged = [...captured.subarray(0, 12), 0x81, 0x00, 0x00, 0x05, ...captured.subarray(12)];
    expect(verifyL4(plainFrame(Uint8Array.from(tagged)))).toBe(true);
    tagged[tagged.length - 1]! ^= 1;
    expect(verifyL4(plainFrame(Uint8Array.from(tagged)))).toBe(false);
  });

  it('does not look at a checksum that is partial or known to be right', () => {
    const frame = plainFrame(UDP_PARTIAL);
    for (const [csum, right] of [
      [CSUM.UNVERIFIED, false],
      [CSUM.PARTIAL, true],
      [CSUM.VALID, true],
    ] as const) {
      frame.csum = csum;
      expect(verifyL4(frame)).toBe(right);
    }
  });

  it('takes a UDP checksum of 0 over IPv4 only', () => {
    for (const [captured, at, right] of [
      [UDP4, 40, true],
      [UDP6, 60, false],
    ] as const) {
      const other = Uint8Array.from(captured);
      put16(other, at, 0);
      expect(verifyL4(plainFrame(other))).toBe(right);
    }
  });

  it('leaves fragments and other protocols to others', () => {
    const fragment = Uint8Array.from(TCP4_SYN);
    fragment[20] = 0x20;
    fragment[50]! ^= 1;
    expect(verifyL4(plainFrame(fragment))).toBe(true);
    const sctp = Uint8Array.from(TCP4_SYN);
    sctp[23] = 132;
    expect(verifyL4(plainFrame(sctp))).toBe(true);
    expect(verifyL4(plainFrame(ARP_REQUEST))).toBe(true);
  });

  it('takes no malformed IP, TCP, UDP or ICMP header', () => {
    const changes: [Uint8Array, number, number][] = [
      [TCP4_SYN, 14, 0x44],
      [TCP4_SYN, 16, 0xff],
      [TCP6_SYN, 14, 0x40],
      [TCP6_SYN, 18, 0xff],
      [TCP4_SYN, 46, 0xf0],
      [TCP4_SYN, 46, 0x40],
      [UDP4, 39, 7],
      [UDP4, 39, 14],
      [ECHO_REQUEST, 17, 27],
    ];
    for (const [captured, index, value] of changes) {
      const other = Uint8Array.from(captured);
      other[index] = value;
      expect(verifyL4(plainFrame(other))).toBe(false);
    }
    for (const captured of [TCP4_SYN, TCP6_SYN, UDP4, ECHO_REQUEST]) {
      for (let length = 14; length < captured.length; length++) {
        expect(verifyL4(plainFrame(captured.subarray(0, length)))).toBe(false);
      }
    }
  });
});
