import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { put16 } from '../../../src/core/base/bytes.ts';
import {
  IP_PROTOCOL,
  IPV4_DF,
  IPV4_HEADER,
  IPV4_MF,
  ipv4ChecksumIsRight,
  ipv4DontFragment,
  ipv4Emit,
  ipv4EmitHeader,
  ipv4FillChecksum,
  ipv4FragmentOffset,
  ipv4HeaderLength,
  ipv4HeaderToString,
  ipv4IsFragment,
  ipv4IsValid,
  ipv4MoreFragments,
  ipv4Parse,
} from '../../../src/core/wire/ipv4.ts';
import { emitted, hexOf, surrounded, validPrefixes } from '../../support/bytes.ts';
import { ECHO_REQUEST, PORT_UNREACHABLE } from '../../support/captures.ts';

const packet = ECHO_REQUEST.subarray(14);
const A = 0xc0a85801;
const B = 0xc0a85802;

/** A packet with `words` 32-bit words of NOP options and a right checksum. */
function withOptions(words: number): Uint8Array {
  const header = new Uint8Array(IPV4_HEADER + words * 4 + 4).fill(1);
  ipv4Emit(header, 0, header.length, 1, 0, 64, IP_PROTOCOL.UDP, A, B);
  header[0] = 0x45 + words;
  ipv4FillChecksum(header, 0);
  return header;
}

describe('ipv4', () => {
  it('reads the fields of a captured packet', () => {
    const b = surrounded(packet, 5);
    expect(ipv4IsValid(b, 5, 5 + packet.length)).toBe(true);
    expect(ipv4ChecksumIsRight(b, 5)).toBe(true);
    expect(ipv4HeaderLength(b, 5)).toBe(20);
    expect(ipv4Parse(b, 5)).toEqual({
      tos: 0,
      totalLength: 52,
      id: 0x85bc,
      flagsFragment: IPV4_DF,
      ttl: 64,
      protocol: IP_PROTOCOL.ICMP,
      src: A,
      dst: B,
    });
    expect(ipv4HeaderToString(b, 5, b.length)).toBe(
      'IP 192.168.88.1 > 192.168.88.2: proto 1, ttl 64, id 34236, length 52, DF',
    );
  });

  it('writes the headers of captured packets, checksum included', () => {
    const header = emitted((b, off) => ipv4Emit(b, off, 52, 0x85bc, IPV4_DF, 64, IP_PROTOCOL.ICMP, A, B));
    expect(hexOf(header)).toBe(hexOf(packet, 0, IPV4_HEADER));
    const captured = PORT_UNREACHABLE.subarray(14);
    const named = emitted((b, off) => ipv4EmitHeader(b, off, ipv4Parse(captured, 0)));
    expect(hexOf(named)).toBe(hexOf(captured, 0, IPV4_HEADER));
  });

  it('takes no packet that is cut anywhere', () => {
    expect(validPrefixes(packet, ipv4IsValid)).toEqual([]);
  });

  it('takes a packet behind which Ethernet padding follows, and keeps to its total length', () => {
    const b = surrounded(packet, 0, 30);
    expect(ipv4IsValid(b, 0, b.length)).toBe(true);
    expect(ipv4Parse(b, 0).totalLength).toBe(52);
  });

  it.each([
    ['version 6', 0, 0x65],
    ['version 0', 0, 0x05],
    ['a header length of 16', 0, 0x44],
    ['a header length of 0', 0, 0x40],
    ['a total length that ends inside of the header', 3, 19],
  ])('takes no packet with %s', (_name, index, value) => {
    const other = Uint8Array.from(packet);
    other[index] = value;
    expect(ipv4IsValid(other, 0, other.length)).toBe(false);
    expect(ipv4HeaderToString(other, 0, other.length)).toBe('[ipv4: malformed]');
  });

  it('tolerates options, and sums them', () => {
    for (let words = 1; words <= 10; words++) {
      const b = withOptions(words);
      expect(ipv4IsValid(b, 0, b.length)).toBe(true);
      expect(ipv4HeaderLength(b, 0)).toBe(20 + 4 * words);
      expect(ipv4ChecksumIsRight(b, 0)).toBe(true);
      b[20 + 4 * words - 1] = 7;
      expect(ipv4ChecksumIsRight(b, 0)).toBe(false);
    }
  });

  it('takes no packet whose total length ends inside of its options', () => {
    const b = withOptions(2);
    put16(b, 2, 27);
    expect(ipv4IsValid(b, 0, b.length)).toBe(false);
  });

  it('sees every changed bit of the header', () => {
    for (let bit = 0; bit < IPV4_HEADER * 8; bit++) {
      const other = Uint8Array.from(packet);
      other[bit >> 3]! ^= 1 << (bit & 7);
      // The header length is what the sum is taken over.
      if (bit >> 3 !== 0) expect(ipv4ChecksumIsRight(other, 0)).toBe(false);
    }
  });

  it('tells fragments apart', () => {
    const facts = (flagsFragment: number) => {
      const b = emitted((out, off) => ipv4Emit(out, off, 20, 0, flagsFragment, 64, 17, A, B));
      return [ipv4IsFragment(b, 0), ipv4MoreFragments(b, 0), ipv4DontFragment(b, 0), ipv4FragmentOffset(b, 0)];
    };
    expect(facts(0)).toEqual([false, false, false, 0]);
    expect(facts(IPV4_DF)).toEqual([false, false, true, 0]);
    expect(facts(IPV4_MF)).toEqual([true, true, false, 0]);
    expect(facts(IPV4_MF | 185)).toEqual([true, true, false, 1480]);
    expect(facts(0x1fff)).toEqual([true, false, false, 65528]);
  });

  it('reads what it wrote, and the checksum is right', () => {
    const byte = fc.nat(255);
    const half = fc.nat(0xffff);
    const address = fc.nat(0xffff_ffff);
    fc.assert(
      fc.property(
        byte,
        half,
        half,
        half,
        byte,
        byte,
        address,
        address,
        (tos, length, id, flags, ttl, proto, src, dst) => {
          const h = { tos, totalLength: length, id, flagsFragment: flags, ttl, protocol: proto, src, dst };
          const named = emitted((b, off) => ipv4EmitHeader(b, off, h));
          expect(ipv4Parse(named, 0)).toEqual(h);
          expect(ipv4ChecksumIsRight(named, 0)).toBe(true);
          const positional = emitted((b, off) => ipv4Emit(b, off, length, id, flags, ttl, proto, src | 0, dst | 0));
          expect(ipv4Parse(positional, 0)).toEqual({ ...h, tos: 0 });
          expect(ipv4ChecksumIsRight(positional, 0)).toBe(true);
        },
      ),
    );
  });
});
