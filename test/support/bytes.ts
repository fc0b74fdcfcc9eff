/** Byte helpers of the wire tests: hexadecimal text, buffers full of 0xa5, and what a truncation must do. */
import { expect } from 'vitest';

/** Bytes of hexadecimal text; blanks are ignored. */
export function bytesOf(hex: string): Uint8Array {
  const digits = hex.replace(/\s+/g, '');
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(i * 2, i * 2 + 2), 16));
}

/** Hexadecimal text of `[from, to)`. */
export function hexOf(bytes: Uint8Array, from = 0, to = bytes.length): string {
  return Array.from(bytes.subarray(from, to), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Where {@link emitted} has things written: an odd place, with bytes before and behind. */
const MARGIN = 7;

/**
 * Has `emit` write into a buffer full of 0xa5 and returns what it wrote, as many bytes as it says. Fails when a byte
 * outside of these changed, or when a byte inside was left to what the buffer held before.
 */
export function emitted(emit: (b: Uint8Array, off: number) => number, capacity = 2048): Uint8Array {
  const [first, second] = [0xa5, 0x5a].map((filling) => {
    const b = new Uint8Array(MARGIN + capacity + MARGIN).fill(filling);
    const length = emit(b, MARGIN);
    const outside = [...b.subarray(0, MARGIN), ...b.subarray(MARGIN + length)];
    expect(outside.every((byte) => byte === filling)).toBe(true);
    return b.slice(MARGIN, MARGIN + length);
  });
  expect(hexOf(second!)).toBe(hexOf(first!));
  return first!;
}

/**
 * Asks `isValid` about `packet` cut at every length below its own, at an odd place of a larger array whose bytes behind
 * the cut are those of the packet: only `end` tells that they are not to be read. Returns the lengths it took.
 */
export function validPrefixes(
  packet: Uint8Array,
  isValid: (b: Uint8Array, off: number, end: number) => boolean,
): number[] {
  const b = new Uint8Array(MARGIN + packet.length + MARGIN).fill(0xa5);
  b.set(packet, MARGIN);
  const taken: number[] = [];
  for (let length = 0; length < packet.length; length++) {
    if (isValid(b, MARGIN, MARGIN + length)) taken.push(length);
  }
  return taken;
}

/** The packet at offset `off` of a copy in which it is surrounded by 0xa5. */
export function surrounded(packet: Uint8Array, off: number, behind = MARGIN): Uint8Array {
  const b = new Uint8Array(off + packet.length + behind).fill(0xa5);
  b.set(packet, off);
  return b;
}
