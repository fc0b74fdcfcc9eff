import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seqDiff, seqGe, seqGt, seqLe, seqLt } from '../../../src/core/base/seq.ts';

const anySeq = fc.nat(0xffff_ffff);
/** Less than half of the space: where an order exists. */
const distance = fc.integer({ min: 1, max: 0x7fff_ffff });

describe('sequence numbers', () => {
  it('compare across the wrap', () => {
    expect(seqLt(0xffff_fff0, 5)).toBe(true);
    expect(seqGt(5, 0xffff_fff0)).toBe(true);
    expect(seqDiff(5, 0xffff_fff0)).toBe(21);
  });

  it('order a number before every one up to 2³¹−1 behind it, signed or unsigned', () => {
    fc.assert(
      fc.property(anySeq, distance, (a, n) => {
        const b = (a + n) % 0x1_0000_0000;
        for (const [x, y] of [
          [a, b],
          [a | 0, b],
          [a, b | 0],
          [a | 0, b | 0],
        ] as const) {
          expect([seqLt(x, y), seqLe(x, y), seqGt(x, y), seqGe(x, y)]).toEqual([true, true, false, false]);
          expect([seqLt(y, x), seqLe(y, x), seqGt(y, x), seqGe(y, x)]).toEqual([false, false, true, true]);
          expect(seqDiff(y, x)).toBe(n);
          expect(seqDiff(x, y)).toBe(-n);
        }
      }),
    );
  });

  it('are equal to themselves, whether signed or not', () => {
    fc.assert(
      fc.property(anySeq, (a) => {
        expect([seqLt(a, a | 0), seqLe(a, a | 0), seqGt(a | 0, a), seqGe(a | 0, a)]).toEqual([
          false,
          true,
          false,
          true,
        ]);
        expect(seqDiff(a, a | 0)).toBe(0);
      }),
    );
  });
});
