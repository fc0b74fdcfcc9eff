/**
 * Bytes of strangers through every parser: nothing throws, nothing goes round for ever, and what a validity check took is
 * read without leaving `[off, end)`. Inputs are captures with bytes changed, cut or put in, and plain noise. Each property
 * runs for at most a second and a half; fast-check prints seed and path of a failure, which then joins the corpus.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CSUM } from '../../src/core/link/frame.ts';
import { offloadIsValid, segmentCount, segmentInto, segmentLength, verifyL4 } from '../../src/core/link/offload.ts';
import { arpIsValid, arpToString } from '../../src/core/wire/arp.ts';
import {
  Dhcpv4Options,
  dhcpv4IsValid,
  dhcpv4MessageType,
  dhcpv4OptionAt,
  dhcpv4OptionText,
  dhcpv4ToString,
} from '../../src/core/wire/dhcpv4.ts';
import {
  dnsEdnsSize,
  dnsNameEnd,
  dnsNameToString,
  dnsParseQuestion,
  dnsQuestionEnd,
  dnsSameQuestion,
  dnsToString,
} from '../../src/core/wire/dns.ts';
import { ethernetToString } from '../../src/core/wire/ethernet.ts';
import { icmpv4ToString } from '../../src/core/wire/icmpv4.ts';
import { ipv4ChecksumIsRight, ipv4HeaderLength, ipv4HeaderToString, ipv4IsValid } from '../../src/core/wire/ipv4.ts';
import { ipv6IsValid, ipv6UpperLayer } from '../../src/core/wire/ipv6.ts';
import {
  tcpHeaderLength,
  tcpIsValid,
  tcpOptionsCreate,
  tcpParseOptions,
  tcpToString,
} from '../../src/core/wire/tcp.ts';
import { udpIsValid, udpLength, udpToString } from '../../src/core/wire/udp.ts';
import { bytesOf, hexOf } from '../support/bytes.ts';
import * as captures from '../support/captures.ts';
import { PLAIN, plainFrame, superframe } from '../support/superframe.ts';

const OFF = 5;
const BEHIND = 9;
const LIMITS = { numRuns: 20_000, interruptAfterTimeLimit: 1500, markInterruptAsFailure: false };

/** Inputs that once were taken wrongly; every parser sees them all first. */
const CORPUS: Uint8Array[] = [
  // A pointer into the DNS header, whose id reads like a label.
  bytesOf('0161 0000 0001 0000 0000 0000 0162 c000 0001 0001'),
];

/** `seed` with some bytes changed, then cut, then with some bytes put in. */
function spoiled(seeds: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const change = fc.tuple(
    fc.nat(400),
    fc.oneof(fc.constantFrom(0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff), fc.nat(255)),
  );
  return fc
    .tuple(fc.constantFrom(...seeds), fc.array(change, { maxLength: 6 }), fc.nat(400), fc.uint8Array({ maxLength: 12 }))
    .map(([seed, changes, cut, extra]) => {
      const b = Uint8Array.from(seed);
      for (const [at, value] of changes) b[at % b.length] = value;
      const kept = cut % 3 === 0 ? b.subarray(0, cut % (b.length + 1)) : b;
      return Uint8Array.from([...kept, ...extra]);
    });
}

const noise = fc.uint8Array({ maxLength: 700 });

/**
 * Runs `parse` on every input twice, with different bytes before and behind it. Where the two answers differ, it has
 * read outside of `[off, end)`.
 */
function neverLeaves(seeds: readonly Uint8Array[], parse: (b: Uint8Array, off: number, end: number) => unknown): void {
  const input = fc.oneof(spoiled(seeds), noise);
  const property = fc.property(input, (bytes) => {
    const [first, second] = [0x00, 0xff].map((filling) => {
      const b = new Uint8Array(OFF + bytes.length + BEHIND).fill(filling);
      b.set(bytes, OFF);
      return JSON.stringify(parse(b, OFF, OFF + bytes.length));
    });
    expect(second).toBe(first);
  });
  fc.assert(property, { ...LIMITS, examples: CORPUS.map((bytes) => [bytes]) });
}

const FRAMES = Object.values(captures).filter((bytes) => bytes[0] === 2 || bytes[0] === 0xff || bytes[0] === 0x33);
const PACKETS = FRAMES.map((frame) => frame.subarray(14));
const SEGMENTS = FRAMES.map((frame) => frame.subarray(34));

describe('a stranger’s bytes', () => {
  it('are read as Ethernet, ARP and IP without leaving them', () => {
    neverLeaves(FRAMES, ethernetToString);
    neverLeaves(PACKETS, (b, off, end) => {
      const arp = [arpIsValid(b, off, end), arpToString(b, off, end)];
      const ipv4 = ipv4IsValid(b, off, end) && [ipv4ChecksumIsRight(b, off), ipv4HeaderLength(b, off)];
      const ipv6 = ipv6IsValid(b, off, end) && ipv6UpperLayer(b, off);
      return [arp, ipv4, ipv6, ipv4HeaderToString(b, off, end)];
    });
  });

  it('are read as TCP with options, UDP and ICMP without leaving them', () => {
    const options = tcpOptionsCreate();
    neverLeaves(SEGMENTS, (b, off, end) => {
      const text = [tcpToString(b, off, end), udpToString(b, off, end), icmpv4ToString(b, off, end)];
      if (udpIsValid(b, off, end)) expect(off + udpLength(b, off)).toBeLessThanOrEqual(end);
      if (!tcpIsValid(b, off, end)) return text;
      expect(off + tcpHeaderLength(b, off)).toBeLessThanOrEqual(end);
      tcpParseOptions(b, off, options);
      expect(options.sackCount).toBeLessThanOrEqual(4);
      const edges = [...options.sackEdges.subarray(0, options.sackCount * 2)];
      return [text, { ...options, sackEdges: edges }];
    });
  });

  it('are read as DHCP without leaving them', () => {
    const options = new Dhcpv4Options();
    neverLeaves([captures.UDHCPC_DISCOVER, captures.DHCLIENT_DISCOVER], (b, off, end) => {
      const text = dhcpv4ToString(b, off, end);
      if (!dhcpv4IsValid(b, off, end)) return text;
      const found: unknown[] = [];
      options.start(b, off, end);
      while (options.next()) {
        expect(options.at + options.length).toBeLessThanOrEqual(end);
        found.push([options.code, hexOf(b, options.at, options.at + options.length)]);
      }
      expect(found.length).toBeLessThan(end - off);
      return [
        text,
        found,
        dhcpv4MessageType(b, off, end),
        dhcpv4OptionAt(b, off, end, 61),
        dhcpv4OptionText(b, off, end, 12),
      ];
    });
  });

  it('are read as DNS without leaving them', () => {
    const chain = bytesOf(
      '1234 0100 0001 0000 0000 0001 0161 c00c 0162 c00e 0163 00 0001 0001 c012 0001 0001 00000000 0001 07',
    );
    neverLeaves([captures.DIG_QUERY, chain], (b, off, end) => {
      const names: unknown[] = [];
      for (let at = off; at < Math.min(end, off + 80); at++) {
        names.push(dnsNameToString(b, off, at, end), dnsNameEnd(b, at, end));
      }
      const question = dnsParseQuestion(b, off, end);
      const questionEnd = dnsQuestionEnd(b, off, end);
      expect(question?.end ?? -1).toBe(questionEnd);
      expect(questionEnd).toBeLessThanOrEqual(end);
      expect(dnsSameQuestion(b, off, end, b, off, end)).toBe(questionEnd >= 0);
      return [names, question, dnsEdnsSize(b, off, end), dnsToString(b, off, end)];
    });
  });

  it('are verified as frames in any offload state, and cut only where that is safe', () => {
    const state = fc.record({
      csum: fc.nat(3),
      csumStart: fc.oneof(fc.constantFrom(34, 54), fc.nat(0xffff)),
      csumOffset: fc.oneof(fc.constantFrom(6, 16), fc.nat(0xffff)),
      gsoType: fc.nat(255),
      gsoSize: fc.nat(0xffff),
      hdrLen: fc.nat(0xffff),
    });
    const big = superframe({ ...PLAIN, payload: PLAIN.payload.subarray(0, 400) });
    const seeds = [...FRAMES, big.region.bytes.slice(big.offset)];
    const property = fc.property(fc.oneof(spoiled(seeds), noise), state, (bytes, offload) => {
      const frame = plainFrame(bytes);
      expect(typeof verifyL4(frame)).toBe('boolean');
      Object.assign(frame, offload);
      if (!offloadIsValid(frame)) return;
      expect(frame.csum).toBeLessThanOrEqual(CSUM.VALID);
      const out = new Uint8Array(2000);
      for (let i = 0; i < segmentCount(frame); i++) {
        expect(segmentInto(frame, i, out, 0)).toBe(segmentLength(frame, i));
        expect(segmentLength(frame, i)).toBeLessThanOrEqual(bytes.length);
      }
    });
    fc.assert(property, LIMITS);
  });
});
