import { describe, expect, test } from 'vitest';
import { Neighbors } from '../../../src/core/stack/neighbor.ts';

describe('Neighbors', () => {
  test('knows who claimed an address last', () => {
    const neighbors = new Neighbors();
    expect(neighbors.macOf(1)).toBe(-1);
    neighbors.learn(1, 0xa);
    neighbors.learn(2, 0xa);
    neighbors.learn(1, 0xb);
    expect([neighbors.macOf(1), neighbors.macOf(2)]).toEqual([0xb, 0xa]);
    expect(neighbors.addressesOf(0xa)).toEqual([2]);
  });

  test('learns nothing from a probe, whose sender has no address', () => {
    const neighbors = new Neighbors();
    neighbors.learn(0, 0xa);
    expect(neighbors.size).toBe(0);
  });

  test('forgets the entry heard longest ago when it is full', () => {
    const neighbors = new Neighbors();
    for (let address = 1; address <= 1023; address++) neighbors.learn(address, address);
    neighbors.learn(1, 1);
    neighbors.learn(1024, 1024);
    neighbors.learn(5000, 5000);
    expect(neighbors.size).toBe(1024);
    expect([neighbors.macOf(1), neighbors.macOf(2), neighbors.macOf(5000)]).toEqual([1, -1, 5000]);
  });
});
