import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Fdb, LEARNED } from '../../../src/core/switch/fdb.ts';

const HI = 0x0200;

/** A cheap seeded generator: 10⁵ addresses through fast-check would take its time. */
function xorshift(seed: number): () => number {
  let x = seed | 0;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x;
  };
}

describe('Fdb', () => {
  test('finds a station where it was heard last', () => {
    const fdb = new Fdb();
    expect(fdb.find(HI, 1, 0)).toBe(-1);
    expect(fdb.learn(HI, 1, 7, 0)).toBe(LEARNED.NEW);
    expect(fdb.learn(HI, 1, 7, 1)).toBe(LEARNED.KNOWN);
    expect(fdb.find(HI, 1, 1)).toBe(7);
    expect(fdb.learn(HI, 1, 8, 2)).toBe(LEARNED.MOVED);
    expect(fdb.find(HI, 1, 2)).toBe(8);
    expect(fdb.size).toBe(1);
  });

  test('tells stations apart that differ in one half of their address only', () => {
    const fdb = new Fdb();
    fdb.learn(0x0200, -1, 1, 0);
    fdb.learn(0x0201, -1, 2, 0);
    fdb.learn(0x0200, 0x7fffffff, 3, 0);
    expect([fdb.find(0x0200, -1, 0), fdb.find(0x0201, -1, 0), fdb.find(0x0200, 0x7fffffff, 0)]).toEqual([1, 2, 3]);
  });

  test('forgets a station that was silent for the ageing time, not a second sooner', () => {
    const fdb = new Fdb();
    fdb.learn(HI, 1, 7, 1000);
    expect(fdb.find(HI, 1, 1299)).toBe(7);
    expect(fdb.find(HI, 1, 1300)).toBe(-1);
    fdb.learn(HI, 1, 7, 1300);
    expect(fdb.find(HI, 1, 1599)).toBe(7);
  });

  test('learns no more than its capacity until entries have aged', () => {
    const fdb = new Fdb({ capacity: 4, capacityPerPort: 4 });
    for (let lo = 0; lo < 4; lo++) expect(fdb.learn(HI, lo, lo, lo)).toBe(LEARNED.NEW);
    expect(fdb.learn(HI, 9, 9, 10)).toBe(LEARNED.FULL);
    expect(fdb.find(HI, 0, 10)).toBe(0);
    expect(fdb.learn(HI, 9, 9, 301)).toBe(LEARNED.NEW);
    expect([fdb.find(HI, 0, 301), fdb.find(HI, 1, 301), fdb.find(HI, 2, 301), fdb.find(HI, 9, 301)]).toEqual([
      -1, -1, 2, 9,
    ]);
    expect(fdb.size).toBe(3);
  });

  test('leaves room for others when one port makes up addresses', () => {
    const fdb = new Fdb({ capacity: 64, capacityPerPort: 16 });
    for (let lo = 0; lo < 100; lo++) fdb.learn(HI, lo, 1, 0);
    expect(fdb.size).toBe(16);
    expect(fdb.learn(HI, 1000, 2, 0)).toBe(LEARNED.NEW);
  });

  test('forgets a station that moves to a port which has its fill, rather than keep it where it is not', () => {
    const fdb = new Fdb({ capacity: 64, capacityPerPort: 2 });
    fdb.learn(HI, 1, 1, 0);
    fdb.learn(HI, 2, 2, 0);
    fdb.learn(HI, 3, 2, 0);
    expect(fdb.learn(HI, 1, 2, 0)).toBe(LEARNED.FULL);
    expect(fdb.find(HI, 1, 0)).toBe(-1);
  });

  test('keeps a pinned station for ever and on its port', () => {
    const fdb = new Fdb();
    fdb.learn(HI, 1, 5, 0);
    expect(fdb.pin(HI, 1, 0)).toBe(true);
    expect(fdb.learn(HI, 1, 5, 1)).toBe(LEARNED.PINNED);
    expect(fdb.learn(HI, 1, 0, 1)).toBe(LEARNED.KNOWN);
    expect(fdb.find(HI, 1, 1e6)).toBe(0);
    expect(fdb.entries(1e6, 10)).toEqual([{ mac: 0x0200_0000_0001, port: 0, ageSeconds: 0, pinned: true }]);
  });

  test('pins into a full table at the cost of the oldest station', () => {
    const fdb = new Fdb({ capacity: 3, capacityPerPort: 3 });
    fdb.learn(HI, 1, 1, 20);
    fdb.learn(HI, 2, 1, 10);
    fdb.pin(HI, 3, 1);
    expect(fdb.pin(HI, 4, 2)).toBe(true);
    expect(fdb.find(HI, 2, 20)).toBe(-1);
    expect(fdb.find(HI, 1, 20)).toBe(1);
    expect(fdb.size).toBe(3);
    expect(fdb.pin(HI, 5, 2)).toBe(true);
    expect(fdb.pin(HI, 6, 2)).toBe(false);
  });

  test('forgets all stations behind a port, and only those', () => {
    const fdb = new Fdb({ capacity: 512 });
    for (let lo = 0; lo < 500; lo++) fdb.learn(HI, Math.imul(lo, 0x01000193), lo % 2, 0);
    fdb.removePort(1);
    expect(fdb.size).toBe(250);
    expect(fdb.entries(0, 1000, 1)).toEqual([]);
    for (let lo = 0; lo < 500; lo += 2) expect(fdb.find(HI, Math.imul(lo, 0x01000193), 0)).toBe(0);
  });

  test('stays within its bounds under 10⁵ made-up addresses, and still finds what it holds', () => {
    const fdb = new Fdb({ hashSeed: 0x12345 });
    const next = xorshift(42);
    let refused = 0;
    for (let i = 0; i < 100_000; i++) {
      if (fdb.learn(next() & 0xfeff, next(), i & 7, i >>> 10) === LEARNED.FULL) refused++;
    }
    expect(fdb.size).toBe(4096);
    expect(refused).toBe(100_000 - 4096);
    for (const { mac, port } of fdb.entries(97, 5000))
      expect(fdb.find(Math.floor(mac / 2 ** 32), mac | 0, 97)).toBe(port);
  });

  test('does what a plain map does, whatever is learned, moved, removed and aged', () => {
    const step = fc.record({
      lo: fc.integer({ min: 0, max: 40 }),
      port: fc.integer({ min: 0, max: 3 }),
      wait: fc.integer({ min: 0, max: 4 }),
      op: fc.constantFrom('learn', 'learn', 'learn', 'removePort'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer(), (steps, hashSeed) => {
        // Room for all, ageing in 20 s, and only 128 places: chains and shifts happen.
        const fdb = new Fdb({ capacity: 41, capacityPerPort: 41, ageSeconds: 20, hashSeed });
        const model = new Map<number, { port: number; seen: number }>();
        let now = 0;
        for (const { lo, port, wait, op } of steps) {
          now += wait;
          if (op === 'learn') {
            fdb.learn(HI, lo, port, now);
            model.set(lo, { port, seen: now });
          } else {
            fdb.removePort(port);
            for (const [key, entry] of model) if (entry.port === port) model.delete(key);
          }
          for (let key = 0; key <= 40; key++) {
            const entry = model.get(key);
            const expected = entry !== undefined && now - entry.seen < 20 ? entry.port : -1;
            if (fdb.find(HI, key, now) !== expected) return false;
          }
        }
        return true;
      }),
      { numRuns: 60 },
    );
  });
});
