/**
 * Congestion control over the guest's cable: NewReno (RFC 5681, RFC 6582). It starts wide open, since the cable loses
 * nothing by itself and the port's `room` bounds what is in flight; it closes when something is lost after all (an
 * impaired cable, a guest whose ring overflows).
 */

import { seqDiff, seqGe } from '../../base/seq.ts';
import { MAX_CWND } from './constants.ts';
import type { Tcb } from './tcb.ts';

function flight(t: Tcb): number {
  return seqDiff(t.sndMax, t.sndUna);
}

/** New bytes were acknowledged outside of recovery. */
export function congestionOnAck(t: Tcb, acked: number): void {
  if (t.cwnd >= MAX_CWND) return;
  if (t.cwnd < t.ssthresh) t.cwnd += Math.min(acked, t.cwnd);
  else t.cwnd += Math.max(1, Math.floor((t.mss * Math.min(acked, t.cwnd)) / t.cwnd));
}

/** Third duplicate ACK: enter fast recovery. The caller retransmits the first unacknowledged segment. */
export function congestionOnFastRetransmit(t: Tcb): void {
  t.ssthresh = Math.max(flight(t) >> 1, 2 * t.mss);
  t.cwnd = t.ssthresh + 3 * t.mss;
  t.recover = t.sndMax;
  t.recovering = true;
}

/** Returns whether the ACK ends recovery; a partial one deflates the window and asks for the next retransmission. */
export function congestionOnRecoveryAck(t: Tcb, ack: number, acked: number): boolean {
  if (seqGe(ack, t.recover)) {
    t.cwnd = Math.min(t.ssthresh, Math.max(flight(t), t.mss) + t.mss);
    t.recovering = false;
    t.dupAcks = 0;
    return true;
  }
  t.cwnd = Math.max(t.mss, t.cwnd - acked + (acked >= t.mss ? t.mss : 0));
  return false;
}

export function congestionOnTimeout(t: Tcb): void {
  if (t.retries === 1) t.ssthresh = Math.max(flight(t) >> 1, 2 * t.mss);
  t.cwnd = t.mss;
  t.recover = t.sndMax;
  t.recovering = false;
  t.dupAcks = 0;
}
