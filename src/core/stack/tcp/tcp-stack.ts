/**
 * TCP towards the guests of one network.
 *
 * Theory of operation. The gateway answers in the place of every remote host, so there is one TCB for each conversation
 * of a guest. A segment that arrives is run through `receive.ts` at once: acknowledged bytes are noted, new ones are
 * handed to the application (the host's socket). What has to be *sent* is left as a duty on the TCB, which is put on
 * the dirty list; `endTurn`, called once after all input of a turn, does the duties in `send.ts`. So a burst of
 * segments costs one acknowledgement, an acknowledgement rides on data where there is any, and one `consume` covers all
 * that a turn's ACKs released. A connection that has more to send than its share of a turn stays on the list, behind
 * the others.
 *
 * Retransmission holds no copies: bytes stay in the application until they are acknowledged and are peeked again.
 * In-flight bytes are bounded by the guest's window, by `cwnd`, and by what the guest's port can queue (`room`): a
 * connection that finds no room waits in `roomWaiters` until its port drained.
 *
 * Left out, by intent: urgent data is passed in line, Nagle's algorithm doesn't run (the host's peer has segmented
 * already), Fast Open data on SYN is ignored and so retransmitted by the guest.
 */

import type { HalfSipHash } from '../../base/half-sip-hash.ts';
import type { Clock, SlotPool } from '../../base/ports.ts';
import type { TimerTable } from '../../base/timer-table.ts';
import type { PacketOutput } from '../packet-output.ts';
import { ABORT, type AbortReason } from './application.ts';
import { DelayedAcks } from './delayed-acks.ts';
import { passOn } from './pass-on.ts';
import { HeldMemory } from './reassembly.ts';
import { output, sendReset, widenWindow } from './send.ts';
import { TCP_STATE, type TcpState } from './state.ts';
import { type Tcb, TIMER } from './tcb.ts';

/** Counters of all connections, `tcp.…` in `vmnet status --json`. */
export type TcpCounters = Record<
  | 'opened'
  | 'established'
  | 'finished'
  | 'retransmitted'
  | 'fastRetransmits'
  | 'timeouts'
  | 'outOfOrder'
  | 'duplicate'
  | 'refusedBySocket'
  | 'reassemblyLimit'
  | 'challengeAcks'
  | 'windowProbes'
  | AbortReason,
  number
>;

export function newTcpCounters(): TcpCounters {
  return {
    opened: 0,
    established: 0,
    finished: 0,
    retransmitted: 0,
    fastRetransmits: 0,
    timeouts: 0,
    outOfOrder: 0,
    duplicate: 0,
    refusedBySocket: 0,
    reassemblyLimit: 0,
    challengeAcks: 0,
    windowProbes: 0,
    [ABORT.GUEST_RESET]: 0,
    [ABORT.HOST_RESET]: 0,
    [ABORT.GUEST_TIMEOUT]: 0,
    [ABORT.HANDSHAKE]: 0,
    [ABORT.EVICTED]: 0,
  };
}

/** What the stack asks of its network. */
export interface TcpEnvironment {
  readonly clock: Clock;
  readonly timers: TimerTable;
  readonly output: PacketOutput;
  /** Keyed hash for initial sequence numbers. */
  readonly hash: HalfSipHash;
  /** Memory for segments out of order. */
  readonly pool: SlotPool;
  /** Largest IP packet on the cable, bytes. */
  readonly mtu: number;
  /** Bytes that the port behind which this MAC lives takes now without a drop. */
  room(mac: number): number;
}

export class TcpStack {
  readonly clock: Clock;
  readonly timers: TimerTable;
  readonly out: PacketOutput;
  readonly mtu: number;
  readonly pool: SlotPool;
  readonly counters: TcpCounters = newTcpCounters();
  readonly room: (mac: number) => number;
  private readonly hash: HalfSipHash;
  private readonly delayedAcks: DelayedAcks;
  private dirty: Tcb[] = [];
  private working: Tcb[] = [];
  private waiters = new Set<Tcb>();

  constructor(environment: TcpEnvironment) {
    this.clock = environment.clock;
    this.timers = environment.timers;
    this.out = environment.output;
    this.mtu = environment.mtu;
    this.pool = new HeldMemory(environment.pool);
    this.hash = environment.hash;
    this.room = (mac) => environment.room(mac);
    this.delayedAcks = new DelayedAcks(this.timers, (t) => this.ackNow(t));
  }

  /** Whether duties are left over: the loop must not sleep. */
  get busy(): boolean {
    return this.dirty.length > 0;
  }

  /** The one place where a state changes. */
  setState(t: Tcb, state: TcpState): void {
    t.state = state;
  }

  /** Initial sequence number: a keyed hash of the connection plus a clock of 4 µs (RFC 6528 §3). */
  initialSequence(t: Tcb): number {
    const ports = (t.guestPort << 16) | t.remotePort;
    return (this.hash.words3(t.guestAddress, t.remoteAddress, ports) + Math.floor(this.clock.now * 250)) | 0;
  }

  /** Puts a connection on the list of those with duties. */
  mark(t: Tcb): void {
    if (t.queued) return;
    t.queued = true;
    this.dirty.push(t);
  }

  /** Has the guest's bytes acknowledged at the end of this turn. */
  ackNow(t: Tcb): void {
    t.ackNow = true;
    this.mark(t);
  }

  /** Has them acknowledged by the next segment to the guest, or within a few milliseconds. */
  ackSoon(t: Tcb): void {
    this.delayedAcks.add(t, this.clock.now);
  }

  /** Does all pending duties; called once a turn after all input. */
  endTurn(): void {
    const list = this.dirty;
    if (list.length === 0) return;
    this.dirty = this.working;
    for (let i = 0; i < list.length; i++) {
      const t = list[i] as Tcb;
      t.queued = false;
      if (t.state !== TCP_STATE.CLOSED) output(this, t);
    }
    list.length = 0;
    this.working = list;
  }

  /** The application has bytes for the guest, or its end (`ending`: no further edge will tell of it). */
  readable(t: Tcb, ending: boolean): void {
    t.readable = true;
    if (ending) t.ending = true;
    this.mark(t);
  }

  /** The application takes bytes again: offer the guest the new window. */
  spaceAvailable(t: Tcb): void {
    if (!t.spaceWanted) return;
    t.spaceWanted = false;
    if (t.held !== null && !passOn(this, t)) return;
    if (!widenWindow(t)) return;
    t.ackNow = true;
    this.mark(t);
  }

  /** A port's queue drained: everyone who waits for room may try again. */
  roomAvailable(): void {
    for (const t of this.waiters) this.mark(t);
    this.waiters.clear();
  }

  waitForRoom(t: Tcb): void {
    this.waiters.add(t);
  }

  /** Tells the guest by RST and breaks the connection. */
  reset(t: Tcb, reason: AbortReason): void {
    sendReset(this, t);
    this.abort(t, reason);
  }

  /** Breaks the connection without a word to the guest. */
  abort(t: Tcb, reason: AbortReason): void {
    if (t.state === TCP_STATE.CLOSED) return;
    this.counters[reason]++;
    this.close(t);
    t.app.aborted(reason);
  }

  /** Both sides ended in order, and all is acknowledged. */
  finish(t: Tcb): void {
    this.counters.finished++;
    this.close(t);
    t.app.finished();
  }

  private close(t: Tcb): void {
    this.setState(t, TCP_STATE.CLOSED);
    t.timerKind = TIMER.NONE;
    this.timers.remove(t);
    this.waiters.delete(t);
    t.held?.clear();
  }
}
