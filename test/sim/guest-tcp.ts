/**
 * A guest's TCP for simulations: an independent, plain implementation, so that what the gateway says is judged by
 * somebody else than its own stack. It connects, sends a pattern, closes, and checks every byte that it gets.
 *
 * Go-back-N with a fixed retransmission time-out and fast retransmit on the third duplicate ACK; no congestion control;
 * segments out of order are kept or, as a poor guest would, thrown away. It announces a fixed window, opens none to
 * nothing, and honors the gateway's to the byte.
 */

import { Frame, HEADROOM, MAX_FRAME } from '../../src/core/link/frame.ts';
import { verifyL4 } from '../../src/core/link/offload.ts';
import {
  TCP,
  tcpAck,
  tcpEmitMss,
  tcpEmitTimestamps,
  tcpFlags,
  tcpHeaderLength,
  tcpOptionsCreate,
  tcpParseOptions,
  tcpSeq,
  tcpWindow,
} from '../../src/core/wire/tcp.ts';
import { pattern, patternDiffers, tcpFrame } from '../support/frames.ts';
import { region } from '../support/memory-world.ts';

/** With room for the timestamps option. */
const MSS = 1448;
const RTO = 300;
const L4 = 34;

export interface GuestTcpOptions {
  srcPort: number;
  sendBytes: number;
  keepsOutOfOrder: boolean;
  timestamps: boolean;
  /** Window that it announces, bytes; scaled by 7. */
  window: number;
  iss: number;
  /** Puts a frame on the cable. */
  transmit: (bytes: Uint8Array) => void;
  now: () => number;
}

export class GuestTcp {
  readonly options: GuestTcpOptions;
  state: 'syn-sent' | 'open' | 'reset' = 'syn-sent';
  /** Bytes received in order. */
  received = 0;
  finReceived = false;
  finAcknowledged = false;
  retransmissions = 0;
  /** What it saw wrong, in words; a test expects none. */
  readonly complaints: string[] = [];
  /** Stream positions: SYN is 0, the first byte 1. */
  private una = 0;
  private nxt = 0;
  private peerWindow = 0;
  private peerEdge = 0;
  private peerIss = 0;
  private duplicates = 0;
  private recent = 0;
  private readonly parsed = tcpOptionsCreate();
  private timer: number;
  private readonly early = new Map<number, { length: number; fin: boolean }>();
  private readonly check = new Frame(region(HEADROOM + MAX_FRAME));

  constructor(options: GuestTcpOptions) {
    this.options = options;
    this.timer = options.now() + RTO;
    this.syn();
  }

  get done(): boolean {
    return this.finReceived && this.finAcknowledged;
  }

  nextAt(): number {
    return this.timer;
  }

  /** The retransmission timer. */
  run(now: number): void {
    if (now < this.timer) return;
    this.timer = now + RTO;
    this.retransmissions++;
    if (this.state === 'syn-sent') {
      this.syn();
      return;
    }
    this.nxt = this.una;
    this.fill();
    // A closed window is probed with what Linux probes with.
    if (this.nxt === this.una) this.segment(this.una - 1, 0, TCP.ACK);
  }

  /** A whole Ethernet frame from the cable. */
  receive(bytes: Uint8Array): void {
    if (this.state === 'reset') return;
    this.check.region.bytes.set(bytes, HEADROOM);
    this.check.setPlain(this.check.region, HEADROOM, bytes.length);
    if (!verifyL4(this.check)) this.complaints.push('a wrong checksum');
    const flags = tcpFlags(bytes, L4);
    if ((flags & TCP.RST) !== 0) {
      this.state = 'reset';
      this.timer = Number.POSITIVE_INFINITY;
      return;
    }
    if (this.state === 'syn-sent') {
      if ((flags & TCP.SYN) === 0) return;
      this.peerIss = tcpSeq(bytes, L4);
      this.state = 'open';
      this.recent = 0;
      this.readTimestamp(bytes);
      this.una = 1;
      this.nxt = 1;
      this.peerWindow = tcpWindow(bytes, L4);
      this.peerEdge = 1 + this.peerWindow;
      this.acknowledge();
      this.fill();
      return;
    }
    if ((flags & TCP.SYN) !== 0) {
      this.acknowledge();
      return;
    }
    this.readTimestamp(bytes);
    const data = L4 + tcpHeaderLength(bytes, L4);
    const length = bytes.length - data;
    const fin = (flags & TCP.FIN) !== 0;
    this.acknowledged((tcpAck(bytes, L4) - this.options.iss) | 0, tcpWindow(bytes, L4) << 7, length === 0 && !fin);
    if (length > 0 || fin) {
      this.text(((tcpSeq(bytes, L4) - this.peerIss) | 0) - 1, bytes.subarray(data), fin);
      this.acknowledge();
    }
    this.fill();
  }

  private acknowledged(ack: number, window: number, pure: boolean): void {
    const end = 1 + this.options.sendBytes;
    if (ack > end + 1) this.complaints.push(`an ACK of ${ack}, beyond what was sent`);
    this.peerEdge = Math.max(this.peerEdge, ack + window);
    if (ack > this.una) {
      this.una = ack;
      this.nxt = Math.max(this.nxt, ack);
      this.duplicates = 0;
      this.timer = this.options.now() + RTO;
      this.finAcknowledged = ack === end + 1;
      if (this.finAcknowledged) this.timer = Number.POSITIVE_INFINITY;
    } else if (ack === this.una && pure && window === this.peerWindow && this.nxt > this.una) {
      this.duplicates++;
      if (this.duplicates === 3) {
        this.retransmissions++;
        this.emit(this.una);
      }
    }
    if (ack >= this.una) this.peerWindow = window;
  }

  /** Bytes `[at, at + length)` of the host's stream. */
  private text(at: number, payload: Uint8Array, fin: boolean): void {
    const wrong = patternDiffers(payload, at);
    if (wrong >= 0) this.complaints.push(`byte ${at + wrong} differs`);
    if (at > this.received) {
      if (this.options.keepsOutOfOrder) this.early.set(at, { length: payload.length, fin });
      return;
    }
    this.take(at, payload.length, fin);
    for (const [from, { length, fin: last }] of [...this.early].sort(([a], [b]) => a - b)) {
      if (from > this.received) break;
      this.early.delete(from);
      this.take(from, length, last);
    }
  }

  private take(at: number, length: number, fin: boolean): void {
    if (at + length < this.received) return;
    this.received = at + length;
    if (fin) this.finReceived = true;
  }

  /** Sends what the gateway's window allows. */
  private fill(): void {
    const end = 1 + this.options.sendBytes;
    const edge = Math.min(this.peerEdge, this.una + this.peerWindow);
    while (this.nxt <= end && (this.nxt < edge || (this.nxt === end && this.nxt === this.una))) {
      const step = this.emit(this.nxt, edge);
      if (step === 0) break;
      this.nxt += step;
    }
  }

  /** Emits one segment at a stream position; returns how far it reaches. */
  private emit(at: number, edge = at + MSS): number {
    const end = 1 + this.options.sendBytes;
    const length = Math.min(MSS, end - at, edge - at);
    const fin = at + length === end;
    this.segment(at, Math.max(0, length), fin ? TCP.ACK | TCP.FIN : TCP.ACK);
    return Math.max(0, length) + (fin ? 1 : 0);
  }

  private acknowledge(): void {
    this.segment(this.nxt, 0, TCP.ACK);
  }

  private syn(): void {
    const { srcPort, iss, transmit } = this.options;
    const options = new Uint8Array(this.options.timestamps ? 20 : 8);
    tcpEmitMss(options, 0, 1460);
    options.set([1, 3, 3, 7], 4);
    if (this.options.timestamps) tcpEmitTimestamps(options, 8, this.clock(), 0);
    transmit(tcpFrame({ srcPort, seq: iss, flags: TCP.SYN, window: 65_535, options }));
    this.nxt = 1;
  }

  private segment(at: number, length: number, flags: number): void {
    const { srcPort, iss, transmit, window } = this.options;
    const ack = this.peerIss + 1 + this.received + (this.finReceived ? 1 : 0);
    const payload = pattern(at - 1, length);
    const options = new Uint8Array(this.options.timestamps ? 12 : 0);
    if (this.options.timestamps) tcpEmitTimestamps(options, 0, this.clock(), this.recent);
    transmit(tcpFrame({ srcPort, seq: iss + at, ack, flags, window: window >> 7, options, payload }));
  }

  /** Its own timestamp clock, which wraps soon. */
  private clock(): number {
    return (this.options.now() + 0xffff_ff00) | 0;
  }

  /** Keeps what the next segment echoes (RFC 7323 §4.3), in order of arrival. */
  private readTimestamp(bytes: Uint8Array): void {
    tcpParseOptions(bytes, L4, this.parsed);
    if (this.parsed.timestamp !== this.options.timestamps)
      this.complaints.push('timestamps on or off against the agreement');
    const { tsVal, tsEcr } = this.parsed;
    if (!this.options.timestamps) return;
    if (((this.clock() - tsEcr) | 0) < 0) this.complaints.push(`an echo of ${tsEcr}, which was never sent`);
    const at = ((tcpSeq(bytes, L4) - this.peerIss) | 0) - 1;
    if (((tsVal - this.recent) | 0) >= 0 && at <= this.received) this.recent = tsVal;
  }
}
