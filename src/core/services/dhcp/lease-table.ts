/**
 * Who has which address: the pool of a DHCP server, without the protocol.
 *
 * Theory of operation. An address has an entry from the moment it is first offered, and keeps it: an entry whose time
 * is over remembers its client, so that a guest which asks again gets its old address, until somebody else needs it.
 * Fresh addresses go first, in order from the start of the range; then the entry that ended longest ago is reused.
 *
 *   free       its client let go of it, or an offer came to nothing; remembered
 *   offered    kept for the client for a few seconds
 *   bound      the client's until `until`; an *attached* one for as long as the guest's NIC exists
 *   declined   somebody else was found to use it; given to nobody until `until`
 *
 * A client is known by its identifier (option 61), else by its MAC (RFC 2131 §4.2). The identifier that merely spells
 * the MAC (type 1) means the same, so that a guest whose boot loader sends one and whose system sends none keeps its
 * address. A MAC with a reservation, or of a NIC attached by us, is one client whatever identifier it sends.
 *
 * Bounds: MAX_ENTRIES, however large the range. An entry costs an object and two map entries. When no address can be
 * had, the moment before which another search is useless is kept, so that a flood of requests costs nothing.
 */

import { prefixMask } from '../../base/address.ts';
import type { Clock } from '../../base/ports.ts';
import type { DhcpServerPlan, Reservation } from './lease.ts';

/** Who asks. `key` tells clients apart. */
export interface DhcpClient {
  readonly key: string;
  readonly mac: number;
  /** Hex, as it will be recorded. */
  readonly clientId: string | null;
}

/** The entry of an address. Changed by the table only, but for `savedAt`. */
export interface Lease {
  readonly address: number;
  key: string;
  mac: number;
  clientId: string | null;
  name: string | null;
  state: 'free' | 'offered' | 'bound' | 'declined';
  /** Milliseconds of the network's clock. */
  until: number;
  /** Pinned to a NIC that we attached ourselves: lives until it is freed. */
  attached: boolean;
  /** When it was recorded last; -Infinity if never. */
  savedAt: number;
}

/** Most addresses that the table knows anything about. */
export const MAX_ENTRIES = 8192;

/** Leases by address, client and name. */
export class LeaseTable {
  private readonly plan: DhcpServerPlan;
  private readonly clock: Clock;
  private readonly mask: number;
  private readonly taken: ReadonlySet<number>;
  private readonly reservedFor = new Map<number, Reservation>();
  private readonly reservedAt = new Map<number, Reservation>();
  private readonly reservedName = new Map<string, Reservation>();
  private readonly byAddress = new Map<number, Lease>();
  private readonly byKey = new Map<string, Lease>();
  private readonly byName = new Map<string, Lease>();
  /** The lowest address of the range that may have no entry yet. Entries stay, so it only ever rises. */
  private freshFrom: number;
  /** No entry ends before this moment. */
  private noneBefore = 0;

  constructor(plan: DhcpServerPlan, clock: Clock) {
    this.plan = plan;
    this.clock = clock;
    this.mask = prefixMask(plan.prefixLength);
    this.taken = new Set(plan.taken);
    this.freshFrom = plan.rangeStart;
    for (const reservation of plan.reservations) {
      this.reservedFor.set(reservation.mac, reservation);
      this.reservedAt.set(reservation.address, reservation);
      if (reservation.name !== null) this.reservedName.set(reservation.name, reservation);
    }
  }

  /** Who a MAC with an identifier (hex, or null) is. */
  client(mac: number, clientId: string | null): DhcpClient {
    const key = macKey(mac);
    if (clientId === null) return { key, mac, clientId };
    if (this.byKey.get(key)?.attached === true) return { key, mac, clientId: null };
    if (this.reservedFor.has(mac) || clientId === `01${key}`) return { key, mac, clientId };
    return { key: `id:${clientId}`, mac, clientId };
  }

  /** The client's entry, in whatever state. */
  find(client: DhcpClient): Lease | undefined {
    return this.byKey.get(client.key);
  }

  /** The entry of an address, in whatever state. */
  at(address: number): Lease | undefined {
    return this.byAddress.get(address);
  }

  /** Nobody but its client can have the address now. */
  isLive(lease: Lease): boolean {
    return lease.attached || (lease.state !== 'free' && lease.until > this.clock.now);
  }

  /** The client has the address now. */
  isBound(lease: Lease): boolean {
    return lease.state === 'bound' && this.isLive(lease);
  }

  /** An address that a host of this network can have: inside, and neither the network's nor of anybody known. */
  isHostAddress(address: number): boolean {
    const host = (address & ~this.mask) >>> 0;
    const inside = (address & this.mask) >>> 0 === this.plan.network;
    return inside && host !== 0 && host !== ~this.mask >>> 0 && !this.taken.has(address);
  }

  /** The client may be given the address, or keep it. */
  mayHave(client: DhcpClient, address: number): boolean {
    const own = this.find(client);
    if (own?.attached === true) return own.address === address;
    const reservation = this.reservedFor.get(client.mac);
    if (reservation !== undefined && reservation.address !== address && this.isFreeFor(client, reservation.address)) {
      return false;
    }
    if (reservation?.address !== address && !this.isInPool(address)) return false;
    return this.isFreeFor(client, address);
  }

  /** The address to offer: the reserved one, the old one, the wanted one, a fresh one, the one longest unused; or 0. */
  choose(client: DhcpClient, wanted: number): number {
    const reserved = this.reservedFor.get(client.mac)?.address ?? 0;
    if (reserved !== 0 && this.mayHave(client, reserved)) return reserved;
    const own = this.find(client)?.address ?? 0;
    if (own !== 0 && this.mayHave(client, own)) return own;
    if (wanted > 0 && this.mayHave(client, wanted)) return wanted;
    return this.fresh() || this.longestUnused();
  }

  /** Keeps an address for a client that was told of it. A lease that stands is not touched. */
  offer(client: DhcpClient, address: number, holdMs: number): void {
    const lease = this.byAddress.get(address);
    if (lease !== undefined && lease.key === client.key && this.isBound(lease)) return;
    const offered = this.claim(client, address);
    offered.state = 'offered';
    offered.until = this.clock.now + holdMs;
    // An offer doesn't end the lease that the client has elsewhere.
    const before = this.byKey.get(client.key);
    if (before === undefined || !this.isBound(before)) this.byKey.set(client.key, offered);
  }

  /** Makes an address the client's for a time, and ends what it had elsewhere. `name` null leaves the name as it is. */
  bind(client: DhcpClient, address: number, name: string | null, ms: number): Lease {
    const before = this.byKey.get(client.key);
    if (before !== undefined && before.address !== address) this.forget(before);
    const lease = this.claim(client, address);
    this.byKey.set(client.key, lease);
    lease.state = 'bound';
    lease.until = this.clock.now + ms;
    this.rename(lease, this.reservedFor.get(client.mac)?.name ?? name);
    return lease;
  }

  /** Ends a lease or an offer. Its client is remembered. */
  free(lease: Lease): void {
    lease.state = 'free';
    lease.until = Math.min(lease.until, this.clock.now);
    lease.attached = false;
    this.noneBefore = 0;
  }

  /** Gives an address to nobody for a time, its client included. */
  quarantine(lease: Lease, ms: number): void {
    this.forget(lease);
    lease.state = 'declined';
    lease.until = this.clock.now + ms;
  }

  /** Whether a guest can go by a name: it is no other live guest's, no other's reservation, and not the network's own. */
  isNameFree(name: string, mac: number): boolean {
    if (this.plan.ownNames.includes(name)) return false;
    const reservation = this.reservedName.get(name);
    if (reservation !== undefined && reservation.mac !== mac) return false;
    const holder = this.byName.get(name);
    return holder === undefined || holder.mac === mac || !this.isBound(holder);
  }

  /** The address that goes by a name: a live guest's, or a reserved one; 0 if there is none. */
  addressOf(name: string): number {
    const lease = this.byName.get(name);
    if (lease !== undefined && this.isBound(lease)) return lease.address;
    return this.reservedName.get(name)?.address ?? 0;
  }

  /** The name that an address goes by. */
  nameOf(address: number): string | null {
    const lease = this.byAddress.get(address);
    if (lease !== undefined && this.isBound(lease)) return lease.name;
    return this.reservedAt.get(address)?.name ?? null;
  }

  /** Leases that stand, by address. */
  bound(): Lease[] {
    return [...this.byAddress.values()].filter((lease) => this.isBound(lease)).sort((a, b) => a.address - b.address);
  }

  /** Nobody else holds or has reserved the address, and there is room to note who gets it. */
  isFreeFor(client: DhcpClient, address: number): boolean {
    const reservation = this.reservedAt.get(address);
    if (reservation !== undefined && reservation.mac !== client.mac) return false;
    const lease = this.byAddress.get(address);
    if (lease === undefined) return this.byAddress.size < MAX_ENTRIES;
    return !this.isLive(lease) || (lease.key === client.key && lease.state !== 'declined');
  }

  private isInPool(address: number): boolean {
    return address >= this.plan.rangeStart && address <= this.plan.rangeEnd && this.isHostAddress(address);
  }

  private fresh(): number {
    if (this.byAddress.size >= MAX_ENTRIES) return 0;
    for (; this.freshFrom <= this.plan.rangeEnd; this.freshFrom++) {
      const address = this.freshFrom;
      if (!this.byAddress.has(address) && !this.reservedAt.has(address) && this.isHostAddress(address)) return address;
    }
    return 0;
  }

  private longestUnused(): number {
    if (this.clock.now < this.noneBefore) return 0;
    let found: Lease | null = null;
    let nextEnd = Number.POSITIVE_INFINITY;
    for (const lease of this.byAddress.values()) {
      if (lease.attached || this.reservedAt.has(lease.address) || !this.isInPool(lease.address)) continue;
      if (this.isLive(lease)) nextEnd = Math.min(nextEnd, lease.until);
      else if (found === null || lease.until < found.until) found = lease;
    }
    if (found === null) this.noneBefore = nextEnd;
    return found?.address ?? 0;
  }

  /** The entry of an address, made the client's; another client that it remembered is forgotten. */
  private claim(client: DhcpClient, address: number): Lease {
    let lease = this.byAddress.get(address);
    if (lease === undefined) {
      const { key, mac, clientId } = client;
      lease = { address, key, mac, clientId, name: null, state: 'free', until: 0, attached: false, savedAt: -Infinity };
      this.byAddress.set(address, lease);
    } else if (lease.key !== client.key) {
      this.forget(lease);
    }
    lease.key = client.key;
    lease.mac = client.mac;
    lease.clientId = client.clientId;
    return lease;
  }

  /** Takes an entry from its client. */
  private forget(lease: Lease): void {
    this.free(lease);
    if (this.byKey.get(lease.key) === lease) this.byKey.delete(lease.key);
    this.rename(lease, null, true);
    lease.key = '';
    lease.savedAt = -Infinity;
  }

  private rename(lease: Lease, name: string | null, drop = false): void {
    if (name === lease.name || (name === null && !drop)) return;
    if (lease.name !== null && this.byName.get(lease.name) === lease) this.byName.delete(lease.name);
    lease.name = name;
    if (name === null) return;
    const before = this.byName.get(name);
    if (before !== undefined && before !== lease) before.name = null;
    this.byName.set(name, lease);
  }
}

/** Identity of a client that is known by its MAC: twelve hexadecimal digits. */
export function macKey(mac: number): string {
  return mac.toString(16).padStart(12, '0');
}
