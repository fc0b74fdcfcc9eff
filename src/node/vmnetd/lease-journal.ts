/**
 * Leases on disk: `<state>/<network>.leases.jsonl`, one lease a line.
 *
 * Theory of operation. netd appends a line before the ACK leaves, through a descriptor that vmnetd opened (O_APPEND);
 * it has no other access to the disk. The journal only grows, so vmnetd rewrites it before a netd starts and whenever it
 * exceeds 1 MiB: what is void goes, the newest line of each lease stays, a new file takes the old one's place
 * (write, fsync, rename), and netd is handed a descriptor of the new one. Lines that reached the old file meanwhile are
 * carried over afterwards ({@link Compaction.finish}), so none is lost.
 *
 * Reading: the last line of a `(clientId or MAC, address)` wins; one that has expired is void; a line that is cut short
 * (power loss) or makes no sense is skipped. At most {@link LEASES_MAX} leases are kept, those that expire last.
 */

import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import type { LeaseRecord } from '../netd/protocol.ts';
import { writeFileAtomically } from './json-file.ts';

/** Size in bytes at which a journal is compacted while its netd runs. */
export const JOURNAL_COMPACT_BYTES = 1024 * 1024;

/** Most leases read from a journal: a /16 has no more. */
const LEASES_MAX = 65_536;

/** The leases that a journal's text holds and that are valid at `now` (ms since 1970), oldest first. */
export function parseJournal(text: string, now: number): LeaseRecord[] {
  const leases = new Map<string, LeaseRecord>();
  for (const line of text.split('\n')) {
    const record = parseLine(line);
    if (record === null) continue;
    const key = `${record.clientId ?? record.mac} ${record.address}`;
    leases.delete(key);
    leases.set(key, record);
  }
  const valid = [...leases.values()].filter(({ expiresAt }) => expiresAt > now);
  if (valid.length <= LEASES_MAX) return valid;
  return valid.sort((a, b) => a.expiresAt - b.expiresAt).slice(-LEASES_MAX);
}

function parseLine(line: string): LeaseRecord | null {
  if (line === '') return null;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { address, mac, clientId = null, name = null, expiresAt }: Partial<Record<string, unknown>> = { ...value };
  if (!isWithin(address, 2 ** 32) || !isWithin(mac, 2 ** 48)) return null;
  // JSON knows 1e999, which is no number that netd could be sent.
  if (typeof expiresAt !== 'number' || !Number.isFinite(expiresAt)) return null;
  if (clientId !== null && (typeof clientId !== 'string' || !/^([0-9a-f]{2}){1,255}$/.test(clientId))) return null;
  if (name !== null && (typeof name !== 'string' || !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name))) return null;
  return { address, mac, clientId, name, expiresAt };
}

function isWithin(value: unknown, limit: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < limit;
}

/** Reads a journal, rewrites it without what is void, and returns its leases. An absent one holds none. */
export function loadJournal(path: string, now: number): LeaseRecord[] {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const leases = parseJournal(text, now);
  const compact = toText(leases);
  if (compact !== text) writeFileAtomically(path, compact);
  return leases;
}

/** Opens a journal for appending; the caller closes it. */
export function openJournal(path: string): number {
  return openSync(path, 'a', 0o600);
}

function toText(leases: readonly LeaseRecord[]): string {
  return leases.map((lease) => `${JSON.stringify(lease)}\n`).join('');
}

/** A compaction under a running netd: hand it `fd`, then call `finish`. */
export interface Compaction {
  /** The new journal, opened for appending; still the caller's to close. */
  fd: number;
  /** Carries over what was appended to the old journal meanwhile, and closes it. To be called once netd uses `fd`, or never will. */
  finish(): void;
}

/** Rewrites a journal that a netd is appending to. */
export function compactJournal(path: string, now: number): Compaction {
  const old = openSync(path, 'r');
  try {
    const text = readFileSync(old, 'utf8');
    const end = text.lastIndexOf('\n') + 1;
    const read = Buffer.byteLength(text.slice(0, end));
    writeFileAtomically(path, toText(parseJournal(text.slice(0, end), now)));
    const fd = openJournal(path);
    return { fd, finish: () => carryOver(old, read, fd) };
  } catch (error) {
    closeSync(old);
    throw error;
  }
}

function carryOver(old: number, from: number, fd: number): void {
  try {
    const late = Buffer.alloc(fstatSync(old).size - from);
    const length = readSync(old, late, 0, late.length, from);
    if (length > 0) writeSync(fd, late, 0, length);
  } finally {
    closeSync(old);
  }
}
