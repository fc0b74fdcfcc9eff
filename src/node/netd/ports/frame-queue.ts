/**
 * A bounded first-in first-out of copied frames, for a cable that can't take one now. Slots come from the arena; at the
 * bound, or when the arena is exhausted, the new frame loses.
 */

import { copyBytes } from '../../../core/base/bytes.ts';
import type { Region, Slot, SlotPool } from '../../../core/base/ports.ts';

/** Frames waiting for a cable. */
export class FrameQueue {
  private readonly pool: SlotPool;
  private readonly slots: (Slot | null)[];
  private readonly lengths: number[];
  private head = 0;
  private count = 0;

  constructor(pool: SlotPool, limit: number) {
    this.pool = pool;
    this.slots = new Array<Slot | null>(limit).fill(null);
    this.lengths = new Array<number>(limit).fill(0);
  }

  get length(): number {
    return this.count;
  }

  get limit(): number {
    return this.slots.length;
  }

  /** Copies `length` bytes to the end of the queue; false when it is full. */
  push(region: Region, offset: number, length: number): boolean {
    if (this.count === this.slots.length) return false;
    const slot = this.pool.take(length);
    if (slot === null) return false;
    copyBytes(slot.region.bytes, slot.offset, region.bytes, offset, length);
    const at = (this.head + this.count) % this.slots.length;
    this.slots[at] = slot;
    this.lengths[at] = length;
    this.count += 1;
    return true;
  }

  /** The first frame's slot; null when the queue is empty. */
  first(): Slot | null {
    return this.count === 0 ? null : (this.slots[this.head] as Slot);
  }

  /** Bytes of the first frame. */
  firstLength(): number {
    return this.lengths[this.head] as number;
  }

  /** Gives the first frame's slot back. */
  shift(): void {
    const slot = this.first();
    if (slot === null) return;
    this.slots[this.head] = null;
    this.head = (this.head + 1) % this.slots.length;
    this.count -= 1;
    this.pool.give(slot);
  }

  /** Gives all slots back. */
  clear(): void {
    while (this.count > 0) this.shift();
  }
}
