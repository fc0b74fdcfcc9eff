/** The guest's bytes on their way to the application, in order; and the guest's FIN behind them. */

import type { Region } from '../../base/ports.ts';
import { seqDiff, seqGt } from '../../base/seq.ts';
import { ABORT } from './application.ts';
import { ReassemblyQueue } from './reassembly.ts';
import { askForSpace, discardAcknowledged, sendAckNow } from './send.ts';
import { TCP_STATE } from './state.ts';
import type { Tcb } from './tcb.ts';
import type { TcpStack } from './tcp-stack.ts';
import { armTimeWait } from './timers.ts';

/** In-order bytes without a pause of BULK_PAUSE_MS after which acknowledgements are stretched to BULK_SEGMENTS. */
const BULK_AFTER = 1 << 18;
const BULK_PAUSE_MS = 100;
const BULK_SEGMENTS = 16;
/** Least window for that, bytes: the guest must never wait for the acknowledgement that we put off. */
const BULK_WINDOW = 1 << 18;

/** Bytes that are acknowledged at once in any case: with a large MTU two segments would be a good part of a window. */
const ACK_AFTER = 1 << 15;

/** Text and FIN of an acceptable segment that begins at `seq`, not before `rcvNxt`. Only what the application takes is acknowledged. */
export function textArrives(
  s: TcpStack,
  t: Tcb,
  region: Region,
  data: number,
  length: number,
  seq: number,
  fin: boolean,
): void {
  // After the guest's FIN there is no text.
  if (t.state >= TCP_STATE.CLOSE_WAIT) return;
  if (seqGt(seq, t.rcvNxt)) {
    s.counters.outOfOrder++;
    t.orderly = 0;
    hold(s, t, region, data, length, seq, fin);
    // Repeated at once, it tells the guest where the hole is (RFC 5681 §4.2).
    sendAckNow(s, t);
    return;
  }
  if (t.held?.startsAt(seq)) {
    // The application is full, and bytes before these wait already.
    hold(s, t, region, data, length, seq, fin);
    return;
  }
  if (length > 0) {
    const taken = t.app.accept(region, data, length);
    if (taken < 0) {
      s.reset(t, ABORT.HOST_RESET);
      return;
    }
    received(s, t, taken);
    if (taken < length) {
      s.counters.refusedBySocket++;
      hold(s, t, region, data + taken, length - taken, t.rcvNxt, fin);
      askForSpace(t);
      return;
    }
  }
  if (fin) finArrives(s, t);
  else if (t.held !== null) passOn(s, t);
}

/** Passes on what is held and in order by now. Returns false when the connection broke. */
export function passOn(s: TcpStack, t: Tcb): boolean {
  const held = t.held;
  if (held === null || held.isEmpty) return true;
  const before = t.rcvNxt;
  const after = held.drain(before, (region, offset, length) => t.app.accept(region, offset, length));
  if (held.error < 0) {
    s.reset(t, ABORT.HOST_RESET);
    return false;
  }
  received(s, t, (after - before) | 0);
  // A hole was filled, or room found: the guest is to know at once (RFC 5681 §4.2).
  if (after !== before) s.ackNow(t);
  if (held.fin) finArrives(s, t);
  else if (held.startsAt(t.rcvNxt)) askForSpace(t);
  return true;
}

/** Both directions have ended: only the guest's last segments may come again. */
export function enterTimeWait(s: TcpStack, t: Tcb): void {
  discardAcknowledged(t);
  s.setState(t, TCP_STATE.TIME_WAIT);
  t.app.lingering();
  armTimeWait(s, t);
}

function received(s: TcpStack, t: Tcb, length: number): void {
  if (length === 0) return;
  t.rcvNxt = (t.rcvNxt + length) | 0;
  t.rxBytes += length;
  if (s.clock.now - t.lastTextAt >= BULK_PAUSE_MS) t.orderly = 0;
  t.lastTextAt = s.clock.now;
  t.orderly = Math.min(t.orderly + length, BULK_AFTER);
  if (acknowledgementIsDue(t)) s.ackNow(t);
  else s.ackSoon(t);
}

/**
 * At least every second full-sized segment is acknowledged at once (RFC 9293 MUST-58), a smaller piece may wait for an
 * answer to ride on, as long as there may be one. Once a guest has sent in order for a while without a pause, its
 * congestion window is wide and it loses nothing by hearing less often: then every sixteenth segment is acknowledged,
 * knowingly beyond that rule, as receivers behind coalescing NICs do. To a virtual NIC without offloads each
 * acknowledgement is an interrupt: a Linux VM's upload over the stream socket rose from 1.4 to 2.2 times `-netdev user`.
 */
function acknowledgementIsDue(t: Tcb): boolean {
  if (t.ended) return true;
  const waiting = seqDiff(t.rcvNxt, t.lastAckSent);
  const stretch = t.orderly >= BULK_AFTER && seqDiff(t.rcvAdv, t.rcvNxt) >= BULK_WINDOW ? BULK_SEGMENTS : 2;
  return waiting >= Math.min(stretch * t.mss, ACK_AFTER);
}

function finArrives(s: TcpStack, t: Tcb): void {
  t.rcvNxt = (t.rcvNxt + 1) | 0;
  s.ackNow(t);
  // Where our direction has ended too, releasing the application says as much.
  if (t.state !== TCP_STATE.FIN_WAIT_2) t.app.endOfInput();
  if (t.state === TCP_STATE.ESTABLISHED) s.setState(t, TCP_STATE.CLOSE_WAIT);
  else if (t.state === TCP_STATE.FIN_WAIT_1) s.setState(t, TCP_STATE.CLOSING);
  else if (t.state === TCP_STATE.FIN_WAIT_2) enterTimeWait(s, t);
}

function hold(s: TcpStack, t: Tcb, region: Region, data: number, length: number, seq: number, fin: boolean): void {
  if (t.held === null) t.held = new ReassemblyQueue(s.pool);
  if (!t.held.insert(region, data, length, seq, fin)) s.counters.reassemblyLimit++;
}
