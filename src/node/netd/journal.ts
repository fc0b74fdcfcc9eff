/**
 * The lease journal's writing end: one JSON line a lease, appended before the guest hears of it. vmnetd opened the file
 * (O_APPEND), reads it and compacts it. A line that the disk had no room for is ended first, so it spoils no other.
 */

import { writeSync } from 'node:fs';
import { close } from '../linux/libc.ts';
import { log } from './log.ts';
import type { LeaseRecord } from './protocol.ts';

/** Appends leases to a file. */
export class Journal {
  readonly fd: number;
  private broken = false;

  /** Takes over the descriptor. */
  constructor(fd: number) {
    this.fd = fd;
  }

  /** Appends a lease. A disk that fails is logged; the lease stands in memory all the same. */
  append(record: LeaseRecord): void {
    const line = Buffer.from(`${this.broken ? '\n' : ''}${JSON.stringify(record)}\n`);
    try {
      this.broken = writeSync(this.fd, line) < line.length;
    } catch (error) {
      log(`a lease could not be kept: ${error instanceof Error ? error.message : String(error)}`);
      return;
    }
    if (this.broken) log('a lease could not be kept: the disk is full');
  }

  close(): void {
    close(this.fd);
  }
}
