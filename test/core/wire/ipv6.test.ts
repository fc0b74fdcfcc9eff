import { describe, expect, it } from 'vitest';
import { put16 } from '../../../src/core/base/bytes.ts';
import { foldSum, sumBytes } from '../../../src/core/base/checksum.ts';
import { IP_PROTOCOL } from '../../../src/core/wire/ipv4.ts';
import {
  IPV6_HEADER,
  IPV6_MAX_EXTENSIONS,
  ipv6IsValid,
  ipv6PayloadLength,
  ipv6PseudoSum,
  ipv6PutPayloadLength,
  ipv6UpperLayer,
} from '../../../src/core/wire/ipv6.ts';
import { surrounded, validPrefixes } from '../../support/bytes.ts';
import { MLD_REPORT, ROUTER_SOLICITATION, TCP6_SYN, UDP6 } from '../../support/captures.ts';

const packets = [TCP6_SYN, UDP6, MLD_REPORT, ROUTER_SOLICITATION].map((frame) => frame.subarray(14));
const HOP_BY_HOP = 0;
const FRAGMENT = 44;
const DESTINATION = 60;

/** A packet whose extension headers are `kinds`, 8 bytes each, before a UDP header. */
function withExtensions(...kinds: number[]): Uint8Array {
  const b = new Uint8Array(IPV6_HEADER + kinds.length * 8 + 8);
  b[0] = 0x60;
  put16(b, 4, b.length - IPV6_HEADER);
  [...kinds, IP_PROTOCOL.UDP].forEach((kind, i) => {
    b[i === 0 ? 6 : IPV6_HEADER + (i - 1) * 8] = kind;
  });
  return b;
}

describe('ipv6', () => {
  it('finds the upper layer of captured packets, also behind a hop-by-hop header', () => {
    const found = packets.map((packet) => {
      const b = surrounded(packet, 3);
      expect(ipv6IsValid(b, 3, 3 + packet.length)).toBe(true);
      const upper = ipv6UpperLayer(b, 3);
      return [upper >> 8, upper & 0xff];
    });
    expect(found).toEqual([
      [40, IP_PROTOCOL.TCP],
      [40, IP_PROTOCOL.UDP],
      [48, IP_PROTOCOL.ICMPV6],
      [40, IP_PROTOCOL.ICMPV6],
    ]);
  });

  it('makes the pseudo-header sum with which captured checksums are right', () => {
    for (const packet of packets) {
      const upper = ipv6UpperLayer(packet, 0);
      const at = upper >> 8;
      const pseudo = ipv6PseudoSum(packet, 0, upper & 0xff, packet.length - at);
      expect(foldSum(sumBytes(packet, at, packet.length - at, pseudo))).toBe(0xffff);
    }
  });

  it('takes no packet that is cut anywhere, nor another version', () => {
    for (const packet of packets) expect(validPrefixes(packet, ipv6IsValid)).toEqual([]);
    const other = Uint8Array.from(packets[0]!);
    other[0] = 0x4f;
    expect(ipv6IsValid(other, 0, other.length)).toBe(false);
  });

  it('stores a payload length', () => {
    const b = withExtensions();
    ipv6PutPayloadLength(b, 0, 0x1234);
    expect(ipv6PayloadLength(b, 0)).toBe(0x1234);
  });

  it('walks as many extension headers as it says, and no more', () => {
    const most = withExtensions(...Array<number>(IPV6_MAX_EXTENSIONS).fill(DESTINATION));
    expect(ipv6UpperLayer(most, 0)).toBe(((IPV6_HEADER + IPV6_MAX_EXTENSIONS * 8) << 8) | IP_PROTOCOL.UDP);
    expect(ipv6UpperLayer(withExtensions(...Array<number>(IPV6_MAX_EXTENSIONS + 1).fill(DESTINATION)), 0)).toBe(-1);
  });

  it('finds no upper layer in a fragment, or behind a header that leaves the packet', () => {
    expect(ipv6UpperLayer(withExtensions(HOP_BY_HOP, FRAGMENT), 0)).toBe(-1);
    const long = withExtensions(HOP_BY_HOP);
    long[IPV6_HEADER + 1] = 2;
    expect(ipv6UpperLayer(long, 0)).toBe(-1);
    const cut = withExtensions(HOP_BY_HOP);
    ipv6PutPayloadLength(cut, 0, 7);
    expect(ipv6UpperLayer(cut, 0)).toBe(-1);
  });
});
