import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyBytes, get16, get32, getInt32, getMac, put16, put32, putMac } from '../../../src/core/base/bytes.ts';
import { emitted, hexOf } from '../../support/bytes.ts';

/** Writes with one of the stores and returns the bytes. */
function stored(length: number, store: (b: Uint8Array, off: number) => void): Uint8Array {
  return emitted((b, off) => {
    store(b, off);
    return length;
  });
}

describe('integers', () => {
  it('are big-endian', () => {
    const b = Uint8Array.of(0, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0);
    expect(get16(b, 1)).toBe(0xfedc);
    expect(get32(b, 1)).toBe(0xfedcba98);
    expect(getInt32(b, 1)).toBe(0xfedcba98 | 0);
    expect(getMac(b, 1)).toBe(0xfedcba987654);
  });

  it('read what was stored, and store nothing beside it', () => {
    fc.assert(
      fc.property(fc.nat(0xffff), fc.nat(0xffff_ffff), fc.nat(0xffff_ffff_ffff), (half, word, mac) => {
        expect(
          get16(
            stored(2, (b, off) => put16(b, off, half)),
            0,
          ),
        ).toBe(half);
        expect(
          get32(
            stored(4, (b, off) => put32(b, off, word)),
            0,
          ),
        ).toBe(word);
        expect(
          get32(
            stored(4, (b, off) => put32(b, off, word | 0)),
            0,
          ),
        ).toBe(word);
        expect(
          getInt32(
            stored(4, (b, off) => put32(b, off, word)),
            0,
          ),
        ).toBe(word | 0);
        expect(
          getMac(
            stored(6, (b, off) => putMac(b, off, mac)),
            0,
          ),
        ).toBe(mac);
      }),
    );
  });

  it('keep the low bits of a number that is too large', () => {
    expect(hexOf(stored(2, (b, off) => put16(b, off, 0x12345)))).toBe('2345');
    expect(hexOf(stored(4, (b, off) => put32(b, off, -1)))).toBe('ffffffff');
  });
});

describe('copyBytes', () => {
  for (const length of [0, 1, 64, 65, 200]) {
    it(`copies ${length} bytes between arrays and touches no others`, () => {
      const from = Uint8Array.from({ length: length + 9 }, (_, i) => i + 1);
      const copy = emitted((b, off) => {
        copyBytes(b, off, from, 3, length);
        return length;
      });
      expect(hexOf(copy)).toBe(hexOf(from, 3, 3 + length));
    });
  }

  it('copies overlapping ranges of one array, and of two arrays over one buffer, as if through a third place', () => {
    for (const [to, from] of [
      [0, 5],
      [5, 0],
    ] as const) {
      const buffer = new ArrayBuffer(100);
      const one = new Uint8Array(buffer);
      const other = new Uint8Array(buffer, 0, 90);
      for (const target of [one, other]) {
        one.set(Uint8Array.from({ length: 100 }, (_, i) => i));
        copyBytes(target, to, one, from, 20);
        expect([...one.subarray(to, to + 20)]).toEqual(Array.from({ length: 20 }, (_, i) => from + i));
      }
    }
  });
});
