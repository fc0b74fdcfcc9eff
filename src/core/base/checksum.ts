/**
 * The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit big-endian words.
 */

/** One's complement sum of `length` bytes, added to `sum`; `odd` says that an odd number of bytes came before. */
export function sumBytes(b: Uint8Array, offset: number, length: number, sum = 0, odd = false): number {
  let even = 0;
  let uneven = 0;
  const end = offset + length;
  let i = offset;
  for (; i + 1 < end; i += 2) {
    even += b[i]!;
    uneven += b[i + 1]!;
  }
  if (i < end) even += b[i]!;
  return sum + (odd ? foldSum(uneven * 256 + even) : foldSum(even * 256 + uneven));
}

/** Folds a running sum (below 2³²) to 16 bits. */
export function foldSum(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** The checksum to store for a running sum. */
export function finish(sum: number): number {
  return ~foldSum(sum) & 0xffff;
}

/** Running sum of the IPv4 pseudo-header of TCP and UDP (RFC 9293 §3.1, RFC 768). */
export function pseudoSum4(src: number, dst: number, protocol: number, length: number): number {
  return (src >>> 16) + (src & 0xffff) + (dst >>> 16) + (dst & 0xffff) + protocol + length;
}
