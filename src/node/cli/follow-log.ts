/**
 * The daemon's log on a terminal, for `vmnet up` in the foreground: what is appended to the file is read every 100 ms
 * and shown a line each. vmnetd writes JSON (pino); people get time, level, message and the details behind it.
 */

import { closeSync, openSync, readSync, statSync } from 'node:fs';
import type { Style } from './style.ts';
import { printable } from './table.ts';

const INTERVAL_MS = 100;
const CHUNK_BYTES = 1 << 16;
/** A line that grows beyond this is shown in parts. */
const LINE_MAX = 1 << 16;

/** Size of a file, 0 while there is none: where to follow it from. */
export function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Gives every line appended after `offset` to `show`, until the returned function is called; that reads to the end first. */
export function followLog(path: string, offset: number, show: (line: string) => void): () => void {
  const bytes = Buffer.alloc(CHUNK_BYTES);
  const decoder = new TextDecoder();
  let partial = '';
  const read = (): void => {
    let descriptor: number;
    try {
      descriptor = openSync(path, 'r');
    } catch {
      return;
    }
    try {
      for (let count = CHUNK_BYTES; count === CHUNK_BYTES; offset += count) {
        count = readSync(descriptor, bytes, 0, CHUNK_BYTES, offset);
        const lines = (partial + decoder.decode(bytes.subarray(0, count), { stream: true })).split('\n');
        partial = lines.pop() ?? '';
        for (const line of lines) show(line);
        if (partial.length > LINE_MAX) {
          show(partial);
          partial = '';
        }
      }
    } finally {
      closeSync(descriptor);
    }
  };
  const timer = setInterval(read, INTERVAL_MS);
  return () => {
    clearInterval(timer);
    read();
  };
}

/** pino's fields that are shown otherwise or not at all. */
const KNOWN_FIELDS: ReadonlySet<string> = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'name', 'v']);

/** A line of the log for people; one that isn't pino's JSON stays as it is. */
export function logLineText(line: string, style: Style): string {
  const record = parseRecord(line);
  if (record === null) return printable(line);
  const details = Object.entries(record)
    .filter(([key]) => !KNOWN_FIELDS.has(key))
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const message = printable(String(record.msg ?? ''));
  return [timeText(record.time), levelText(record.level, style), message, style.dim(printable(details.join(' ')))]
    .filter((part) => part !== '')
    .join(' ');
}

function parseRecord(line: string): Record<string, unknown> | null {
  if (!line.startsWith('{')) return null;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
}

/** The local time of day; the log file has the date. */
function timeText(time: unknown): string {
  const date = new Date(typeof time === 'number' || typeof time === 'string' ? time : Number.NaN);
  return Number.isNaN(date.getTime()) ? '' : date.toTimeString().slice(0, 8);
}

function levelText(level: unknown, style: Style): string {
  const number = typeof level === 'number' ? level : ({ warn: 40, error: 50, fatal: 60 }[String(level)] ?? 30);
  if (number >= 50) return style.bad('error');
  return number >= 40 ? style.warn('warn ') : style.dim('info ');
}
