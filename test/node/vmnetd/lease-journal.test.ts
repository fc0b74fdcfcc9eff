import { appendFileSync, closeSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LeaseRecord } from '../../../src/node/netd/protocol.ts';
import { compactJournal, loadJournal, openJournal, parseJournal } from '../../../src/node/vmnetd/lease-journal.ts';

const NOW = 1_000_000;

function lease(changes: Partial<LeaseRecord> = {}): LeaseRecord {
  return { address: 0xc0a85880, mac: 0x020000000001, clientId: null, name: null, expiresAt: NOW + 1000, ...changes };
}

const line = (record: LeaseRecord) => `${JSON.stringify(record)}\n`;

describe('reading a journal', () => {
  it('takes the last line of a guest and address', () => {
    const renewed = lease({ expiresAt: NOW + 5000, name: 'ada' });
    expect(parseJournal(line(lease()) + line(renewed), NOW)).toEqual([renewed]);
  });

  it('takes a lease that was ended by a later line as void', () => {
    expect(parseJournal(line(lease()) + line(lease({ expiresAt: NOW })), NOW)).toEqual([]);
  });

  it('tells guests apart by client identifier before MAC', () => {
    const [one, two] = [lease({ clientId: '01aa' }), lease({ clientId: '01bb' })];
    expect(parseJournal(line(one) + line(two), NOW)).toEqual([one, two]);
    const moved = lease({ clientId: '01aa', mac: 7 });
    expect(parseJournal(line(one) + line(moved), NOW)).toEqual([moved]);
  });

  it('is in the order in which the leases were last written', () => {
    const other = lease({ mac: 2, address: 5 });
    expect(parseJournal(line(lease()) + line(other) + line(lease()), NOW)).toEqual([other, lease()]);
  });

  it.each([
    '',
    '{"address":3232258176,"mac":2199023255',
    'null',
    '[]',
    '{}',
    JSON.stringify(lease({ address: -1 })),
    JSON.stringify(lease({ mac: 2 ** 48 })),
    JSON.stringify(lease({ mac: 1.5 })),
    JSON.stringify({ ...lease(), expiresAt: 'soon' }),
    JSON.stringify(lease()).replace(/"expiresAt":\d+/, '"expiresAt":1e999'),
    JSON.stringify(lease({ clientId: 'zz' })),
    JSON.stringify(lease({ name: 'Not A Label' })),
    '\u0000\u0000\u0000',
  ])('skips a line that makes no sense: %j', (nonsense) => {
    expect(parseJournal(`${nonsense}\n${line(lease())}`, NOW)).toEqual([lease()]);
  });
});

describe('a journal on disk', () => {
  let base: string;
  let path: string;
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'journal-'));
    path = join(base, 'vmnet8.leases.jsonl');
  });
  afterEach(() => rmSync(base, { recursive: true }));

  it('that is absent holds no leases', () => expect(loadJournal(path, NOW)).toEqual([]));

  it('is rewritten without what is void when it is loaded', () => {
    writeFileSync(path, line(lease({ mac: 9, expiresAt: 1 })) + line(lease()) + line(lease()));
    expect(loadJournal(path, NOW)).toEqual([lease()]);
    expect(readFileSync(path, 'utf8')).toBe(line(lease()));
  });

  it('is left alone when nothing in it is void', () => {
    writeFileSync(path, line(lease()));
    const { ino } = statSync(path);
    loadJournal(path, NOW);
    expect(statSync(path).ino).toBe(ino);
  });

  it('loses no line that was appended to the old file during a compaction', () => {
    writeFileSync(path, line(lease()).repeat(3));
    const late = lease({ mac: 5, address: 6 });
    const later = lease({ mac: 7, address: 8 });
    const held = appendTo(path);
    const compaction = compactJournal(path, NOW);
    held.append(line(late));
    appendFileSync(compaction.fd, line(later));
    compaction.finish();
    closeSync(compaction.fd);
    held.close();
    expect(parseJournal(readFileSync(path, 'utf8'), NOW)).toEqual([lease(), later, late]);
  });

  it('carries over a line whole that was being written when it was read', () => {
    const whole = line(lease({ mac: 5, address: 6 }));
    writeFileSync(path, line(lease()) + whole.slice(0, 20));
    const held = appendTo(path);
    const compaction = compactJournal(path, NOW);
    held.append(whole.slice(20));
    compaction.finish();
    closeSync(compaction.fd);
    held.close();
    expect(parseJournal(readFileSync(path, 'utf8'), NOW)).toHaveLength(2);
  });
});

/** Appends to a file as netd does: through a descriptor that outlives the name. */
function appendTo(path: string): { append(text: string): void; close(): void } {
  const fd = openJournal(path);
  return { append: (text) => appendFileSync(fd, text), close: () => closeSync(fd) };
}
