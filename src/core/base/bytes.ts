/**
 * Big-endian integers in a `Uint8Array`, and copying.
 *
 * Plain loads and stores, because V8 compiles them to a bounds check and a byte access each, while a `DataView` per
 * frame costs an allocation. None of these checks that `offset` lies inside: reading outside yields numbers without
 * meaning and writing there is ignored, so a validity check (`…IsValid(b, off, end)`) comes before.
 */

/** 16 bits at `offset`, unsigned. */
export function get16(b: Uint8Array, offset: number): number {
  return (b[offset]! << 8) | b[offset + 1]!;
}

/** 32 bits at `offset`, unsigned. */
export function get32(b: Uint8Array, offset: number): number {
  return ((b[offset]! << 24) | (b[offset + 1]! << 16) | (b[offset + 2]! << 8) | b[offset + 3]!) >>> 0;
}

/** 32 bits at `offset` as a signed number, the form in which sequence numbers are kept (a small integer to V8). */
export function getInt32(b: Uint8Array, offset: number): number {
  return (b[offset]! << 24) | (b[offset + 1]! << 16) | (b[offset + 2]! << 8) | b[offset + 3]!;
}

/** Stores the low 16 bits of `value`. */
export function put16(b: Uint8Array, offset: number, value: number): void {
  b[offset] = value >>> 8;
  b[offset + 1] = value;
}

/** Stores the low 32 bits of `value`, signed or unsigned. */
export function put32(b: Uint8Array, offset: number, value: number): void {
  b[offset] = value >>> 24;
  b[offset + 1] = value >>> 16;
  b[offset + 2] = value >>> 8;
  b[offset + 3] = value;
}

/** A MAC address as a 48-bit number: upper 16 bits × 2³² + lower 32 bits. */
export function getMac(b: Uint8Array, offset: number): number {
  return get16(b, offset) * 0x1_0000_0000 + get32(b, offset + 2);
}

/** Stores a 48-bit number as the six bytes of a MAC address. */
export function putMac(b: Uint8Array, offset: number, mac: number): void {
  put16(b, offset, Math.floor(mac / 0x1_0000_0000));
  // ToInt32 of a larger number keeps its low 32 bits.
  put32(b, offset + 2, mac | 0);
}

/** Below this a byte loop beats the allocation of a subarray. */
const COPY_LOOP_MAX = 64;

/** Copies `length` bytes; ranges of the same buffer may overlap. Allocates nothing within one array or up to 64 bytes. */
export function copyBytes(
  to: Uint8Array,
  toOffset: number,
  from: Uint8Array,
  fromOffset: number,
  length: number,
): void {
  if (to === from) {
    to.copyWithin(toOffset, fromOffset, fromOffset + length);
    return;
  }
  if (length > COPY_LOOP_MAX || to.buffer === from.buffer) {
    to.set(from.subarray(fromOffset, fromOffset + length), toOffset);
    return;
  }
  for (let i = 0; i < length; i++) to[toOffset + i] = from[fromOffset + i]!;
}
