/**
 * Frames as a guest sends them, crafted field by field, for tests. Every builder returns fresh bytes with right
 * checksums; tests break what they want broken.
 */

import { pseudoSum4 } from '../../src/core/base/checksum.ts';
import { ARP_LENGTH, ARP_OP, arpEmit } from '../../src/core/wire/arp.ts';
import { ETHER_TYPE, ETHERNET_HEADER, ethernetEmit, MAC_BROADCAST } from '../../src/core/wire/ethernet.ts';
import { ICMPV4, ICMPV4_HEADER, icmpv4EmitEcho } from '../../src/core/wire/icmpv4.ts';
import { IP_PROTOCOL, IPV4_DF, IPV4_HEADER, ipv4Emit, ipv4FillChecksum } from '../../src/core/wire/ipv4.ts';
import { TCP, TCP_HEADER, tcpEmit, tcpFillChecksum } from '../../src/core/wire/tcp.ts';
import { UDP_HEADER, udpEmit, udpFillChecksum } from '../../src/core/wire/udp.ts';

/** The stations of the tests' network: 192.168.88.0/24, MTU 1500. */
export const GATEWAY_MAC = 0x02_76_6d_00_00_08;
export const GUEST_MAC = 0x02_00_00_00_00_0a;
export const NETWORK = 0xc0a8_5800;
export const HOST = 0xc0a8_5801;
export const GATEWAY = 0xc0a8_5802;
export const GUEST = 0xc0a8_580a;
export const DHCP_SERVER = 0xc0a8_58fe;
/** 203.0.113.5, a server on the Internet. */
export const REMOTE = 0xcb00_7105;
/** 198.51.100.7, the host's own address on its LAN. */
export const HOST_LAN = 0xc633_6407;

export function ethernet(payload: Uint8Array, etherType: number, dst = GATEWAY_MAC, src = GUEST_MAC): Uint8Array {
  const frame = new Uint8Array(ETHERNET_HEADER + payload.length);
  ethernetEmit(frame, 0, dst, src, etherType);
  frame.set(payload, ETHERNET_HEADER);
  return frame;
}

export interface Ipv4Fields {
  src?: number;
  dst?: number;
  ttl?: number;
  flagsFragment?: number;
  dstMac?: number;
  srcMac?: number;
  /** Bytes of IPv4 options, a multiple of 4; they are NOPs. */
  optionBytes?: number;
}

/** An Ethernet frame with one IPv4 packet around an L4 message whose checksum is made by `finish` once all is in place. */
function ipv4(
  protocol: number,
  l4: Uint8Array,
  fields: Ipv4Fields,
  finish?: (frame: Uint8Array, l4: number, end: number, pseudo: number) => void,
): Uint8Array {
  const { src = GUEST, dst = REMOTE, ttl = 64, flagsFragment = IPV4_DF, optionBytes = 0 } = fields;
  const headerLength = IPV4_HEADER + optionBytes;
  const packet = new Uint8Array(headerLength + l4.length);
  ipv4Emit(packet, 0, packet.length, 7, flagsFragment, ttl, protocol, src, dst);
  if (optionBytes > 0) {
    packet[0] = 0x40 | (headerLength / 4);
    packet.fill(1, IPV4_HEADER, headerLength);
    ipv4FillChecksum(packet, 0);
  }
  packet.set(l4, headerLength);
  const frame = ethernet(packet, ETHER_TYPE.IPV4, fields.dstMac, fields.srcMac);
  finish?.(frame, ETHERNET_HEADER + headerLength, frame.length, pseudoSum4(src, dst, protocol, l4.length));
  return frame;
}

/** Any L4 protocol, its bytes as they are. */
export function ipv4Frame(protocol: number, l4: Uint8Array, fields: Ipv4Fields = {}): Uint8Array {
  return ipv4(protocol, l4, fields);
}

export interface TcpFields extends Ipv4Fields {
  srcPort?: number;
  dstPort?: number;
  seq?: number;
  ack?: number;
  flags?: number;
  window?: number;
  options?: Uint8Array;
  payload?: Uint8Array;
}

export function tcpFrame(fields: TcpFields = {}): Uint8Array {
  const { srcPort = 40_000, dstPort = 80, seq = 0, ack = 0, flags = TCP.SYN, window = 65_535 } = fields;
  const { options = new Uint8Array(0), payload = new Uint8Array(0) } = fields;
  const headerLength = TCP_HEADER + options.length;
  const l4 = new Uint8Array(headerLength + payload.length);
  tcpEmit(l4, 0, srcPort, dstPort, seq, ack, headerLength, flags, window);
  l4.set(options, TCP_HEADER);
  l4.set(payload, headerLength);
  return ipv4(IP_PROTOCOL.TCP, l4, fields, tcpFillChecksum);
}

export interface UdpFields extends Ipv4Fields {
  srcPort?: number;
  dstPort?: number;
  payload?: Uint8Array | string;
}

export function udpFrame(fields: UdpFields = {}): Uint8Array {
  const { srcPort = 5_000, dstPort = 4_000, payload = new Uint8Array(0) } = fields;
  const bytes = typeof payload === 'string' ? text(payload) : payload;
  const l4 = new Uint8Array(UDP_HEADER + bytes.length);
  udpEmit(l4, 0, srcPort, dstPort, l4.length);
  l4.set(bytes, UDP_HEADER);
  return ipv4(IP_PROTOCOL.UDP, l4, fields, (frame, at, _end, pseudo) => udpFillChecksum(frame, at, pseudo));
}

export interface EchoFields extends Ipv4Fields {
  type?: number;
  identifier?: number;
  sequence?: number;
  payload?: Uint8Array | string;
}

export function echoFrame(fields: EchoFields = {}): Uint8Array {
  const { type = ICMPV4.ECHO_REQUEST, identifier = 77, sequence = 1, payload = 'ping' } = fields;
  const bytes = typeof payload === 'string' ? text(payload) : payload;
  const l4 = new Uint8Array(ICMPV4_HEADER + bytes.length);
  l4.set(bytes, ICMPV4_HEADER);
  icmpv4EmitEcho(l4, 0, type, identifier, sequence, bytes.length);
  return ipv4(IP_PROTOCOL.ICMP, l4, fields);
}

export interface ArpFields {
  op?: number;
  sha?: number;
  spa?: number;
  tha?: number;
  tpa?: number;
  dstMac?: number;
  srcMac?: number;
}

export function arpFrame(fields: ArpFields = {}): Uint8Array {
  const { op = ARP_OP.REQUEST, sha = GUEST_MAC, spa = GUEST, tha = 0, tpa = GATEWAY } = fields;
  const { dstMac = MAC_BROADCAST, srcMac = GUEST_MAC } = fields;
  const packet = new Uint8Array(ARP_LENGTH);
  arpEmit(packet, 0, op, sha, spa, tha, tpa);
  return ethernet(packet, ETHER_TYPE.ARP, dstMac, srcMac);
}

/** One byte a character. */
export function text(characters: string): Uint8Array {
  return Uint8Array.from(characters, (character) => character.charCodeAt(0));
}

/** Byte `at` of the stream in which every position can be told from its neighbors and from those 2^8 and 2^16 away. */
function patternByte(at: number): number {
  return (at * 7 + (at >>> 8) * 13 + (at >>> 16) * 101 + 5) & 0xff;
}

/** Bytes `[from, from + length)` of the test pattern. */
export function pattern(from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = patternByte(from + i);
  return bytes;
}

/** Where `bytes` first differs from the pattern that begins at `from`; −1 if nowhere. */
export function patternDiffers(bytes: Uint8Array, from: number): number {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== patternByte(from + i)) return i;
  return -1;
}
