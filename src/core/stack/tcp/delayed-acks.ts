/**
 * Acknowledgements that wait for data to ride on (RFC 9293 §3.8.6.3, RFC 1122 §4.2.3.2).
 *
 * A request of less than two segments is usually answered within the delay, and the answer acknowledges it: one frame
 * less, and one wakeup of the guest. All waits are equally long, so a queue in order of arrival and one timer serve
 * every connection. 5 ms, where the RFC allows 500: a guest that runs Nagle's algorithm hardly notices.
 */

import { Timer, type TimerTable } from '../../base/timer-table.ts';
import type { Tcb } from './tcb.ts';

const DELAY_MS = 5;

export class DelayedAcks extends Timer {
  private readonly timers: TimerTable;
  private readonly due: (t: Tcb) => void;
  private waiting: Tcb[] = [];
  /** Entries before it are done with. */
  private head = 0;

  /** `due` is called for each connection whose wait is over and that has not acknowledged meanwhile. */
  constructor(timers: TimerTable, due: (t: Tcb) => void) {
    super();
    this.timers = timers;
    this.due = due;
  }

  add(t: Tcb, now: number): void {
    if (t.ackDelayed) return;
    t.ackDelayed = true;
    t.ackDueAt = now + DELAY_MS;
    this.waiting.push(t);
    if (this.waiting.length - this.head === 1) this.timers.arm(this, t.ackDueAt);
  }

  override onTimer(now: number): void {
    const list = this.waiting;
    while (this.head < list.length) {
      const t = list[this.head] as Tcb;
      if (t.ackDueAt > now) break;
      this.head++;
      t.ackDelayed = false;
      if (t.lastAckSent !== t.rcvNxt) this.due(t);
    }
    if (this.head < list.length) {
      this.timers.arm(this, (list[this.head] as Tcb).ackDueAt);
    }
    if (this.head * 2 >= list.length) {
      this.waiting = list.slice(this.head);
      this.head = 0;
    }
  }
}
