/**
 * Ethernet II header (IEEE 802.3 clause 3, DIX).
 *
 * ```
 *  0                       6                      12      14
 *  +-----------------------+-----------------------+-------+----------
 *  |      destination      |        source         | type  | payload …
 *  +-----------------------+-----------------------+-------+----------
 * ```
 *
 * No FCS is ever present. Short payloads may be padded to 46 bytes, so the length of a packet comes from its own header.
 */

import { macToString } from '../base/address.ts';
import { get16, getMac, put16, putMac } from '../base/bytes.ts';

const DST = 0;
const SRC = 6;
const TYPE = 12;

/** Bytes of the header. */
export const ETHERNET_HEADER = 14;

/** ff:ff:ff:ff:ff:ff. */
export const MAC_BROADCAST = 0xffff_ffff_ffff;

/** EtherTypes (IANA "IEEE 802 Numbers"). */
export const ETHER_TYPE = { IPV4: 0x0800, ARP: 0x0806, VLAN: 0x8100, IPV6: 0x86dd } as const;

/** The fields of a header, as an object for tests and display. */
export interface EthernetHeader {
  dst: number;
  src: number;
  etherType: number;
}

/** A whole header lies in `[off, end)`. */
export function ethernetIsValid(_b: Uint8Array, off: number, end: number): boolean {
  return end - off >= ETHERNET_HEADER;
}

/** Destination, a 48-bit number. */
export function ethernetDst(b: Uint8Array, off: number): number {
  return getMac(b, off + DST);
}

/** Source, a 48-bit number. */
export function ethernetSrc(b: Uint8Array, off: number): number {
  return getMac(b, off + SRC);
}

/** EtherType; below 1536 an IEEE 802.3 length. */
export function ethernetType(b: Uint8Array, off: number): number {
  return get16(b, off + TYPE);
}

/** All fields of a valid header. */
export function ethernetParse(b: Uint8Array, off: number): EthernetHeader {
  return { dst: ethernetDst(b, off), src: ethernetSrc(b, off), etherType: ethernetType(b, off) };
}

/** Writes a header; returns its 14 bytes. */
export function ethernetEmit(b: Uint8Array, off: number, dst: number, src: number, etherType: number): number {
  putMac(b, off + DST, dst);
  putMac(b, off + SRC, src);
  put16(b, off + TYPE, etherType);
  return ETHERNET_HEADER;
}

/** `02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, ethertype 0x0806`. */
export function ethernetToString(b: Uint8Array, off: number, end: number): string {
  if (!ethernetIsValid(b, off, end)) return '[ethernet: truncated]';
  const type = ethernetType(b, off).toString(16).padStart(4, '0');
  return `${macToString(ethernetSrc(b, off))} > ${macToString(ethernetDst(b, off))}, ethertype 0x${type}`;
}
