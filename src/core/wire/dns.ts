/**
 * DNS message: header, names, one question, and the few records that we answer ourselves (RFC 1035 §4, RFC 6891).
 *
 * ```
 *  0       2       4       6       8       10      12
 *  +-------+-------+-------+-------+-------+-------+-----------+------+------+----------
 *  |  id   | flags |qdcount|ancount|nscount|arcount| name …    | type | class| records …
 *  +-------+-------+-------+-------+-------+-------+-----------+------+------+----------
 *                                                   question
 * ```
 *
 * Names arrive as labels, perhaps ending in a pointer to an earlier place. A pointer is followed only to a place before
 * the labels that led to it, and a name is at most 255 bytes, so every walk ends. As strings names are lower-case,
 * without the last dot, the root being ''; a dot or backslash inside of a label becomes `\.` or `\\`, other bytes outside
 * of printable ASCII `\DDD` (RFC 1035 §5.1), so two different names never read alike.
 *
 * What we forward stays opaque: only id, flags and question are looked at. Replies of our own begin with
 * {@link dnsEmitReply}, which repeats the question; the `dnsAppend…` functions add records whose owner is the
 * question's name and raise the header's counters. They return the new end, or −1 (and count nothing) without room.
 */

import { ipv4FromString } from '../base/address.ts';
import { copyBytes, get16, put16, put32 } from '../base/bytes.ts';

const ID = 0;
const FLAGS = 2;
const QDCOUNT = 4;
const ANCOUNT = 6;
const NSCOUNT = 8;
const ARCOUNT = 10;

/** Bytes of the header; the question begins there. */
export const DNS_HEADER = 12;
/** Bytes of a UDP message without EDNS (RFC 1035 §4.2.1). */
export const DNS_MAX_PLAIN = 512;
/** The UDP port of servers. */
export const DNS_PORT = 53;

/** Bits of the flags word. */
export const DNS_FLAG = { QR: 0x8000, AA: 0x0400, TC: 0x0200, RD: 0x0100, RA: 0x0080, AD: 0x0020, CD: 0x0010 } as const;
/** Response codes, the low four bits of the flags word. */
export const DNS_RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
/** Record and question types (IANA "DNS Parameters"). */
export const DNS_TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  ANY: 255,
} as const;
/** Classes. */
export const DNS_CLASS = { IN: 1, ANY: 255 } as const;

const MAX_NAME = 255;
const MAX_LABEL = 63;
/** Pointer to the question's name. */
const QUESTION_POINTER = 0xc000 | DNS_HEADER;
/** type, class, ttl, rdlength. */
const RECORD_TAIL = 10;

/** The question of a message. */
export interface DnsQuestion {
  /** Lower-case, escaped, without the last dot. */
  name: string;
  type: number;
  class: number;
  /** Index behind the question. */
  end: number;
}

/** A header lies in `[off, end)`. What follows is checked where it is read. */
export function dnsIsValid(_b: Uint8Array, off: number, end: number): boolean {
  return end - off >= DNS_HEADER;
}

/** Message id. */
export function dnsId(b: Uint8Array, off: number): number {
  return get16(b, off + ID);
}

/** The flags word, see {@link DNS_FLAG}. */
export function dnsFlags(b: Uint8Array, off: number): number {
  return get16(b, off + FLAGS);
}

/** The message answers another (QR). */
export function dnsIsResponse(b: Uint8Array, off: number): boolean {
  return (b[off + FLAGS]! & 0x80) !== 0;
}

/** Kind of query; 0 is the ordinary one. */
export function dnsOpcode(b: Uint8Array, off: number): number {
  return (b[off + FLAGS]! >>> 3) & 15;
}

/** Response code, see {@link DNS_RCODE}. */
export function dnsRcode(b: Uint8Array, off: number): number {
  return b[off + FLAGS + 1]! & 15;
}

/** Number of questions as the header claims. */
export function dnsQuestionCount(b: Uint8Array, off: number): number {
  return get16(b, off + QDCOUNT);
}

/** Number of answers as the header claims. */
export function dnsAnswerCount(b: Uint8Array, off: number): number {
  return get16(b, off + ANCOUNT);
}

/** Replaces the id: that is all a forwarder changes. */
export function dnsPutId(b: Uint8Array, off: number, id: number): void {
  put16(b, off + ID, id);
}

/** Index behind the encoded name at `at` (behind its pointer, which is not followed), or −1 when it leaves `[.., end)`. */
export function dnsNameEnd(b: Uint8Array, at: number, end: number): number {
  const limit = Math.min(end, at + MAX_NAME);
  while (at < limit) {
    const length = b[at]!;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2 <= end ? at + 2 : -1;
    if (length > MAX_LABEL) return -1;
    at += 1 + length;
  }
  return -1;
}

/** The name at `at` of the message `[off, end)`, pointers followed; null when malformed, looping or too long. */
export function dnsNameToString(b: Uint8Array, off: number, at: number, end: number): string | null {
  let name = '';
  let bytes = 0;
  /** Where the run of labels that is being read began: a pointer has to lead before it. */
  let runStart = at;
  for (;;) {
    if (at >= end) return null;
    const length = b[at]!;
    if (length >= 0xc0) {
      if (at + 2 > end) return null;
      const target = off + (get16(b, at) & 0x3fff);
      if (target >= runStart || target < off + DNS_HEADER) return null;
      at = target;
      runStart = target;
      continue;
    }
    if (length > MAX_LABEL || at + 1 + length > end) return null;
    bytes += 1 + length;
    if (bytes > MAX_NAME) return null;
    if (length === 0) return name;
    if (name !== '') name += '.';
    for (let i = at + 1; i <= at + length; i++) name += charText(b[i]!);
    at += 1 + length;
  }
}

/** One byte of a label as text. */
function charText(c: number): string {
  if (c >= 0x41 && c <= 0x5a) return String.fromCharCode(c + 32);
  if (c === 0x2e || c === 0x5c) return `\\${String.fromCharCode(c)}`;
  if (c > 0x20 && c < 0x7f) return String.fromCharCode(c);
  return `\\${String(c).padStart(3, '0')}`;
}

/** The question of a message that has exactly one; null when there is another number of them or it is malformed. */
export function dnsParseQuestion(b: Uint8Array, off: number, end: number): DnsQuestion | null {
  if (!dnsIsValid(b, off, end) || dnsQuestionCount(b, off) !== 1) return null;
  const name = dnsNameToString(b, off, off + DNS_HEADER, end);
  const nameEnd = dnsNameEnd(b, off + DNS_HEADER, end);
  if (name === null || nameEnd < 0 || nameEnd + 4 > end) return null;
  return { name, type: get16(b, nameEnd), class: get16(b, nameEnd + 2), end: nameEnd + 4 };
}

/** Index behind the only question of a message, or −1: {@link dnsParseQuestion} without a string. */
export function dnsQuestionEnd(b: Uint8Array, off: number, end: number): number {
  if (!dnsIsValid(b, off, end) || dnsQuestionCount(b, off) !== 1) return -1;
  const nameEnd = dnsNameEnd(b, off + DNS_HEADER, end);
  // Nothing lies before the first name that its pointer could lead to.
  if (nameEnd < 0 || nameEnd + 4 > end || !isPlainName(b, off + DNS_HEADER)) return -1;
  return nameEnd + 4;
}

/** The name that {@link dnsNameEnd} found sound ends in the root label, not in a pointer. */
function isPlainName(b: Uint8Array, at: number): boolean {
  while (b[at]! !== 0) {
    if (b[at]! >= 0xc0) return false;
    at += 1 + b[at]!;
  }
  return true;
}

/** Both messages ask the same single question; letters compare without case (RFC 4343). */
export function dnsSameQuestion(
  a: Uint8Array,
  aOff: number,
  aEnd: number,
  b: Uint8Array,
  bOff: number,
  bEnd: number,
): boolean {
  const aQuestionEnd = dnsQuestionEnd(a, aOff, aEnd);
  const bQuestionEnd = dnsQuestionEnd(b, bOff, bEnd);
  if (aQuestionEnd < 0 || bQuestionEnd < 0 || aQuestionEnd - aOff !== bQuestionEnd - bOff) return false;
  const length = aQuestionEnd - aOff;
  for (let i = DNS_HEADER; i < length; i++) {
    const inName = i < length - 4;
    if (fold(a[aOff + i]!, inName) !== fold(b[bOff + i]!, inName)) return false;
  }
  return true;
}

/** Lower case within names. Length bytes (0 … 63) are no letters. */
function fold(c: number, inName: boolean): number {
  return inName && c >= 0x41 && c <= 0x5a ? c + 32 : c;
}

/**
 * The UDP size that the sender of a query takes: from its OPT record, at least 512 (RFC 6891 §6.2.3); 0 when it has no
 * OPT record, −1 when its records are malformed.
 */
export function dnsEdnsSize(b: Uint8Array, off: number, end: number): number {
  let at = dnsQuestionEnd(b, off, end);
  if (at < 0) return -1;
  // Every record takes at least 11 bytes, so the walk is bounded by the message, not by these counters.
  const records = get16(b, off + ANCOUNT) + get16(b, off + NSCOUNT) + get16(b, off + ARCOUNT);
  for (let i = 0; i < records; i++) {
    const tail = dnsNameEnd(b, at, end);
    if (tail < 0 || tail + RECORD_TAIL > end) return -1;
    if (get16(b, tail) === DNS_TYPE.OPT) return Math.max(DNS_MAX_PLAIN, get16(b, tail + 2));
    at = tail + RECORD_TAIL + get16(b, tail + 8);
    if (at > end) return -1;
  }
  return 0;
}

const REVERSE_SUFFIX = '.in-addr.arpa';

/** The address asked for by a name like `4.3.2.1.in-addr.arpa`, unsigned; −1 for any other name. */
export function dnsReverseToIpv4(name: string): number {
  if (!name.endsWith(REVERSE_SUFFIX)) return -1;
  return ipv4FromString(name.slice(0, -REVERSE_SUFFIX.length).split('.').reverse().join('.'));
}

/** Writes a header; returns its 12 bytes. */
export function dnsEmitHeader(
  b: Uint8Array,
  off: number,
  id: number,
  flags: number,
  questions: number,
  answers: number,
  authorities: number,
  additionals: number,
): number {
  put16(b, off + ID, id);
  put16(b, off + FLAGS, flags);
  put16(b, off + QDCOUNT, questions);
  put16(b, off + ANCOUNT, answers);
  put16(b, off + NSCOUNT, authorities);
  put16(b, off + ARCOUNT, additionals);
  return DNS_HEADER;
}

/**
 * Encodes a plain ASCII name (`host.vmnet.internal`, with or without the last dot, '' the root), without escapes and
 * without compression. Returns the index behind it, or −1 without room or for a name that DNS can't carry.
 */
export function dnsEmitName(b: Uint8Array, at: number, end: number, name: string): number {
  const text = name.endsWith('.') ? name.slice(0, -1) : name;
  // A name of n characters takes n + 2 bytes: a length before the first label, the root behind the last.
  const size = text === '' ? 1 : text.length + 2;
  if (size > MAX_NAME || at + size > end || !/^[\x21-\x5b\x5d-\x7e]*$/.test(text)) return -1;
  if (text !== '') {
    for (const label of text.split('.')) {
      if (label.length === 0 || label.length > MAX_LABEL) return -1;
      b[at++] = label.length;
      for (let i = 0; i < label.length; i++) b[at++] = label.charCodeAt(i);
    }
  }
  b[at++] = 0;
  return at;
}

/** Writes an ordinary query with RD; returns the index behind it, or −1. */
export function dnsEmitQuery(b: Uint8Array, off: number, end: number, id: number, name: string, type: number): number {
  if (off + DNS_HEADER > end) return -1;
  const at = dnsEmitName(b, off + DNS_HEADER, end, name);
  if (at < 0 || at + 4 > end) return -1;
  dnsEmitHeader(b, off, id, DNS_FLAG.RD, 1, 0, 0, 0);
  put16(b, at, type);
  put16(b, at + 2, DNS_CLASS.IN);
  return at + 4;
}

/**
 * Begins the reply to a query: its id, opcode, RD and question, with QR, RA and `flags` (AA, TC, a response code) set
 * and no records. `questionEnd` is that of the query, or −1 when it has no readable question: then only a header is
 * written. Returns the index behind, or −1 without room.
 */
export function dnsEmitReply(
  b: Uint8Array,
  off: number,
  end: number,
  query: Uint8Array,
  queryOff: number,
  questionEnd: number,
  flags: number,
): number {
  const length = questionEnd < 0 ? DNS_HEADER : questionEnd - queryOff;
  if (off + length > end) return -1;
  const id = dnsId(query, queryOff);
  const kept = dnsFlags(query, queryOff) & (0x7800 | DNS_FLAG.RD | DNS_FLAG.CD);
  copyBytes(b, off + DNS_HEADER, query, queryOff + DNS_HEADER, length - DNS_HEADER);
  dnsEmitHeader(b, off, id, DNS_FLAG.QR | DNS_FLAG.RA | kept | flags, questionEnd < 0 ? 0 : 1, 0, 0, 0);
  return off + length;
}

/** Adds an A record for the question's name to the reply at `off`. */
export function dnsAppendA(
  b: Uint8Array,
  off: number,
  at: number,
  end: number,
  ttlSeconds: number,
  address: number,
): number {
  const data = recordHead(b, at, end, DNS_TYPE.A, ttlSeconds);
  if (data < 0 || data + 4 > end) return -1;
  put32(b, data, address);
  return recordFinish(b, off + ANCOUNT, data, data + 4);
}

/** Adds a PTR record for the question's name. */
export function dnsAppendPtr(
  b: Uint8Array,
  off: number,
  at: number,
  end: number,
  ttlSeconds: number,
  target: string,
): number {
  const data = recordHead(b, at, end, DNS_TYPE.PTR, ttlSeconds);
  if (data < 0) return -1;
  const behind = dnsEmitName(b, data, end, target);
  return behind < 0 ? -1 : recordFinish(b, off + ANCOUNT, data, behind);
}

/**
 * Adds the SOA record of `zone` to the authority section, so that a resolver may remember the absence of a name or a
 * type for `ttlSeconds` (RFC 2308 §3). The zone serves itself: primary `zone`, mailbox `hostmaster.zone`.
 */
export function dnsAppendSoa(
  b: Uint8Array,
  off: number,
  at: number,
  end: number,
  ttlSeconds: number,
  zone: string,
): number {
  const owner = dnsEmitName(b, at, end, zone);
  if (owner < 0 || owner + RECORD_TAIL > end) return -1;
  const data = recordTail(b, owner, DNS_TYPE.SOA, ttlSeconds);
  const primary = dnsEmitName(b, data, end, zone);
  if (primary < 0) return -1;
  const mailbox = dnsEmitName(b, primary, end, zone === '' ? 'hostmaster' : `hostmaster.${zone}`);
  if (mailbox < 0 || mailbox + 20 > end) return -1;
  // Serial, refresh, retry, expire, minimum: nobody transfers this zone, so only the minimum matters.
  put32(b, mailbox, 1);
  put32(b, mailbox + 4, 3600);
  put32(b, mailbox + 8, 600);
  put32(b, mailbox + 12, 86_400);
  put32(b, mailbox + 16, ttlSeconds);
  return recordFinish(b, off + NSCOUNT, data, mailbox + 20);
}

/** Adds an OPT record, which the reply to a query with one has to carry (RFC 6891 §6.1.1). */
export function dnsAppendOpt(b: Uint8Array, off: number, at: number, end: number, udpSize: number): number {
  if (at + 11 > end) return -1;
  b[at] = 0;
  put16(b, at + 1, DNS_TYPE.OPT);
  put16(b, at + 3, udpSize);
  put32(b, at + 5, 0);
  return recordFinish(b, off + ARCOUNT, at + 11, at + 11);
}

/** Owner (the question's name) and fixed fields of a record; returns the index of its data, or −1. */
function recordHead(b: Uint8Array, at: number, end: number, type: number, ttlSeconds: number): number {
  if (at + 2 + RECORD_TAIL > end) return -1;
  put16(b, at, QUESTION_POINTER);
  return recordTail(b, at + 2, type, ttlSeconds);
}

/** Type, class IN, TTL behind the owner; returns the index of the data. */
function recordTail(b: Uint8Array, at: number, type: number, ttlSeconds: number): number {
  put16(b, at, type);
  put16(b, at + 2, DNS_CLASS.IN);
  put32(b, at + 4, ttlSeconds);
  return at + RECORD_TAIL;
}

/** Stores the length of the data `[data, behind)` and counts the record; returns `behind`. */
function recordFinish(b: Uint8Array, counter: number, data: number, behind: number): number {
  put16(b, data - 2, behind - data);
  put16(b, counter, get16(b, counter) + 1);
  return behind;
}

/** `DNS 4660 A? host.vmnet.internal` or `DNS 4660 NXDOMAIN host.vmnet.internal, 0 answers`. */
export function dnsToString(b: Uint8Array, off: number, end: number): string {
  const question = dnsParseQuestion(b, off, end);
  if (question === null) return '[dns: malformed]';
  if (!dnsIsResponse(b, off)) return `DNS ${dnsId(b, off)} ${typeText(question.type)}? ${question.name || '.'}`;
  const rcode = Object.entries(DNS_RCODE).find(([, value]) => value === dnsRcode(b, off))?.[0] ?? dnsRcode(b, off);
  return `DNS ${dnsId(b, off)} ${rcode} ${question.name || '.'}, ${dnsAnswerCount(b, off)} answers`;
}

function typeText(type: number): string {
  return Object.entries(DNS_TYPE).find(([, value]) => value === type)?.[0] ?? `TYPE${type}`;
}
