/** The one function that makes addresses, and the arena that hands out what it is asked for. */

import { describe, expect, test } from 'vitest';
import { HEADROOM, MAX_FRAME } from '../../../src/core/link/frame.ts';
import { ARENA_LIMITS, Arena, LARGE_SLOT, SMALL_SLOT } from '../../../src/node/linux/arena.ts';
import { write } from '../../../src/node/linux/libc.ts';
import { address, mapRegion, PAGE, putText } from '../../../src/node/linux/memory.ts';

describe('address', () => {
  const region = mapRegion(PAGE);

  test('is the base plus the offset, inside of the region', () => {
    expect(address(region, 0, PAGE)).toBe(region.base);
    expect(address(region, 100, 1)).toBe(region.base + 100);
    expect(address(region, PAGE, 0)).toBe(region.base + PAGE);
  });

  test.each([
    [-1, 1],
    [0, -1],
    [0, PAGE + 1],
    [PAGE, 1],
    [1, PAGE],
    [2 ** 31, 1],
    [0, 2 ** 53],
    [Number.NaN, 1],
    [0, Number.NaN],
  ])('refuses offset %d with length %d', (offset, length) => {
    expect(() => address(region, offset, length)).toThrow(RangeError);
  });

  test('refuses memory that has no address', () => {
    expect(() => address({ bytes: new Uint8Array(10), base: 0 }, 0, 10)).toThrow(RangeError);
  });

  test('what JavaScript writes is what the kernel reads', () => {
    region.bytes.set(Buffer.from('x'), 0);
    // A write to a closed descriptor fails, to /dev/full too: the bytes are read by the kernel only if the address holds.
    expect(write(-1, address(region, 0, 1), 1)).toBe(-1);
    expect(region.bytes[0]).toBe(120);
  });

  test('text that is too long for its place is refused', () => {
    expect(() => putText('x'.repeat(1024))).toThrow(RangeError);
    expect(putText('x'.repeat(1000))).toBeGreaterThan(0);
  });
});

describe('the arena', () => {
  test('gives small and large slots by size, and none beyond', () => {
    const arena = new Arena(4 << 20);
    expect(arena.take(1)!.size).toBe(SMALL_SLOT);
    expect(arena.take(SMALL_SLOT)!.size).toBe(SMALL_SLOT);
    expect(arena.take(SMALL_SLOT + 1)!.size).toBe(LARGE_SLOT);
    expect(arena.take(HEADROOM + MAX_FRAME)!.size).toBe(LARGE_SLOT);
    expect(arena.take(LARGE_SLOT + 1)).toBeNull();
  });

  test('slots do not overlap, and lie on cache lines', () => {
    const arena = new Arena(8 << 20);
    const slots = Array.from({ length: 60 }, (_, i) => arena.take(i % 3 === 0 ? 60_000 : 100)!);
    slots.sort((a, b) => a.offset - b.offset);
    for (let i = 1; i < slots.length; i += 1) {
      expect(slots[i]!.offset).toBeGreaterThanOrEqual(slots[i - 1]!.offset + slots[i - 1]!.size);
      expect(slots[i]!.offset % 64).toBe(0);
    }
  });

  test('gives the slot again that came back last', () => {
    const arena = new Arena(4 << 20);
    const [a, b] = [arena.take(100)!, arena.take(100)!];
    arena.give(a);
    arena.give(b);
    expect(arena.take(100)).toBe(b);
    expect(arena.take(100)).toBe(a);
  });

  test('is exhausted at its bound, by class, and recovers', () => {
    const arena = new Arena();
    const slots = Array.from({ length: ARENA_LIMITS.large }, () => arena.take(LARGE_SLOT)!);
    expect(slots.every((slot) => slot !== null)).toBe(true);
    expect(arena.take(LARGE_SLOT)).toBeNull();
    expect(arena.take(100)).not.toBeNull();
    arena.give(slots[0]!);
    expect(arena.take(LARGE_SLOT)).toBe(slots[0]);
  });

  test('is exhausted when its memory is', () => {
    const arena = new Arena(1 << 20);
    let taken = 0;
    while (arena.take(LARGE_SLOT) !== null) taken += 1;
    expect(taken).toBe(Math.floor((1 << 20) / LARGE_SLOT));
    expect(arena.takeBuffer(1 << 20)).toBeNull();
    expect(arena.takeRing(1 << 20)).toBeNull();
  });

  test('stops whoever gives back what is not taken', () => {
    const arena = new Arena(1 << 20);
    const slot = arena.take(100)!;
    arena.give(slot);
    expect(() => arena.give(slot)).toThrow();
    expect(() => arena.give({ ...slot })).toThrow();
    expect(() => new Arena(1 << 20).give(arena.take(100)!)).toThrow();
  });

  test('a ring is the same memory twice in a row', () => {
    const arena = new Arena(4 << 20);
    const ring = arena.takeRing(64 * 1024)!;
    const bytes = ring.region.bytes;
    bytes.set([1, 2, 3, 4], ring.offset + ring.size - 2);
    expect([...bytes.subarray(ring.offset, ring.offset + 2)]).toEqual([3, 4]);
    bytes[ring.offset + 5] = 99;
    expect(bytes[ring.offset + ring.size + 5]).toBe(99);
  });

  test('rings are apart from each other, and used again with their pages returned', () => {
    const arena = new Arena(4 << 20);
    const [a, b] = [arena.takeRing(64 * 1024)!, arena.takeRing(64 * 1024)!];
    a.region.bytes.fill(1, a.offset, a.offset + 2 * a.size);
    expect(b.region.bytes.subarray(b.offset, b.offset + 2 * b.size).every((byte) => byte === 0)).toBe(true);
    arena.give(a);
    expect(arena.takeRing(64 * 1024)).toBe(a);
    expect(a.region.bytes[a.offset]).toBe(0);
  });

  test('a buffer begins on a page, and is used again with its pages returned', () => {
    const arena = new Arena(4 << 20);
    arena.take(10);
    const buffer = arena.takeBuffer(100_000)!;
    expect(buffer.offset % PAGE).toBe(0);
    buffer.region.bytes[buffer.offset + 50_000] = 7;
    arena.give(buffer);
    expect(arena.takeBuffer(100_000)).toBe(buffer);
    expect(buffer.region.bytes[buffer.offset + 50_000]).toBe(0);
  });
});
