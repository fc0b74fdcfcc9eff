/** Tables for people: a heading, aligned columns, two spaces between them, no trailing blanks. Pure. */

import type { Style } from './style.ts';

/** One column over rows of `R`. */
export interface Column<R> {
  title: string;
  value(row: R): string;
  /** Numbers stand to the right. */
  align?: 'left' | 'right';
  /** Applied after padding, so that escape codes don't count as width. */
  paint?(text: string, row: R, style: Style): string;
}

const GAP = '  ';

/** The rows as lines, each ended by a newline; only the heading for no rows. */
export function table<R>(columns: readonly Column<R>[], rows: readonly R[], style: Style): string {
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row))));
  const widths = columns.map((column, i) => Math.max(column.title.length, ...cells.map((line) => width(line[i]!))));
  const pad = (text: string, i: number): string => {
    const blanks = ' '.repeat(widths[i]! - width(text));
    if (columns[i]!.align === 'right') return blanks + text;
    return i === columns.length - 1 ? text : text + blanks;
  };
  const heading = columns.map((column, i) => style.dim(pad(column.title, i))).join(GAP);
  const lines = rows.map((row, r) =>
    columns
      .map((column, i) => {
        const text = pad(cells[r]![i]!, i);
        return column.paint ? column.paint(text, row, style) : text;
      })
      .join(GAP)
      .trimEnd(),
  );
  return `${[heading.trimEnd(), ...lines].join('\n')}\n`;
}

/** Columns that a text takes on a terminal; ours are all of single width. */
export function width(text: string): number {
  return [...text].length;
}

/** Without control characters: names come from guests, and a terminal obeys escape codes. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}
