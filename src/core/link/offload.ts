/**
 * What a port does for a cable that has no offloads: cut superframes into frames and finish checksums, in software.
 *
 * Theory of operation. A frame travels with the state of its `virtio_net_hdr` (see `frame.ts`). An egress port that can
 * pass this state on (a TAP with IFF_VNET_HDR) needs none of this. Any other asks {@link segmentCount} and has each
 * segment, a complete frame with all checksums, written where its queue wants it by {@link segmentInto}. The source is
 * never changed, since other ports of a flood read it too.
 *
 * Trust. The state comes from a guest and is judged once, where the frame enters, by {@link offloadIsValid}; all else
 * relies on it. Its rules are the kernel's (`__virtio_net_hdr_to_skb` in linux/virtio_net.h), and stricter: a GSO frame
 * has to be a TCP or UDP packet over IPv4 or IPv6, perhaps behind one VLAN tag, of the kind that its GSO type says, with
 * an unfinished checksum (VIRTIO 1.2 §5.1.6.2) just where TCP or UDP keeps it. `hdrLen` is a hint (the kernel puts the
 * length of its linear part there), so headers are measured in the packet. UFO (`GSO.UDP`) is not taken: it means
 * fragmentation, and we never offer it.
 *
 * Bounds. A TCP segment carries at least 8 bytes (the kernel's TCP_MIN_GSO_SIZE) and a UDP superframe makes at most 128
 * datagrams (UDP_MAX_SEGMENTS), so that a guest can't have one frame cut into 65,000.
 *
 * Segments, as the kernel cuts them (tcp_gso_segment, __udp_gso_segment): each repeats all headers; IPv4 identification
 * counts up; sequence numbers advance by the payload; FIN and PSH stay only on the last, CWR only on the first. Checksums
 * are made anew over a pseudo-header of our own: what the guest put into the field is not used.
 */

import { copyBytes, get16, put16 } from '../base/bytes.ts';
import { finish, foldSum, pseudoSum4, sumBytes } from '../base/checksum.ts';
import { ETHER_TYPE, ETHERNET_HEADER } from '../wire/ethernet.ts';
import { icmpv4ChecksumIsRight, icmpv4IsValid } from '../wire/icmpv4.ts';
import {
  IP_PROTOCOL,
  ipv4Dst,
  ipv4FillChecksum,
  ipv4HeaderLength,
  ipv4Id,
  ipv4IsFragment,
  ipv4IsValid,
  ipv4Protocol,
  ipv4PutId,
  ipv4PutTotalLength,
  ipv4Src,
  ipv4TotalLength,
} from '../wire/ipv4.ts';
import {
  IPV6_HEADER,
  ipv6IsValid,
  ipv6PayloadLength,
  ipv6PseudoSum,
  ipv6PutPayloadLength,
  ipv6UpperLayer,
} from '../wire/ipv6.ts';
import {
  TCP,
  TCP_CHECKSUM_OFFSET,
  tcpFlags,
  tcpHeaderLength,
  tcpIsValid,
  tcpPutFlags,
  tcpPutSeq,
  tcpSeq,
} from '../wire/tcp.ts';
import { UDP_CHECKSUM_OFFSET, UDP_HEADER, udpChecksum, udpIsValid, udpLength, udpPutLength } from '../wire/udp.ts';
import { CSUM, type Frame, GSO, MAX_FRAME } from './frame.ts';

/** Least payload of a TCP segment. */
export const MIN_TCP_GSO_SIZE = 8;
/** Most datagrams of one UDP superframe. */
export const MAX_UDP_SEGMENTS = 128;

const VLAN_TAG = 4;
/** Flags that only the last, or only the first, segment keeps. */
const LAST_ONLY = TCP.FIN | TCP.PSH;
const FIRST_ONLY = TCP.CWR;

/** Index of the IP header behind Ethernet and perhaps one VLAN tag. It may lie behind the end of a short frame. */
function l3At(b: Uint8Array, off: number): number {
  return get16(b, off + 12) === ETHER_TYPE.VLAN ? off + ETHERNET_HEADER + VLAN_TAG : off + ETHERNET_HEADER;
}

/** The end of the IP packet at `l3`, or −1 when there is no valid one in `[l3, end)`. Ethernet padding is left out. */
function packetEnd(b: Uint8Array, l3: number, end: number): number {
  const etherType = get16(b, l3 - 2);
  if (etherType === ETHER_TYPE.IPV4) return ipv4IsValid(b, l3, end) ? l3 + ipv4TotalLength(b, l3) : -1;
  if (etherType === ETHER_TYPE.IPV6) return ipv6IsValid(b, l3, end) ? l3 + IPV6_HEADER + ipv6PayloadLength(b, l3) : -1;
  return -1;
}

function isIpv4(b: Uint8Array, l3: number): boolean {
  return b[l3]! >>> 4 === 4;
}

/**
 * Where TCP, UDP or ICMP begins in a valid packet and which it is: bytes from `l3`, shifted left by 8, plus the protocol
 * number; −1 for a fragment, or behind IPv6 headers that can't be walked.
 */
function upperLayer(b: Uint8Array, l3: number): number {
  if (!isIpv4(b, l3)) return ipv6UpperLayer(b, l3);
  return ipv4IsFragment(b, l3) ? -1 : (ipv4HeaderLength(b, l3) << 8) | ipv4Protocol(b, l3);
}

/** Running sum of the pseudo-header for `length` bytes of upper layer. */
function pseudoSum(b: Uint8Array, l3: number, protocol: number, length: number): number {
  if (isIpv4(b, l3)) return pseudoSum4(ipv4Src(b, l3), ipv4Dst(b, l3), protocol, length);
  return ipv6PseudoSum(b, l3, protocol, length);
}

/** True when the frame's length and offload state can be relied on. Drop and count a frame that fails. */
export function offloadIsValid(frame: Frame): boolean {
  const { offset, length } = frame;
  const b = frame.region.bytes;
  if (length < ETHERNET_HEADER || length > MAX_FRAME || offset < 0 || offset + length > b.length) return false;
  if (frame.csum !== CSUM.UNVERIFIED && frame.csum !== CSUM.PARTIAL && frame.csum !== CSUM.VALID) return false;
  if (frame.csum === CSUM.PARTIAL) {
    if (frame.csumStart < ETHERNET_HEADER || frame.csumOffset < 0) return false;
    if (frame.csumStart + frame.csumOffset + 2 > length) return false;
  }
  return frame.gsoType === GSO.NONE || (frame.csum === CSUM.PARTIAL && frame.hdrLen <= length && gsoIsValid(frame));
}

function gsoIsValid(frame: Frame): boolean {
  const b = frame.region.bytes;
  const kind = frame.gsoType & ~GSO.ECN;
  if (kind !== GSO.TCPV4 && kind !== GSO.TCPV6 && kind !== GSO.UDP_L4) return false;
  const l3 = l3At(b, frame.offset);
  const end = packetEnd(b, l3, frame.offset + frame.length);
  if (end < 0) return false;
  const upper = upperLayer(b, l3);
  const l4 = l3 + (upper >> 8);
  if (upper < 0 || l4 !== frame.offset + frame.csumStart) return false;
  const protocol = upper & 0xff;
  if (kind === GSO.UDP_L4) {
    if (frame.gsoType !== kind || protocol !== IP_PROTOCOL.UDP || frame.csumOffset !== UDP_CHECKSUM_OFFSET)
      return false;
    // The length field of a superframe need not be right: the kernel does not look at it either.
    if (end - l4 < UDP_HEADER || frame.gsoSize < 1) return false;
    return end - l4 - UDP_HEADER <= frame.gsoSize * MAX_UDP_SEGMENTS;
  }
  if (isIpv4(b, l3) !== (kind === GSO.TCPV4)) return false;
  return (
    protocol === IP_PROTOCOL.TCP &&
    frame.csumOffset === TCP_CHECKSUM_OFFSET &&
    frame.gsoSize >= MIN_TCP_GSO_SIZE &&
    tcpIsValid(b, l4, end)
  );
}

/** Index behind the last header of a valid GSO frame, and therefore of its payload. */
function payloadAt(frame: Frame): number {
  const l4 = frame.offset + frame.csumStart;
  return frame.gsoType === GSO.UDP_L4 ? l4 + UDP_HEADER : l4 + tcpHeaderLength(frame.region.bytes, l4);
}

/** Payload bytes of a valid GSO frame. */
function payloadLength(frame: Frame): number {
  const b = frame.region.bytes;
  return packetEnd(b, l3At(b, frame.offset), frame.offset + frame.length) - payloadAt(frame);
}

/** How many frames a valid frame makes on a cable without offloads: at least 1. */
export function segmentCount(frame: Frame): number {
  if (frame.gsoType === GSO.NONE) return 1;
  return Math.max(1, Math.ceil(payloadLength(frame) / frame.gsoSize));
}

/** Ethernet bytes of segment `index` (0 … segmentCount − 1). */
export function segmentLength(frame: Frame, index: number): number {
  if (frame.gsoType === GSO.NONE) return frame.length;
  const left = payloadLength(frame) - index * frame.gsoSize;
  return payloadAt(frame) - frame.offset + Math.min(left, frame.gsoSize);
}

/**
 * Writes segment `index` as a complete frame to `out` at `outOffset` and returns its length, which
 * {@link segmentLength} tells beforehand: `out` has to have that much room. A frame without GSO is segment 0 of itself;
 * its checksum is finished here if it is partial. `out` may be the frame's own array where the ranges do not overlap.
 */
export function segmentInto(frame: Frame, index: number, out: Uint8Array, outOffset: number): number {
  const b = frame.region.bytes;
  if (frame.gsoType === GSO.NONE) {
    copyBytes(out, outOffset, b, frame.offset, frame.length);
    if (frame.csum === CSUM.PARTIAL) {
      checksumComplete(out, outOffset, frame.length, frame.csumStart, frame.csumOffset);
    }
    return frame.length;
  }
  const payload = payloadAt(frame);
  const headers = payload - frame.offset;
  const skip = index * frame.gsoSize;
  const left = payloadLength(frame) - skip;
  const taken = Math.min(left, frame.gsoSize);
  copyBytes(out, outOffset, b, frame.offset, headers);
  copyBytes(out, outOffset + headers, b, payload + skip, taken);

  const l3 = l3At(out, outOffset);
  const l4 = outOffset + frame.csumStart;
  const end = outOffset + headers + taken;
  if (isIpv4(out, l3)) {
    ipv4PutTotalLength(out, l3, end - l3);
    ipv4PutId(out, l3, ipv4Id(out, l3) + index);
    ipv4FillChecksum(out, l3);
  } else {
    ipv6PutPayloadLength(out, l3, end - l3 - IPV6_HEADER);
  }
  if (frame.gsoType === GSO.UDP_L4) {
    udpPutLength(out, l4, end - l4);
    fillChecksum(out, l3, l4, end, IP_PROTOCOL.UDP, UDP_CHECKSUM_OFFSET);
  } else {
    tcpPutSeq(out, l4, tcpSeq(out, l4) + skip);
    let flags = tcpFlags(out, l4);
    if (left > taken) flags &= ~LAST_ONLY;
    if (index > 0) flags &= ~FIRST_ONLY;
    tcpPutFlags(out, l4, flags);
    fillChecksum(out, l3, l4, end, IP_PROTOCOL.TCP, TCP_CHECKSUM_OFFSET);
  }
  return end - outOffset;
}

/** Sums the upper layer `[l4, end)` and its pseudo-header, and stores the checksum. */
function fillChecksum(b: Uint8Array, l3: number, l4: number, end: number, protocol: number, at: number): void {
  put16(b, l4 + at, 0);
  storeChecksum(b, l4 + at, sumBytes(b, l4, end - l4, pseudoSum(b, l3, protocol, end - l4)));
}

/**
 * A computed 0 is stored as 0xffff, which is the same number in one's complement: for UDP a 0 would say "none", and
 * other protocols take both (the kernel's skb_checksum_help does the same).
 */
function storeChecksum(b: Uint8Array, at: number, sum: number): void {
  put16(b, at, finish(sum) || 0xffff);
}

/**
 * Finishes a partial checksum in place: sums `[off + csumStart, off + length)`, where the field already holds the sum of
 * the pseudo-header, and stores the complement at `csumStart + csumOffset`.
 */
export function checksumComplete(
  b: Uint8Array,
  off: number,
  length: number,
  csumStart: number,
  csumOffset: number,
): void {
  storeChecksum(b, off + csumStart + csumOffset, sumBytes(b, off + csumStart, length - csumStart));
}

/**
 * True when the checksum of TCP, UDP, ICMP or ICMPv6 in the frame is right, or need not be looked at: the state says
 * PARTIAL or VALID, the packet is a fragment (the reassembled datagram is to be checked), or it is of another protocol.
 * A malformed IP header is never right, nor is a malformed TCP, UDP or ICMP header. The IPv4 header's own checksum is
 * `ipv4ChecksumIsRight`'s business.
 */
export function verifyL4(frame: Frame): boolean {
  const b = frame.region.bytes;
  const end = frame.offset + frame.length;
  if (frame.length < ETHERNET_HEADER) return false;
  const l3 = l3At(b, frame.offset);
  const etherType = l3 <= end ? get16(b, l3 - 2) : 0;
  if (etherType !== ETHER_TYPE.IPV4 && etherType !== ETHER_TYPE.IPV6) return true;
  const packet = packetEnd(b, l3, end);
  if (packet < 0) return false;
  if (frame.csum !== CSUM.UNVERIFIED) return true;
  const upper = upperLayer(b, l3);
  if (upper < 0) return true;
  return upperIsRight(b, l3, l3 + (upper >> 8), packet, upper & 0xff);
}

function upperIsRight(b: Uint8Array, l3: number, l4: number, end: number, protocol: number): boolean {
  switch (protocol) {
    case IP_PROTOCOL.TCP:
      return tcpIsValid(b, l4, end) && sumIsRight(b, l3, l4, end, protocol);
    case IP_PROTOCOL.UDP: {
      if (!udpIsValid(b, l4, end)) return false;
      if (udpChecksum(b, l4) === 0) return isIpv4(b, l3);
      return sumIsRight(b, l3, l4, l4 + udpLength(b, l4), protocol);
    }
    case IP_PROTOCOL.ICMP:
      return !isIpv4(b, l3) || (icmpv4IsValid(b, l4, end) && icmpv4ChecksumIsRight(b, l4, end));
    case IP_PROTOCOL.ICMPV6:
      return isIpv4(b, l3) || (end - l4 >= 4 && sumIsRight(b, l3, l4, end, protocol));
    default:
      return true;
  }
}

function sumIsRight(b: Uint8Array, l3: number, l4: number, end: number, protocol: number): boolean {
  return foldSum(sumBytes(b, l4, end - l4, pseudoSum(b, l3, protocol, end - l4))) === 0xffff;
}
