/**
 * One vmnetd an instance: an flock(2) on `<run>/lock`, and one on `<state>/lock` for the case that two instances were
 * given the same leases. Both end with the process, however it ends.
 */

import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../shared/errors.ts';
import { type Directories, RUN_FILES, STATE_FILES } from '../../shared/paths.ts';
import { tryLock } from '../linux/file-lock.ts';

/** Takes both locks and notes our pid in them; returns the descriptors that hold them. Throws DAEMON_RUNS or STATE_IN_USE. */
export function lockInstance({ runDir, stateDir }: Directories): number[] {
  const run = lockFile(join(runDir, RUN_FILES.lock), (pid) => new UserError('DAEMON_RUNS', { runDir, pid }));
  if (runDir === stateDir) return [run];
  try {
    return [run, lockFile(join(stateDir, STATE_FILES.lock), (pid) => new UserError('STATE_IN_USE', { stateDir, pid }))];
  } catch (error) {
    closeSync(run);
    throw error;
  }
}

function lockFile(path: string, refusal: (pid: string) => UserError): number {
  const fd = openSync(path, 'a+', 0o600);
  if (!tryLock(fd)) {
    const pid = readFileSync(fd, 'utf8').trim();
    closeSync(fd);
    throw refusal(pid === '' ? 'unknown' : pid);
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`);
  return fd;
}
