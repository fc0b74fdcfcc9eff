import { describe, expect, test } from 'vitest';
import { HalfSipHash } from '../../../src/core/base/half-sip-hash.ts';

describe('HalfSipHash', () => {
  test('gives the official HalfSipHash-2-4 vector for 12 bytes', () => {
    // github.com/veorq/SipHash vectors.h, vectors_hsip32[12]: key 00…07, input 00…0b, tag 57 f0 87 2f.
    const hash = new HalfSipHash(0x03020100, 0x07060504);
    expect(hash.words3(0x03020100, 0x07060504, 0x0b0a0908)).toBe(0x2f87f057);
  });

  test('is a function of its input only: state does not leak from one call into the next', () => {
    const hash = new HalfSipHash(1, 2);
    const first = hash.words3(-1, 0, 0x7fffffff);
    hash.words3(3, 4, 5);
    expect(hash.words3(-1, 0, 0x7fffffff)).toBe(first);
  });

  test('depends on every bit of key and input', () => {
    const words = [0x11111111, -5, 0, 77, 0x12345678] as const;
    const of = (w: readonly number[]) => new HalfSipHash(w[0]!, w[1]!).words3(w[2]!, w[3]!, w[4]!);
    const seen = new Set([of(words)]);
    for (let word = 0; word < 5; word++) {
      for (let bit = 0; bit < 32; bit++) seen.add(of(words.map((w, i) => (i === word ? w ^ (1 << bit) : w))));
    }
    expect(seen.size).toBe(1 + 5 * 32);
  });

  test('takes signed and unsigned words for the same', () => {
    const hash = new HalfSipHash(0xffff_fffe, 0x8000_0000);
    const same = new HalfSipHash(-2, -0x8000_0000);
    expect(hash.words3(0xc0a8_0101, 1, 2)).toBe(same.words3(0xc0a8_0101 | 0, 1, 2));
  });
});
