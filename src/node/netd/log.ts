/** netd's log: lines on standard error, which vmnetd made a file. Written synchronously: Node's own output never runs here. */

import { writeSync } from 'node:fs';

/** Most lines a minute: a guest that provokes one a frame must not fill the disk. */
const LINES_A_MINUTE = 100;
let sink = (line: string): void => {
  writeSync(2, line);
};
let minute = 0;
let lines = 0;

/** Writes one line with the time; beyond the limit it is left out, and the last line of the minute says so. */
export function log(text: string): void {
  const now = Date.now();
  const thisMinute = Math.floor(now / 60_000);
  if (thisMinute !== minute) {
    minute = thisMinute;
    lines = 0;
  }
  lines += 1;
  if (lines > LINES_A_MINUTE) return;
  const rest = lines === LINES_A_MINUTE ? ' (more lines of this minute are left out)' : '';
  try {
    sink(`${new Date(now).toISOString()} ${text}${rest}\n`);
  } catch {
    // A full disk must not end the network.
  }
}

/** Sends the log elsewhere: tests keep it off their output. */
export function logTo(other: (line: string) => void): void {
  sink = other;
}
