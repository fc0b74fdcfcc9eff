/**
 * The transmission control block: all that one connection towards a guest knows, in plain numbers.
 *
 * Sequence numbers are kept as signed 32-bit integers (small integers to the engine) and compared by `base/seq.ts`
 * only. Names are those of RFC 9293 §3.3.1. The functions in `receive.ts`, `send.ts`, `timers.ts` and `congestion.ts`
 * act on it; `state` changes in `TcpStack.setState` alone.
 */

import { Timer } from '../../base/timer-table.ts';
import type { TcpApplication } from './application.ts';
import type { ReassemblyQueue } from './reassembly.ts';
import { TCP_STATE, type TcpState } from './state.ts';

/** What the connection's single timer is armed for. */
export const TIMER = {
  NONE: 0,
  /** SYN-ACK or data unacknowledged. */
  RETRANSMIT: 1,
  /** The guest's window is closed and bytes wait. */
  PERSIST: 2,
  TIME_WAIT: 3,
} as const;

export abstract class Tcb extends Timer {
  readonly guestAddress: number;
  readonly guestPort: number;
  /** The address and port that the guest talks to: ours to impersonate. */
  readonly remoteAddress: number;
  readonly remotePort: number;
  /** Where the guest's last segment came from. */
  guestMac: number;
  /** Set by `TcpStack.setState` only. */
  state: TcpState = TCP_STATE.CLOSED;
  abstract readonly app: TcpApplication;

  // Send sequence space: us to the guest.
  iss = 0;
  sndUna = 0;
  /** Next to be sent; falls back to `sndUna` on a retransmission time-out. */
  sndNxt = 0;
  /** Highest that was ever sent. */
  sndMax = 0;
  sndWnd = 0;
  sndWl1 = 0;
  sndWl2 = 0;
  /** Shift that the guest's windows carry; 0 without the option. */
  sndScale = 0;
  /** Payload bytes a segment, options subtracted. */
  mss = 536;
  /** Sequence number of the first byte that the application hasn't discarded yet. */
  consumedSeq = 0;
  /** The application's stream ended; `finSeq` is the sequence number of our FIN. */
  ended = false;
  finSeq = 0;
  /** The application may have bytes that were not peeked yet. */
  readable = false;
  /** The application's stream ends after what is queued, so that no edge will announce its end. */
  ending = false;

  // Receive sequence space: the guest to us.
  irs = 0;
  rcvNxt = 0;
  /** Right edge of the window that the guest was told of; never moves left (RFC 7323 §2.4). */
  rcvAdv = 0;
  /** `rcvNxt` when the application's space was asked for last. */
  spaceSeenAt = 0;
  /** Shift that our windows carry. */
  rcvScale = 0;

  /** Bytes that came in order since the last pause or hole, up to a bound; and when the last ones came. */
  orderly = 0;
  lastTextAt = 0;
  /** Segments that can't be passed on yet; null until there is one. */
  held: ReassemblyQueue | null = null;

  // Options.
  timestamps = false;
  tsRecent = 0;
  /** `rcvNxt` when the last ACK left: which segment may update `tsRecent` (RFC 7323 §4.3). */
  lastAckSent = 0;

  // Retransmission (RFC 6298), milliseconds.
  timerKind: number = TIMER.NONE;
  srtt = 0;
  rttvar = 0;
  rto = 1000;
  retries = 0;
  /** The one segment whose round trip is being timed, −1 while none is. */
  rttStart = -1;
  rttSeq = 0;

  // Congestion (RFC 5681, 6582).
  cwnd = 0;
  ssthresh = 0;
  dupAcks = 0;
  /** In fast recovery until this is acknowledged. */
  recover = 0;
  recovering = false;

  // Pending duties, done at the end of the turn.
  queued = false;
  ackNow = false;
  /** Waits in `DelayedAcks`, until when. */
  ackDelayed = false;
  ackDueAt = 0;
  /** The application was asked to tell when it has space again. */
  spaceWanted = false;
  /** `rcvNxt` at which it was asked last. */
  spaceAskedAt = 0;

  // For people.
  readonly openedAt: number;
  /** When the host's connection stood, and the guest's SYN was answered. */
  acceptedAt = 0;
  lastActive: number;
  /** Payload bytes from the guest and to it. */
  rxBytes = 0;
  txBytes = 0;

  constructor(
    guestAddress: number,
    guestPort: number,
    remoteAddress: number,
    remotePort: number,
    mac: number,
    now: number,
  ) {
    super();
    this.guestAddress = guestAddress;
    this.guestPort = guestPort;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    this.guestMac = mac;
    this.openedAt = now;
    this.lastActive = now;
  }
}
