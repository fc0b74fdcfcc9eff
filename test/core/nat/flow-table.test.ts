import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HalfSipHash } from '../../../src/core/base/half-sip-hash.ts';
import { FlowTable, type TableEntry } from '../../../src/core/nat/flow-table.ts';

class Entry implements TableEntry<Entry> {
  readonly keyGuest: number;
  readonly keyRemote: number;
  readonly keyPorts: number;
  hashNext: Entry | null = null;
  older: Entry | null = null;
  newer: Entry | null = null;
  constructor(guest: number, remote: number, ports: number) {
    this.keyGuest = guest;
    this.keyRemote = remote;
    this.keyPorts = ports;
  }
}

function all(table: FlowTable<Entry>): Entry[] {
  const found: Entry[] = [];
  table.each((entry) => found.push(entry) > 0);
  return found;
}

describe('FlowTable', () => {
  test('behaves like a list in order of use under any sequence of operations', () => {
    const key = fc.tuple(fc.integer({ min: -2, max: 2 }), fc.nat(2), fc.nat(3));
    const operation = fc.tuple(fc.constantFrom('add', 'remove', 'touch', 'find'), key);
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 100 }), (operations) => {
        const table = new FlowTable<Entry>(1000, new HalfSipHash(1, 2));
        let model: Entry[] = [];
        for (const [what, [guest, remote, ports]] of operations) {
          const known =
            model.find((e) => e.keyGuest === guest && e.keyRemote === remote && e.keyPorts === ports) ?? null;
          expect(table.find(guest, remote, ports)).toBe(known);
          if (what === 'add' && known === null) {
            const entry = new Entry(guest, remote, ports);
            table.add(entry);
            model.push(entry);
          } else if (what === 'remove' && known !== null) {
            table.remove(known);
            model = model.filter((entry) => entry !== known);
          } else if (what === 'touch' && known !== null) {
            table.touch(known);
            model = [...model.filter((entry) => entry !== known), known];
          }
          expect(all(table)).toEqual(model);
          expect(table.size).toBe(model.length);
          expect(table.oldest).toBe(model[0] ?? null);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('finds every one of thousands, across its growth', () => {
    const table = new FlowTable<Entry>(5000, new HalfSipHash(3, 4));
    const entries = Array.from({ length: 5000 }, (_, i) => new Entry(-i, i % 7, i << 8));
    for (const entry of entries) table.add(entry);
    expect(table.full).toBe(true);
    for (const entry of entries) expect(table.find(entry.keyGuest, entry.keyRemote, entry.keyPorts)).toBe(entry);
    for (const entry of entries) table.remove(entry);
    expect([table.size, table.oldest, table.full]).toEqual([0, null, false]);
    for (const entry of entries) expect(table.find(entry.keyGuest, entry.keyRemote, entry.keyPorts)).toBeNull();
  });

  test('lets a visitor remove what it visits, and stops when it is told', () => {
    const table = new FlowTable<Entry>(10, new HalfSipHash(5, 6));
    for (let i = 0; i < 6; i++) table.add(new Entry(i, 0, 0));
    let visited = 0;
    table.each((entry) => {
      table.remove(entry);
      visited++;
      return visited < 4;
    });
    expect(all(table).map((entry) => entry.keyGuest)).toEqual([4, 5]);
  });
});
