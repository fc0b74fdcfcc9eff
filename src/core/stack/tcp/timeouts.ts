/** What happens when a connection's timer comes up: retransmission (RFC 6298 §5), window probes, the end of TIME-WAIT. */

import { ABORT } from './application.ts';
import { congestionOnTimeout } from './congestion.ts';
import { HANDSHAKE_LIMIT_MS, MAX_RETRIES, PROBE_LIMIT_MS, RTO_MAX_MS } from './constants.ts';
import { sendProbe, sendSynAck } from './send.ts';
import { TCP_STATE } from './state.ts';
import { type Tcb, TIMER } from './tcb.ts';
import type { TcpStack } from './tcp-stack.ts';
import { armPersist, armRetransmit } from './timers.ts';

/** The timer came up. */
export function timerDue(s: TcpStack, t: Tcb): void {
  const kind = t.timerKind;
  t.timerKind = TIMER.NONE;
  if (kind === TIMER.TIME_WAIT) {
    s.finish(t);
  } else if (kind === TIMER.PERSIST) {
    probeDue(s, t);
  } else if (kind === TIMER.RETRANSMIT) {
    retransmitDue(s, t);
  }
}

/** Probes go on for as long as the guest answers them, however long its window stays closed (RFC 9293 §3.8.6.1). */
function probeDue(s: TcpStack, t: Tcb): void {
  if (s.clock.now - t.lastActive >= PROBE_LIMIT_MS) {
    s.reset(t, ABORT.GUEST_TIMEOUT);
    return;
  }
  t.retries++;
  s.counters.windowProbes++;
  sendProbe(s, t);
  armPersist(s, t);
}

function retransmitDue(s: TcpStack, t: Tcb): void {
  t.retries++;
  if (t.state === TCP_STATE.SYN_RECEIVED) {
    const limit = t.acceptedAt + HANDSHAKE_LIMIT_MS;
    if (s.clock.now >= limit) {
      s.reset(t, ABORT.HANDSHAKE);
      return;
    }
    t.rto = Math.min(RTO_MAX_MS, t.rto * 2);
    t.rttStart = -1;
    s.counters.retransmitted++;
    sendSynAck(s, t);
    armRetransmit(s, t);
    // The last wait ends at the handshake's limit, not after it.
    if (t.deadline > limit) s.timers.arm(t, limit);
    return;
  }
  if (t.sndWnd === 0) {
    // The guest took its window back. What was in flight is sent again when it opens; until then it is only probed.
    goBack(t);
    probeDue(s, t);
    return;
  }
  if (t.retries > MAX_RETRIES) {
    s.reset(t, ABORT.GUEST_TIMEOUT);
    return;
  }
  s.counters.timeouts++;
  t.rto = Math.min(RTO_MAX_MS, t.rto * 2);
  congestionOnTimeout(t);
  goBack(t);
  s.mark(t);
  armRetransmit(s, t);
}

/** Everything unacknowledged is sent again as windows allow, peeked anew from the application. */
function goBack(t: Tcb): void {
  t.sndNxt = t.sndUna;
  t.rttStart = -1;
  t.readable = true;
}
