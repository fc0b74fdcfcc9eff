/**
 * Where the gateway builds the packets that it sends to guests.
 *
 * One slot of the arena, reused for every packet: the sender puts its L4 header and payload at {@link l4}, then calls
 * one of the `send…` functions, which writes Ethernet and IPv4 in front of it and hands the borrowed frame to the
 * switch. The frame has left, or was copied or dropped by its port, when the call returns.
 *
 * L4 checksums are never computed here: the pseudo-header's sum is put in place and the frame says CSUM.PARTIAL, so
 * that a port without offloads finishes it and a TAP doesn't have to.
 */

import { put16 } from '../base/bytes.ts';
import { foldSum, pseudoSum4 } from '../base/checksum.ts';
import type { Region, Slot } from '../base/ports.ts';
import { CSUM, Frame, GSO, HEADROOM } from '../link/frame.ts';
import { ETHER_TYPE, ETHERNET_HEADER, ethernetEmit } from '../wire/ethernet.ts';
import { IP_PROTOCOL, IPV4_DF, IPV4_HEADER, ipv4Emit } from '../wire/ipv4.ts';

const DEFAULT_TTL = 64;

/** Bytes of a slot that serves as output buffer: scratch, Ethernet, the longest IP packet. */
export const OUTPUT_SLOT_BYTES = HEADROOM + ETHERNET_HEADER + 65535;

export class PacketOutput {
  readonly region: Region;
  /** Index of the Ethernet payload (ARP, IP header) in `region.bytes`. */
  readonly l3: number;
  /** Index of the L4 header behind an IPv4 header without options. */
  readonly l4: number;
  /** The gateway's MAC: source of every frame. */
  readonly mac: number;
  private readonly ethernet: number;
  private readonly frame: Frame;
  private readonly transmit: (frame: Frame) => void;
  private identification = 0;

  /** `slot` of at least {@link OUTPUT_SLOT_BYTES} bytes stays in use for the life of this object. */
  constructor(slot: Slot, mac: number, transmit: (frame: Frame) => void) {
    this.region = slot.region;
    this.ethernet = slot.offset + HEADROOM;
    this.l3 = this.ethernet + ETHERNET_HEADER;
    this.l4 = this.l3 + IPV4_HEADER;
    this.mac = mac;
    this.frame = new Frame(slot.region);
    this.transmit = transmit;
  }

  /** Sends `length` bytes at `l3` as an Ethernet frame of the given type. */
  sendEthernet(dstMac: number, etherType: number, length: number): void {
    ethernetEmit(this.region.bytes, this.ethernet, dstMac, this.mac, etherType);
    this.frame.setPlain(this.region, this.ethernet, ETHERNET_HEADER + length);
    this.transmit(this.frame);
  }

  /**
   * Sends a TCP segment that lies at `l4`: header of `headerLength` bytes, its checksum field free, then `payload`
   * bytes. More payload than `mss` leaves as one superframe of segments of `mss` bytes.
   */
  sendTcp4(dstMac: number, src: number, dst: number, headerLength: number, payload: number, mss: number): void {
    const frame = this.ipv4(dstMac, src, dst, IP_PROTOCOL.TCP, headerLength + payload, 16);
    if (payload > mss) {
      frame.gsoType = GSO.TCPV4;
      frame.gsoSize = mss;
      frame.hdrLen = ETHERNET_HEADER + IPV4_HEADER + headerLength;
    }
    this.transmit(frame);
  }

  /** Sends a UDP datagram that lies at `l4`: 8 bytes of header, its checksum field free, then `payload` bytes. */
  sendUdp4(dstMac: number, src: number, dst: number, payload: number): void {
    this.transmit(this.ipv4(dstMac, src, dst, IP_PROTOCOL.UDP, 8 + payload, 6));
  }

  /** Sends an ICMP message of `length` bytes at `l4`, its checksum in place. */
  sendIcmp4(dstMac: number, src: number, dst: number, length: number): void {
    this.transmit(this.ipv4(dstMac, src, dst, IP_PROTOCOL.ICMP, length, -1));
  }

  /** Ethernet and IPv4 in front of `length` bytes of L4; `csumOffset` says where its checksum lies, −1 if it has no pseudo-header. */
  private ipv4(dstMac: number, src: number, dst: number, protocol: number, length: number, csumOffset: number): Frame {
    const bytes = this.region.bytes;
    this.identification = (this.identification + 1) & 0xffff;
    ethernetEmit(bytes, this.ethernet, dstMac, this.mac, ETHER_TYPE.IPV4);
    const total = IPV4_HEADER + length;
    ipv4Emit(bytes, this.l3, total, this.identification, IPV4_DF, DEFAULT_TTL, protocol, src, dst);
    const frame = this.frame;
    frame.setPlain(this.region, this.ethernet, ETHERNET_HEADER + total);
    if (csumOffset < 0) {
      frame.csum = CSUM.VALID;
      return frame;
    }
    put16(bytes, this.l4 + csumOffset, foldSum(pseudoSum4(src, dst, protocol, length)));
    frame.csum = CSUM.PARTIAL;
    frame.csumStart = ETHERNET_HEADER + IPV4_HEADER;
    frame.csumOffset = csumOffset;
    return frame;
  }
}
