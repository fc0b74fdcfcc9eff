/** An advisory lock on a file, held until the descriptor is closed or the process ends (flock(2)). */

import { LOCK_EX, LOCK_NB } from './constants.ts';
import { EAGAIN, SystemCallError } from './errno.ts';
import { errno, flock } from './libc.ts';

/** Takes the exclusive lock on an open file; false when another process holds it. */
export function tryLock(fd: number): boolean {
  if (flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  const code = errno();
  if (code !== EAGAIN) throw new SystemCallError('flock', code);
  return false;
}
