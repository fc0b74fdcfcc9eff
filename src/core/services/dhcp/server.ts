/**
 * A DHCPv4 server (RFC 2131, RFC 2132) for one virtual network.
 *
 * Theory of operation. The gateway hands over the UDP payload of every datagram to port 67; `input` answers into the
 * caller's buffer and says where the answer goes. Nothing is sent by itself. What the server knows of addresses lies in
 * the {@link LeaseTable}.
 *
 *   DISCOVER            OFFER of the reserved, the old, the wanted or a new address, kept for OFFER_HOLD_MS;
 *                       nothing when the pool is empty
 *   REQUEST selecting   ACK, or NAK when the address is no longer the client's. Naming another server ends our offer
 *           init-reboot ACK when we know that client and its address is right, else NAK: we are the only server here, so
 *                       the silence that RFC 2131 §4.3.2 wants for an unknown client would only delay it
 *           renewing,   ACK, also for a client that we know nothing of when its address is free: a lost lease file must
 *           rebinding   not cost running guests their connections; else NAK
 *   DECLINE             the address is given to nobody for DECLINE_MS
 *   RELEASE             the lease ends; the address is remembered
 *   INFORM              ACK without an address and without times
 *
 * A lease is saved before the ACK is written (§2.1: "the server MUST commit the lease to persistent storage" before),
 * but a client that asks more often than SAVE_INTERVAL_MS gets the lease that is saved already, so that it can't fill
 * the disk. `allocate` gives an address to a NIC that we configure ourselves (a namespace guest) without an exchange;
 * such a lease is *attached*: it stands until `release`, RELEASE and DECLINE don't touch it, and `poll` renews it.
 *
 * Left out: relay agents (one network is one segment), BOOTP without DHCP, forced renewal, probing before an offer
 * (clients probe, and DECLINE). Bounds: see the lease table; a reply never exceeds the client's maximum size.
 */

import type { Clock } from '../../base/ports.ts';
import { type Counters, count } from '../../base/stats.ts';
import {
  DHCPV4_MESSAGE,
  DHCPV4_OP,
  DHCPV4_OPTION,
  DHCPV4_PORT,
  dhcpv4Broadcast,
  dhcpv4Chaddr,
  dhcpv4Ciaddr,
  dhcpv4Giaddr,
  dhcpv4IsValid,
  dhcpv4MessageType,
  dhcpv4Op,
  dhcpv4Option32,
  dhcpv4OptionAt,
  dhcpv4OptionText,
} from '../../wire/dhcpv4.ts';
import { type DhcpServerPlan, hostLabel, type LeaseRecord } from './lease.ts';
import { type DhcpClient, type Lease, LeaseTable, macKey } from './lease-table.ts';
import { ReplyWriter } from './reply.ts';

/** What the server needs of the outside. */
export interface DhcpServerDeps {
  clock: Clock;
  /** Milliseconds since 1970. */
  wallClock(): number;
  /** Puts a lease on disk. Called before the message that grants it is written. */
  save(record: LeaseRecord): void;
}

/** How long an offered address waits for its client. */
export const OFFER_HOLD_MS = 10_000;
/** How long an address that a client found in use is given to nobody. */
export const DECLINE_MS = 600_000;
/** Least time between two records of one unchanged lease. */
const SAVE_INTERVAL_MS = 1_000;

const BROADCAST_ADDRESS = 0xffff_ffff;
const BROADCAST_MAC = 0xffff_ffff_ffff;
const TWO_40 = 0x100_0000_0000;

/** A message being answered: `[off, end)` of `b`, and who sent it. */
interface Message {
  b: Uint8Array;
  off: number;
  end: number;
  client: DhcpClient;
  ciaddr: number;
}

/** The server of one network. */
export class DhcpServer {
  /** Messages by type, answers, and by reason what got none. */
  readonly counters: Counters = {
    discover: 0,
    request: 0,
    decline: 0,
    release: 0,
    inform: 0,
    offer: 0,
    ack: 0,
    nak: 0,
  };
  /** Where the reply that `input` wrote last goes: IP, MAC and UDP port. */
  replyAddress = 0;
  replyMac = 0;
  readonly replyPort = DHCPV4_PORT.CLIENT;

  private readonly plan: DhcpServerPlan;
  private readonly deps: DhcpServerDeps;
  private readonly table: LeaseTable;
  private readonly reply: ReplyWriter;
  private readonly leaseMs: number;
  private renewAt = Number.POSITIVE_INFINITY;

  constructor(plan: DhcpServerPlan, deps: DhcpServerDeps) {
    this.plan = plan;
    this.deps = deps;
    this.table = new LeaseTable(plan, deps.clock);
    this.reply = new ReplyWriter(plan);
    this.leaseMs = plan.leaseSeconds * 1000;
    for (const record of plan.leases) this.restore(record);
  }

  /**
   * Takes a message (a UDP payload) at `[off, end)` of `b` and writes the answer at `outOff` of `out`, which may not be
   * the same memory. Returns the answer's length, or 0 when there is none. Never throws on any bytes.
   */
  input(b: Uint8Array, off: number, end: number, out: Uint8Array, outOff: number): number {
    if (!dhcpv4IsValid(b, off, end) || dhcpv4Op(b, off) !== DHCPV4_OP.REQUEST) return this.drop('malformed');
    if (dhcpv4Giaddr(b, off) !== 0) return this.drop('relayed');
    const mac = dhcpv4Chaddr(b, off);
    if (mac === 0 || (Math.floor(mac / TWO_40) & 1) !== 0) return this.drop('clientMac');
    const client = this.table.client(mac, clientIdOf(b, off, end));
    const message: Message = { b, off, end, client, ciaddr: dhcpv4Ciaddr(b, off) };
    this.reply.start(out, outOff, b, off, end);
    switch (dhcpv4MessageType(b, off, end)) {
      case DHCPV4_MESSAGE.DISCOVER:
        return this.onDiscover(message);
      case DHCPV4_MESSAGE.REQUEST:
        return this.onRequest(message);
      case DHCPV4_MESSAGE.DECLINE:
        return this.onDecline(message);
      case DHCPV4_MESSAGE.RELEASE:
        return this.onRelease(message);
      case DHCPV4_MESSAGE.INFORM:
        return this.onInform(message);
      case 0:
        return this.drop('bootp');
      default:
        return this.drop('messageType');
    }
  }

  /**
   * An address for a NIC that we configure ourselves; it keeps it until {@link release}, and gets it again when it comes
   * back. With `staticAddress` exactly that one, inside or outside of the range. Returns 0 when the pool is empty, or
   * the static address isn't of this network, or is another's.
   */
  allocate(mac: number, name: string | null, staticAddress = 0): number {
    const client: DhcpClient = { key: macKey(mac), mac, clientId: null };
    const possible = this.table.isHostAddress(staticAddress) && this.table.isFreeFor(client, staticAddress);
    const address = staticAddress === 0 ? this.table.choose(client, 0) : possible ? staticAddress : 0;
    if (address === 0) {
      count(this.counters, staticAddress === 0 ? 'poolExhausted' : 'addressInUse');
      return 0;
    }
    const lease = this.bind(client, address, hostLabel(name));
    lease.attached = true;
    this.renewAt = Math.min(this.renewAt, this.deps.clock.now + this.leaseMs / 2);
    return address;
  }

  /** The NIC that `allocate` was called for is gone: its lease ends. Its address is remembered while nobody needs it. */
  release(mac: number): void {
    const lease = this.table.find({ key: macKey(mac), mac, clientId: null });
    if (lease?.attached === true) this.end(lease);
  }

  /** Leases that stand, by address. An attached one is shown with a full lease time ahead: it rolls on. */
  leases(): LeaseRecord[] {
    return this.table.bound().map((lease) => this.record(lease));
  }

  /** The address that goes by a name (a label in lower case): a live guest's, or a reserved one; 0 if there is none. */
  addressOf(name: string): number {
    return this.table.addressOf(name);
  }

  /** The name of a live guest or a reservation by its address. */
  nameOf(address: number): string | null {
    return this.table.nameOf(address);
  }

  /** When `poll` has something to do, in milliseconds of the clock. */
  pollAt(): number {
    return this.renewAt;
  }

  /** Renews attached leases, on disk too: a netd started anew must not give them away. */
  poll(): void {
    const now = this.deps.clock.now;
    if (now < this.renewAt) return;
    this.renewAt = Number.POSITIVE_INFINITY;
    for (const lease of this.table.bound()) {
      if (!lease.attached) continue;
      lease.until = now + this.leaseMs;
      this.save(lease);
      this.renewAt = now + this.leaseMs / 2;
    }
  }

  private onDiscover(message: Message): number {
    this.counters.discover!++;
    const { b, off, end, client } = message;
    const address = this.table.choose(client, dhcpv4Option32(b, off, end, DHCPV4_OPTION.REQUESTED_ADDRESS));
    if (address === 0) return this.drop('poolExhausted');
    this.table.offer(client, address, OFFER_HOLD_MS);
    this.counters.offer!++;
    this.addressReply(message, address);
    return this.reply.lease(DHCPV4_MESSAGE.OFFER, address, 0, this.table.at(address)?.name ?? null);
  }

  private onRequest(message: Message): number {
    this.counters.request!++;
    const { b, off, end, client, ciaddr } = message;
    const server = dhcpv4Option32(b, off, end, DHCPV4_OPTION.SERVER_ID);
    const wanted = dhcpv4Option32(b, off, end, DHCPV4_OPTION.REQUESTED_ADDRESS);
    const own = this.table.find(client);
    if (server >= 0) {
      if (server !== this.plan.serverId) {
        if (own?.state === 'offered') this.table.free(own);
        return this.drop('otherServer');
      }
      // Selecting (RFC 2131 §4.3.2). Some clients fill in ciaddr instead of option 50.
      const address = wanted >= 0 ? wanted : ciaddr;
      return this.table.mayHave(client, address) ? this.ack(message, address) : this.nak(message);
    }
    if (ciaddr === 0) {
      if (wanted < 0) return this.drop('noAddress');
      const known = own !== undefined && own.address === wanted && this.table.mayHave(client, wanted);
      return known ? this.ack(message, wanted) : this.nak(message);
    }
    return this.table.mayHave(client, ciaddr) ? this.ack(message, ciaddr) : this.nak(message);
  }

  private onDecline(message: Message): number {
    this.counters.decline!++;
    const { b, off, end, client } = message;
    if (dhcpv4Option32(b, off, end, DHCPV4_OPTION.SERVER_ID) !== this.plan.serverId) return this.drop('otherServer');
    const address = dhcpv4Option32(b, off, end, DHCPV4_OPTION.REQUESTED_ADDRESS);
    const lease = this.ownLease(client, address);
    if (lease === null) return this.drop('notItsAddress');
    if (lease.state === 'bound') this.saveVoid(lease);
    this.table.quarantine(lease, DECLINE_MS);
    return 0;
  }

  private onRelease(message: Message): number {
    this.counters.release!++;
    const lease = this.ownLease(message.client, message.ciaddr);
    if (lease === null) return this.drop('notItsAddress');
    this.end(lease);
    return 0;
  }

  private onInform(message: Message): number {
    this.counters.inform!++;
    if (!this.table.isHostAddress(message.ciaddr)) return this.drop('foreignAddress');
    this.counters.ack!++;
    this.addressReply(message, message.ciaddr);
    return this.reply.inform(message.ciaddr, this.table.nameOf(message.ciaddr));
  }

  private ack(message: Message, address: number): number {
    const { b, off, end, client } = message;
    const lease = this.bind(client, address, hostLabel(dhcpv4OptionText(b, off, end, DHCPV4_OPTION.HOST_NAME)));
    this.counters.ack!++;
    this.addressReply(message, address);
    return this.reply.lease(DHCPV4_MESSAGE.ACK, address, message.ciaddr, lease.name);
  }

  private nak(message: Message): number {
    this.counters.nak!++;
    // RFC 2131 §4.1: the client may not have the address that it asked from.
    this.addressReply(message, BROADCAST_ADDRESS);
    return this.reply.nak('that address is not yours');
  }

  /** Who gets the reply (RFC 2131 §4.1): a client with an address there; one without it at its future one, or all. */
  private addressReply(message: Message, address: number): void {
    const all = address === BROADCAST_ADDRESS || (message.ciaddr === 0 && dhcpv4Broadcast(message.b, message.off));
    this.replyAddress = all ? BROADCAST_ADDRESS : message.ciaddr || address;
    this.replyMac = all ? BROADCAST_MAC : message.client.mac;
  }

  /** The entry of an address when a client may give it back: its own, and not attached. */
  private ownLease(client: DhcpClient, address: number): Lease | null {
    const lease = this.table.at(address);
    if (lease === undefined || lease.key !== client.key || lease.attached || !this.table.isLive(lease)) return null;
    return lease;
  }

  private bind(client: DhcpClient, address: number, wantedName: string | null): Lease {
    const before = this.table.find(client);
    if (before !== undefined && before.address !== address && this.table.isBound(before)) this.saveVoid(before);
    let name = wantedName;
    if (name !== null && !this.table.isNameFree(name, client.mac)) {
      count(this.counters, 'nameTaken');
      name = null;
    }
    const now = this.deps.clock.now;
    const same = before?.address === address && this.table.isBound(before) && (name === null || name === before.name);
    if (same && before.clientId === client.clientId && now - before.savedAt < SAVE_INTERVAL_MS) return before;
    const lease = this.table.bind(client, address, name, this.leaseMs);
    this.save(lease);
    return lease;
  }

  private end(lease: Lease): void {
    const wasBound = lease.state === 'bound';
    this.table.free(lease);
    if (wasBound) this.saveVoid(lease);
  }

  private save(lease: Lease): void {
    lease.savedAt = this.deps.clock.now;
    this.deps.save(this.record(lease));
  }

  private saveVoid(lease: Lease): void {
    this.deps.save({ ...this.record(lease), expiresAt: Math.floor(this.deps.wallClock()) });
  }

  private record(lease: Lease): LeaseRecord {
    const { address, mac, clientId, name } = lease;
    const leftMs = lease.attached ? this.leaseMs : lease.until - this.deps.clock.now;
    return { address, mac, clientId, name, expiresAt: Math.floor(this.deps.wallClock() + leftMs) };
  }

  /** A lease of an earlier process. A wall clock that was set meanwhile can't make it longer than a new one. */
  private restore(record: LeaseRecord): void {
    const leftMs = Math.min(record.expiresAt - this.deps.wallClock(), this.leaseMs);
    const client = this.table.client(record.mac, record.clientId);
    if (leftMs <= 0) {
      const lease = this.table.at(record.address);
      if (lease?.key === client.key) this.table.free(lease);
      return;
    }
    if (!this.table.isHostAddress(record.address) || !this.table.isFreeFor(client, record.address)) return;
    const label = hostLabel(record.name);
    const name = label !== null && this.table.isNameFree(label, record.mac) ? label : null;
    this.table.bind(client, record.address, name, leftMs);
  }

  private drop(reason: string): number {
    count(this.counters, reason);
    return 0;
  }
}

/** Option 61 as hex; null when absent or too short to identify anybody (RFC 2132 §9.14). */
function clientIdOf(b: Uint8Array, off: number, end: number): string | null {
  const at = dhcpv4OptionAt(b, off, end, DHCPV4_OPTION.CLIENT_ID);
  if (at < 0 || b[at - 1]! < 2) return null;
  let hex = '';
  for (let i = at; i < at + b[at - 1]!; i++) hex += b[i]!.toString(16).padStart(2, '0');
  return hex;
}
