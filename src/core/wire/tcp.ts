/**
 * TCP header and options (RFC 9293 §3.1, §3.2; RFC 7323; RFC 2018).
 *
 * ```
 *  0             2             4                           8                          12
 *  +-------------+-------------+---------------------------+---------------------------+
 *  | source port |  dest port  |      sequence number      |   acknowledgment number   |
 *  +-------------+-------------+---------------------------+---------------------------+
 *  12     13     14            16            18            20
 *  +------+------+-------------+-------------+-------------+
 *  |off|0 |flags |   window    |  checksum   | urgent ptr  | options …
 *  +------+------+-------------+-------------+-------------+
 * ```
 *
 * Sequence numbers are returned as signed 32-bit numbers and compared by `base/seq.ts`. Options are walked once a
 * segment into a {@link TcpOptions} that the caller keeps: no allocation. Unknown options are skipped (RFC 9293
 * MUST-6); an option whose length is less than 2 or leaves the header ends the walk (MUST-7), what came before stands.
 */

import { get16, get32, getInt32, put16, put32 } from '../base/bytes.ts';
import { finish, foldSum, sumBytes } from '../base/checksum.ts';

const SRC_PORT = 0;
const DST_PORT = 2;
const SEQ = 4;
const ACK = 8;
const DATA_OFFSET = 12;
const FLAGS = 13;
const WINDOW = 14;
const URGENT = 18;

/** Bytes of a header without options. */
export const TCP_HEADER = 20;
/** Where the checksum lies. */
export const TCP_CHECKSUM_OFFSET = 16;

/** Control bits (RFC 9293 §3.1, RFC 3168 §6.1). */
export const TCP = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ECE: 64, CWR: 128 } as const;

/** Option kinds (IANA "TCP Option Kind Numbers"). */
export const TCP_OPTION = {
  END: 0,
  NOP: 1,
  MSS: 2,
  WINDOW_SCALE: 3,
  SACK_PERMITTED: 4,
  SACK: 5,
  TIMESTAMP: 8,
} as const;

/** Largest shift that may be used (RFC 7323 §2.3); a larger one on the wire counts as this. */
export const TCP_MAX_WINDOW_SCALE = 14;

/** What {@link tcpParseOptions} found. One object is reused from segment to segment. */
export interface TcpOptions {
  /** Maximum segment size; 0 when absent. */
  mss: number;
  /** Window shift, 0 … 14; −1 when absent. */
  windowScale: number;
  sackPermitted: boolean;
  timestamp: boolean;
  /** TSval and TSecr, signed; meaningful only with `timestamp`. */
  tsVal: number;
  tsEcr: number;
  /** SACK blocks, 0 … 4; block i is `[sackEdges[2i], sackEdges[2i+1])`, as sent: the caller judges their sense. */
  sackCount: number;
  readonly sackEdges: Int32Array;
}

/** The fields of a header, as an object for tests and display. */
export interface TcpHeader {
  srcPort: number;
  dstPort: number;
  seq: number;
  ack: number;
  headerLength: number;
  flags: number;
  window: number;
}

/** An empty {@link TcpOptions}. */
export function tcpOptionsCreate(): TcpOptions {
  return {
    mss: 0,
    windowScale: -1,
    sackPermitted: false,
    timestamp: false,
    tsVal: 0,
    tsEcr: 0,
    sackCount: 0,
    sackEdges: new Int32Array(8),
  };
}

/** A header lies in `[off, end)`, and its data offset is at least 20 bytes and ends inside. */
export function tcpIsValid(b: Uint8Array, off: number, end: number): boolean {
  if (end - off < TCP_HEADER) return false;
  const headerLength = (b[off + DATA_OFFSET]! >>> 4) * 4;
  return headerLength >= TCP_HEADER && headerLength <= end - off;
}

/** Source port. */
export function tcpSrcPort(b: Uint8Array, off: number): number {
  return get16(b, off + SRC_PORT);
}

/** Destination port. */
export function tcpDstPort(b: Uint8Array, off: number): number {
  return get16(b, off + DST_PORT);
}

/** Sequence number, signed. */
export function tcpSeq(b: Uint8Array, off: number): number {
  return getInt32(b, off + SEQ);
}

/** Acknowledgment number, signed; meaningful only with ACK. */
export function tcpAck(b: Uint8Array, off: number): number {
  return getInt32(b, off + ACK);
}

/** Bytes of the header with options. */
export function tcpHeaderLength(b: Uint8Array, off: number): number {
  return (b[off + DATA_OFFSET]! >>> 4) * 4;
}

/** The eight control bits, see {@link TCP}. */
export function tcpFlags(b: Uint8Array, off: number): number {
  return b[off + FLAGS]!;
}

/** Window as on the wire, unscaled. */
export function tcpWindow(b: Uint8Array, off: number): number {
  return get16(b, off + WINDOW);
}

/** Urgent pointer; meaningful only with URG. */
export function tcpUrgent(b: Uint8Array, off: number): number {
  return get16(b, off + URGENT);
}

/** All fields of a valid header but its options. */
export function tcpParse(b: Uint8Array, off: number): TcpHeader {
  return {
    srcPort: tcpSrcPort(b, off),
    dstPort: tcpDstPort(b, off),
    seq: tcpSeq(b, off),
    ack: tcpAck(b, off),
    headerLength: tcpHeaderLength(b, off),
    flags: tcpFlags(b, off),
    window: tcpWindow(b, off),
  };
}

/** Fills `out` from the options of a valid header; fields of absent options are reset. */
export function tcpParseOptions(b: Uint8Array, off: number, out: TcpOptions): void {
  out.mss = 0;
  out.windowScale = -1;
  out.sackPermitted = false;
  out.timestamp = false;
  out.tsVal = 0;
  out.tsEcr = 0;
  out.sackCount = 0;
  const end = off + tcpHeaderLength(b, off);
  let at = off + TCP_HEADER;
  while (at < end) {
    const kind = b[at]!;
    if (kind === TCP_OPTION.END) return;
    if (kind === TCP_OPTION.NOP) {
      at++;
      continue;
    }
    // Of a kind in the very last byte this reads what lies behind the header, and the next line ends the walk.
    const length = b[at + 1]!;
    if (length < 2 || at + length > end) return;
    parseOption(b, at, kind, length, out);
    at += length;
  }
}

/** One option that lies inside of the header. A known kind with a length of another kind is skipped like an unknown one. */
function parseOption(b: Uint8Array, at: number, kind: number, length: number, out: TcpOptions): void {
  if (kind === TCP_OPTION.TIMESTAMP && length === 10) {
    out.timestamp = true;
    out.tsVal = getInt32(b, at + 2);
    out.tsEcr = getInt32(b, at + 6);
  } else if (kind === TCP_OPTION.SACK && length >= 10 && (length - 2) % 8 === 0) {
    out.sackCount = (length - 2) >> 3;
    for (let i = 0; i < out.sackCount * 2; i++) out.sackEdges[i] = getInt32(b, at + 2 + i * 4);
  } else if (kind === TCP_OPTION.MSS && length === 4) {
    out.mss = get16(b, at + 2);
  } else if (kind === TCP_OPTION.WINDOW_SCALE && length === 3) {
    out.windowScale = Math.min(b[at + 2]!, TCP_MAX_WINDOW_SCALE);
  } else if (kind === TCP_OPTION.SACK_PERMITTED && length === 2) {
    out.sackPermitted = true;
  }
}

/** Stores the sequence number. */
export function tcpPutSeq(b: Uint8Array, off: number, seq: number): void {
  put32(b, off + SEQ, seq);
}

/** Stores the control bits. */
export function tcpPutFlags(b: Uint8Array, off: number, flags: number): void {
  b[off + FLAGS] = flags;
}

/** The checksum of a segment that ends at `end` holds over the pseudo-header's sum. */
export function tcpChecksumIsRight(b: Uint8Array, off: number, end: number, pseudo: number): boolean {
  return foldSum(sumBytes(b, off, end - off, pseudo)) === 0xffff;
}

/** Computes and stores the checksum of a segment that ends at `end`. */
export function tcpFillChecksum(b: Uint8Array, off: number, end: number, pseudo: number): void {
  put16(b, off + TCP_CHECKSUM_OFFSET, 0);
  put16(b, off + TCP_CHECKSUM_OFFSET, finish(sumBytes(b, off, end - off, pseudo)));
}

/** Stores only the pseudo-header's sum, as CSUM.PARTIAL wants it: whoever needs the whole completes it. */
export function tcpPutPartialChecksum(b: Uint8Array, off: number, pseudo: number): void {
  put16(b, off + TCP_CHECKSUM_OFFSET, foldSum(pseudo));
}

/**
 * Writes the fixed 20 bytes of a header, checksum and urgent pointer 0; options from `off + 20` to `off +
 * dataOffsetBytes` (a multiple of 4, 20 … 60) are the caller's. Returns `dataOffsetBytes`.
 */
export function tcpEmit(
  b: Uint8Array,
  off: number,
  srcPort: number,
  dstPort: number,
  seq: number,
  ack: number,
  dataOffsetBytes: number,
  flags: number,
  window: number,
): number {
  put16(b, off + SRC_PORT, srcPort);
  put16(b, off + DST_PORT, dstPort);
  put32(b, off + SEQ, seq);
  put32(b, off + ACK, ack);
  b[off + DATA_OFFSET] = dataOffsetBytes << 2;
  b[off + FLAGS] = flags;
  put16(b, off + WINDOW, window);
  put16(b, off + TCP_CHECKSUM_OFFSET, 0);
  put16(b, off + URGENT, 0);
  return dataOffsetBytes;
}

/** Writes an MSS option; returns 4. */
export function tcpEmitMss(b: Uint8Array, at: number, mss: number): number {
  b[at] = TCP_OPTION.MSS;
  b[at + 1] = 4;
  put16(b, at + 2, mss);
  return 4;
}

/** Writes NOP and a window scale option; returns 4. */
export function tcpEmitWindowScale(b: Uint8Array, at: number, shift: number): number {
  b[at] = TCP_OPTION.NOP;
  b[at + 1] = TCP_OPTION.WINDOW_SCALE;
  b[at + 2] = 3;
  b[at + 3] = shift;
  return 4;
}

/** Writes NOP, NOP and SACK-permitted; returns 4. */
export function tcpEmitSackPermitted(b: Uint8Array, at: number): number {
  b[at] = TCP_OPTION.NOP;
  b[at + 1] = TCP_OPTION.NOP;
  b[at + 2] = TCP_OPTION.SACK_PERMITTED;
  b[at + 3] = 2;
  return 4;
}

/** Writes NOP, NOP and timestamps (the layout of RFC 7323 appendix A); returns 12. */
export function tcpEmitTimestamps(b: Uint8Array, at: number, tsVal: number, tsEcr: number): number {
  b[at] = TCP_OPTION.NOP;
  b[at + 1] = TCP_OPTION.NOP;
  b[at + 2] = TCP_OPTION.TIMESTAMP;
  b[at + 3] = 10;
  put32(b, at + 4, tsVal);
  put32(b, at + 8, tsEcr);
  return 12;
}

/** Writes NOP, NOP and `count` (1 … 4) SACK blocks from `edges`, two numbers a block; returns 4 + 8 × count. */
export function tcpEmitSack(b: Uint8Array, at: number, edges: Int32Array, count: number): number {
  b[at] = TCP_OPTION.NOP;
  b[at + 1] = TCP_OPTION.NOP;
  b[at + 2] = TCP_OPTION.SACK;
  b[at + 3] = 2 + 8 * count;
  for (let i = 0; i < 2 * count; i++) put32(b, at + 4 + 4 * i, edges[i]!);
  return 4 + 8 * count;
}

const FLAG_LETTERS = [
  [TCP.FIN, 'F'],
  [TCP.SYN, 'S'],
  [TCP.RST, 'R'],
  [TCP.PSH, 'P'],
  [TCP.ACK, '.'],
  [TCP.URG, 'U'],
  [TCP.ECE, 'E'],
  [TCP.CWR, 'W'],
] as const;

/** `TCP 40000 > 80: Flags [S.], seq 1, ack 2, win 65535, length 0`; sequence numbers unsigned, `end` is the segment's. */
export function tcpToString(b: Uint8Array, off: number, end: number): string {
  if (!tcpIsValid(b, off, end)) return '[tcp: malformed]';
  const flags = tcpFlags(b, off);
  const letters = FLAG_LETTERS.filter(([bit]) => (flags & bit) !== 0).map(([, letter]) => letter);
  const ack = (flags & TCP.ACK) === 0 ? '' : `, ack ${get32(b, off + ACK)}`;
  const length = end - off - tcpHeaderLength(b, off);
  return (
    `TCP ${tcpSrcPort(b, off)} > ${tcpDstPort(b, off)}: Flags [${letters.join('') || 'none'}], ` +
    `seq ${get32(b, off + SEQ)}${ack}, win ${tcpWindow(b, off)}, length ${length}`
  );
}
