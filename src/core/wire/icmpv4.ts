/**
 * ICMP for IPv4 (RFC 792, RFC 1122 §3.2.2, RFC 1191 for the next-hop MTU).
 *
 * ```
 *  0      1      2             4                           8
 *  +------+------+-------------+---------------------------+--------------------------------
 *  | type | code |  checksum   | rest: id+seq, MTU, or 0   | payload, or the quoted packet …
 *  +------+------+-------------+---------------------------+--------------------------------
 * ```
 *
 * The checksum covers header and payload, without a pseudo-header. An error quotes the packet that caused it; our errors
 * stay within 576 bytes of IPv4 packet (RFC 1812 §4.3.2.3).
 */

import { copyBytes, get16, get32, put16, put32 } from '../base/bytes.ts';
import { finish, foldSum, sumBytes } from '../base/checksum.ts';

const TYPE = 0;
const CODE = 1;
const CHECKSUM = 2;
const REST = 4;
const SEQUENCE = 6;

/** Bytes of the header. */
export const ICMPV4_HEADER = 8;

/** Bytes that an error quotes at most: 576 − IPv4 header − ICMP header. */
export const ICMPV4_MAX_QUOTE = 576 - 20 - 8;

/** Message types (IANA "ICMP Type Numbers"). */
export const ICMPV4 = {
  ECHO_REPLY: 0,
  UNREACHABLE: 3,
  REDIRECT: 5,
  ECHO_REQUEST: 8,
  TIME_EXCEEDED: 11,
  PARAMETER_PROBLEM: 12,
} as const;

/** Codes of `ICMPV4.UNREACHABLE` (RFC 792, RFC 1812 §5.2.7.1). */
export const ICMPV4_UNREACHABLE = {
  NET: 0,
  HOST: 1,
  PROTOCOL: 2,
  PORT: 3,
  FRAGMENTATION_NEEDED: 4,
  ADMIN_PROHIBITED: 13,
} as const;

/** Codes of `ICMPV4.TIME_EXCEEDED`. */
export const ICMPV4_TIME_EXCEEDED = { TTL: 0, REASSEMBLY: 1 } as const;

/** The fields of a message, as an object for tests and display. */
export interface Icmpv4Header {
  type: number;
  code: number;
  /** The four bytes behind the checksum. */
  rest: number;
}

/** A header lies in `[off, end)`. */
export function icmpv4IsValid(_b: Uint8Array, off: number, end: number): boolean {
  return end - off >= ICMPV4_HEADER;
}

/** Type, see {@link ICMPV4}. */
export function icmpv4Type(b: Uint8Array, off: number): number {
  return b[off + TYPE]!;
}

/** Code, a refinement of the type. */
export function icmpv4Code(b: Uint8Array, off: number): number {
  return b[off + CODE]!;
}

/** The four bytes behind the checksum, unsigned. */
export function icmpv4Rest(b: Uint8Array, off: number): number {
  return get32(b, off + REST);
}

/** Identifier of an echo. */
export function icmpv4Identifier(b: Uint8Array, off: number): number {
  return get16(b, off + REST);
}

/** Sequence number of an echo. */
export function icmpv4Sequence(b: Uint8Array, off: number): number {
  return get16(b, off + SEQUENCE);
}

/** The message reports an error about another packet: no error may ever answer it (RFC 1122 §3.2.2). */
export function icmpv4IsError(b: Uint8Array, off: number): boolean {
  const type = icmpv4Type(b, off);
  return type === 3 || type === 4 || type === 5 || type === 11 || type === 12;
}

/** All fields of a valid header. */
export function icmpv4Parse(b: Uint8Array, off: number): Icmpv4Header {
  return { type: icmpv4Type(b, off), code: icmpv4Code(b, off), rest: icmpv4Rest(b, off) };
}

/** The checksum of the message `[off, end)` holds. */
export function icmpv4ChecksumIsRight(b: Uint8Array, off: number, end: number): boolean {
  return foldSum(sumBytes(b, off, end - off)) === 0xffff;
}

/** Computes and stores the checksum of the message `[off, end)`. */
export function icmpv4FillChecksum(b: Uint8Array, off: number, end: number): void {
  put16(b, off + CHECKSUM, 0);
  put16(b, off + CHECKSUM, finish(sumBytes(b, off, end - off)));
}

/**
 * Writes the header of an echo request or reply before a payload that already lies at `off + 8`, checksum included.
 * Returns the message's length.
 */
export function icmpv4EmitEcho(
  b: Uint8Array,
  off: number,
  type: number,
  identifier: number,
  sequence: number,
  payloadLength: number,
): number {
  b[off + TYPE] = type;
  b[off + CODE] = 0;
  put16(b, off + REST, identifier);
  put16(b, off + SEQUENCE, sequence);
  icmpv4FillChecksum(b, off, off + ICMPV4_HEADER + payloadLength);
  return ICMPV4_HEADER + payloadLength;
}

/**
 * Writes an error that quotes `[quotedOff, quotedOff + quotedLength)` of `quoted`, an IPv4 packet from its header on, cut
 * at {@link ICMPV4_MAX_QUOTE}, checksum included. `rest` is 0 or, for fragmentation needed, the next hop's MTU. `quoted`
 * may be `b` itself, even overlapping. Returns the message's length.
 */
export function icmpv4EmitError(
  b: Uint8Array,
  off: number,
  type: number,
  code: number,
  rest: number,
  quoted: Uint8Array,
  quotedOff: number,
  quotedLength: number,
): number {
  const length = Math.min(quotedLength, ICMPV4_MAX_QUOTE);
  // First the quote: the header may overwrite where it lies.
  copyBytes(b, off + ICMPV4_HEADER, quoted, quotedOff, length);
  b[off + TYPE] = type;
  b[off + CODE] = code;
  put32(b, off + REST, rest);
  icmpv4FillChecksum(b, off, off + ICMPV4_HEADER + length);
  return ICMPV4_HEADER + length;
}

/** `ICMP echo request, id 1, seq 2, length 64`. */
export function icmpv4ToString(b: Uint8Array, off: number, end: number): string {
  if (!icmpv4IsValid(b, off, end)) return '[icmp: truncated]';
  const type = icmpv4Type(b, off);
  const length = `length ${end - off}`;
  if (type === ICMPV4.ECHO_REQUEST || type === ICMPV4.ECHO_REPLY) {
    const kind = type === ICMPV4.ECHO_REQUEST ? 'request' : 'reply';
    return `ICMP echo ${kind}, id ${icmpv4Identifier(b, off)}, seq ${icmpv4Sequence(b, off)}, ${length}`;
  }
  return `ICMP type ${type}, code ${icmpv4Code(b, off)}, ${length}`;
}
