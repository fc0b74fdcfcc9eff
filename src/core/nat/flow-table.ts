/**
 * The table of proxied conversations of one protocol: a hash table chained through the flows themselves, so that
 * finding one costs no allocation, and a doubly linked list in order of last use, so that the one idle for longest is
 * at hand when the table is full.
 *
 * A flow's key is three 32-bit words: the guest's address, the remote address (0 where the mapping is independent of
 * it), and two ports or identifiers in one word. The hash is keyed, so that a guest can't choose colliding flows.
 */

import type { HalfSipHash } from '../base/half-sip-hash.ts';

/** What the table keeps in a flow. Words are signed 32-bit. */
export interface TableEntry<T> {
  readonly keyGuest: number;
  readonly keyRemote: number;
  readonly keyPorts: number;
  hashNext: T | null;
  older: T | null;
  newer: T | null;
}

const INITIAL_BUCKETS = 256;

export class FlowTable<T extends TableEntry<T>> {
  /** Entries that it holds at most; the caller makes room before it adds one more. */
  readonly limit: number;
  private readonly hash: HalfSipHash;
  private buckets: (T | null)[] = new Array<T | null>(INITIAL_BUCKETS).fill(null);
  private count = 0;
  private first: T | null = null;
  private last: T | null = null;

  constructor(limit: number, hash: HalfSipHash) {
    this.limit = limit;
    this.hash = hash;
  }

  get size(): number {
    return this.count;
  }

  get full(): boolean {
    return this.count >= this.limit;
  }

  /** The entry that was not used for longest. */
  get oldest(): T | null {
    return this.first;
  }

  find(guest: number, remote: number, ports: number): T | null {
    let entry = this.buckets[this.bucket(guest, remote, ports)] as T | null;
    while (entry !== null) {
      if (entry.keyPorts === ports && entry.keyGuest === guest && entry.keyRemote === remote) return entry;
      entry = entry.hashNext;
    }
    return null;
  }

  /** Adds an entry whose key is not in the table. */
  add(entry: T): void {
    if (this.count >= this.buckets.length) this.grow();
    const at = this.bucket(entry.keyGuest, entry.keyRemote, entry.keyPorts);
    entry.hashNext = this.buckets[at] as T | null;
    this.buckets[at] = entry;
    this.count++;
    this.append(entry);
  }

  /** Removes an entry that is in the table. */
  remove(entry: T): void {
    const at = this.bucket(entry.keyGuest, entry.keyRemote, entry.keyPorts);
    let other = this.buckets[at] as T | null;
    if (other === entry) {
      this.buckets[at] = entry.hashNext;
    } else {
      while (other !== null && other.hashNext !== entry) other = other.hashNext;
      if (other === null) return;
      other.hashNext = entry.hashNext;
    }
    entry.hashNext = null;
    this.count--;
    this.unlink(entry);
  }

  /** Marks an entry as used just now. */
  touch(entry: T): void {
    if (this.last === entry) return;
    this.unlink(entry);
    this.append(entry);
  }

  /** Calls `visit` for every entry, the one idle for longest first, until it returns false. `visit` may remove the entry. */
  each(visit: (entry: T) => boolean): void {
    let entry = this.first;
    while (entry !== null) {
      const next: T | null = entry.newer;
      if (!visit(entry)) return;
      entry = next;
    }
  }

  private bucket(guest: number, remote: number, ports: number): number {
    return this.hash.words3(guest, remote, ports) & (this.buckets.length - 1);
  }

  private grow(): void {
    const old = this.buckets;
    this.buckets = new Array<T | null>(old.length * 2).fill(null);
    for (let chain of old) {
      while (chain !== null) {
        const next: T | null = chain.hashNext;
        const at = this.bucket(chain.keyGuest, chain.keyRemote, chain.keyPorts);
        chain.hashNext = this.buckets[at] as T | null;
        this.buckets[at] = chain;
        chain = next;
      }
    }
  }

  private append(entry: T): void {
    entry.older = this.last;
    entry.newer = null;
    if (this.last === null) this.first = entry;
    else this.last.newer = entry;
    this.last = entry;
  }

  private unlink(entry: T): void {
    if (entry.older === null) this.first = entry.newer;
    else entry.older.newer = entry.newer;
    if (entry.newer === null) this.last = entry.older;
    else entry.newer.older = entry.older;
    entry.older = null;
    entry.newer = null;
  }
}
