/**
 * ARP for IPv4 over Ethernet (RFC 826, RFC 5227).
 *
 * ```
 *  0       2       4   5   6       8                      14             18
 *  +-------+-------+---+---+-------+-----------------------+--------------+
 *  | htype | ptype |hln|pln|  op   |  sender hardware      | sender proto |
 *  +-------+-------+---+---+-------+-----------------------+--------------+
 *  18                      24             28
 *  +-----------------------+--------------+
 *  |  target hardware      | target proto |
 *  +-----------------------+--------------+
 * ```
 */

import { ipv4ToString, macToString } from '../base/address.ts';
import { get16, get32, getMac, put16, put32, putMac } from '../base/bytes.ts';

const HTYPE = 0;
const PTYPE = 2;
const HLEN = 4;
const PLEN = 5;
const OP = 6;
const SHA = 8;
const SPA = 14;
const THA = 18;
const TPA = 24;

const HTYPE_ETHERNET = 1;
const PTYPE_IPV4 = 0x0800;

/** Bytes of a packet. */
export const ARP_LENGTH = 28;

/** Values of ar$op. */
export const ARP_OP = { REQUEST: 1, REPLY: 2 } as const;

/** The fields of a packet, as an object for tests and display. Names as in RFC 826. */
export interface ArpPacket {
  op: number;
  sha: number;
  spa: number;
  tha: number;
  tpa: number;
}

/** A whole packet for Ethernet and IPv4 lies in `[off, end)`; padding behind it is ignored. Any operation passes. */
export function arpIsValid(b: Uint8Array, off: number, end: number): boolean {
  return (
    end - off >= ARP_LENGTH &&
    get16(b, off + HTYPE) === HTYPE_ETHERNET &&
    get16(b, off + PTYPE) === PTYPE_IPV4 &&
    b[off + HLEN] === 6 &&
    b[off + PLEN] === 4
  );
}

/** Operation, see {@link ARP_OP}. */
export function arpOp(b: Uint8Array, off: number): number {
  return get16(b, off + OP);
}

/** Sender's MAC address. */
export function arpSha(b: Uint8Array, off: number): number {
  return getMac(b, off + SHA);
}

/** Sender's IPv4 address; 0 in a probe (RFC 5227 §2.1.1). */
export function arpSpa(b: Uint8Array, off: number): number {
  return get32(b, off + SPA);
}

/** Target's MAC address; without meaning in a request. */
export function arpTha(b: Uint8Array, off: number): number {
  return getMac(b, off + THA);
}

/** Target's IPv4 address. */
export function arpTpa(b: Uint8Array, off: number): number {
  return get32(b, off + TPA);
}

/** All fields of a valid packet. */
export function arpParse(b: Uint8Array, off: number): ArpPacket {
  return { op: arpOp(b, off), sha: arpSha(b, off), spa: arpSpa(b, off), tha: arpTha(b, off), tpa: arpTpa(b, off) };
}

/** Writes a packet; returns its 28 bytes. */
export function arpEmit(
  b: Uint8Array,
  off: number,
  op: number,
  sha: number,
  spa: number,
  tha: number,
  tpa: number,
): number {
  put16(b, off + HTYPE, HTYPE_ETHERNET);
  put16(b, off + PTYPE, PTYPE_IPV4);
  b[off + HLEN] = 6;
  b[off + PLEN] = 4;
  put16(b, off + OP, op);
  putMac(b, off + SHA, sha);
  put32(b, off + SPA, spa);
  putMac(b, off + THA, tha);
  put32(b, off + TPA, tpa);
  return ARP_LENGTH;
}

/** `ARP, Request who-has 10.0.0.2 tell 10.0.0.1`. */
export function arpToString(b: Uint8Array, off: number, end: number): string {
  if (!arpIsValid(b, off, end)) return '[arp: malformed]';
  const { op, sha, spa, tpa } = arpParse(b, off);
  if (op === ARP_OP.REQUEST) return `ARP, Request who-has ${ipv4ToString(tpa)} tell ${ipv4ToString(spa)}`;
  if (op === ARP_OP.REPLY) return `ARP, Reply ${ipv4ToString(spa)} is-at ${macToString(sha)}`;
  return `ARP, op ${op}`;
}
