import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ARP_LENGTH, ARP_OP, arpEmit, arpIsValid, arpParse, arpToString } from '../../../src/core/wire/arp.ts';
import { emitted, hexOf, surrounded, validPrefixes } from '../../support/bytes.ts';
import { ARP_REPLY, ARP_REQUEST } from '../../support/captures.ts';

const A = 0x0200_0000_000a;
const B = 0x0200_0000_000b;
const IP_A = 0xc0a85801;
const IP_B = 0xc0a85802;
const request = ARP_REQUEST.subarray(14);
const reply = ARP_REPLY.subarray(14);

describe('arp', () => {
  it('reads a captured request and its reply', () => {
    const b = surrounded(request, 5);
    expect(arpIsValid(b, 5, 5 + ARP_LENGTH)).toBe(true);
    expect(arpParse(b, 5)).toEqual({ op: ARP_OP.REQUEST, sha: A, spa: IP_A, tha: 0, tpa: IP_B });
    expect(arpParse(reply, 0)).toEqual({ op: ARP_OP.REPLY, sha: B, spa: IP_B, tha: A, tpa: IP_A });
    expect(arpToString(b, 5, b.length)).toBe('ARP, Request who-has 192.168.88.2 tell 192.168.88.1');
    expect(arpToString(reply, 0, reply.length)).toBe('ARP, Reply 192.168.88.2 is-at 02:00:00:00:00:0b');
  });

  it('writes the captured request and reply', () => {
    expect(hexOf(emitted((b, off) => arpEmit(b, off, ARP_OP.REQUEST, A, IP_A, 0, IP_B)))).toBe(hexOf(request));
    expect(hexOf(emitted((b, off) => arpEmit(b, off, ARP_OP.REPLY, B, IP_B, A, IP_A)))).toBe(hexOf(reply));
  });

  it('takes no truncated packet, and ignores Ethernet padding', () => {
    expect(validPrefixes(request, arpIsValid)).toEqual([]);
    expect(arpIsValid(surrounded(request, 0, 18), 0, 46)).toBe(true);
    expect(arpToString(request, 0, 27)).toBe('[arp: malformed]');
  });

  it.each([
    ['hardware type', 1],
    ['protocol type', 3],
    ['hardware address length', 4],
    ['protocol address length', 5],
  ])('takes no packet with another %s', (_name, index) => {
    const other = Uint8Array.from(request);
    other[index]! ^= 2;
    expect(arpIsValid(other, 0, other.length)).toBe(false);
  });

  it('reads what it wrote', () => {
    const mac = fc.nat(0xffff_ffff_ffff);
    const address = fc.nat(0xffff_ffff);
    fc.assert(
      fc.property(fc.nat(0xffff), mac, address, mac, address, (op, sha, spa, tha, tpa) => {
        const packet = emitted((b, off) => arpEmit(b, off, op, sha, spa, tha, tpa));
        expect(arpIsValid(packet, 0, packet.length)).toBe(true);
        expect(arpParse(packet, 0)).toEqual({ op, sha, spa, tha, tpa });
      }),
    );
  });
});
