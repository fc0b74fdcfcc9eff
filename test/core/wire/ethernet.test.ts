import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ETHER_TYPE,
  ETHERNET_HEADER,
  ethernetDst,
  ethernetEmit,
  ethernetIsValid,
  ethernetParse,
  ethernetSrc,
  ethernetToString,
  ethernetType,
  MAC_BROADCAST,
} from '../../../src/core/wire/ethernet.ts';
import { emitted, hexOf, surrounded, validPrefixes } from '../../support/bytes.ts';
import { ARP_REQUEST } from '../../support/captures.ts';

const anyMac = fc.nat(0xffff_ffff_ffff);

describe('ethernet', () => {
  it('reads the fields of a captured frame', () => {
    const b = surrounded(ARP_REQUEST, 3);
    expect(ethernetIsValid(b, 3, 3 + ARP_REQUEST.length)).toBe(true);
    expect(ethernetDst(b, 3)).toBe(MAC_BROADCAST);
    expect(ethernetSrc(b, 3)).toBe(0x0200_0000_000a);
    expect(ethernetType(b, 3)).toBe(ETHER_TYPE.ARP);
    expect(ethernetToString(b, 3, b.length)).toBe('02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff, ethertype 0x0806');
  });

  it('writes the header of the captured frame', () => {
    const header = emitted((b, off) => ethernetEmit(b, off, MAC_BROADCAST, 0x0200_0000_000a, ETHER_TYPE.ARP));
    expect(hexOf(header)).toBe(hexOf(ARP_REQUEST, 0, ETHERNET_HEADER));
  });

  it('takes no frame shorter than its header', () => {
    expect(validPrefixes(ARP_REQUEST.subarray(0, ETHERNET_HEADER), ethernetIsValid)).toEqual([]);
    expect(ethernetToString(ARP_REQUEST, 0, 13)).toBe('[ethernet: truncated]');
  });

  it('reads what it wrote', () => {
    fc.assert(
      fc.property(anyMac, anyMac, fc.nat(0xffff), (dst, src, etherType) => {
        const header = emitted((b, off) => ethernetEmit(b, off, dst, src, etherType));
        expect(ethernetParse(header, 0)).toEqual({ dst, src, etherType });
      }),
    );
  });
});
