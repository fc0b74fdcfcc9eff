/**
 * IPv4 header (RFC 791 §3.1).
 *
 * ```
 *   0      1      2             4             6
 *  +------+------+-------------+-------------+-------------+
 *  |v |ihl| tos  |total length |     id      |flags, offset|
 *  +------+------+-------------+-------------+-------------+
 *   8      9     10            12                           16            20
 *  +------+------+-------------+---------------------------+-------------+
 *  | ttl  |proto |  checksum   |          source           | destination | options …
 *  +------+------+-------------+---------------------------+-------------+
 * ```
 *
 * The end of a packet is `off + ipv4TotalLength`, never the end of the frame: Ethernet padding may follow. Options are
 * tolerated and skipped by header length; emitted headers have none.
 */

import { ipv4ToString as addressToString } from '../base/address.ts';
import { get16, get32, put16, put32 } from '../base/bytes.ts';
import { finish, foldSum, sumBytes } from '../base/checksum.ts';

const VERSION_IHL = 0;
const TOS = 1;
const TOTAL_LENGTH = 2;
const ID = 4;
const FLAGS_FRAGMENT = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SRC = 12;
const DST = 16;

/** Bytes of a header without options. */
export const IPV4_HEADER = 20;

/** Don't fragment, in the 16-bit word of flags and offset. */
export const IPV4_DF = 0x4000;
/** More fragments follow. */
export const IPV4_MF = 0x2000;

/** Protocol numbers (IANA), shared by IPv4 and IPv6. */
export const IP_PROTOCOL = { ICMP: 1, IGMP: 2, TCP: 6, UDP: 17, ICMPV6: 58 } as const;

/** The fields of a header, as an object for tests, tools and cold paths. */
export interface Ipv4Header {
  tos: number;
  totalLength: number;
  id: number;
  /** Flags and fragment offset in 8-byte units, as on the wire. */
  flagsFragment: number;
  ttl: number;
  protocol: number;
  src: number;
  dst: number;
}

/** Version 4, a header length of at least 20, and a total length that holds the header and lies in `[off, end)`. */
export function ipv4IsValid(b: Uint8Array, off: number, end: number): boolean {
  if (end - off < IPV4_HEADER) return false;
  const versionIhl = b[off]!;
  if (versionIhl < 0x45 || versionIhl > 0x4f) return false;
  const total = get16(b, off + TOTAL_LENGTH);
  return total >= (versionIhl & 15) * 4 && total <= end - off;
}

/** Bytes of the header with options. */
export function ipv4HeaderLength(b: Uint8Array, off: number): number {
  return (b[off + VERSION_IHL]! & 15) * 4;
}

/** Type of service: DSCP and ECN. */
export function ipv4Tos(b: Uint8Array, off: number): number {
  return b[off + TOS]!;
}

/** Bytes of header and payload. */
export function ipv4TotalLength(b: Uint8Array, off: number): number {
  return get16(b, off + TOTAL_LENGTH);
}

/** Identification. */
export function ipv4Id(b: Uint8Array, off: number): number {
  return get16(b, off + ID);
}

/** The 16-bit word of flags and fragment offset. */
export function ipv4FlagsFragment(b: Uint8Array, off: number): number {
  return get16(b, off + FLAGS_FRAGMENT);
}

/** DF is set. */
export function ipv4DontFragment(b: Uint8Array, off: number): boolean {
  return (b[off + FLAGS_FRAGMENT]! & 0x40) !== 0;
}

/** MF is set. */
export function ipv4MoreFragments(b: Uint8Array, off: number): boolean {
  return (b[off + FLAGS_FRAGMENT]! & 0x20) !== 0;
}

/** Where the payload belongs in the whole datagram, bytes. */
export function ipv4FragmentOffset(b: Uint8Array, off: number): number {
  return (get16(b, off + FLAGS_FRAGMENT) & 0x1fff) * 8;
}

/** The packet is a part of a datagram: MF, or an offset. */
export function ipv4IsFragment(b: Uint8Array, off: number): boolean {
  return (get16(b, off + FLAGS_FRAGMENT) & 0x3fff) !== 0;
}

/** Time to live. */
export function ipv4Ttl(b: Uint8Array, off: number): number {
  return b[off + TTL]!;
}

/** Protocol, see {@link IP_PROTOCOL}. */
export function ipv4Protocol(b: Uint8Array, off: number): number {
  return b[off + PROTOCOL]!;
}

/** Source, unsigned. */
export function ipv4Src(b: Uint8Array, off: number): number {
  return get32(b, off + SRC);
}

/** Destination, unsigned. */
export function ipv4Dst(b: Uint8Array, off: number): number {
  return get32(b, off + DST);
}

/** All fields of a valid header but its options. */
export function ipv4Parse(b: Uint8Array, off: number): Ipv4Header {
  return {
    tos: ipv4Tos(b, off),
    totalLength: ipv4TotalLength(b, off),
    id: ipv4Id(b, off),
    flagsFragment: ipv4FlagsFragment(b, off),
    ttl: ipv4Ttl(b, off),
    protocol: ipv4Protocol(b, off),
    src: ipv4Src(b, off),
    dst: ipv4Dst(b, off),
  };
}

/** Stores the total length; the checksum is to be filled anew. */
export function ipv4PutTotalLength(b: Uint8Array, off: number, totalLength: number): void {
  put16(b, off + TOTAL_LENGTH, totalLength);
}

/** Stores the identification; the checksum is to be filled anew. */
export function ipv4PutId(b: Uint8Array, off: number, id: number): void {
  put16(b, off + ID, id);
}

/** The header's checksum holds (options included). */
export function ipv4ChecksumIsRight(b: Uint8Array, off: number): boolean {
  return foldSum(sumBytes(b, off, ipv4HeaderLength(b, off))) === 0xffff;
}

/** Computes and stores the checksum of a header whose other fields are final. */
export function ipv4FillChecksum(b: Uint8Array, off: number): void {
  put16(b, off + CHECKSUM, 0);
  put16(b, off + CHECKSUM, finish(sumBytes(b, off, ipv4HeaderLength(b, off))));
}

/**
 * Writes a header without options, checksum included, type of service 0; returns its 20 bytes. The sum is made from the
 * arguments: no byte is read back.
 */
export function ipv4Emit(
  b: Uint8Array,
  off: number,
  totalLength: number,
  id: number,
  flagsFragment: number,
  ttl: number,
  protocol: number,
  src: number,
  dst: number,
): number {
  b[off + VERSION_IHL] = 0x45;
  b[off + TOS] = 0;
  put16(b, off + TOTAL_LENGTH, totalLength);
  put16(b, off + ID, id);
  put16(b, off + FLAGS_FRAGMENT, flagsFragment);
  b[off + TTL] = ttl;
  b[off + PROTOCOL] = protocol;
  put32(b, off + SRC, src);
  put32(b, off + DST, dst);
  const sum =
    0x4500 +
    (totalLength & 0xffff) +
    (id & 0xffff) +
    (flagsFragment & 0xffff) +
    ((ttl & 255) << 8) +
    (protocol & 255) +
    (src >>> 16) +
    (src & 0xffff) +
    (dst >>> 16) +
    (dst & 0xffff);
  put16(b, off + CHECKSUM, finish(sum));
  return IPV4_HEADER;
}

/** {@link ipv4Emit} from named fields, type of service included, for cold paths. */
export function ipv4EmitHeader(b: Uint8Array, off: number, h: Ipv4Header): number {
  ipv4Emit(b, off, h.totalLength, h.id, h.flagsFragment, h.ttl, h.protocol, h.src, h.dst);
  b[off + TOS] = h.tos;
  ipv4FillChecksum(b, off);
  return IPV4_HEADER;
}

/** `IP 10.0.0.1 > 10.0.0.2: proto 6, ttl 64, id 7, length 40, DF`. */
export function ipv4HeaderToString(b: Uint8Array, off: number, end: number): string {
  if (!ipv4IsValid(b, off, end)) return '[ipv4: malformed]';
  const h = ipv4Parse(b, off);
  const parts = [`proto ${h.protocol}`, `ttl ${h.ttl}`, `id ${h.id}`, `length ${h.totalLength}`];
  if (ipv4DontFragment(b, off)) parts.push('DF');
  if (ipv4IsFragment(b, off)) parts.push(`frag ${ipv4FragmentOffset(b, off)}${ipv4MoreFragments(b, off) ? '+' : ''}`);
  return `IP ${addressToString(h.src)} > ${addressToString(h.dst)}: ${parts.join(', ')}`;
}
