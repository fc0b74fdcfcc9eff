/**
 * UDP header (RFC 768).
 *
 * ```
 *  0             2             4             6             8
 *  +-------------+-------------+-------------+-------------+----------
 *  | source port |  dest port  |   length    |  checksum   | payload …
 *  +-------------+-------------+-------------+-------------+----------
 * ```
 *
 * The length counts the header. A checksum of 0 means "none" over IPv4 and is illegal over IPv6, therefore a computed 0
 * is sent as 0xffff.
 */

import { get16, put16 } from '../base/bytes.ts';
import { finish, foldSum, sumBytes } from '../base/checksum.ts';

const SRC_PORT = 0;
const DST_PORT = 2;
const LENGTH = 4;

/** Bytes of the header. */
export const UDP_HEADER = 8;
/** Where the checksum lies. */
export const UDP_CHECKSUM_OFFSET = 6;

/** The fields of a header, as an object for tests and display. */
export interface UdpHeader {
  srcPort: number;
  dstPort: number;
  length: number;
}

/** A header lies in `[off, end)`, and its length holds the header and ends inside. */
export function udpIsValid(b: Uint8Array, off: number, end: number): boolean {
  if (end - off < UDP_HEADER) return false;
  const length = get16(b, off + LENGTH);
  return length >= UDP_HEADER && length <= end - off;
}

/** Source port; 0 is legal: no reply is expected. */
export function udpSrcPort(b: Uint8Array, off: number): number {
  return get16(b, off + SRC_PORT);
}

/** Destination port. */
export function udpDstPort(b: Uint8Array, off: number): number {
  return get16(b, off + DST_PORT);
}

/** Bytes of header and payload. */
export function udpLength(b: Uint8Array, off: number): number {
  return get16(b, off + LENGTH);
}

/** The stored checksum; 0 means that the sender made none. */
export function udpChecksum(b: Uint8Array, off: number): number {
  return get16(b, off + UDP_CHECKSUM_OFFSET);
}

/** All fields of a valid header. */
export function udpParse(b: Uint8Array, off: number): UdpHeader {
  return { srcPort: udpSrcPort(b, off), dstPort: udpDstPort(b, off), length: udpLength(b, off) };
}

/** Stores the length of header and payload. */
export function udpPutLength(b: Uint8Array, off: number, length: number): void {
  put16(b, off + LENGTH, length);
}

/** The checksum holds over the pseudo-header's sum, or there is none (which only IPv4 allows; the caller knows). */
export function udpChecksumIsRight(b: Uint8Array, off: number, pseudo: number): boolean {
  return udpChecksum(b, off) === 0 || foldSum(sumBytes(b, off, udpLength(b, off), pseudo)) === 0xffff;
}

/** Computes and stores the checksum of a datagram whose header and payload are in place. */
export function udpFillChecksum(b: Uint8Array, off: number, pseudo: number): void {
  put16(b, off + UDP_CHECKSUM_OFFSET, 0);
  put16(b, off + UDP_CHECKSUM_OFFSET, finish(sumBytes(b, off, udpLength(b, off), pseudo)) || 0xffff);
}

/** Writes a header with checksum 0; `length` counts the header. Returns its 8 bytes. */
export function udpEmit(b: Uint8Array, off: number, srcPort: number, dstPort: number, length: number): number {
  put16(b, off + SRC_PORT, srcPort);
  put16(b, off + DST_PORT, dstPort);
  put16(b, off + LENGTH, length);
  put16(b, off + UDP_CHECKSUM_OFFSET, 0);
  return UDP_HEADER;
}

/** `UDP 5353 > 53, length 32` with the payload's length. */
export function udpToString(b: Uint8Array, off: number, end: number): string {
  if (!udpIsValid(b, off, end)) return '[udp: malformed]';
  const h = udpParse(b, off);
  return `UDP ${h.srcPort} > ${h.dstPort}, length ${h.length - UDP_HEADER}`;
}
