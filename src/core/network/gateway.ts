/**
 * The gateway's cable end: an ordinary port of the switch, behind which the network's own stations live.
 *
 * Theory of operation. Every frame that the switch hands it is checked from the outside in: Ethernet, then ARP or IPv4
 * (version, length, header checksum, source inside of the segment), then the L4 header and checksum, unless the frame's
 * offload state says that the sum is known or still to be made. What passes goes to one of three places: services on our
 * own addresses (DHCP, DNS, echo), the connection proxy, or a named drop counter. A router's manners: TTL 1 is answered
 * with Time Exceeded, an unknown protocol with Protocol Unreachable, a closed port of our own with Port Unreachable.
 *
 * Which addresses are ours depends on the network: gateway and DHCP server always; the host's `.1` as long as it has no
 * adapter of its own here. IPv6 frames are counted and left alone.
 *
 * Counters are those of every port: `tx…` what the cable brought to the gateway, `rx…` what the gateway sent.
 */

import { macIsMulticast } from '../base/address.ts';
import type { Clock, Region } from '../base/ports.ts';
import { count } from '../base/stats.ts';
import type { DropReason } from '../link/drops.ts';
import { CSUM, type Frame, GSO } from '../link/frame.ts';
import { offloadIsValid, verifyL4 } from '../link/offload.ts';
import type { PortStats, SwitchPort } from '../link/port.ts';
import type { Nat } from '../nat/nat.ts';
import type { DhcpServer } from '../services/dhcp/server.ts';
import type { DnsForwarder } from '../services/dns/forwarder.ts';
import type { IcmpSender } from '../stack/icmp-sender.ts';
import type { Neighbors } from '../stack/neighbor.ts';
import type { PacketOutput } from '../stack/packet-output.ts';
import { ARP_LENGTH, ARP_OP, arpEmit, arpIsValid, arpOp, arpSha, arpSpa, arpTpa } from '../wire/arp.ts';
import { DHCPV4_PORT } from '../wire/dhcpv4.ts';
import { DNS_PORT } from '../wire/dns.ts';
import { ETHER_TYPE, ETHERNET_HEADER, ethernetDst, ethernetSrc, ethernetType } from '../wire/ethernet.ts';
import {
  ICMPV4,
  ICMPV4_TIME_EXCEEDED,
  ICMPV4_UNREACHABLE,
  icmpv4Identifier,
  icmpv4IsValid,
  icmpv4Sequence,
  icmpv4Type,
} from '../wire/icmpv4.ts';
import {
  IP_PROTOCOL,
  ipv4ChecksumIsRight,
  ipv4Dst,
  ipv4HeaderLength,
  ipv4IsFragment,
  ipv4IsValid,
  ipv4Protocol,
  ipv4Src,
  ipv4TotalLength,
  ipv4Ttl,
} from '../wire/ipv4.ts';
import { tcpIsValid } from '../wire/tcp.ts';
import { UDP_HEADER, udpDstPort, udpEmit, udpIsValid, udpLength, udpSrcPort } from '../wire/udp.ts';

const BROADCAST = 0xffff_ffff;

/** What lives behind the gateway's port. Null where the network has no such thing. */
export interface GatewayParts {
  readonly out: PacketOutput;
  readonly icmp: IcmpSender;
  readonly neighbors: Neighbors;
  readonly clock: Clock;
  readonly nat: Nat | null;
  readonly dhcp: DhcpServer | null;
  readonly dns: DnsForwarder | null;
  readonly network: number;
  readonly mask: number;
  /** Address of the gateway and name server; 0 where there is none. */
  readonly gateway: number;
  readonly dhcpServer: number;
  /** `.1` while the gateway answers for it, 0 otherwise. */
  readonly host: number;
}

export class Gateway implements SwitchPort {
  readonly id: number;
  readonly stats: PortStats = { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, drops: {} };
  private readonly parts: GatewayParts;
  private readonly broadcast: number;

  constructor(id: number, parts: GatewayParts) {
    this.id = id;
    this.parts = parts;
    this.broadcast = (parts.network | ~parts.mask) >>> 0;
  }

  /** It takes everything at once. */
  room(): number {
    return Number.MAX_SAFE_INTEGER;
  }

  /** A frame from the switch. Borrowed for the call; all answers are sent within it or at the turn's end. */
  transmit(frame: Frame): void {
    this.stats.txFrames++;
    this.stats.txBytes += frame.length;
    const drop = this.input(frame);
    if (drop !== null) count(this.stats.drops, drop);
  }

  /** Returns why the frame went no further, null when it was used. */
  private input(frame: Frame): DropReason | null {
    const b = frame.region.bytes;
    const off = frame.offset;
    if (frame.length < ETHERNET_HEADER) return 'runt';
    // A group address, or ours: the switch floods what it has no station for.
    if ((b[off]! & 1) === 0 && ethernetDst(b, off) !== this.parts.out.mac) return 'otherStation';
    const type = ethernetType(b, off);
    if (type === ETHER_TYPE.IPV4) return this.ipv4(frame, off + ETHERNET_HEADER, off + frame.length);
    if (type === ETHER_TYPE.ARP) return this.arp(b, off + ETHERNET_HEADER, off + frame.length);
    return type === ETHER_TYPE.IPV6 ? 'ipv6' : 'etherType';
  }

  private arp(b: Uint8Array, off: number, end: number): DropReason | null {
    if (!arpIsValid(b, off, end)) return 'arpMalformed';
    const sender = arpSpa(b, off);
    const sha = arpSha(b, off);
    // A group's address as a station's would have our answers flooded.
    if (sha === 0 || macIsMulticast(sha)) return 'arpMalformed';
    if (this.isGuest(sender)) this.parts.neighbors.learn(sender, sha);
    const target = arpTpa(b, off);
    if (arpOp(b, off) !== ARP_OP.REQUEST || !this.isOurs(target)) return null;
    const out = this.parts.out;
    arpEmit(out.region.bytes, out.l3, ARP_OP.REPLY, out.mac, target, sha, sender);
    out.sendEthernet(sha, ETHER_TYPE.ARP, ARP_LENGTH);
    return null;
  }

  private ipv4(frame: Frame, ip: number, end: number): DropReason | null {
    const b = frame.region.bytes;
    if (!ipv4IsValid(b, ip, end)) return 'ipMalformed';
    if (!ipv4ChecksumIsRight(b, ip)) return 'ipChecksum';
    const packetEnd = ip + ipv4TotalLength(b, ip);
    const off = ip + ipv4HeaderLength(b, ip);
    const src = ipv4Src(b, ip);
    const dst = ipv4Dst(b, ip);
    const protocol = ipv4Protocol(b, ip);
    const mac = ethernetSrc(b, frame.offset);
    if (ipv4IsFragment(b, ip)) return 'ipFragment';
    const malformed = malformedL4(b, off, packetEnd, protocol);
    if (malformed !== null) return malformed;
    if (frame.csum === CSUM.UNVERIFIED && frame.gsoType === GSO.NONE) {
      if (!verifyL4(frame)) return 'l4Checksum';
    } else if (!offloadIsValid(frame)) {
      return 'offloadMalformed';
    }

    if (dst === BROADCAST || dst === this.broadcast) return this.toBroadcast(b, off, protocol);
    if (dst >>> 28 === 0xe) return 'multicast';
    // RFC 1122 §3.3.6: such a packet is nobody's, and no error may answer it.
    if ((b[frame.offset]! & 1) !== 0) return 'linkBroadcast';
    if (!this.isGuest(src)) return 'foreignSource';
    if (dst === this.parts.host) {
      // The host has no adapter here, so its echo is ours to answer; everything else is a connection to the host.
      if (protocol === IP_PROTOCOL.ICMP) return this.ownIcmp(b, off, packetEnd, src, dst, mac);
    } else if (this.isOurs(dst)) {
      return this.toUs(frame.region, ip, off, packetEnd, src, dst, protocol, mac);
    }
    return this.forward(frame, ip, off, packetEnd, src, dst, protocol, mac);
  }

  /** A packet that a router would forward. */
  private forward(
    frame: Frame,
    ip: number,
    off: number,
    end: number,
    src: number,
    dst: number,
    protocol: number,
    mac: number,
  ): DropReason | null {
    const { nat, icmp } = this.parts;
    const region = frame.region;
    const b = region.bytes;
    if (nat === null) return 'noGateway';
    // Before anything that may answer with an error: no error is about an error (RFC 1122 §3.2.2).
    if (protocol === IP_PROTOCOL.ICMP && icmpv4Type(b, off) !== ICMPV4.ECHO_REQUEST) return 'icmpType';
    if (ipv4Ttl(b, ip) <= 1 && dst !== this.parts.host) {
      icmp.errorAbout(b, ip, end, mac, src, ICMPV4.TIME_EXCEEDED, ICMPV4_TIME_EXCEEDED.TTL);
      return 'ttlExceeded';
    }
    if (protocol === IP_PROTOCOL.TCP) {
      nat.tcpInput(region, off, end, src, dst, mac, false);
      return null;
    }
    if (protocol === IP_PROTOCOL.UDP) {
      const segment = frame.gsoType === GSO.UDP_L4 ? frame.gsoSize : 0;
      nat.udp.input(region, ip, off, end, src, dst, mac, segment);
      return null;
    }
    if (protocol === IP_PROTOCOL.ICMP) {
      nat.icmp.input(region, ip, off, end, src, dst, mac);
      return null;
    }
    icmp.errorAbout(b, ip, end, mac, src, ICMPV4.UNREACHABLE, ICMPV4_UNREACHABLE.PROTOCOL);
    return 'ipProtocol';
  }

  /** A packet for one of our own addresses. */
  private toUs(
    region: Region,
    ip: number,
    off: number,
    end: number,
    src: number,
    dst: number,
    protocol: number,
    mac: number,
  ): DropReason | null {
    const { nat, icmp, dns, dhcp } = this.parts;
    const b = region.bytes;
    if (protocol === IP_PROTOCOL.ICMP) return this.ownIcmp(b, off, end, src, dst, mac);
    if (protocol === IP_PROTOCOL.TCP) {
      if (nat === null) return 'noGateway';
      nat.tcpInput(region, off, end, src, dst, mac, true);
      return null;
    }
    if (protocol !== IP_PROTOCOL.UDP) {
      icmp.errorAbout(b, ip, end, mac, src, ICMPV4.UNREACHABLE, ICMPV4_UNREACHABLE.PROTOCOL);
      return 'ipProtocol';
    }
    const port = udpDstPort(b, off);
    if (port === DNS_PORT && dns !== null && dst === this.parts.gateway) {
      this.parts.neighbors.learn(src, mac);
      dns.input(b, off + UDP_HEADER, off + udpLength(b, off), src, udpSrcPort(b, off));
      return null;
    }
    if (port === DHCPV4_PORT.SERVER && dhcp !== null) {
      this.dhcp(b, off);
      return null;
    }
    icmp.errorAbout(b, ip, end, mac, src, ICMPV4.UNREACHABLE, ICMPV4_UNREACHABLE.PORT);
    return 'portUnreachable';
  }

  private toBroadcast(b: Uint8Array, off: number, protocol: number): DropReason | null {
    if (protocol !== IP_PROTOCOL.UDP) return 'broadcast';
    if (udpDstPort(b, off) !== DHCPV4_PORT.SERVER || this.parts.dhcp === null) return 'broadcast';
    this.dhcp(b, off);
    return null;
  }

  private ownIcmp(b: Uint8Array, off: number, end: number, src: number, dst: number, mac: number): DropReason | null {
    if (icmpv4Type(b, off) !== ICMPV4.ECHO_REQUEST) return 'icmpType';
    this.parts.icmp.replyEcho(b, off, end, mac, dst, src, icmpv4Identifier(b, off), icmpv4Sequence(b, off));
    return null;
  }

  private dhcp(b: Uint8Array, off: number): void {
    const { dhcp, out, dhcpServer } = this.parts;
    if (dhcp === null) return;
    const reply = out.l4 + UDP_HEADER;
    const length = dhcp.input(b, off + UDP_HEADER, off + udpLength(b, off), out.region.bytes, reply);
    if (length === 0) return;
    udpEmit(out.region.bytes, out.l4, DHCPV4_PORT.SERVER, dhcp.replyPort, UDP_HEADER + length);
    out.sendUdp4(dhcp.replyMac, dhcpServer, dhcp.replyAddress, length);
  }

  /** An address that a guest may have: of the segment, neither ours nor that of the network or of all. */
  private isGuest(address: number): boolean {
    const { network, mask } = this.parts;
    return (
      (address & mask) >>> 0 === network && address !== network && address !== this.broadcast && !this.isOurs(address)
    );
  }

  private isOurs(address: number): boolean {
    const { gateway, dhcpServer, host } = this.parts;
    return address !== 0 && (address === gateway || address === dhcpServer || address === host);
  }
}

/** Why the message at `off` is no header of its protocol; null when it is one, or of a protocol that we don't know. */
function malformedL4(b: Uint8Array, off: number, end: number, protocol: number): DropReason | null {
  if (protocol === IP_PROTOCOL.TCP) return tcpIsValid(b, off, end) ? null : 'tcpMalformed';
  if (protocol === IP_PROTOCOL.UDP) return udpIsValid(b, off, end) ? null : 'udpMalformed';
  if (protocol === IP_PROTOCOL.ICMP) return icmpv4IsValid(b, off, end) ? null : 'icmpMalformed';
  return null;
}
