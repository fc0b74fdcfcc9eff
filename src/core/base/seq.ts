/**
 * Sequence-number arithmetic modulo 2³² (RFC 9293 §3.4, RFC 1982). It exists once, here.
 *
 * Arguments may be signed or unsigned 32-bit numbers in any mixture. An order exists only within half of the space:
 * numbers 2³¹ apart are each "less" than the other.
 */

/** `a − b` modulo 2³², in −2³¹ … 2³¹−1. */
export function seqDiff(a: number, b: number): number {
  return (a - b) | 0;
}

/** a < b. */
export function seqLt(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** a ≤ b. */
export function seqLe(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0;
}

/** a > b. */
export function seqGt(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

/** a ≥ b. */
export function seqGe(a: number, b: number): boolean {
  return ((a - b) | 0) >= 0;
}
