/**
 * ICMP messages that the gateway sends to guests in its own name or that of a router on the way: errors about packets
 * that it can't carry, and replies to echo requests for its own addresses.
 *
 * Rules of RFC 1122 §3.2.2 and RFC 1812 §4.3.2: no error about an ICMP error, a broadcast, a multicast or a later
 * fragment (the callers see to it), the quote is as long as 576 bytes allow, and errors are rate-limited: a token bucket
 * of 200, refilled by 1,000 a second, so that a guest that scans doesn't make us work for it. Dropped errors are counted.
 */

import { copyBytes, put16, put32 } from '../base/bytes.ts';
import type { Clock } from '../base/ports.ts';
import { type Counters, count } from '../base/stats.ts';
import { ICMPV4, ICMPV4_HEADER, ICMPV4_UNREACHABLE, icmpv4EmitEcho, icmpv4EmitError } from '../wire/icmpv4.ts';
import { IP_PROTOCOL, IPV4_DF, IPV4_HEADER, ipv4Emit } from '../wire/ipv4.ts';
import { udpEmit } from '../wire/udp.ts';
import type { PacketOutput } from './packet-output.ts';

const BURST = 200;
const PER_MILLISECOND = 1;
/** What a rebuilt quote holds of TCP or UDP: ports and sequence number (RFC 792). */
const QUOTED_L4 = 8;

export class IcmpSender {
  readonly counters: Counters = { sent: 0, rateLimited: 0 };
  private readonly out: PacketOutput;
  private readonly clock: Clock;
  /** Source of a router's errors: the gateway. */
  private readonly address: number;
  private readonly quote = new Uint8Array(IPV4_HEADER + QUOTED_L4);
  private tokens = BURST;
  private refilledAt = 0;

  constructor(out: PacketOutput, clock: Clock, address: number) {
    this.out = out;
    this.clock = clock;
    this.address = address;
  }

  /** An error about the IPv4 packet `[off, end)` of `b`, sent to its source. The packet is borrowed for the call. */
  errorAbout(b: Uint8Array, off: number, end: number, mac: number, source: number, type: number, code: number): void {
    if (!this.allowed()) return;
    const length = icmpv4EmitError(this.out.region.bytes, this.out.l4, type, code, 0, b, off, end - off);
    this.out.sendIcmp4(mac, this.address, source, length);
  }

  /** An error about a guest's SYN that is no longer at hand: what a guest matches by is rebuilt. */
  errorAboutTcp(
    mac: number,
    src: number,
    srcPort: number,
    dst: number,
    dstPort: number,
    seq: number,
    type: number,
    code: number,
  ): void {
    if (!this.allowed()) return;
    ipv4Emit(this.quote, 0, IPV4_HEADER + 20, 0, IPV4_DF, 64, IP_PROTOCOL.TCP, src, dst);
    put16(this.quote, IPV4_HEADER, srcPort);
    put16(this.quote, IPV4_HEADER + 2, dstPort);
    put32(this.quote, IPV4_HEADER + 4, seq);
    this.sendQuote(mac, this.address, src, type, code);
  }

  /**
   * Port unreachable about a guest's earlier datagram, in the name of the host that refused it, as traceroute and
   * resolvers expect. The datagram is no longer at hand: what a guest matches by is rebuilt.
   */
  portUnreachable(mac: number, guest: number, guestPort: number, remote: number, remotePort: number): void {
    if (!this.allowed()) return;
    ipv4Emit(this.quote, 0, IPV4_HEADER + 8, 0, IPV4_DF, 64, IP_PROTOCOL.UDP, guest, remote);
    udpEmit(this.quote, IPV4_HEADER, guestPort, remotePort, 8);
    this.sendQuote(mac, remote, guest, ICMPV4.UNREACHABLE, ICMPV4_UNREACHABLE.PORT);
  }

  /** Answers an echo request `[off, end)` (ICMP header on) for one of our own addresses. */
  replyEcho(
    b: Uint8Array,
    off: number,
    end: number,
    mac: number,
    from: number,
    to: number,
    identifier: number,
    sequence: number,
  ): void {
    const payload = end - off - ICMPV4_HEADER;
    copyBytes(this.out.region.bytes, this.out.l4 + ICMPV4_HEADER, b, off + ICMPV4_HEADER, payload);
    this.sendEchoReply(mac, from, to, identifier, sequence, payload);
  }

  /** Sends an echo reply whose payload lies at `out.l4 + 8` already. */
  sendEchoReply(mac: number, from: number, to: number, identifier: number, sequence: number, payload: number): void {
    const length = icmpv4EmitEcho(this.out.region.bytes, this.out.l4, ICMPV4.ECHO_REPLY, identifier, sequence, payload);
    this.out.sendIcmp4(mac, from, to, length);
  }

  private sendQuote(mac: number, from: number, to: number, type: number, code: number): void {
    const out = this.out;
    const length = icmpv4EmitError(out.region.bytes, out.l4, type, code, 0, this.quote, 0, this.quote.length);
    out.sendIcmp4(mac, from, to, length);
  }

  private allowed(): boolean {
    const now = this.clock.now;
    this.tokens = Math.min(BURST, this.tokens + (now - this.refilledAt) * PER_MILLISECOND);
    this.refilledAt = now;
    if (this.tokens < 1) {
      count(this.counters, 'rateLimited');
      return false;
    }
    this.tokens--;
    count(this.counters, 'sent');
    return true;
  }
}
