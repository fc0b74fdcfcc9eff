/**
 * The learning Ethernet switch in the middle of every network.
 *
 * Theory of operation. A port gives each frame that its cable delivers to `receive`. The source address is learned (or
 * moved) in the {@link Fdb}; a frame for a station heard on another port goes there, one for a station on the same port
 * goes nowhere, and group addresses and unknown stations are flooded to all other ports. Multicast is never filtered
 * (RFC 4541 snooping is for later), and VLAN tags are carried, not read: one network is one segment.
 *
 * A frame is borrowed for the call and carried with its offload state; no port is waited for. What a port does with a
 * frame that it can't send is its own affair, so one slow guest never stalls another. `receive` may be called from
 * within a port's `transmit` (the gateway answers at once): it keeps no state across the call. Ports count their own
 * rx and tx; the switch counts drops, by reason (link/drops.ts), on the port that the frame came from. A source that is
 * a group address or zero is nobody's (IEEE 802.3 §3.2.3); one that is pinned to another port, such as the gateway's, is
 * not believed.
 */

import { get16, getInt32 } from '../base/bytes.ts';
import type { Clock } from '../base/ports.ts';
import { type Counters, count } from '../base/stats.ts';
import type { DropReason } from '../link/drops.ts';
import { type Frame, MAX_FRAME } from '../link/frame.ts';
import type { SwitchPort } from '../link/port.ts';
import { ETHERNET_HEADER } from '../wire/ethernet.ts';
import { Fdb, type FdbEntry, type FdbLimits, LEARNED } from './fdb.ts';

/** Of the upper 16 bits of an address: set in broadcast and multicast. */
const GROUP_BIT = 0x0100;
const TWO_32 = 0x1_0000_0000;

/** A switch of any number of ports. */
export class Switch {
  /** `learned`, `moved`, `fdbFull` (a station that the FDB had no room for, each time it is heard) and `flooded` frames. */
  readonly counters: Counters = { learned: 0, moved: 0, fdbFull: 0, flooded: 0 };
  private readonly clock: Clock;
  private readonly fdb: Fdb;
  private readonly byId = new Map<number, SwitchPort>();
  /** Replaced, never changed: a flood goes on over the list that it began with. */
  private members: readonly SwitchPort[] = [];

  constructor(clock: Clock, limits: Partial<FdbLimits> = {}) {
    this.clock = clock;
    this.fdb = new Fdb(limits);
  }

  /** Plugs a port in. Its id must not be in use. */
  attach(port: SwitchPort): void {
    if (this.byId.has(port.id)) throw new Error(`switch port ${port.id} is attached already`);
    this.byId.set(port.id, port);
    this.members = [...this.members, port];
  }

  /** Pulls a port out and forgets the stations behind it. Does nothing when it isn't attached. */
  detach(port: SwitchPort): void {
    if (this.byId.get(port.id) !== port) return;
    this.byId.delete(port.id);
    this.members = this.members.filter((member) => member !== port);
    this.fdb.removePort(port.id);
  }

  /** Binds one of the network's own stations to its port: it never ages, and nobody else can speak in its name. */
  pin(mac: number, port: SwitchPort): boolean {
    return this.fdb.pin(Math.floor(mac / TWO_32), mac | 0, port.id);
  }

  /** Takes a frame from a port's cable and hands it on. Never throws on any bytes. */
  receive(from: SwitchPort, frame: Frame): void {
    const drop = this.forward(from, frame);
    if (drop !== null) count(from.stats.drops, drop);
  }

  /** The port that a station (48-bit number) was last heard on. */
  portOf(mac: number): SwitchPort | null {
    const id = this.fdb.find(Math.floor(mac / TWO_32), mac | 0, this.nowSeconds());
    return this.byId.get(id) ?? null;
  }

  /** The port that a station was last heard on, however long ago, if it was not forgotten for want of room. */
  lastPortOf(mac: number): SwitchPort | null {
    // Seen from time 0 no entry is too old.
    return this.byId.get(this.fdb.find(Math.floor(mac / TWO_32), mac | 0, 0)) ?? null;
  }

  /** All ports, in the order in which they were attached. */
  ports(): readonly SwitchPort[] {
    return this.members;
  }

  /** Addresses (48-bit numbers) of at most `max` stations heard on a port. */
  stationsOf(port: SwitchPort, max: number): number[] {
    return this.fdb.entries(this.nowSeconds(), max, port.id).map((entry) => entry.mac);
  }

  /** At most `max` entries of the FDB, for display. */
  stations(max: number): FdbEntry[] {
    return this.fdb.entries(this.nowSeconds(), max);
  }

  /** Returns why the frame went no further, null when it did. */
  private forward(from: SwitchPort, frame: Frame): DropReason | null {
    if (frame.length < ETHERNET_HEADER) return 'runt';
    if (frame.length > MAX_FRAME) return 'giant';
    if (this.byId.get(from.id) !== from) return 'detachedPort';
    const bytes = frame.region.bytes;
    const dst = frame.offset;
    const srcHi = get16(bytes, dst + 6);
    const srcLo = getInt32(bytes, dst + 8);
    if ((srcHi & GROUP_BIT) !== 0 || (srcHi | srcLo) === 0) return 'sourceAddress';

    const nowSeconds = this.nowSeconds();
    const learned = this.fdb.learn(srcHi, srcLo, from.id, nowSeconds);
    if (learned === LEARNED.PINNED) return 'spoofedSource';
    if (learned === LEARNED.NEW) this.counters.learned!++;
    else if (learned === LEARNED.MOVED) this.counters.moved!++;
    else if (learned === LEARNED.FULL) this.counters.fdbFull!++;

    const dstHi = get16(bytes, dst);
    const id = (dstHi & GROUP_BIT) !== 0 ? -1 : this.fdb.find(dstHi, getInt32(bytes, dst + 2), nowSeconds);
    if (id === from.id) return 'sameSegment';
    const to = id < 0 ? undefined : this.byId.get(id);
    if (to === undefined) this.flood(from, frame);
    else to.transmit(frame);
    return null;
  }

  private flood(from: SwitchPort, frame: Frame): void {
    this.counters.flooded!++;
    const members = this.members;
    for (let i = 0; i < members.length; i++) {
      const to = members[i]!;
      // A port may have been pulled out by what an earlier port did with this frame.
      if (to !== from && this.byId.get(to.id) === to) to.transmit(frame);
    }
  }

  private nowSeconds(): number {
    return Math.floor(this.clock.now / 1000) | 0;
  }
}
