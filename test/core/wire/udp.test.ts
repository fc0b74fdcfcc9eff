import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { get16, put16 } from '../../../src/core/base/bytes.ts';
import { pseudoSum4 } from '../../../src/core/base/checksum.ts';
import { IP_PROTOCOL } from '../../../src/core/wire/ipv4.ts';
import {
  UDP_CHECKSUM_OFFSET,
  UDP_HEADER,
  udpChecksum,
  udpChecksumIsRight,
  udpEmit,
  udpFillChecksum,
  udpIsValid,
  udpParse,
  udpToString,
} from '../../../src/core/wire/udp.ts';
import { emitted, hexOf, surrounded, validPrefixes } from '../../support/bytes.ts';
import { UDP4 } from '../../support/captures.ts';

const datagram = UDP4.subarray(34);
const pseudo = pseudoSum4(0xc0a85801, 0xc0a85802, IP_PROTOCOL.UDP, datagram.length);

/** A datagram with the payload, checksum filled over the pseudo-header's sum. */
function build(srcPort: number, dstPort: number, payload: Uint8Array, pseudoHeader: number): Uint8Array {
  return emitted((b, off) => {
    b.set(payload, off + UDP_HEADER);
    udpEmit(b, off, srcPort, dstPort, UDP_HEADER + payload.length);
    udpFillChecksum(b, off, pseudoHeader);
    return UDP_HEADER + payload.length;
  });
}

describe('udp', () => {
  it('reads the fields of a captured datagram', () => {
    const b = surrounded(datagram, 3);
    expect(udpIsValid(b, 3, 3 + datagram.length)).toBe(true);
    expect(udpParse(b, 3)).toEqual({ srcPort: 40380, dstPort: 9999, length: 13 });
    expect(udpChecksumIsRight(b, 3, pseudo)).toBe(true);
    expect(udpToString(b, 3, b.length)).toBe('UDP 40380 > 9999, length 5');
  });

  it('writes the captured datagram', () => {
    expect(hexOf(build(40380, 9999, new TextEncoder().encode('hello'), pseudo))).toBe(hexOf(datagram));
  });

  it('takes no datagram that is cut anywhere, nor a length below the header', () => {
    expect(validPrefixes(datagram, udpIsValid)).toEqual([]);
    for (const length of [0, 7, 14, 0xffff]) {
      const other = Uint8Array.from(datagram);
      put16(other, 4, length);
      expect(udpIsValid(other, 0, other.length)).toBe(false);
      expect(udpToString(other, 0, other.length)).toBe('[udp: malformed]');
    }
  });

  it('takes a datagram without payload', () => {
    const empty = build(1, 2, new Uint8Array(0), pseudo);
    expect(udpIsValid(empty, 0, empty.length)).toBe(true);
  });

  it('sees every changed bit', () => {
    for (let bit = 0; bit < datagram.length * 8; bit++) {
      const other = Uint8Array.from(datagram);
      other[bit >> 3]! ^= 1 << (bit & 7);
      // A changed length changes what is summed, and has its own check.
      if (bit >> 3 !== 4 && bit >> 3 !== 5) expect(udpChecksumIsRight(other, 0, pseudo)).toBe(false);
    }
  });

  it('takes a checksum of 0 as none', () => {
    const other = Uint8Array.from(datagram);
    put16(other, UDP_CHECKSUM_OFFSET, 0);
    expect(udpChecksumIsRight(other, 0, pseudo)).toBe(true);
  });

  it('stores a computed 0 as 0xffff', () => {
    const payload = new Uint8Array(2);
    // What the sum lacks to 0xffff becomes the payload, so that the checksum is 0.
    put16(payload, 0, udpChecksum(build(7, 9, payload, pseudo), 0));
    const b = build(7, 9, payload, pseudo);
    expect(get16(b, UDP_CHECKSUM_OFFSET)).toBe(0xffff);
    expect(udpChecksumIsRight(b, 0, pseudo)).toBe(true);
  });

  it('reads what it wrote, and the checksum is right', () => {
    const port = fc.nat(0xffff);
    fc.assert(
      fc.property(port, port, fc.uint8Array({ maxLength: 300 }), fc.nat(0xffff_ffff), (src, dst, payload, address) => {
        const sum = pseudoSum4(address, 0x0a000001, IP_PROTOCOL.UDP, UDP_HEADER + payload.length);
        const b = build(src, dst, payload, sum);
        expect(udpIsValid(b, 0, b.length)).toBe(true);
        expect(udpParse(b, 0)).toEqual({ srcPort: src, dstPort: dst, length: b.length });
        expect(udpChecksum(b, 0)).not.toBe(0);
        expect(udpChecksumIsRight(b, 0, sum)).toBe(true);
      }),
    );
  });
});
