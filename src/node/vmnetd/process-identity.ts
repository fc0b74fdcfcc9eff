/**
 * Which process a pid means. Pids are used again, so a process is named by its pid *and* its start time (field 22 of
 * /proc/<pid>/stat, in clock ticks since boot): no signal ever goes to a process that merely inherited the number.
 */

import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export interface ProcessIdentity {
  pid: number;
  startTime: number;
}

/** The identity of a running process; null when there is none, or it is a zombie. */
export function identify(pid: number): ProcessIdentity | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  // The name in parentheses may hold anything: fields are counted from behind it, beginning with the 3rd.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTime = Number(fields[19]);
  return fields[0] === 'Z' || fields[0] === 'X' || !Number.isSafeInteger(startTime) ? null : { pid, startTime };
}

/** Whether this very process still runs. */
export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTime === process.startTime;
}

/** Sends a signal to this very process; false when it is gone. */
export function signal(target: ProcessIdentity, name: NodeJS.Signals): boolean {
  if (!isAlive(target)) return false;
  try {
    return process.kill(target.pid, name);
  } catch {
    return false;
  }
}

/** Waits until this very process is gone; false when it still runs after `timeoutMs`. */
export async function waitUntilGone(target: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  for (let pause = 2; isAlive(target); pause = Math.min(pause * 2, 50)) {
    if (Date.now() >= deadline) return false;
    await delay(pause);
  }
  return true;
}
