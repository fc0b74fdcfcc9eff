/**
 * The frame memory of one netd: a single region, cut into slots for frames and into buffers and rings for ports.
 *
 * Theory of operation. The region is mapped once, without reserve: it costs what is touched. A bump pointer cuts it,
 * free lists (last in, first out: the warmest memory first) take pieces back. Two classes of slots serve {@link SlotPool}:
 * small ones for ordinary frames and large ones for superframes. Buffers are page-aligned and contiguous. A ring is a
 * buffer that is mapped twice in a row (a memfd behind both halves), so that `size` bytes from any index below `size`
 * are contiguous: neither frames nor writes are ever split where it wraps. Pages of a buffer or ring that is given
 * back return to the kernel.
 *
 * Bounds: {@link ARENA_LIMITS}. Exhaustion is `null`: the caller drops and counts, or refuses the port.
 */

import { strict as assert } from 'node:assert';
import type { Region, Slot, SlotPool } from '../../core/base/ports.ts';
import { MADV_DONTNEED, MADV_REMOVE, MAP_FIXED, MAP_SHARED, MFD_CLOEXEC, PROT_READ_WRITE } from './constants.ts';
import { must } from './errno.ts';
import { close, ftruncate, madvise, memfdCreate, mmap } from './libc.ts';
import { address, mapRegion, PAGE, putText } from './memory.ts';

/** Bytes of the two classes of slots. The large one holds MAX_FRAME with HEADROOM before it. */
export const SMALL_SLOT = 2048;
export const LARGE_SLOT = 66_048;

/** How many slots of each class, and how many bytes of address space for them and for all buffers and rings. */
export const ARENA_LIMITS = { small: 8192, large: 256, bytes: 448 * 1024 * 1024 } as const;

type Kind = 'small' | 'large' | 'buffer' | 'ring';

/** A piece of the arena. Made once, then reused: taking and giving slots allocates nothing. */
class ArenaSlot implements Slot {
  readonly region: Region;
  readonly offset: number;
  readonly size: number;
  readonly kind: Kind;
  taken = false;

  constructor(region: Region, offset: number, size: number, kind: Kind) {
    this.region = region;
    this.offset = offset;
    this.size = size;
    this.kind = kind;
  }
}

/** Bounded frame memory with known addresses. */
export class Arena implements SlotPool {
  readonly region: Region;
  private readonly free: Record<Kind, ArenaSlot[]> = { small: [], large: [], buffer: [], ring: [] };
  private readonly made: Record<Kind, number> = { small: 0, large: 0, buffer: 0, ring: 0 };
  /** Where the uncut rest of the region begins. */
  private next = 0;

  constructor(bytes: number = ARENA_LIMITS.bytes) {
    this.region = mapRegion(bytes);
  }

  /** A slot of at least `size` bytes, contents undefined; null when the class is exhausted or `size` too large. */
  take(size: number): Slot | null {
    if (size <= SMALL_SLOT) return this.takeSlot('small', SMALL_SLOT, ARENA_LIMITS.small);
    if (size <= LARGE_SLOT) return this.takeSlot('large', LARGE_SLOT, ARENA_LIMITS.large);
    return null;
  }

  /** A page-aligned buffer, kept by a port for its life; null when the arena is exhausted. */
  takeBuffer(size: number): Slot | null {
    return this.reuse('buffer', size) ?? this.cut('buffer', size, size);
  }

  /**
   * A ring of `size` bytes (a power of two, whole pages): index `i + size` is the same memory as `i`, so its slot may
   * be used up to `offset + 2 * size`. Null when the arena, or the host's memory or descriptors, are exhausted.
   */
  takeRing(size: number): Slot | null {
    const ring = this.reuse('ring', size);
    if (ring !== null) return ring;
    const fd = memfdCreate(putText('openvmnet-ring'), MFD_CLOEXEC);
    if (fd < 0) return null;
    const fresh = ftruncate(fd, size) === 0 ? this.cut('ring', size, 2 * size) : null;
    if (fresh !== null) {
      for (const half of [0, size]) {
        const at = address(this.region, fresh.offset + half, size);
        const mapped = mmap(at, size, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
        must(mapped === at ? 0 : -1, 'mmap of a ring');
      }
    }
    close(fd);
    return fresh;
  }

  /** Takes back what `take`, `takeBuffer` or `takeRing` gave. */
  give(slot: Slot): void {
    assert(
      slot instanceof ArenaSlot && slot.taken && slot.region === this.region,
      'slot is not a taken one of this arena',
    );
    slot.taken = false;
    this.free[slot.kind].push(slot);
    if (slot.kind === 'buffer' || slot.kind === 'ring') {
      madvise(
        address(this.region, slot.offset, slot.size),
        slot.size,
        slot.kind === 'ring' ? MADV_REMOVE : MADV_DONTNEED,
      );
    }
  }

  /** Slots of each kind in use, for status. */
  inUse(kind: Kind): number {
    return this.made[kind] - this.free[kind].length;
  }

  private takeSlot(kind: 'small' | 'large', size: number, limit: number): ArenaSlot | null {
    const slot = this.free[kind].pop();
    if (slot !== undefined) {
      slot.taken = true;
      return slot;
    }
    return this.made[kind] < limit ? this.cut(kind, size, size) : null;
  }

  private reuse(kind: 'buffer' | 'ring', size: number): ArenaSlot | null {
    const list = this.free[kind];
    const index = list.findLastIndex((slot) => slot.size === size);
    if (index < 0) return null;
    const slot = list.splice(index, 1)[0] as ArenaSlot;
    slot.taken = true;
    return slot;
  }

  /** Cuts `span` bytes off the rest. Slots are whole cache lines, and all else is cut in whole pages. */
  private cut(kind: Kind, size: number, span: number): ArenaSlot | null {
    const paged = kind === 'buffer' || kind === 'ring';
    const offset = paged ? Math.ceil(this.next / PAGE) * PAGE : this.next;
    const end = offset + (paged ? Math.ceil(span / PAGE) * PAGE : span);
    if (end > this.region.bytes.length) return null;
    this.next = end;
    this.made[kind] += 1;
    const slot = new ArenaSlot(this.region, offset, size, kind);
    slot.taken = true;
    return slot;
  }
}
