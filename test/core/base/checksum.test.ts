import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { finish, foldSum, pseudoSum4, sumBytes } from '../../../src/core/base/checksum.ts';

/** RFC 1071 §1 written down plainly: 16-bit big-endian words, end-around carry. */
function naiveSum(bytes: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) {
    sum += i % 2 === 0 ? bytes[i]! * 256 : bytes[i]!;
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

/** `contents` at `offset` of an array that itself begins `shift` bytes into its buffer, with other bytes around. */
function embed(contents: Uint8Array, offset: number, shift: number): Uint8Array {
  const buffer = new ArrayBuffer(shift + offset + contents.length + 5);
  const array = new Uint8Array(buffer, shift, offset + contents.length + 3);
  array.fill(0xa5);
  array.set(contents, offset);
  return array;
}

const contents = (max: number) => fc.uint8Array({ minLength: 0, maxLength: max });

describe('sumBytes', () => {
  it('gives the sum of the example in RFC 1071 §3', () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
    expect(foldSum(sumBytes(bytes, 0, 8))).toBe(0xddf2);
    expect(finish(sumBytes(bytes, 0, 8))).toBe(0x220d);
  });

  it('equals the plain definition at every alignment of range and array, for every length up to 130', () => {
    for (let length = 0; length <= 130; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 151 + length * 7 + 200) & 255);
      for (let offset = 0; offset < 4; offset++) {
        for (let shift = 0; shift < 4; shift++) {
          expect(foldSum(sumBytes(embed(bytes, offset, shift), offset, length))).toBe(naiveSum(bytes));
        }
      }
    }
  });

  it('equals the plain definition for random bytes', () => {
    fc.assert(
      fc.property(contents(3000), fc.nat(7), fc.nat(7), (bytes, offset, shift) => {
        expect(foldSum(sumBytes(embed(bytes, offset, shift), offset, bytes.length))).toBe(naiveSum(bytes));
      }),
      { numRuns: 200 },
    );
  });

  it('does not lose a carry in 64 KiB of 0xff', () => {
    const bytes = new Uint8Array(65536 + 3).fill(0xff);
    expect(foldSum(sumBytes(bytes, 1, 65536))).toBe(0xffff);
    expect(foldSum(sumBytes(bytes, 0, 65535))).toBe(naiveSum(bytes.subarray(0, 65535)));
  });

  it('sums a range in two pieces split anywhere, also at odd places', () => {
    const bytes = Uint8Array.from({ length: 211 }, (_, i) => (i * 89 + 3) & 255);
    for (let split = 0; split <= bytes.length; split++) {
      const first = sumBytes(bytes, 0, split);
      const both = sumBytes(bytes, split, bytes.length - split, first, split % 2 === 1);
      expect(foldSum(both)).toBe(naiveSum(bytes));
    }
  });

  it('sums a range in any number of pieces', () => {
    fc.assert(
      fc.property(contents(2000), fc.array(fc.nat(300), { maxLength: 20 }), (bytes, lengths) => {
        let at = 0;
        let sum = 0;
        for (const wanted of [...lengths, bytes.length]) {
          const length = Math.min(wanted, bytes.length - at);
          sum = sumBytes(bytes, at, length, sum, at % 2 === 1);
          at += length;
        }
        expect(foldSum(sum)).toBe(naiveSum(bytes));
      }),
      { numRuns: 200 },
    );
  });

  it('reads the array it was given when calls go to several in turn', () => {
    const arrays = [1, 2, 3, 4].map((fill) => new Uint8Array(100).fill(fill));
    for (const round of [0, 1, 2]) {
      for (const array of arrays) {
        array[0] = round;
        expect(foldSum(sumBytes(array, 0, 100))).toBe(naiveSum(array));
      }
    }
  });

  it('sees bytes that changed since the last call', () => {
    const bytes = new Uint8Array(64);
    expect(foldSum(sumBytes(bytes, 0, 64))).toBe(0);
    bytes[33] = 9;
    expect(foldSum(sumBytes(bytes, 0, 64))).toBe(9);
  });
});

describe('foldSum and finish', () => {
  it('fold any running sum below 2³² to 16 bits with end-around carry', () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), (sum) => {
        const folded = foldSum(sum);
        expect(folded).toBeLessThanOrEqual(0xffff);
        expect(folded % 0xffff).toBe(sum % 0xffff);
        expect(folded === 0).toBe(sum === 0);
        expect(finish(sum)).toBe(0xffff - folded);
      }),
    );
  });
});

describe('pseudoSum4', () => {
  it('equals the sum of the twelve bytes of the pseudo-header', () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), fc.nat(0xffff_ffff), fc.nat(255), fc.nat(0xffff), (src, dst, proto, length) => {
        const bytes = [src >>> 24, (src >>> 16) & 255, (src >>> 8) & 255, src & 255];
        bytes.push(dst >>> 24, (dst >>> 16) & 255, (dst >>> 8) & 255, dst & 255, 0, proto, length >>> 8, length & 255);
        expect(foldSum(pseudoSum4(src, dst, proto, length))).toBe(naiveSum(bytes));
        expect(foldSum(pseudoSum4(src | 0, dst | 0, proto, length))).toBe(naiveSum(bytes));
      }),
    );
  });
});
