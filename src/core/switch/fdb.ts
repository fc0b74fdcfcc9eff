/**
 * The forwarding database of a learning switch (IEEE 802.1Q §8.8): which station was last heard on which port.
 *
 * Theory of operation. An open-addressing hash table in typed arrays, probed linearly, at most half full. A MAC is a
 * 48-bit number, which is no small integer for the engine, so inside it travels as two: `hi` (16 bits) and `lo` (32
 * bits, signed). Time comes as whole seconds for the same reason. Neither learning nor finding allocates.
 *
 *   learn   a known station is refreshed, or moved when it is heard on another port; the last port wins
 *   age     an entry not heard for `ageSeconds` is no longer found; its place is taken back when room is needed
 *   pin     the network's own stations (the gateway) never age, never move, and are learned whatever the bound
 *
 * Bounds. `capacity` stations in all and `capacityPerPort` behind one port, so that one guest that makes up source
 * addresses can't push out another guest's. At either bound aged entries are thrown out first (one pass over the table
 * a second at most); if that frees nothing the new station is not learned, and frames to it are flooded as to any
 * unknown station. The hash is seeded, so that a guest can't choose addresses that share one chain.
 */

/** Bounds and constants of an {@link Fdb}. */
export interface FdbLimits {
  /** Most stations that are learned. */
  capacity: number;
  /** Most stations learned behind one port. */
  capacityPerPort: number;
  /** How long a station that is not heard of again is remembered. IEEE 802.1Q's default is 300. */
  ageSeconds: number;
  /** Any 32 bits, unpredictable in a daemon. */
  hashSeed: number;
}

/** What {@link Fdb.learn} did. */
export const LEARNED = {
  KNOWN: 0,
  NEW: 1,
  MOVED: 2,
  /** At a bound: not learned. */
  FULL: 3,
  /** The address is pinned to another port: not learned, and the frame is a forgery. */
  PINNED: 4,
} as const;

/** A station as shown to people; `mac` is a 48-bit number. */
export interface FdbEntry {
  mac: number;
  port: number;
  /** Seconds since it was heard; 0 for a pinned one. */
  ageSeconds: number;
  pinned: boolean;
}

const DEFAULT_LIMITS: FdbLimits = { capacity: 4096, capacityPerPort: 1024, ageSeconds: 300, hashSeed: 0x2545f491 };

/** `port` of an empty place. */
const EMPTY = -1;
/** `seen` of an entry that never ages. */
const PINNED_SEEN = 0x7fffffff;
const TWO_32 = 0x1_0000_0000;

/** Table from MAC to port id. Port ids are integers ≥ 0. */
export class Fdb {
  readonly limits: FdbLimits;
  private readonly hi: Uint16Array;
  private readonly lo: Int32Array;
  private readonly port: Int32Array;
  private readonly seen: Int32Array;
  private readonly mask: number;
  private readonly shift: number;
  private readonly multiplier: number;
  private readonly perPort = new Map<number, number>();
  private held = 0;
  private sweptAt = -1;

  constructor(limits: Partial<FdbLimits> = {}) {
    this.limits = { ...DEFAULT_LIMITS, ...limits };
    let bits = 4;
    while (1 << bits < this.limits.capacity * 2) bits++;
    const places = 1 << bits;
    this.mask = places - 1;
    this.shift = 32 - bits;
    this.multiplier = this.limits.hashSeed | 1;
    this.hi = new Uint16Array(places);
    this.lo = new Int32Array(places);
    this.port = new Int32Array(places).fill(EMPTY);
    this.seen = new Int32Array(places);
  }

  /** Entries held, aged ones that were not thrown out yet included. */
  get size(): number {
    return this.held;
  }

  /**
   * Remembers that a station was heard on a port; returns one of {@link LEARNED}.
   * `hi` is the upper 16 bits of its address, `lo` the lower 32 bits as a signed number.
   */
  learn(hi: number, lo: number, port: number, nowSeconds: number): number {
    const at = this.place(hi, lo);
    if (this.port[at] === EMPTY) return this.insert(hi, lo, port, nowSeconds);
    if (this.seen[at] === PINNED_SEEN) return this.port[at] === port ? LEARNED.KNOWN : LEARNED.PINNED;
    if (this.port[at] !== port) {
      if ((this.perPort.get(port) ?? 0) >= this.limits.capacityPerPort) {
        // The station isn't where it was: forgetting it floods its frames, keeping it would lose them.
        this.remove(at);
        return this.insert(hi, lo, port, nowSeconds);
      }
      this.addToPort(this.port[at]!, -1);
      this.addToPort(port, 1);
      this.port[at] = port;
      this.seen[at] = nowSeconds;
      return LEARNED.MOVED;
    }
    this.seen[at] = nowSeconds;
    return LEARNED.KNOWN;
  }

  /** The port that a station was last heard on, or -1 when it is unknown or too old. */
  find(hi: number, lo: number, nowSeconds: number): number {
    const at = this.place(hi, lo);
    if (this.port[at] === EMPTY || nowSeconds - this.seen[at]! >= this.limits.ageSeconds) return -1;
    return this.port[at]!;
  }

  /** Binds a station to a port until the port is removed. Returns false when the table is full of pinned stations. */
  pin(hi: number, lo: number, port: number): boolean {
    let at = this.place(hi, lo);
    if (this.port[at] !== EMPTY) {
      this.addToPort(this.port[at]!, -1);
    } else {
      if (this.held >= this.limits.capacity) {
        const victim = this.oldest();
        if (victim < 0) return false;
        this.remove(victim);
        at = this.place(hi, lo);
      }
      this.held++;
    }
    this.set(at, hi, lo, port, PINNED_SEEN);
    this.addToPort(port, 1);
    return true;
  }

  /** Forgets every station behind a port. */
  removePort(port: number): void {
    // Removing shifts later entries back, so a place is looked at again until its entry stays. What a chain that wraps
    // around the end brings back into passed places are entries that stayed.
    for (let at = 0; at <= this.mask; ) {
      if (this.port[at] === port) this.remove(at);
      else at++;
    }
  }

  /** Stations that are still found, at most `max`, behind one port or (`port` = -1) all; in no particular order. */
  entries(nowSeconds: number, max: number, port = -1): FdbEntry[] {
    const list: FdbEntry[] = [];
    for (let at = 0; at <= this.mask && list.length < max; at++) {
      const of = this.port[at]!;
      if (of === EMPTY || (port >= 0 && of !== port)) continue;
      const pinned = this.seen[at] === PINNED_SEEN;
      const age = pinned ? 0 : nowSeconds - this.seen[at]!;
      if (age >= this.limits.ageSeconds) continue;
      list.push({ mac: this.hi[at]! * TWO_32 + (this.lo[at]! >>> 0), port: of, ageSeconds: age, pinned });
    }
    return list;
  }

  private insert(hi: number, lo: number, port: number, nowSeconds: number): number {
    if (!this.hasRoom(port)) {
      if (this.sweptAt === nowSeconds) return LEARNED.FULL;
      this.sweep(nowSeconds);
      if (!this.hasRoom(port)) return LEARNED.FULL;
    }
    this.set(this.place(hi, lo), hi, lo, port, nowSeconds);
    this.held++;
    this.addToPort(port, 1);
    return LEARNED.NEW;
  }

  private hasRoom(port: number): boolean {
    return this.held < this.limits.capacity && (this.perPort.get(port) ?? 0) < this.limits.capacityPerPort;
  }

  private home(hi: number, lo: number): number {
    let h = Math.imul(lo ^ (hi << 11), this.multiplier);
    h = Math.imul(h ^ (h >>> 15) ^ hi, 0x9e3779b1);
    return (h ^ (h >>> 13)) >>> this.shift;
  }

  /** The place of a station, or the empty place where it would go. The table is never full, so one of them exists. */
  private place(hi: number, lo: number): number {
    let at = this.home(hi, lo);
    while (this.port[at] !== EMPTY && (this.lo[at] !== lo || this.hi[at] !== hi)) at = (at + 1) & this.mask;
    return at;
  }

  private set(at: number, hi: number, lo: number, port: number, seen: number): void {
    this.hi[at] = hi;
    this.lo[at] = lo;
    this.port[at] = port;
    this.seen[at] = seen;
  }

  /** Empties a place and shifts back the entries that had to go past it (no tombstones, so chains never grow stale). */
  private remove(at: number): void {
    this.addToPort(this.port[at]!, -1);
    this.held--;
    let hole = at;
    for (let next = (at + 1) & this.mask; this.port[next] !== EMPTY; next = (next + 1) & this.mask) {
      const home = this.home(this.hi[next]!, this.lo[next]!);
      if (((next - home) & this.mask) < ((next - hole) & this.mask)) continue;
      this.set(hole, this.hi[next]!, this.lo[next]!, this.port[next]!, this.seen[next]!);
      hole = next;
    }
    this.port[hole] = EMPTY;
  }

  private sweep(nowSeconds: number): void {
    this.sweptAt = nowSeconds;
    for (let at = 0; at <= this.mask; ) {
      if (this.port[at] !== EMPTY && nowSeconds - this.seen[at]! >= this.limits.ageSeconds) this.remove(at);
      else at++;
    }
  }

  private oldest(): number {
    let oldest = -1;
    let seen = PINNED_SEEN;
    for (let at = 0; at <= this.mask; at++) {
      if (this.port[at] === EMPTY || this.seen[at]! >= seen) continue;
      oldest = at;
      seen = this.seen[at]!;
    }
    return oldest;
  }

  private addToPort(port: number, change: number): void {
    const stations = (this.perPort.get(port) ?? 0) + change;
    if (stations === 0) this.perPort.delete(port);
    else this.perPort.set(port, stations);
  }
}
