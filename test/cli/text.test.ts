/** Figures, spans and tables. */
import { describe, expect, it } from 'vitest';
import { logLineText } from '../../src/node/cli/follow-log.ts';
import { bytesText, countText, dropsText, plural, spanText } from '../../src/node/cli/format.ts';
import { PLAIN, styleFor } from '../../src/node/cli/style.ts';
import { table } from '../../src/node/cli/table.ts';

describe('figures', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [99_949, '99.9 kB'],
    [99_960, '100 kB'],
    [999_499, '999 kB'],
    [999_500, '1.0 MB'],
    [104_857_600, '105 MB'],
    [7e15, '7.0 PB'],
    [9e18, '9000 PB'],
  ])('%d bytes are %s', (bytes, text) => expect(bytesText(bytes)).toBe(text));

  it.each([
    [-5, '0 s'],
    [40, '0.0 s'],
    [9990, '10.0 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [3_599_000, '59 min 59 s'],
    [3_660_000, '1 h 1 min'],
    [90_000_000, '1 d 1 h'],
  ])('%d ms are %s', (milliseconds, text) => expect(spanText(milliseconds)).toBe(text));

  it('groups thousands and counts nouns', () => {
    expect([0, 999, 1000, 1234567].map(countText)).toEqual(['0', '999', '1,000', '1,234,567']);
    expect([0, 1, 2].map((count) => plural(count, 'flow'))).toEqual(['0 flows', '1 flow', '2 flows']);
  });

  it('names the most frequent drop first', () => {
    expect(dropsText({ runt: 3, malformed: 12_000, other: 0, again: 3 })).toBe('malformed 12,000, again 3, runt 3');
    expect(dropsText({ runt: 0 })).toBe('-');
  });
});

describe('a table', () => {
  const columns = [
    { title: 'NAME', value: (row: { name: string; count: number }) => row.name },
    {
      title: 'COUNT',
      value: (row: { name: string; count: number }) => String(row.count),
      align: 'right' as const,
      paint: (text: string, _row: unknown, style: { bad(text: string): string }) => style.bad(text),
    },
  ];
  const rows = [
    { name: 'a longer one', count: 7 },
    { name: 'x', count: 123_456 },
  ];

  it('aligns its columns and leaves no blanks at the end', () => {
    expect(table(columns, rows, PLAIN)).toBe('NAME           COUNT\na longer one       7\nx             123456\n');
    expect(table(columns, [], PLAIN)).toBe('NAME  COUNT\n');
  });

  it('is as wide with colour as without', () => {
    const coloured = table(columns, rows, styleFor(true, {}));
    expect(coloured).toContain('\u001b[31m');
    const stripped = coloured.split('\u001b').map((part, i) => (i === 0 ? part : part.slice(part.indexOf('m') + 1)));
    expect(stripped.join('')).toBe(table(columns, rows, PLAIN));
  });
});

describe('a line of the log', () => {
  it('is time, level, message and the details', () => {
    const line = '{"level":40,"time":1700000000000,"pid":1,"network":"vmnet8","restarts":2,"msg":"netd died"}';
    expect(logLineText(line, PLAIN)).toMatch(/^\d\d:\d\d:\d\d warn {2}netd died network=vmnet8 restarts=2$/);
  });

  it('stays as it is when it is not the log’s JSON', () => {
    expect(logLineText('Segmentation fault', PLAIN)).toBe('Segmentation fault');
    expect(logLineText('{"half', PLAIN)).toBe('{"half');
  });
});
