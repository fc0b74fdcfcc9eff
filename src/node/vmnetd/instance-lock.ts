/** One vmnetd a run directory: an flock(2) on `<run>/lock`, which ends with the process however it ends. */

import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../shared/errors.ts';
import { RUN_FILES } from '../../shared/paths.ts';
import { tryLock } from '../linux/file-lock.ts';

/** Takes the lock and notes our pid in the file; returns the descriptor that holds it. Throws DAEMON_RUNS. */
export function lockInstance(runDir: string): number {
  const path = join(runDir, RUN_FILES.lock);
  const fd = openSync(path, 'a+', 0o600);
  if (!tryLock(fd)) {
    const pid = readFileSync(fd, 'utf8').trim();
    closeSync(fd);
    throw new UserError('DAEMON_RUNS', { runDir, pid: pid === '' ? 'starting just now' : pid });
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`);
  return fd;
}
