import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { get16 } from '../../../src/core/base/bytes.ts';
import { pseudoSum4 } from '../../../src/core/base/checksum.ts';
import { IP_PROTOCOL } from '../../../src/core/wire/ipv4.ts';
import {
  TCP,
  TCP_CHECKSUM_OFFSET,
  type TcpOptions,
  tcpChecksumIsRight,
  tcpEmit,
  tcpEmitMss,
  tcpEmitSack,
  tcpEmitSackPermitted,
  tcpEmitTimestamps,
  tcpEmitWindowScale,
  tcpFillChecksum,
  tcpHeaderLength,
  tcpIsValid,
  tcpOptionsCreate,
  tcpParse,
  tcpParseOptions,
  tcpPutPartialChecksum,
  tcpToString,
  tcpUrgent,
} from '../../../src/core/wire/tcp.ts';
import { bytesOf, emitted, hexOf, surrounded, validPrefixes } from '../../support/bytes.ts';
import { TCP4_DATA_PARTIAL, TCP4_SYN } from '../../support/captures.ts';

const syn = TCP4_SYN.subarray(34);
const pseudo = pseudoSum4(0xc0a85801, 0xc0a85802, IP_PROTOCOL.TCP, syn.length);

/** A header that carries the options, NOPs before their end made by the test itself. */
function withOptions(options: Uint8Array): Uint8Array {
  const header = new Uint8Array(20 + Math.ceil(options.length / 4) * 4);
  tcpEmit(header, 0, 1, 2, 3, 4, header.length, TCP.ACK, 5);
  header.set(options, 20);
  return header;
}

/** What the parser finds in the options, with an object that an earlier segment has filled. */
function optionsOf(options: Uint8Array | string): TcpOptions {
  const out = tcpOptionsCreate();
  Object.assign(out, {
    mss: 9,
    windowScale: 9,
    sackPermitted: true,
    timestamp: true,
    tsVal: 9,
    tsEcr: 9,
    sackCount: 3,
  });
  const header = surrounded(withOptions(typeof options === 'string' ? bytesOf(options) : options), 3);
  tcpParseOptions(header, 3, out);
  return out;
}

const NONE = { mss: 0, windowScale: -1, sackPermitted: false, timestamp: false, tsVal: 0, tsEcr: 0, sackCount: 0 };

describe('tcp', () => {
  it('reads a captured SYN and its options', () => {
    const b = surrounded(syn, 5);
    expect(tcpIsValid(b, 5, 5 + syn.length)).toBe(true);
    expect(tcpParse(b, 5)).toEqual({
      srcPort: 41810,
      dstPort: 80,
      seq: 0x37be9d10,
      ack: 0,
      headerLength: 40,
      flags: TCP.SYN,
      window: 64240,
    });
    const options = tcpOptionsCreate();
    tcpParseOptions(b, 5, options);
    expect(options).toMatchObject({
      ...NONE,
      mss: 1460,
      windowScale: 10,
      sackPermitted: true,
      timestamp: true,
      tsVal: 0x6a91e835,
    });
    expect(tcpChecksumIsRight(b, 5, 5 + syn.length, pseudo)).toBe(true);
    expect(tcpToString(b, 5, 5 + syn.length)).toBe('TCP 41810 > 80: Flags [S], seq 935238928, win 64240, length 0');
  });

  it('writes a segment with the layout that Linux sends, partial checksum included', () => {
    const segment = TCP4_DATA_PARTIAL.subarray(34);
    const partial = pseudoSum4(0xc0a85802, 0xc0a85801, IP_PROTOCOL.TCP, segment.length);
    const written = emitted((b, off) => {
      tcpEmit(b, off, 8080, 36890, 0xfb5ac1fc, 0xa58d9037, 32, TCP.PSH | TCP.ACK, 64);
      const at = off + 20 + tcpEmitTimestamps(b, off + 20, 0x2cbce854, 0xe507b2a9);
      tcpPutPartialChecksum(b, off, partial);
      b.set(new TextEncoder().encode('pong'), at);
      return segment.length;
    });
    expect(hexOf(written)).toBe(hexOf(segment));
  });

  it('computes the checksum that Linux computed', () => {
    const other = Uint8Array.from(syn);
    other.fill(0x77, TCP_CHECKSUM_OFFSET, TCP_CHECKSUM_OFFSET + 2);
    tcpFillChecksum(other, 0, other.length, pseudo);
    expect(hexOf(other)).toBe(hexOf(syn));
  });

  it('sees every changed bit', () => {
    for (let bit = 0; bit < syn.length * 8; bit++) {
      const other = Uint8Array.from(syn);
      other[bit >> 3]! ^= 1 << (bit & 7);
      expect(tcpChecksumIsRight(other, 0, other.length, pseudo)).toBe(false);
    }
  });

  it('takes a segment cut behind its header only: a TCP header does not tell where the segment ends', () => {
    const segment = TCP4_DATA_PARTIAL.subarray(34);
    expect(validPrefixes(segment, tcpIsValid)).toEqual([32, 33, 34, 35]);
    expect(tcpToString(segment, 0, 31)).toBe('[tcp: malformed]');
  });

  it('takes no header whose data offset is below 20 bytes', () => {
    for (let words = 0; words < 5; words++) {
      const other = Uint8Array.from(syn);
      other[12] = words << 4;
      expect(tcpIsValid(other, 0, other.length)).toBe(false);
    }
  });

  it('reads what it wrote', () => {
    const half = fc.nat(0xffff);
    const word = fc.nat(0xffff_ffff);
    fc.assert(
      fc.property(half, half, word, word, fc.nat(255), half, (src, dst, seq, ack, flags, window) => {
        const b = emitted((out, off) => tcpEmit(out, off, src, dst, seq, ack, 20, flags, window));
        expect(tcpIsValid(b, 0, b.length)).toBe(true);
        expect(tcpParse(b, 0)).toEqual({
          srcPort: src,
          dstPort: dst,
          seq: seq | 0,
          ack: ack | 0,
          headerLength: 20,
          flags,
          window,
        });
        expect([get16(b, TCP_CHECKSUM_OFFSET), tcpUrgent(b, 0)]).toEqual([0, 0]);
      }),
    );
  });
});

describe('tcp options', () => {
  it('are all absent in a header of 20 bytes, whatever the object held before', () => {
    expect(optionsOf('')).toMatchObject(NONE);
  });

  it('read back what was written', () => {
    const word = fc.nat(0xffff_ffff).map((n) => n | 0);
    const edges = fc.array(word, { minLength: 2, maxLength: 6 }).map((list) => list.slice(0, list.length & ~1));
    fc.assert(
      fc.property(fc.nat(0xffff), fc.nat(14), word, word, edges, (mss, windowScale, tsVal, tsEcr, list) => {
        const syns = emitted((b, off) => {
          let at = off + tcpEmitMss(b, off, mss);
          at += tcpEmitSackPermitted(b, at);
          at += tcpEmitTimestamps(b, at, tsVal, tsEcr);
          at += tcpEmitWindowScale(b, at, windowScale);
          return at - off;
        });
        const expected = { mss, windowScale, sackPermitted: true, timestamp: true, tsVal, tsEcr, sackCount: 0 };
        expect(optionsOf(syns)).toMatchObject(expected);

        const count = list.length / 2;
        const acks = emitted((b, off) => {
          const at = off + tcpEmitTimestamps(b, off, tsVal, tsEcr);
          return at + tcpEmitSack(b, at, Int32Array.from(list), count) - off;
        });
        const found = optionsOf(acks);
        expect(found).toMatchObject({ ...NONE, timestamp: true, tsVal, tsEcr, sackCount: count });
        expect([...found.sackEdges.subarray(0, 2 * count)]).toEqual(list);
      }),
    );
  });

  it('takes four SACK blocks where there are no timestamps', () => {
    const found = optionsOf(`0101 0522 ${'0000000100000002'.repeat(4)}`);
    expect(found.sackCount).toBe(4);
    expect([...found.sackEdges]).toEqual([1, 2, 1, 2, 1, 2, 1, 2]);
  });

  it.each([
    ['skips unknown options (MUST-6)', 'fd06aabbccdd 020405b4', { mss: 1460 }],
    ['stops at END', '00 020405b4', { mss: 0 }],
    ['stops at a length of 0 instead of going round for ever (MUST-7)', 'fd00 020405b4', { mss: 0 }],
    ['stops at a length of 1', 'fd01 020405b4', { mss: 0 }],
    ['keeps what came before a bad length', '020405b4 0300', { mss: 1460, windowScale: -1 }],
    ['does not read an option that leaves the header', '01 01 01 03', { windowScale: -1 }],
    ['does not read a timestamp that leaves the header', '01 01 08 0a 00 00 00 01', { timestamp: false }],
    ['skips an MSS of another length', '0203aa 030305 0000', { mss: 0, windowScale: 5 }],
    ['skips a SACK of half a block', '05 06 00000001 030305 00', { sackCount: 0, windowScale: 5 }],
    ['uses no window shift above 14 (RFC 7323 §2.3)', '0303ff00', { windowScale: 14 }],
    ['takes the last of two MSS options', '02040100 02040200', { mss: 0x200 }],
  ])('%s', (_name, options, expected) => {
    expect(optionsOf(options)).toMatchObject({ ...NONE, ...expected });
  });

  it('end at the header, whatever bytes follow', () => {
    // Behind the header lies a window scale option, which belongs to the payload.
    const header = withOptions(bytesOf('01010101'));
    const b = new Uint8Array(header.length + 4);
    b.set(header);
    b.set(bytesOf('03030500'), header.length);
    const out = tcpOptionsCreate();
    tcpParseOptions(b, 0, out);
    expect(out.windowScale).toBe(-1);
    expect(tcpHeaderLength(b, 0)).toBe(24);
  });
});
