/** Watching a process that is not our child: a pidfd becomes readable when the process has ended (pidfd_open(2)). */

import { POLLIN, SYS_PIDFD_OPEN } from './constants.ts';
import { must } from './errno.ts';
import { poll, syscall3 } from './libc.ts';
import { AT, scratchAddress, scratchWords } from './memory.ts';

/** Opens a descriptor for a process, close-on-exec by nature. Throws {@link SystemCallError} (ESRCH: no such process). */
export function openPidfd(pid: number): number {
  return must(syscall3(SYS_PIDFD_OPEN, pid, 0, 0), `pidfd_open ${pid}`);
}

/** Whether the process behind a pidfd has ended. */
export function hasEnded(pidfd: number): boolean {
  scratchWords[AT.POLLFD / 4] = pidfd;
  scratchWords[AT.POLLFD / 4 + 1] = POLLIN;
  return poll(scratchAddress(AT.POLLFD, 8), 1, 0) === 1;
}
