/**
 * Segments to the guest: data as far as windows, congestion and the port's queue allow, acknowledgements, SYN-ACK, FIN,
 * RST, window probes. Every segment is built in the gateway's output slot; payload is peeked straight into it.
 */

import { put16, put32 } from '../../base/bytes.ts';
import { IO } from '../../base/ports.ts';
import { seqDiff, seqGt } from '../../base/seq.ts';
import { TCP, tcpEmit } from '../../wire/tcp.ts';
import { ABORT } from './application.ts';
import { MAX_RECEIVE_WINDOW, SEND_BUDGET, TIMESTAMPS_LENGTH } from './constants.ts';
import { TCP_STATE } from './state.ts';
import { type Tcb, TIMER } from './tcb.ts';
import type { TcpStack } from './tcp-stack.ts';
import { armPersist, armRetransmit } from './timers.ts';

const HEADER = 20;
/** Longest TCP segment that an IPv4 packet carries, header included. */
const MAX_SEGMENT = 65535 - 20;
/** Length prefix, Ethernet and IPv4 header that a port adds to each segment that it cuts from a superframe. */
const SEGMENT_OVERHEAD = 4 + 14 + 20;

/** Bytes that a guest may send before its window is looked at again. */
const WINDOW_STEP = 8_192;
/** Window below which it is looked at with every acknowledgement. */
const WINDOW_LOW = 32_768;

/** All duties of one connection: discard what was acknowledged, send data and FIN, acknowledge. */
export function output(s: TcpStack, t: Tcb): void {
  discardAcknowledged(t);
  if (t.state === TCP_STATE.ESTABLISHED || t.state === TCP_STATE.CLOSE_WAIT || seqGt(t.sndMax, t.sndNxt)) {
    if (!sendData(s, t)) return;
  }
  if (t.ackNow) sendAckNow(s, t);
}

/** The guest holds everything before `sndUna`: the application may let go of it. */
export function discardAcknowledged(t: Tcb): void {
  let length = seqDiff(t.sndUna, t.consumedSeq);
  if (t.ended && seqGt(t.sndUna, t.finSeq)) length--;
  if (length <= 0) return;
  t.consumedSeq = (t.consumedSeq + length) | 0;
  t.app.consume(length);
  // What a peek could not see behind these bytes may be seen now.
  if (t.ending && !t.ended) t.readable = true;
}

/** Sends what may be sent within this turn's budget. Returns false when the connection broke. */
function sendData(s: TcpStack, t: Tcb): boolean {
  const headerLength = headerBytes(t);
  const longest = Math.max(t.mss, Math.floor((MAX_SEGMENT - headerLength) / t.mss) * t.mss);
  const overhead = SEGMENT_OVERHEAD + headerLength;
  let budget = SEND_BUDGET;
  while (t.readable) {
    const inFlight = seqDiff(t.sndNxt, t.sndUna);
    let length = Math.min(t.sndWnd, t.cwnd) - inFlight;
    if (length <= 0 || (length < t.mss && inFlight > 0)) {
      // Closed, or too small to be worth a segment (RFC 9293 §3.8.6.2.1): the next ACK, or a probe, goes on.
      if (inFlight === 0 && t.timerKind === TIMER.NONE) armPersist(s, t);
      return true;
    }
    if (budget <= 0) {
      s.mark(t);
      return true;
    }
    if (length > longest) length = longest;
    const room = s.room(t.guestMac);
    if (room < length + overhead * Math.ceil(length / t.mss)) {
      const segments = Math.floor(room / (t.mss + overhead));
      if (segments < 1) {
        s.waitForRoom(t);
        return true;
      }
      length = Math.min(length, segments * t.mss);
    }
    const at = s.out.l4 + headerLength;
    const skip = seqDiff(t.sndNxt, t.consumedSeq);
    const n = t.app.peek(s.out.region, at, length, skip);
    if (n > 0) {
      budget -= n;
      // A short count means that the application has no more now: an edge will tell of more, unless its end is near.
      // Then what comes next is looked at, so that FIN rides on the last bytes: a frame less, and a wakeup less.
      const drained = n < length;
      const next = drained && t.ending ? t.app.peek(s.out.region, at + n, length - n, skip + n) : 1;
      if (next === 0) endStream(s, t, n);
      if (next === 0 || (drained && !t.ending)) t.readable = false;
      const flags = (drained ? TCP.ACK | TCP.PSH : TCP.ACK) | (next === 0 ? TCP.FIN : 0);
      sendSegment(s, t, t.sndNxt, flags, n);
      advance(s, t, next === 0 ? n + 1 : n);
      if (next < 0 && next !== IO.WOULD_BLOCK) {
        // The error that ends the stream is told only once.
        s.reset(t, ABORT.HOST_RESET);
        return false;
      }
    } else if (n === IO.WOULD_BLOCK) {
      t.readable = false;
    } else if (n === 0) {
      t.readable = false;
      sendFin(s, t);
    } else {
      s.reset(t, ABORT.HOST_RESET);
      return false;
    }
  }
  return true;
}

/** Moves `sndNxt` over what was sent, times it and guards it by the retransmission timer. */
function advance(s: TcpStack, t: Tcb, length: number): void {
  const fresh = !seqGt(t.sndMax, t.sndNxt);
  if (fresh && t.rttStart < 0) {
    t.rttStart = s.clock.now;
    t.rttSeq = (t.sndNxt + length) | 0;
  }
  if (!fresh) s.counters.retransmitted++;
  t.sndNxt = (t.sndNxt + length) | 0;
  if (seqGt(t.sndNxt, t.sndMax)) {
    t.txBytes += seqDiff(t.sndNxt, t.sndMax);
    t.sndMax = t.sndNxt;
  }
  if (t.timerKind !== TIMER.RETRANSMIT) armRetransmit(s, t);
}

/** The application's stream ends `length` bytes after `sndNxt`. */
function endStream(s: TcpStack, t: Tcb, length: number): void {
  if (t.ended) return;
  t.ended = true;
  t.finSeq = (t.sndNxt + length) | 0;
  if (t.state === TCP_STATE.ESTABLISHED) s.setState(t, TCP_STATE.FIN_WAIT_1);
  else if (t.state === TCP_STATE.CLOSE_WAIT) s.setState(t, TCP_STATE.LAST_ACK);
}

/** FIN by itself, when nothing is left to carry it. */
function sendFin(s: TcpStack, t: Tcb): void {
  endStream(s, t, 0);
  if (t.sndNxt !== t.finSeq) return;
  sendSegment(s, t, t.sndNxt, TCP.FIN | TCP.ACK, 0);
  advance(s, t, 1);
}

/** Sends the segment at `sndUna` again, one MSS of it (RFC 6582 §3.2 step 2). */
export function retransmitFirst(s: TcpStack, t: Tcb): void {
  const headerLength = headerBytes(t);
  const inFlight = seqDiff(t.sndMax, t.sndUna);
  const length = Math.min(t.mss, inFlight);
  if (length <= 0) return;
  s.counters.retransmitted++;
  t.rttStart = -1;
  const n = t.app.peek(s.out.region, s.out.l4 + headerLength, length, seqDiff(t.sndUna, t.consumedSeq));
  if (n > 0) sendSegment(s, t, t.sndUna, TCP.ACK, n);
  else if (n === 0 && t.ended) sendSegment(s, t, t.sndUna, TCP.FIN | TCP.ACK, 0);
}

/**
 * An acknowledgement by itself: at the turn's end when no data took it along, at once for challenge ACKs (RFC 5961) and
 * segments out of order. It names the highest byte sent, also after a time-out has `sndNxt` fall back: a guest that
 * holds more would take an earlier number for one outside of its window, and the acknowledgement with it.
 */
export function sendAckNow(s: TcpStack, t: Tcb): void {
  sendSegment(s, t, t.sndMax, TCP.ACK, 0);
}

/** A segment from before the window, which the guest must answer with its window (RFC 9293 §3.8.6.1). */
export function sendProbe(s: TcpStack, t: Tcb): void {
  sendSegment(s, t, (t.sndUna - 1) | 0, TCP.ACK, 0);
}

/** RST that the guest accepts: exactly at the sequence number that it expects (RFC 5961 §3). */
export function sendReset(s: TcpStack, t: Tcb): void {
  const out = s.out;
  tcpEmit(out.region.bytes, out.l4, t.remotePort, t.guestPort, t.sndMax, t.rcvNxt, HEADER, TCP.RST | TCP.ACK, 0);
  out.sendTcp4(t.guestMac, t.remoteAddress, t.guestAddress, HEADER, 0, t.mss);
}

/** RST to an ACK that doesn't fit the handshake, at the place that it names (RFC 9293 §3.10.7.4); the connection goes on. */
export function sendResetAt(s: TcpStack, t: Tcb, seq: number): void {
  const out = s.out;
  tcpEmit(out.region.bytes, out.l4, t.remotePort, t.guestPort, seq, 0, HEADER, TCP.RST, 0);
  out.sendTcp4(t.guestMac, t.remoteAddress, t.guestAddress, HEADER, 0, t.mss);
}

/** SYN-ACK with MSS, and window scale and timestamps where the guest offered them (RFC 7323 §1.3). */
export function sendSynAck(s: TcpStack, t: Tcb): void {
  const out = s.out;
  const b = out.region.bytes;
  let o = out.l4 + HEADER;
  b[o] = 2;
  b[o + 1] = 4;
  put16(b, o + 2, s.mtu - 40);
  o += 4;
  if (t.rcvScale > 0) {
    b[o] = 1;
    b[o + 1] = 3;
    b[o + 2] = 3;
    b[o + 3] = t.rcvScale;
    o += 4;
  }
  if (t.timestamps) {
    emitTimestamps(s, t, o);
    o += TIMESTAMPS_LENGTH;
  }
  const window = Math.min(65535, seqDiff(t.rcvAdv, t.rcvNxt));
  tcpEmit(b, out.l4, t.remotePort, t.guestPort, t.iss, t.rcvNxt, o - out.l4, TCP.SYN | TCP.ACK, window);
  out.sendTcp4(t.guestMac, t.remoteAddress, t.guestAddress, o - out.l4, 0, t.mss);
}

/** Emits one segment of `payload` bytes that lie in place already; acknowledges and announces the window on the way. */
function sendSegment(s: TcpStack, t: Tcb, seq: number, flags: number, payload: number): void {
  const out = s.out;
  const headerLength = headerBytes(t);
  if (t.timestamps) emitTimestamps(s, t, out.l4 + HEADER);
  const window = Math.min(65535, updateWindow(t) >>> t.rcvScale);
  tcpEmit(out.region.bytes, out.l4, t.remotePort, t.guestPort, seq, t.rcvNxt, headerLength, flags, window);
  t.ackNow = false;
  t.lastAckSent = t.rcvNxt;
  out.sendTcp4(t.guestMac, t.remoteAddress, t.guestAddress, headerLength, payload, t.mss);
}

/**
 * The window to announce, bytes: what the application takes now, its right edge never moving left. Asking costs a system
 * call, so it is asked once the guest has used up some of it or has little left.
 */
function updateWindow(t: Tcb): number {
  const window = seqDiff(t.rcvAdv, t.rcvNxt);
  const used = seqDiff(t.rcvNxt, t.spaceSeenAt);
  if (t.ackNow && t.state <= TCP_STATE.FIN_WAIT_2 && (used >= WINDOW_STEP || window < WINDOW_LOW)) {
    t.spaceSeenAt = t.rcvNxt;
    const edge = windowEdge(t);
    const gain = seqDiff(edge, t.rcvAdv);
    // Silly window avoidance (RFC 9293 §3.8.6.2.2): the edge moves by a segment's worth, or not.
    if (gain >= t.mss || (gain > 0 && seqDiff(t.rcvAdv, t.rcvNxt) >= t.mss)) t.rcvAdv = edge;
    if (seqDiff(t.rcvAdv, t.rcvNxt) < MAX_SEGMENT && t.spaceAskedAt !== t.rcvNxt) askForSpace(t);
  }
  return Math.max(0, seqDiff(t.rcvAdv, t.rcvNxt));
}

/** Has the application tell when it has space again: once for each position of the window, so that it is never a loop. */
export function askForSpace(t: Tcb): void {
  if (t.spaceWanted) return;
  t.spaceWanted = true;
  t.spaceAskedAt = t.rcvNxt;
  t.app.notifySpace();
}

/** The application has space. Returns whether the guest's window grows by it: even by little, since no other word comes. */
export function widenWindow(t: Tcb): boolean {
  const edge = windowEdge(t);
  if (seqDiff(edge, t.rcvAdv) <= 0) return false;
  t.rcvAdv = edge;
  return true;
}

function windowEdge(t: Tcb): number {
  const space = Math.min(MAX_RECEIVE_WINDOW, t.app.space());
  return (t.rcvNxt + (space & -(1 << t.rcvScale))) | 0;
}

function headerBytes(t: Tcb): number {
  return t.timestamps ? HEADER + TIMESTAMPS_LENGTH : HEADER;
}

function emitTimestamps(s: TcpStack, t: Tcb, o: number): void {
  const b = s.out.region.bytes;
  b[o] = 1;
  b[o + 1] = 1;
  b[o + 2] = 8;
  b[o + 3] = 10;
  put32(b, o + 4, timestampNow(s));
  put32(b, o + 8, t.tsRecent);
}

/** Our timestamp clock: milliseconds (RFC 7323 §5.4). */
export function timestampNow(s: TcpStack): number {
  return Math.floor(s.clock.now) | 0;
}
