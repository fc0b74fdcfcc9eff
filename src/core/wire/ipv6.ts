/**
 * IPv6 header (RFC 8200 §3, §4): as much of it as segmentation and checksums need.
 *
 * ```
 *  0                           4             6      7      8
 *  +---------------------------+-------------+------+------+
 *  |v |class|    flow label    |payload len  | next | hops |
 *  +---------------------------+-------------+------+------+
 *  8                          24                          40
 *  +---------------------------+---------------------------+---------------------
 *  |      source (16)          |    destination (16)       | extension headers …
 *  +---------------------------+---------------------------+---------------------
 * ```
 *
 * Extension headers are walked to the upper layer; at most {@link IPV6_MAX_EXTENSIONS} of them (RFC 8504 §5.3 lets a
 * node limit them). Jumbograms (payload length 0 with hop-by-hop option) are not taken.
 */

import { get16, put16 } from '../base/bytes.ts';
import { sumBytes } from '../base/checksum.ts';

const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const SRC = 8;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION = 60;

/** Bytes of the fixed header. */
export const IPV6_HEADER = 40;
/** Extension headers that are walked. */
export const IPV6_MAX_EXTENSIONS = 8;

/** Version 6, and a payload that ends in `[off, end)`. */
export function ipv6IsValid(b: Uint8Array, off: number, end: number): boolean {
  return end - off >= IPV6_HEADER && b[off]! >>> 4 === 6 && IPV6_HEADER + ipv6PayloadLength(b, off) <= end - off;
}

/** Bytes behind the fixed header, extension headers included. */
export function ipv6PayloadLength(b: Uint8Array, off: number): number {
  return get16(b, off + PAYLOAD_LENGTH);
}

/** Stores the payload length. */
export function ipv6PutPayloadLength(b: Uint8Array, off: number, length: number): void {
  put16(b, off + PAYLOAD_LENGTH, length);
}

/**
 * Where the upper layer of a valid packet begins, and which it is: bytes from `off`, shifted left by 8, plus the protocol
 * number. −1 for a fragment, for too many extension headers, and for one that leaves the packet.
 */
export function ipv6UpperLayer(b: Uint8Array, off: number): number {
  const end = off + IPV6_HEADER + ipv6PayloadLength(b, off);
  let next = b[off + NEXT_HEADER]!;
  let at = off + IPV6_HEADER;
  for (let i = 0; next === HOP_BY_HOP || next === ROUTING || next === DESTINATION; i++) {
    if (i === IPV6_MAX_EXTENSIONS || at + 8 > end) return -1;
    next = b[at]!;
    at += (b[at + 1]! + 1) * 8;
  }
  return next === FRAGMENT || at > end ? -1 : ((at - off) << 8) | next;
}

/** Running sum of the pseudo-header (RFC 8200 §8.1) for an upper layer of `length` bytes. */
export function ipv6PseudoSum(b: Uint8Array, off: number, protocol: number, length: number): number {
  return sumBytes(b, off + SRC, 32) + protocol + length;
}
