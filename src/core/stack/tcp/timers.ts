/**
 * The connection's one timer: retransmission (RFC 6298), persist (RFC 9293 §3.8.6.1) and TIME-WAIT never run together.
 */

import { RTO_MAX_MS, RTO_MIN_MS, TIME_WAIT_MS } from './constants.ts';
import { type Tcb, TIMER } from './tcb.ts';
import type { TcpStack } from './tcp-stack.ts';

/** Arms the retransmission timer for the oldest unacknowledged byte. */
export function armRetransmit(s: TcpStack, t: Tcb): void {
  t.timerKind = TIMER.RETRANSMIT;
  s.timers.arm(t, s.clock.now + t.rto);
}

export function armPersist(s: TcpStack, t: Tcb): void {
  t.timerKind = TIMER.PERSIST;
  s.timers.arm(t, s.clock.now + Math.min(RTO_MAX_MS, t.rto * 2 ** Math.min(t.retries, 10)));
}

export function armTimeWait(s: TcpStack, t: Tcb): void {
  t.timerKind = TIMER.TIME_WAIT;
  s.timers.arm(t, s.clock.now + TIME_WAIT_MS);
}

export function disarm(s: TcpStack, t: Tcb): void {
  t.timerKind = TIMER.NONE;
  s.timers.disarm(t);
}

/** A round-trip sample in milliseconds (RFC 6298 §2). */
export function rttSample(t: Tcb, rtt: number): void {
  if (t.srtt === 0) {
    t.srtt = rtt;
    t.rttvar = rtt / 2;
  } else {
    t.rttvar += (Math.abs(t.srtt - rtt) - t.rttvar) / 4;
    t.srtt += (rtt - t.srtt) / 8;
  }
  t.rto = Math.min(RTO_MAX_MS, Math.max(RTO_MIN_MS, t.srtt + 4 * t.rttvar));
}
