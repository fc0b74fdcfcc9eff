/** Small JSON files that are never seen half-written: a new one takes the old one's place by rename(2). */

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

/** Replaces a file's content as a whole; `durable`: it is on the disk when this returns. */
export function writeFileAtomically(path: string, text: string, { durable = true } = {}): void {
  const temporary = `${path}.tmp`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    writeFileSync(fd, text);
    if (durable) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
}

/** The value in a JSON file; null where the file is absent or no JSON (a crash of the disk: what it said is found anew). */
export function readJsonFile(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}
