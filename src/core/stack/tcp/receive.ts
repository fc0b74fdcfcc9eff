/**
 * A segment from the guest, in the order of RFC 9293 §3.10.7.4: sequence number, RST, SYN, ACK, window, text, FIN.
 *
 * The caller has checked header and checksum and found the TCB. Nothing is sent from here but what must leave at once
 * (challenge ACKs, fast retransmissions); everything else becomes a duty of the turn's end.
 */

import type { Region } from '../../base/ports.ts';
import { seqDiff, seqGe, seqGt, seqLe, seqLt } from '../../base/seq.ts';
import {
  TCP,
  TCP_HEADER,
  type TcpOptions,
  tcpAck,
  tcpFlags,
  tcpHeaderLength,
  tcpOptionsCreate,
  tcpParseOptions,
  tcpSeq,
  tcpWindow,
} from '../../wire/tcp.ts';
import { ABORT } from './application.ts';
import { congestionOnAck, congestionOnFastRetransmit, congestionOnRecoveryAck } from './congestion.ts';
import {
  INITIAL_CWND,
  MAX_CWND,
  MAX_RECEIVE_WINDOW,
  RECEIVE_WINDOW_SHIFT,
  RTO_MAX_MS,
  TIMESTAMPS_LENGTH,
} from './constants.ts';
import { enterTimeWait, textArrives } from './pass-on.ts';
import { discardAcknowledged, retransmitFirst, sendAckNow, sendResetAt, sendSynAck, timestampNow } from './send.ts';
import { TCP_STATE } from './state.ts';
import { type Tcb, TIMER } from './tcb.ts';
import type { TcpStack } from './tcp-stack.ts';
import { armRetransmit, armTimeWait, disarm, rttSample } from './timers.ts';

/** MSS that a host must assume of a peer that names none (RFC 9293 MUST-15). */
const DEFAULT_MSS = 536;
/** Smallest MSS that we honour: less is an attack on us, never a real link (CVE-2019-11479). */
const MIN_MSS = 88;

const options: TcpOptions = tcpOptionsCreate();

/** Takes in a guest's SYN: its sequence number and options. The connection is CONNECTING from here on. */
export function synArrives(s: TcpStack, t: Tcb, b: Uint8Array, off: number): void {
  tcpParseOptions(b, off, options);
  t.irs = tcpSeq(b, off);
  t.rcvNxt = (t.irs + 1) | 0;
  t.lastAckSent = t.rcvNxt;
  t.sndWnd = tcpWindow(b, off);
  t.sndWl1 = t.irs;
  if (options.windowScale >= 0) {
    t.sndScale = options.windowScale;
    t.rcvScale = RECEIVE_WINDOW_SHIFT;
  }
  t.timestamps = options.timestamp;
  if (options.timestamp) t.tsRecent = options.tsVal;
  const offered = Math.max(MIN_MSS, options.mss === 0 ? DEFAULT_MSS : options.mss);
  t.mss = Math.min(offered, s.mtu - 40) - (t.timestamps ? TIMESTAMPS_LENGTH : 0);
  t.cwnd = INITIAL_CWND;
  t.ssthresh = MAX_CWND;
  s.counters.opened++;
  s.setState(t, TCP_STATE.CONNECTING);
}

/** The host's connection stands: answer the held SYN. */
export function acceptConnection(s: TcpStack, t: Tcb): void {
  t.iss = s.initialSequence(t);
  t.sndUna = t.iss;
  t.sndNxt = (t.iss + 1) | 0;
  t.sndMax = t.sndNxt;
  t.recover = t.iss;
  t.consumedSeq = t.sndNxt;
  // Not scaled in a SYN (RFC 7323 §2.2); the first ACK announces the rest.
  t.spaceSeenAt = t.rcvNxt;
  t.rcvAdv = (t.rcvNxt + Math.min(65535, MAX_RECEIVE_WINDOW, t.app.space())) | 0;
  t.acceptedAt = s.clock.now;
  t.rttStart = s.clock.now;
  t.rttSeq = t.sndNxt;
  s.setState(t, TCP_STATE.SYN_RECEIVED);
  sendSynAck(s, t);
  armRetransmit(s, t);
}

/** Runs one segment through the connection. `[off, end)` is TCP header and payload; the MAC is where answers go. */
export function segmentArrives(s: TcpStack, t: Tcb, region: Region, off: number, end: number, mac: number): void {
  if (t.state === TCP_STATE.CLOSED) return;
  const b = region.bytes;
  const flags = tcpFlags(b, off);
  t.lastActive = s.clock.now;
  t.guestMac = mac;
  if (t.state === TCP_STATE.CONNECTING) {
    // The guest repeats its SYN while the host is connecting, or has given up.
    if ((flags & TCP.RST) !== 0 && tcpSeq(b, off) === t.rcvNxt) s.abort(t, ABORT.GUEST_RESET);
    return;
  }

  let seq = tcpSeq(b, off);
  const headerLength = tcpHeaderLength(b, off);
  let data = off + headerLength;
  let length = end - data;
  let fin = (flags & TCP.FIN) !== 0;

  const stamped = readTimestamp(t, b, off, headerLength);
  if (stamped && (flags & TCP.RST) === 0 && seqLt(options.tsVal, t.tsRecent)) {
    // Older than what we have had (PAWS, RFC 7323 §5.3 R1).
    s.counters.duplicate++;
    challenge(s, t);
    return;
  }

  // Sequence number: keep what is new and inside of the window.
  const window = seqDiff(t.rcvAdv, t.rcvNxt);
  const ahead = seqDiff(seq, t.rcvNxt);
  if (ahead > 0 && ahead >= window) {
    if ((flags & TCP.RST) === 0) challenge(s, t);
    return;
  }
  if (ahead < 0 && (flags & TCP.SYN) === 0) {
    const old = -ahead;
    if (old > length || (old === length && !fin)) {
      duplicateArrives(s, t, b, off, flags, length, fin);
      return;
    }
    seq = t.rcvNxt;
    data += old;
    length -= old;
  }
  // Acceptable, and not behind what is acknowledged: its timestamp is to be echoed (RFC 7323 §4.3).
  if (stamped && ahead <= seqDiff(t.lastAckSent, t.rcvNxt)) t.tsRecent = options.tsVal;
  const pure = length === 0 && !fin;
  if (length > window - Math.max(0, ahead)) {
    length = Math.max(0, window - Math.max(0, ahead));
    fin = false;
    t.ackNow = true;
    s.mark(t);
  }

  if ((flags & TCP.RST) !== 0) {
    // Exactly the next byte, or it may be forged (RFC 5961 §3.2).
    if (ahead === 0) resetArrives(s, t);
    else challenge(s, t);
    return;
  }
  if ((flags & TCP.SYN) !== 0) {
    if (t.state === TCP_STATE.SYN_RECEIVED && tcpSeq(b, off) === t.irs) sendSynAck(s, t);
    else challenge(s, t);
    return;
  }
  if ((flags & TCP.ACK) === 0) return;
  if (!ackArrives(s, t, tcpAck(b, off), seq, tcpWindow(b, off), pure)) return;

  if (length === 0 && !fin) return;
  textArrives(s, t, region, data, length, seq, fin);
}

/** Reads the segment's options into `options` if there may be a timestamp; returns whether there is one. */
function readTimestamp(t: Tcb, b: Uint8Array, off: number, headerLength: number): boolean {
  options.timestamp = false;
  if (headerLength > TCP_HEADER && t.timestamps) tcpParseOptions(b, off, options);
  return options.timestamp;
}

/** All of it was received before: a retransmission, a keep-alive, a window probe. Its ACK field still counts. */
function duplicateArrives(
  s: TcpStack,
  t: Tcb,
  b: Uint8Array,
  off: number,
  flags: number,
  length: number,
  fin: boolean,
): void {
  if ((flags & TCP.RST) !== 0) return;
  s.counters.duplicate++;
  if (t.state === TCP_STATE.TIME_WAIT && fin) armTimeWait(s, t);
  if ((flags & TCP.ACK) !== 0 && !ackArrives(s, t, tcpAck(b, off), tcpSeq(b, off), tcpWindow(b, off), false)) return;
  // An old pure ACK calls for nothing; anything that took up sequence space, or probes for life, does.
  if (length > 0 || fin || (flags & TCP.SYN) !== 0 || tcpSeq(b, off) === ((t.rcvNxt - 1) | 0)) {
    t.ackNow = true;
    s.mark(t);
  }
}

function resetArrives(s: TcpStack, t: Tcb): void {
  if (t.state === TCP_STATE.TIME_WAIT) s.finish(t);
  else s.abort(t, t.state === TCP_STATE.SYN_RECEIVED ? ABORT.HANDSHAKE : ABORT.GUEST_RESET);
}

/** Challenge ACK (RFC 5961): tells an honest guest where we are, and a forger nothing. */
function challenge(s: TcpStack, t: Tcb): void {
  s.counters.challengeAcks++;
  sendAckNow(s, t);
}

/** The acknowledgement and window of an acceptable segment. Returns false when the segment is to be dropped. */
function ackArrives(s: TcpStack, t: Tcb, ack: number, seq: number, rawWindow: number, pure: boolean): boolean {
  if (t.state === TCP_STATE.SYN_RECEIVED) {
    if (seqLe(ack, t.sndUna) || seqGt(ack, t.sndMax)) {
      sendResetAt(s, t, ack);
      return false;
    }
    s.setState(t, TCP_STATE.ESTABLISHED);
    s.counters.established++;
    t.sndWl1 = seq;
    t.sndWl2 = ack;
    t.sndWnd = rawWindow << t.sndScale;
    // The SYN's own byte is no byte of the stream.
    t.sndUna = (t.iss + 1) | 0;
    t.retries = 0;
    disarm(s, t);
    if (t.rttStart >= 0) rttSample(t, s.clock.now - t.rttStart);
    t.rttStart = -1;
    if (t.readable) s.mark(t);
    return true;
  }
  if (seqGt(ack, t.sndMax)) {
    challenge(s, t);
    return false;
  }

  const wnd = rawWindow << t.sndScale;
  const acked = seqDiff(ack, t.sndUna);
  if (acked > 0) {
    newAck(s, t, ack, acked);
  } else if (acked === 0 && pure && wnd === t.sndWnd && seqGt(t.sndMax, t.sndUna)) {
    duplicateAck(s, t);
  }
  if (seqLt(t.sndWl1, seq) || (t.sndWl1 === seq && seqLe(t.sndWl2, ack))) {
    if (wnd > t.sndWnd && t.timerKind === TIMER.PERSIST) {
      t.retries = 0;
      disarm(s, t);
    }
    t.sndWnd = wnd;
    t.sndWl1 = seq;
    t.sndWl2 = ack;
  }
  if (t.readable || t.sndUna !== t.consumedSeq) s.mark(t);
  return t.state !== TCP_STATE.CLOSED;
}

/** The guest acknowledged new bytes. */
function newAck(s: TcpStack, t: Tcb, ack: number, acked: number): void {
  if (t.rttStart >= 0) {
    if (seqGe(ack, t.rttSeq)) {
      rttSample(t, s.clock.now - t.rttStart);
      t.rttStart = -1;
    }
  } else if (options.timestamp) {
    // After a retransmission nothing is timed (Karn), but the echo tells which copy arrived (RFC 7323 §4.1). Without
    // this a connection that loses much would never come down from its backed-off time-out.
    const rtt = seqDiff(timestampNow(s), options.tsEcr);
    if (rtt >= 0 && rtt <= RTO_MAX_MS) rttSample(t, rtt);
  }
  t.sndUna = ack;
  if (seqLt(t.sndNxt, ack)) t.sndNxt = ack;
  t.retries = 0;
  if (t.recovering) {
    if (!congestionOnRecoveryAck(t, ack, acked)) retransmitFirst(s, t);
  } else {
    t.dupAcks = 0;
    congestionOnAck(t, acked);
  }
  if (ack === t.sndMax) disarm(s, t);
  else armRetransmit(s, t);
  s.mark(t);
  if (t.ended && seqGt(ack, t.finSeq)) finAcknowledged(s, t);
}

function finAcknowledged(s: TcpStack, t: Tcb): void {
  if (t.state === TCP_STATE.FIN_WAIT_1) s.setState(t, TCP_STATE.FIN_WAIT_2);
  else if (t.state === TCP_STATE.CLOSING) enterTimeWait(s, t);
  else if (t.state === TCP_STATE.LAST_ACK) {
    discardAcknowledged(t);
    s.finish(t);
  }
}

/** RFC 5681 §3.2: the third repeated ACK means a loss; more of them mean that segments keep leaving the cable. */
function duplicateAck(s: TcpStack, t: Tcb): void {
  t.dupAcks++;
  if (t.recovering) {
    t.cwnd += t.mss;
    s.mark(t);
  } else if (t.dupAcks === 3 && seqGt(t.sndUna, t.recover)) {
    s.counters.fastRetransmits++;
    congestionOnFastRetransmit(t);
    retransmitFirst(s, t);
    armRetransmit(s, t);
  }
}

/** Whether a SYN may take the place of a connection in TIME-WAIT (RFC 9293 §3.6.1, RFC 6191). */
export function timeWaitMayBeReused(t: Tcb, b: Uint8Array, off: number): boolean {
  if (t.state !== TCP_STATE.TIME_WAIT) return false;
  if (seqGt(tcpSeq(b, off), t.rcvNxt)) return true;
  tcpParseOptions(b, off, options);
  return t.timestamps && options.timestamp && seqGt(options.tsVal, t.tsRecent);
}
