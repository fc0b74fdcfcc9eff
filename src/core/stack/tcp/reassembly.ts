/**
 * Segments that arrived but can't be passed on yet: because bytes before them are missing, or because the application
 * took less than the window had promised (a kernel accounts for more than payload). None of it is acknowledged.
 *
 * Each lies in a slot of the pool, in order of sequence number. Overlaps are resolved when bytes are passed on: the
 * first copy wins, as RFC 9293 §3.10.7.4 allows. Bounded by {@link MAX_SEGMENTS} a connection and {@link MAX_HELD_BYTES}
 * for all together; what finds no place is dropped, counted by the caller, and sent again by the guest.
 */

import { copyBytes } from '../../base/bytes.ts';
import type { Region, Slot, SlotPool } from '../../base/ports.ts';
import { seqDiff, seqLt } from '../../base/seq.ts';

/** As many superframes as a full window holds. */
const MAX_SEGMENTS = 64;

/** Half of each class of the daemon's slots: a guest that leaves holes on purpose must not starve queues and DNS. */
export const MAX_HELD_BYTES = 8 << 20;

/** The share of the network's pool that all connections' segments lie in. */
export class HeldMemory implements SlotPool {
  private readonly pool: SlotPool;
  private held = 0;

  constructor(pool: SlotPool) {
    this.pool = pool;
  }

  take(size: number): Slot | null {
    const slot = this.held + size <= MAX_HELD_BYTES ? this.pool.take(size) : null;
    if (slot !== null) this.held += slot.size;
    return slot;
  }

  give(slot: Slot): void {
    this.held -= slot.size;
    this.pool.give(slot);
  }
}

interface Held {
  seq: number;
  length: number;
  fin: boolean;
  slot: Slot;
}

export class ReassemblyQueue {
  private readonly pool: SlotPool;
  private readonly segments: Held[] = [];

  constructor(pool: SlotPool) {
    this.pool = pool;
  }

  get isEmpty(): boolean {
    return this.segments.length === 0;
  }

  /** Whether the next expected byte is here already. */
  startsAt(seq: number): boolean {
    const first = this.segments[0];
    return first !== undefined && seqDiff(seq, first.seq) >= 0;
  }

  /** Copies a segment in; false when there is no place for it. */
  insert(region: Region, offset: number, length: number, seq: number, fin: boolean): boolean {
    let at = this.segments.length;
    while (at > 0 && seqLt(seq, (this.segments[at - 1] as Held).seq)) at--;
    const before = this.segments[at - 1];
    if (before !== undefined) {
      const covered = seqDiff((before.seq + before.length) | 0, seq) >= length;
      if (covered && (before.fin || !fin)) return true;
    }
    if (this.segments.length >= MAX_SEGMENTS) return false;
    const slot = this.pool.take(length);
    if (slot === null) return false;
    copyBytes(slot.region.bytes, slot.offset, region.bytes, offset, length);
    this.segments.splice(at, 0, { seq, length, fin, slot });
    return true;
  }

  /**
   * Passes on what is in order from `rcvNxt` on. `accept` takes bytes and returns how many, fewer when it is full or
   * below zero on an error, which ends it. Returns `rcvNxt` as it is then; `fin` tells whether the end was reached.
   */
  drain(rcvNxt: number, accept: (region: Region, offset: number, length: number) => number): number {
    this.fin = false;
    this.error = 0;
    for (let first = this.segments[0]; first !== undefined; first = this.segments[0]) {
      const skip = seqDiff(rcvNxt, first.seq);
      if (skip < 0) break;
      if (skip < first.length) {
        const length = first.length - skip;
        const taken = accept(first.slot.region, first.slot.offset + skip, length);
        if (taken < 0) {
          this.error = taken;
          break;
        }
        rcvNxt = (rcvNxt + taken) | 0;
        if (taken < length) break;
      }
      this.segments.shift();
      this.pool.give(first.slot);
      if (first.fin && rcvNxt === ((first.seq + first.length) | 0)) {
        this.fin = true;
        break;
      }
    }
    return rcvNxt;
  }

  /** Outcome of the last `drain`. */
  fin = false;
  error = 0;

  /** Gives all slots back. */
  clear(): void {
    for (const held of this.segments) this.pool.give(held.slot);
    this.segments.length = 0;
  }
}
