/**
 * Writes the answers of the DHCP server: which options, in which order, within which size (RFC 2131 §4.3.1).
 *
 * Order: message type, server identifier, times, the client's identifier (RFC 6842: echoed), the subnet mask (RFC 2132
 * §3.3: before the router), then what the client asked for in its parameter list, in its order, once each. A client
 * without a list gets the usual ones. What doesn't fit in the client's maximum message size is left out from the end.
 */

import { prefixMask } from '../../base/address.ts';
import {
  DHCPV4_MESSAGE,
  DHCPV4_OP,
  DHCPV4_OPTION,
  Dhcpv4Writer,
  dhcpv4Broadcast,
  dhcpv4Chaddr,
  dhcpv4Emit,
  dhcpv4Option16,
  dhcpv4OptionAt,
  dhcpv4Xid,
} from '../../wire/dhcpv4.ts';
import type { DhcpServerPlan } from './lease.ts';

/** IP and UDP headers count towards option 57, whose least legal value is 576 (RFC 2132 §9.10). */
const IP_AND_UDP = 28;
const LEAST_MESSAGE = 576 - IP_AND_UDP;

const USUAL: readonly number[] = [
  DHCPV4_OPTION.ROUTER,
  DHCPV4_OPTION.DNS,
  DHCPV4_OPTION.HOST_NAME,
  DHCPV4_OPTION.DOMAIN_NAME,
  DHCPV4_OPTION.BROADCAST_ADDRESS,
];

/** Builds one reply at a time; reused. */
export class ReplyWriter {
  private readonly plan: DhcpServerPlan;
  private readonly writer = new Dhcpv4Writer();
  /** Options that the reply holds already. */
  private readonly written = new Uint8Array(256);
  private out: Uint8Array = new Uint8Array(0);
  private outOff = 0;
  private b: Uint8Array = new Uint8Array(0);
  private off = 0;
  private end = 0;

  constructor(plan: DhcpServerPlan) {
    this.plan = plan;
  }

  /** The reply goes to `outOff` of `out` and answers the valid message `[off, end)` of `b`. */
  start(out: Uint8Array, outOff: number, b: Uint8Array, off: number, end: number): void {
    this.out = out;
    this.outOff = outOff;
    this.b = b;
    this.off = off;
    this.end = end;
  }

  /** OFFER or ACK of an address; returns its length. */
  lease(type: number, yiaddr: number, ciaddr: number, name: string | null): number {
    const { leaseSeconds } = this.plan;
    this.begin(type, yiaddr, type === DHCPV4_MESSAGE.ACK ? ciaddr : 0);
    this.writer.put32(DHCPV4_OPTION.LEASE_TIME, leaseSeconds);
    // RFC 2131 §4.4.5: T1 at half of the lease, T2 at seven eighths.
    this.writer.put32(DHCPV4_OPTION.RENEWAL_TIME, Math.floor(leaseSeconds / 2));
    this.writer.put32(DHCPV4_OPTION.REBINDING_TIME, Math.floor((leaseSeconds * 7) / 8));
    this.echoClientId();
    this.parameters(name);
    return this.writer.finish(this.outOff);
  }

  /** ACK to an INFORM: parameters, but no address and no times (RFC 2131 §4.3.5). */
  inform(ciaddr: number, name: string | null): number {
    this.begin(DHCPV4_MESSAGE.ACK, 0, ciaddr);
    this.echoClientId();
    this.parameters(name);
    return this.writer.finish(this.outOff);
  }

  /** NAK with its reason in words; nothing else but the identifiers may be in it (RFC 2131 §4.3.1, table 3). */
  nak(reason: string): number {
    this.begin(DHCPV4_MESSAGE.NAK, 0, 0);
    this.echoClientId();
    this.writer.putText(DHCPV4_OPTION.MESSAGE, reason);
    return this.writer.finish(this.outOff);
  }

  private begin(type: number, yiaddr: number, ciaddr: number): void {
    const { b, off, end, out, outOff } = this;
    const options = dhcpv4Emit(out, outOff, {
      op: DHCPV4_OP.REPLY,
      xid: dhcpv4Xid(b, off),
      secs: 0,
      broadcast: dhcpv4Broadcast(b, off),
      ciaddr,
      yiaddr,
      siaddr: 0,
      giaddr: 0,
      chaddr: dhcpv4Chaddr(b, off),
    });
    const asked = dhcpv4Option16(b, off, end, DHCPV4_OPTION.MAX_MESSAGE_SIZE) - IP_AND_UDP;
    const most = Math.max(LEAST_MESSAGE, Math.min(asked, this.plan.mtu - IP_AND_UDP));
    this.writer.start(out, outOff + options, Math.min(out.length, outOff + most));
    this.writer.put8(DHCPV4_OPTION.MESSAGE_TYPE, type);
    this.writer.put32(DHCPV4_OPTION.SERVER_ID, this.plan.serverId);
  }

  private echoClientId(): void {
    const at = dhcpv4OptionAt(this.b, this.off, this.end, DHCPV4_OPTION.CLIENT_ID);
    if (at >= 0) this.writer.putBytes(DHCPV4_OPTION.CLIENT_ID, this.b, at, this.b[at - 1]!);
  }

  private parameters(name: string | null): void {
    this.written.fill(0);
    this.parameter(DHCPV4_OPTION.SUBNET_MASK, name);
    const list = dhcpv4OptionAt(this.b, this.off, this.end, DHCPV4_OPTION.PARAMETER_LIST);
    if (list >= 0) for (let i = list; i < list + this.b[list - 1]!; i++) this.parameter(this.b[i]!, name);
    else for (const code of USUAL) this.parameter(code, name);
    // Guests that don't ask for the MTU would take Ethernet's.
    if (this.plan.mtu !== 1500) this.parameter(DHCPV4_OPTION.MTU, name);
  }

  private parameter(code: number, name: string | null): void {
    if (this.written[code] !== 0) return;
    this.written[code] = 1;
    const { plan, writer } = this;
    switch (code) {
      case DHCPV4_OPTION.SUBNET_MASK:
        writer.put32(code, prefixMask(plan.prefixLength));
        break;
      case DHCPV4_OPTION.ROUTER:
        if (plan.router !== 0) writer.put32(code, plan.router);
        break;
      case DHCPV4_OPTION.DNS:
        writer.putAddresses(code, plan.dns);
        break;
      case DHCPV4_OPTION.HOST_NAME:
        if (name !== null) writer.putText(code, name);
        break;
      case DHCPV4_OPTION.DOMAIN_NAME:
        writer.putText(code, plan.domain);
        break;
      case DHCPV4_OPTION.MTU:
        writer.put16(code, plan.mtu);
        break;
      case DHCPV4_OPTION.BROADCAST_ADDRESS:
        writer.put32(code, plan.network | ~prefixMask(plan.prefixLength));
        break;
    }
  }
}
