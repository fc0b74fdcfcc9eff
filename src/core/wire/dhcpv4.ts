/**
 * DHCP for IPv4: message and options (RFC 2131 §2, RFC 2132).
 *
 * ```
 *  0     1     2     3     4              8             12
 *  +-----+-----+-----+-----+--------------+-------+-------+
 *  | op  |htype|hlen |hops |     xid      | secs  | flags |
 *  +-----+-----+-----+-----+------+-------+------+-------++
 *  12            16            20            24           28
 *  +-------------+-------------+-------------+-------------+
 *  |   ciaddr    |   yiaddr    |   siaddr    |   giaddr    |
 *  +-------------+-------------+-------------+-------------+
 *  28             44           108           236          240
 *  +--------------+-------------+-------------+------------+----------
 *  | chaddr (16)  | sname (64)  | file (128)  | 63 82 53 63| options …
 *  +--------------+-------------+-------------+------------+----------
 * ```
 *
 * An option is code, length, value; PAD (0) and END (255) are a single byte. Option 52 says that `file` and perhaps
 * `sname` hold options too, read in this order: options, file, sname (RFC 2131 §4.1). A message is valid only if every
 * option lies inside of its field, so that no reader has to ask again; a missing END is tolerated. Only Ethernet
 * (htype 1, hlen 6) is taken, and BOOTP without the magic cookie is not. An option that occurs several times is read at
 * its first occurrence: values longer than 255 bytes (RFC 3396) are not put together, since no option that our server
 * reads can be so long.
 *
 * {@link Dhcpv4Options} walks all options without allocating; {@link dhcpv4OptionAt} finds one. {@link Dhcpv4Writer}
 * appends options within a bound and never writes behind it.
 */

import { macToString } from '../base/address.ts';
import { copyBytes, get16, get32, getMac, put16, put32, putMac } from '../base/bytes.ts';

const OP = 0;
const HTYPE = 1;
const HLEN = 2;
const HOPS = 3;
const XID = 4;
const SECS = 8;
const FLAGS = 10;
const CIADDR = 12;
const YIADDR = 16;
const SIADDR = 20;
const GIADDR = 24;
const CHADDR = 28;
const SNAME = 44;
const FILE = 108;
const COOKIE = 236;
const OPTIONS = 240;

const MAGIC = 0x6382_5363;
const BROADCAST = 0x8000;

/** Bytes before the first option. */
export const DHCPV4_HEADER = OPTIONS;
/** Some clients want a BOOTP message to have at least this many bytes (RFC 951 §3, RFC 1542 §2.1). */
export const DHCPV4_MIN_LENGTH = 300;
/** UDP ports of server and client. */
export const DHCPV4_PORT = { SERVER: 67, CLIENT: 68 } as const;
/** Values of `op`. */
export const DHCPV4_OP = { REQUEST: 1, REPLY: 2 } as const;

/** Values of option 53 (RFC 2132 §9.6). */
export const DHCPV4_MESSAGE = {
  DISCOVER: 1,
  OFFER: 2,
  REQUEST: 3,
  DECLINE: 4,
  ACK: 5,
  NAK: 6,
  RELEASE: 7,
  INFORM: 8,
} as const;

/** Option codes (RFC 2132 and successors). */
export const DHCPV4_OPTION = {
  PAD: 0,
  SUBNET_MASK: 1,
  ROUTER: 3,
  DNS: 6,
  HOST_NAME: 12,
  DOMAIN_NAME: 15,
  MTU: 26,
  BROADCAST_ADDRESS: 28,
  REQUESTED_ADDRESS: 50,
  LEASE_TIME: 51,
  OVERLOAD: 52,
  MESSAGE_TYPE: 53,
  SERVER_ID: 54,
  PARAMETER_LIST: 55,
  MESSAGE: 56,
  MAX_MESSAGE_SIZE: 57,
  RENEWAL_TIME: 58,
  REBINDING_TIME: 59,
  VENDOR_CLASS: 60,
  CLIENT_ID: 61,
  END: 255,
} as const;

/** The fixed fields that a server reads or writes. */
export interface Dhcpv4Header {
  op: number;
  xid: number;
  secs: number;
  /** The client can't take unicast before it has an address (RFC 2131 §4.1). */
  broadcast: boolean;
  ciaddr: number;
  yiaddr: number;
  siaddr: number;
  giaddr: number;
  chaddr: number;
}

/** A whole message for Ethernet lies in `[off, end)`, with the magic cookie and with options that stay in their fields. */
export function dhcpv4IsValid(b: Uint8Array, off: number, end: number): boolean {
  if (end - off < OPTIONS) return false;
  const op = b[off + OP]!;
  if (op !== DHCPV4_OP.REQUEST && op !== DHCPV4_OP.REPLY) return false;
  if (b[off + HTYPE] !== 1 || b[off + HLEN] !== 6) return false;
  if (get32(b, off + COOKIE) !== MAGIC) return false;
  if (!fieldIsSound(b, off + OPTIONS, end)) return false;
  const overload = overloadOf(b, off + OPTIONS, end);
  if ((overload & 1) !== 0 && !fieldIsSound(b, off + FILE, off + COOKIE)) return false;
  return (overload & 2) === 0 || fieldIsSound(b, off + SNAME, off + FILE);
}

/** Every option up to END, or up to the end of the field, lies inside of it. */
function fieldIsSound(b: Uint8Array, at: number, end: number): boolean {
  while (at < end) {
    const code = b[at]!;
    if (code === DHCPV4_OPTION.END) return true;
    if (code === DHCPV4_OPTION.PAD) {
      at++;
      continue;
    }
    if (at + 2 > end || at + 2 + b[at + 1]! > end) return false;
    at += 2 + b[at + 1]!;
  }
  return true;
}

/** Index of the value of the first option `code` in a sound field, or −1; the byte before it is its length. */
function findInField(b: Uint8Array, at: number, end: number, code: number): number {
  while (at < end) {
    const found = b[at]!;
    if (found === DHCPV4_OPTION.END) return -1;
    if (found === DHCPV4_OPTION.PAD) {
      at++;
      continue;
    }
    if (found === code) return at + 2;
    at += 2 + b[at + 1]!;
  }
  return -1;
}

/** Which fields hold options besides: bit 0 file, bit 1 sname (RFC 2132 §9.3). */
function overloadOf(b: Uint8Array, at: number, end: number): number {
  const value = findInField(b, at, end, DHCPV4_OPTION.OVERLOAD);
  return value < 0 || b[value - 1] !== 1 ? 0 : b[value]! & 3;
}

/** `DHCPV4_OP`. */
export function dhcpv4Op(b: Uint8Array, off: number): number {
  return b[off + OP]!;
}

/** Transaction id, unsigned. */
export function dhcpv4Xid(b: Uint8Array, off: number): number {
  return get32(b, off + XID);
}

/** Seconds since the client began. */
export function dhcpv4Secs(b: Uint8Array, off: number): number {
  return get16(b, off + SECS);
}

/** The broadcast flag. */
export function dhcpv4Broadcast(b: Uint8Array, off: number): boolean {
  return (get16(b, off + FLAGS) & BROADCAST) !== 0;
}

/** Client's address, only where the client can answer ARP for it. */
export function dhcpv4Ciaddr(b: Uint8Array, off: number): number {
  return get32(b, off + CIADDR);
}

/** "Your" address: what the server gives. */
export function dhcpv4Yiaddr(b: Uint8Array, off: number): number {
  return get32(b, off + YIADDR);
}

/** Next server of a network boot. */
export function dhcpv4Siaddr(b: Uint8Array, off: number): number {
  return get32(b, off + SIADDR);
}

/** Relay agent; 0 without one. */
export function dhcpv4Giaddr(b: Uint8Array, off: number): number {
  return get32(b, off + GIADDR);
}

/** Client's MAC address. */
export function dhcpv4Chaddr(b: Uint8Array, off: number): number {
  return getMac(b, off + CHADDR);
}

/** The fixed fields of a valid message. */
export function dhcpv4Parse(b: Uint8Array, off: number): Dhcpv4Header {
  return {
    op: dhcpv4Op(b, off),
    xid: dhcpv4Xid(b, off),
    secs: dhcpv4Secs(b, off),
    broadcast: dhcpv4Broadcast(b, off),
    ciaddr: dhcpv4Ciaddr(b, off),
    yiaddr: dhcpv4Yiaddr(b, off),
    siaddr: dhcpv4Siaddr(b, off),
    giaddr: dhcpv4Giaddr(b, off),
    chaddr: dhcpv4Chaddr(b, off),
  };
}

/** Index of the value of option `code` in a valid message, or −1. Its length is `b[index − 1]`. */
export function dhcpv4OptionAt(b: Uint8Array, off: number, end: number, code: number): number {
  const at = findInField(b, off + OPTIONS, end, code);
  if (at >= 0) return at;
  const overload = overloadOf(b, off + OPTIONS, end);
  if ((overload & 1) !== 0) {
    const inFile = findInField(b, off + FILE, off + COOKIE, code);
    if (inFile >= 0) return inFile;
  }
  return (overload & 2) === 0 ? -1 : findInField(b, off + SNAME, off + FILE, code);
}

/** One of {@link DHCPV4_MESSAGE}; 0 when option 53 is absent or has another length than 1. */
export function dhcpv4MessageType(b: Uint8Array, off: number, end: number): number {
  const at = dhcpv4OptionAt(b, off, end, DHCPV4_OPTION.MESSAGE_TYPE);
  return at < 0 || b[at - 1] !== 1 ? 0 : b[at]!;
}

/** A 32-bit option (an address, seconds), unsigned; −1 when absent or of another length. */
export function dhcpv4Option32(b: Uint8Array, off: number, end: number, code: number): number {
  const at = dhcpv4OptionAt(b, off, end, code);
  return at < 0 || b[at - 1] !== 4 ? -1 : get32(b, at);
}

/** A 16-bit option; −1 when absent or of another length. */
export function dhcpv4Option16(b: Uint8Array, off: number, end: number, code: number): number {
  const at = dhcpv4OptionAt(b, off, end, code);
  return at < 0 || b[at - 1] !== 2 ? -1 : get16(b, at);
}

/** A text option without trailing NULs (RFC 2132 §2); null when absent, empty, or not printable ASCII. */
export function dhcpv4OptionText(b: Uint8Array, off: number, end: number, code: number): string | null {
  const at = dhcpv4OptionAt(b, off, end, code);
  if (at < 0) return null;
  let length = b[at - 1]!;
  while (length > 0 && b[at + length - 1] === 0) length--;
  let text = '';
  for (let i = 0; i < length; i++) {
    const c = b[at + i]!;
    if (c < 0x20 || c > 0x7e) return null;
    text += String.fromCharCode(c);
  }
  return text === '' ? null : text;
}

/** Walks all options of a valid message in RFC order; reusable, allocates nothing. `while (o.next()) …` */
export class Dhcpv4Options {
  /** Of the current option. */
  code = 0;
  /** Index of its value. */
  at = 0;
  /** Bytes of its value. */
  length = 0;

  private bytes: Uint8Array = new Uint8Array(0);
  private off = 0;
  private next_ = 0;
  private end = 0;
  /** Fields still to be read: bit 0 file, bit 1 sname. */
  private left = 0;

  /** Begins before the first option of the valid message `[off, end)`. */
  start(b: Uint8Array, off: number, end: number): void {
    this.bytes = b;
    this.off = off;
    this.next_ = off + OPTIONS;
    this.end = end;
    this.left = overloadOf(b, this.next_, end);
  }

  /** Goes to the next option but PAD and END; false behind the last. */
  next(): boolean {
    const b = this.bytes;
    for (;;) {
      if (this.next_ >= this.end || b[this.next_] === DHCPV4_OPTION.END) {
        if (!this.nextField()) return false;
      } else if (b[this.next_] === DHCPV4_OPTION.PAD) {
        this.next_++;
      } else {
        this.code = b[this.next_]!;
        this.length = b[this.next_ + 1]!;
        this.at = this.next_ + 2;
        this.next_ = this.at + this.length;
        return true;
      }
    }
  }

  private nextField(): boolean {
    if ((this.left & 1) !== 0) {
      this.left &= ~1;
      this.next_ = this.off + FILE;
      this.end = this.off + COOKIE;
      return true;
    }
    if ((this.left & 2) !== 0) {
      this.left = 0;
      this.next_ = this.off + SNAME;
      this.end = this.off + FILE;
      return true;
    }
    this.next_ = this.end;
    return false;
  }
}

/** Writes the fixed part with the magic cookie, `sname` and `file` empty; returns its 240 bytes. Options follow there. */
export function dhcpv4Emit(b: Uint8Array, off: number, h: Dhcpv4Header): number {
  b.fill(0, off, off + OPTIONS);
  b[off + OP] = h.op;
  b[off + HTYPE] = 1;
  b[off + HLEN] = 6;
  b[off + HOPS] = 0;
  put32(b, off + XID, h.xid);
  put16(b, off + SECS, h.secs);
  put16(b, off + FLAGS, h.broadcast ? BROADCAST : 0);
  put32(b, off + CIADDR, h.ciaddr);
  put32(b, off + YIADDR, h.yiaddr);
  put32(b, off + SIADDR, h.siaddr);
  put32(b, off + GIADDR, h.giaddr);
  putMac(b, off + CHADDR, h.chaddr);
  put32(b, off + COOKIE, MAGIC);
  return OPTIONS;
}

/**
 * Appends options behind {@link dhcpv4Emit}. A `put…` that would not leave room for END writes nothing and returns
 * false, so options go in order of importance. Reusable.
 */
export class Dhcpv4Writer {
  private bytes: Uint8Array = new Uint8Array(0);
  private at = 0;
  private end = 0;

  /** Options go to `[at, end)` of `b`: `end` is the smaller of the buffer's end and the client's maximum message size. */
  start(b: Uint8Array, at: number, end: number): void {
    this.bytes = b;
    this.at = at;
    this.end = end;
  }

  put8(code: number, value: number): boolean {
    if (!this.begin(code, 1)) return false;
    this.bytes[this.at++] = value;
    return true;
  }

  put16(code: number, value: number): boolean {
    if (!this.begin(code, 2)) return false;
    put16(this.bytes, this.at, value);
    this.at += 2;
    return true;
  }

  /** An address or a time. */
  put32(code: number, value: number): boolean {
    if (!this.begin(code, 4)) return false;
    put32(this.bytes, this.at, value);
    this.at += 4;
    return true;
  }

  /** A list of addresses; false when empty. */
  putAddresses(code: number, addresses: readonly number[]): boolean {
    if (addresses.length === 0 || !this.begin(code, addresses.length * 4)) return false;
    for (const address of addresses) {
      put32(this.bytes, this.at, address);
      this.at += 4;
    }
    return true;
  }

  putBytes(code: number, from: Uint8Array, fromOffset: number, length: number): boolean {
    if (!this.begin(code, length)) return false;
    copyBytes(this.bytes, this.at, from, fromOffset, length);
    this.at += length;
    return true;
  }

  /** ASCII text; false when empty or with other characters. */
  putText(code: number, text: string): boolean {
    if (!/^[\x20-\x7e]+$/.test(text) || !this.begin(code, text.length)) return false;
    for (let i = 0; i < text.length; i++) this.bytes[this.at++] = text.charCodeAt(i);
    return true;
  }

  /**
   * Writes END, pads the message that began at `off` with zeros to 300 bytes as far as there is room, and returns its
   * length.
   */
  finish(off: number): number {
    if (this.at < this.end) this.bytes[this.at++] = DHCPV4_OPTION.END;
    const padded = Math.min(off + DHCPV4_MIN_LENGTH, this.end);
    if (this.at < padded) {
      this.bytes.fill(0, this.at, padded);
      this.at = padded;
    }
    return this.at - off;
  }

  private begin(code: number, length: number): boolean {
    if (length > 255 || this.at + 2 + length + 1 > this.end) return false;
    this.bytes[this.at] = code;
    this.bytes[this.at + 1] = length;
    this.at += 2;
    return true;
  }
}

const MESSAGE_NAMES = ['BOOTP', 'Discover', 'Offer', 'Request', 'Decline', 'ACK', 'NACK', 'Release', 'Inform'];

/** `DHCP Discover, xid 0x1234abcd, 02:00:00:00:00:01`. */
export function dhcpv4ToString(b: Uint8Array, off: number, end: number): string {
  if (!dhcpv4IsValid(b, off, end)) return '[dhcp: malformed]';
  const type = dhcpv4MessageType(b, off, end);
  const xid = dhcpv4Xid(b, off).toString(16);
  return `DHCP ${MESSAGE_NAMES[type] ?? `type ${type}`}, xid 0x${xid}, ${macToString(dhcpv4Chaddr(b, off))}`;
}
