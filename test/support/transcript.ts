/**
 * Transcripts: TCP conversations between a guest, the gateway and the far end of the host's socket, as text in the manner
 * of packetdrill. A transcript lists *everything* that happens: a segment, a reset or a byte that it doesn't mention fails
 * it. Files lie in test/scripts/tcp; the first line is a comment that says what they show.
 *
 * ```
 * # holds the SYN until the host's connection stands
 * < S 0:0(0) win 65535 <mss 1460>       the guest sends; sequence numbers count from each side's SYN
 * host connect 203.0.113.5:80           what the host's side sees is an event, like a segment
 * +0.5 host accept                      half a second later, and nothing was sent meanwhile
 * > S. 0:0(0) ack 1 win 65535 <mss 1460>
 * < . 1:1(0) ack 1
 * host send 3000                        the far end sends; bytes are a pattern and are compared
 * > P. 1:3001(3000) ack 1 gso 1460      one superframe of segments of 1460 bytes
 * +1 > …                                a second later to the millisecond: a retransmission, say
 * ```
 *
 * Segments: FLAGS (`S F P R` and `.` for ACK) SEQ:END(LENGTH), `ack`, `win` (raw; not compared when absent, 65535 when
 * sent), `<options>`, `gso SIZE`. `=7` instead of a relative number is taken as it is. Options are written
 * `mss 1460,nop,wscale 7,sackOK,TS val 1 ecr 2`, all of them, in order; `*` matches any number.
 * ICMP: `> icmp refused-name`, see {@link ICMP_NAMES}; its quote has to match the guest's segment.
 *
 * Lines that act: `<`, `set …`, `host accept|refuse|host-unreachable|net-unreachable|timeout|deny`, `host send N`,
 * `host end|reset`, `host stop|resume` (reading), `host read N`, `host buffer N`, `port room N`, `port drained`.
 * Lines that expect, in order: `>`, `host connect A:P`, `host got N`, `host fin`, `host rst`; and of the moment:
 * `state NAME` (`none` without a flow), `count NAME N`, `sockets N`.
 *
 * A line that acts begins a new turn of the daemon's loop, unless it follows another one and names no time: so a burst
 * is written line below line.
 */

import { ipv4FromString, ipv4ToString } from '../../src/core/base/address.ts';
import { get16, get32, getInt32 } from '../../src/core/base/bytes.ts';
import { IO } from '../../src/core/base/ports.ts';
import { CSUM, GSO } from '../../src/core/link/frame.ts';
import { ETHERNET_HEADER } from '../../src/core/wire/ethernet.ts';
import { ICMPV4_HEADER } from '../../src/core/wire/icmpv4.ts';
import { IP_PROTOCOL, IPV4_HEADER } from '../../src/core/wire/ipv4.ts';
import {
  TCP,
  TCP_HEADER,
  TCP_OPTION,
  tcpAck,
  tcpEmitMss,
  tcpEmitTimestamps,
  tcpFlags,
  tcpHeaderLength,
  tcpSeq,
  tcpWindow,
} from '../../src/core/wire/tcp.ts';
import { GATEWAY, GUEST, pattern, patternDiffers, REMOTE, tcpFrame } from './frames.ts';
import { Lab, type SentFrame } from './lab.ts';
import type { TcpPeer } from './memory-world.ts';

/** ICMP errors by the names that transcripts use. */
const ICMP_NAMES: Record<string, string> = {
  '3/0': 'net-unreachable',
  '3/1': 'host-unreachable',
  '3/13': 'admin-prohibited',
  '11/0': 'time-exceeded',
};

const CONNECT_RESULTS: Record<string, number> = {
  refuse: IO.REFUSED,
  'host-unreachable': IO.HOST_UNREACHABLE,
  'net-unreachable': IO.NET_UNREACHABLE,
  timeout: IO.TIMED_OUT,
  deny: IO.DENIED,
};

const FLAG_LETTERS: [string, number][] = [
  ['S', TCP.SYN],
  ['F', TCP.FIN],
  ['R', TCP.RST],
  ['P', TCP.PSH],
  ['.', TCP.ACK],
];

/** The two sides' initial sequence numbers: transcripts are run with several, so that each wraps somewhere. */
export interface TranscriptOptions {
  guestIss: number;
  gatewayIss: number;
}

interface Segment {
  flags: number;
  seq: number;
  length: number;
  ack: number;
  /** −1 when not given. */
  window: number;
  options: string;
  gso: number;
}

const SEGMENT =
  /^([SFPR.]+) (=?-?\d+)(?::(=?-?\d+)\((\d+)\))?(?: ack (=?-?\d+))?(?: win (\d+))?(?: <([^>]*)>)?(?: gso (\d+))?$/;
const LINE = /^(?:\+(\d+(?:\.\d+)?) )?(<|>|\S+) ?(.*)$/;

/** Runs a transcript; throws an error that names the line where the world went another way. */
export function runTranscript(name: string, script: string, options: TranscriptOptions): void {
  new Transcript(name, options).run(script);
}

/** What a transcript shows: its first line. */
export function transcriptTitle(script: string): string {
  return script.split('\n', 1)[0]!.replace(/^#\s*/, '');
}

class Transcript {
  private readonly name: string;
  private readonly guestIss: number;
  private readonly gatewayIss: number;
  private lab: Lab | null = null;
  private mtu = 1500;
  private remote = REMOTE;
  private remotePort = 80;
  private guestPort = 40_000;
  private ttl = 64;
  private line = 0;
  /** Moment of the last line, ms since the first. */
  private now = 0;
  private began = 0;
  /** Something was done in a turn that has not run yet. */
  private open = false;
  private readonly hostEvents: { at: number; text: string }[] = [];
  private readonly seen = new Map<TcpPeer, { got: number; hostSent: number; fin: boolean; rst: boolean }>();
  private readonly history: string[] = [];

  constructor(name: string, options: TranscriptOptions) {
    this.name = name;
    this.guestIss = options.guestIss | 0;
    this.gatewayIss = options.gatewayIss | 0;
  }

  run(script: string): void {
    for (const raw of script.split('\n')) {
      this.line++;
      const text = raw.replace(/(^|\s)#.*$/, '').trim();
      if (text === '') continue;
      this.guarded(text, () => this.step(text));
      this.history.push(`${String(this.line).padStart(3)} ${text}`);
    }
    this.guarded('(end)', () => {
      this.flush();
      this.nothingMore('the transcript ends');
    });
  }

  /** Does a line; an error of it, or of the network, is told with the line and with what led to it. */
  private guarded(text: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      const lines = [
        `${this.name}:${this.line}: ${text}`,
        `  ${error instanceof Error ? error.message : String(error)}`,
      ];
      if (!(error instanceof TranscriptError)) lines.push(String(error instanceof Error ? error.stack : error));
      if (this.history.length > 0)
        lines.push('  what happened before:', ...this.history.slice(-12).map((l) => `    ${l}`));
      throw new TranscriptError(lines.join('\n'));
    }
  }

  private step(text: string): void {
    const match = LINE.exec(text);
    if (match === null) throw new TranscriptError('not a line of a transcript');
    const seconds = match[1];
    const verb = match[2]!;
    const rest = match[3]!;
    if (verb === 'set') {
      this.set(rest);
      return;
    }
    const later = seconds === undefined ? 0 : Math.round(Number(seconds) * 1000);
    if (verb === '>') this.expectFrame(rest, later);
    else if (verb === 'host' && /^(connect|got|fin|rst)\b/.test(rest)) this.expectHost(rest, later);
    else if (verb === 'state' || verb === 'count' || verb === 'sockets') this.expectState(verb, rest, later);
    else this.act(verb, rest, seconds !== undefined, later);
  }

  private set(rest: string): void {
    const [key, value] = rest.split(' ') as [string, string];
    if (key === 'mtu') {
      if (this.lab !== null) throw new TranscriptError('the MTU is set before anything happens');
      this.mtu = Number(value);
    } else if (key === 'to') {
      const [address, port] = value.split(':') as [string, string];
      this.remote = ipv4FromString(address);
      this.remotePort = Number(port);
    } else if (key === 'port') {
      this.guestPort = Number(value);
    } else if (key === 'ttl') {
      this.ttl = Number(value);
    } else {
      throw new TranscriptError(`there is no setting ${key}`);
    }
  }

  // Acts.

  private act(verb: string, rest: string, timed: boolean, later: number): void {
    const lab = this.bench();
    if (timed || !this.open) {
      this.flush();
      this.nothingMore('this line acts');
      this.passTime(later);
      this.nothingMore(`${later} ms pass`);
    }
    this.open = true;
    if (verb === '<') this.guestSends(parseSegment(rest));
    else if (verb === 'host') this.hostActs(rest);
    else if (verb === 'port' && rest.startsWith('room ')) lab.guest.roomBytes = Number(rest.slice(5));
    else if (verb === 'port' && rest === 'drained') lab.network.portDrained(lab.guest);
    else throw new TranscriptError('there is no such act');
  }

  private bench(): Lab {
    if (this.lab !== null) return this.lab;
    const lab = new Lab({ mtu: this.mtu });
    lab.network.nat!.tcp.stack.initialSequence = () => this.gatewayIss;
    lab.world.onConnect = (peer) => {
      this.seen.set(peer, { got: 0, hostSent: 0, fin: false, rst: false });
      peer.onBytes = (bytes) => this.hostReads(peer, bytes);
      this.hostEvents.push({ at: lab.clock.now, text: `connect ${ipv4ToString(peer.address)}:${peer.port}` });
    };
    this.began = lab.clock.now;
    this.lab = lab;
    return lab;
  }

  private guestSends(segment: Segment): void {
    const lab = this.bench();
    const headers = ETHERNET_HEADER + IPV4_HEADER + TCP_HEADER;
    const options = buildOptions(segment.options);
    const bytes = tcpFrame({
      dst: this.remote,
      dstPort: this.remotePort,
      srcPort: this.guestPort,
      ttl: this.ttl,
      seq: segment.seq + this.guestIss,
      ack: (segment.flags & TCP.ACK) === 0 ? 0 : segment.ack + this.gatewayIss,
      flags: segment.flags,
      window: segment.window < 0 ? 65_535 : segment.window,
      options,
      payload: pattern(segment.seq - 1, segment.length),
    });
    if (segment.gso === 0) {
      lab.guest.send(bytes);
    } else {
      lab.guest.send(bytes, {
        csum: CSUM.PARTIAL,
        csumStart: ETHERNET_HEADER + IPV4_HEADER,
        csumOffset: 16,
        gsoType: GSO.TCPV4,
        gsoSize: segment.gso,
        hdrLen: headers + options.length,
      });
    }
  }

  private hostActs(rest: string): void {
    const peer = this.bench().world.tcp.at(-1)?.peer;
    if (peer === undefined) throw new TranscriptError('the host has no connection');
    const [action, argument] = rest.split(' ') as [string, string | undefined];
    const number = Number(argument);
    const seen = this.seen.get(peer)!;
    if (action === 'accept') peer.accept();
    else if (CONNECT_RESULTS[action] !== undefined) peer.fail(CONNECT_RESULTS[action]);
    else if (action === 'send') {
      peer.send(pattern(seen.hostSent, number));
      seen.hostSent += number;
    } else if (action === 'end') peer.end();
    else if (action === 'reset') peer.reset();
    else if (action === 'stop') peer.autoRead = false;
    else if (action === 'read') peer.read(number);
    else if (action === 'buffer') peer.sendBuffer = number;
    else if (action === 'resume') {
      peer.autoRead = true;
      peer.read();
    } else throw new TranscriptError(`the host can't ${action}`);
  }

  private hostReads(peer: TcpPeer, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const seen = this.seen.get(peer)!;
    const wrong = patternDiffers(bytes, seen.got);
    if (wrong >= 0)
      throw new TranscriptError(`byte ${seen.got + wrong} of the guest's stream reached the host changed`);
    seen.got += bytes.length;
    const last = this.hostEvents.at(-1);
    const at = this.bench().clock.now;
    const before = last?.at === at ? /^got (\d+)$/.exec(last.text) : null;
    if (before !== null) last!.text = `got ${Number(before[1]) + bytes.length}`;
    else this.hostEvents.push({ at, text: `got ${bytes.length}` });
  }

  // Time.

  /** Runs the turn that is open, and those that follow from it at once. */
  private flush(): void {
    if (!this.open) return;
    this.open = false;
    this.bench().settle();
    this.lookAtHost();
  }

  private passTime(ms: number): void {
    const lab = this.bench();
    this.now += ms;
    const target = this.began + this.now;
    while (lab.clock.now < target) {
      const next = Math.min(target, Math.max(lab.clock.now, lab.network.pollAt()));
      lab.advance(next - lab.clock.now);
      this.lookAtHost();
    }
  }

  /** FIN and RST that the far ends of the host's sockets have got. */
  private lookAtHost(): void {
    const lab = this.bench();
    for (const [peer, seen] of this.seen) {
      const at = lab.clock.now;
      if (peer.gotFin && !seen.fin && peer.unread === 0) {
        seen.fin = true;
        this.hostEvents.push({ at, text: 'fin' });
      }
      if (peer.gotReset && !seen.rst) {
        seen.rst = true;
        this.hostEvents.push({ at, text: 'rst' });
      }
    }
  }

  // Expectations.

  private nothingMore(why: string): void {
    const lab = this.bench();
    const frame = lab.guest.frames[0];
    const event = this.hostEvents[0];
    if (frame !== undefined) {
      throw new TranscriptError(`${why}, but before that the gateway sent, unexpected:\n    ${this.render(frame)}`);
    }
    if (event !== undefined) {
      throw new TranscriptError(
        `${why}, but before that the host's side saw, unexpected:\n    ${this.stamp(event.at)} ${event.text}`,
      );
    }
  }

  private expectFrame(rest: string, later: number): void {
    const lab = this.bench();
    this.flush();
    if (lab.guest.frames.length === 0) this.passTime(later);
    else this.now += later;
    const frame = lab.guest.frames.shift();
    const event = this.hostEvents[0];
    if (frame === undefined) {
      const host = event === undefined ? '' : ` (the host's side saw: ${event.text})`;
      throw new TranscriptError(`the gateway sent nothing${host}`);
    }
    const actual = this.render(frame);
    if (frame.at !== this.began + this.now) {
      throw new TranscriptError(`expected at ${this.stamp(this.began + this.now)}, but it came as\n    ${actual}`);
    }
    const wrong = rest.startsWith('icmp ') ? this.compareIcmp(rest.slice(5), frame) : this.compare(rest, frame);
    if (wrong !== null) throw new TranscriptError(`${wrong}; the gateway sent\n    ${actual}`);
  }

  private expectHost(rest: string, later: number): void {
    this.flush();
    if (this.hostEvents.length === 0) this.passTime(later);
    else this.now += later;
    const event = this.hostEvents.shift();
    const at = this.stamp(this.began + this.now);
    if (event === undefined) {
      const frame = this.bench().guest.frames[0];
      const sent = frame === undefined ? '' : ` (the gateway sent ${this.render(frame)})`;
      throw new TranscriptError(`the host's side saw nothing${sent}`);
    }
    if (event.text !== rest || event.at !== this.began + this.now) {
      throw new TranscriptError(`expected at ${at}; the host's side saw\n    ${this.stamp(event.at)} ${event.text}`);
    }
  }

  private expectState(verb: string, rest: string, later: number): void {
    const lab = this.bench();
    this.flush();
    this.passTime(later);
    let actual: string;
    let expected = rest;
    if (verb === 'sockets') {
      actual = String(lab.world.openSockets);
    } else if (verb === 'count') {
      const [name, value] = rest.split(' ') as [string, string];
      expected = value;
      actual = String(lab.counter(name));
    } else {
      const flows = lab.network.flows(10);
      actual = flows.length === 0 ? 'none' : flows.map((flow) => flow.state).join(' ');
    }
    if (actual !== expected) throw new TranscriptError(`it is ${actual}`);
  }

  /** What is wrong with a frame, or null. */
  private compare(rest: string, frame: SentFrame): string | null {
    const want = parseSegment(rest);
    if (frame.protocol !== IP_PROTOCOL.TCP) return 'expected TCP';
    const b = frame.bytes;
    const off = frame.l4;
    const payload = off + tcpHeaderLength(b, off);
    if (frame.src !== this.remote || frame.dst !== GUEST) return 'wrong addresses';
    const { src, dst } = frame.ports;
    if (src !== this.remotePort || dst !== this.guestPort) return 'wrong ports';
    const flags = tcpFlags(b, off);
    if (flags !== want.flags) return `expected flags ${letters(want.flags)}`;
    const exact = /^\S+ =/.test(rest);
    const seq = exact ? tcpSeq(b, off) : (tcpSeq(b, off) - this.gatewayIss) | 0;
    if (seq !== want.seq) return `expected seq ${want.seq}`;
    if (frame.end - payload !== want.length) return `expected ${want.length} bytes`;
    if ((flags & TCP.ACK) !== 0 && ((tcpAck(b, off) - this.guestIss) | 0) !== want.ack)
      return `expected ack ${want.ack}`;
    if (want.window >= 0 && tcpWindow(b, off) !== want.window) return `expected win ${want.window}`;
    const gso = frame.gsoType === GSO.NONE ? 0 : frame.gsoSize;
    if (gso !== want.gso) return want.gso === 0 ? 'expected no superframe' : `expected gso ${want.gso}`;
    const options = renderOptions(b, off);
    if (!optionsMatch(want.options, options)) return `expected options <${want.options}>`;
    if ((flags & (TCP.SYN | TCP.RST)) === 0) {
      const wrong = patternDiffers(b.subarray(payload, frame.end), seq - 1);
      if (wrong >= 0) return `byte ${wrong} of the payload is not the host's byte ${seq - 1 + wrong}`;
    }
    return null;
  }

  private compareIcmp(name: string, frame: SentFrame): string | null {
    if (frame.protocol !== IP_PROTOCOL.ICMP) return 'expected ICMP';
    if (ICMP_NAMES[frame.icmp] !== name) return `expected ICMP ${name}`;
    if (frame.src !== GATEWAY || frame.dst !== GUEST) return 'wrong addresses';
    const b = frame.bytes;
    const quote = frame.l4 + ICMPV4_HEADER;
    const tcp = quote + IPV4_HEADER;
    if (frame.end < tcp + 8) return 'the quote is too short';
    if (b[quote] !== 0x45 || b[quote + 9] !== IP_PROTOCOL.TCP) return 'the quote is no TCP packet';
    if (get32(b, quote + 12) !== GUEST || get32(b, quote + 16) !== this.remote) return 'the quote has other addresses';
    if (get16(b, tcp) !== this.guestPort || get16(b, tcp + 2) !== this.remotePort) return 'the quote has other ports';
    if (getInt32(b, tcp + 4) !== this.guestIss) return "the quote has not the SYN's sequence number";
    return null;
  }

  private stamp(at: number): string {
    return `+${((at - this.began) / 1000).toFixed(3)}`;
  }

  /** A frame in the words of a transcript. */
  private render(frame: SentFrame): string {
    const stamp = this.stamp(frame.at);
    if (frame.protocol === IP_PROTOCOL.ICMP) return `${stamp} icmp ${ICMP_NAMES[frame.icmp] ?? frame.icmp}`;
    if (frame.protocol !== IP_PROTOCOL.TCP) return `${stamp} ${frame}`;
    const b = frame.bytes;
    const off = frame.l4;
    const flags = tcpFlags(b, off);
    const length = frame.end - off - tcpHeaderLength(b, off);
    const seq = (tcpSeq(b, off) - this.gatewayIss) | 0;
    const parts = [
      stamp,
      letters(flags),
      tcpSeq(b, off) === 0 && (flags & TCP.RST) !== 0 ? '=0' : `${seq}:${seq + length}(${length})`,
    ];
    if ((flags & TCP.ACK) !== 0) parts.push(`ack ${(tcpAck(b, off) - this.guestIss) | 0}`);
    parts.push(`win ${tcpWindow(b, off)}`);
    const options = renderOptions(b, off);
    if (options !== '') parts.push(`<${options}>`);
    if (frame.gsoType !== GSO.NONE) parts.push(`gso ${frame.gsoSize}`);
    return parts.join(' ');
  }
}

class TranscriptError extends Error {}

function letters(flags: number): string {
  return (
    FLAG_LETTERS.filter(([, bit]) => (flags & bit) !== 0)
      .map(([letter]) => letter)
      .join('') || 'none'
  );
}

function parseSegment(text: string): Segment {
  const match = SEGMENT.exec(text);
  if (match === null) throw new TranscriptError(`not a segment: ${text}`);
  const [, names, from, to, count, ack, window, options = '', gso] = match;
  const value = (part: string) => Number(part.replace('=', ''));
  const seq = value(from!);
  const length = count === undefined ? 0 : Number(count);
  if (to !== undefined && value(to) !== seq + length) throw new TranscriptError(`${from}:${to} is not (${length})`);
  let flags = 0;
  for (const [letter, bit] of FLAG_LETTERS) if (names!.includes(letter)) flags |= bit;
  if ((ack !== undefined) !== ((flags & TCP.ACK) !== 0)) throw new TranscriptError('"." and "ack" come together');
  return {
    flags,
    seq,
    length,
    ack: ack === undefined ? 0 : value(ack),
    window: window === undefined ? -1 : Number(window),
    options,
    gso: gso === undefined ? 0 : Number(gso),
  };
}

function buildOptions(text: string): Uint8Array {
  const b = new Uint8Array(60);
  let at = 0;
  for (const option of text.split(',').filter((part) => part !== '')) {
    const words = option.trim().split(' ');
    if (words[0] === 'mss') at += tcpEmitMss(b, at, Number(words[1]));
    else if (words[0] === 'TS') {
      tcpEmitTimestamps(b, at, Number(words[2]), Number(words[4]));
      b.copyWithin(at, at + 2, at + 12);
      at += 10;
    } else if (words[0] === 'wscale') at = put(b, at, [TCP_OPTION.WINDOW_SCALE, 3, Number(words[1])]);
    else if (words[0] === 'sackOK') at = put(b, at, [TCP_OPTION.SACK_PERMITTED, 2]);
    else if (words[0] === 'nop') at = put(b, at, [TCP_OPTION.NOP]);
    else throw new TranscriptError(`there is no option ${option}`);
  }
  while (at % 4 !== 0) b[at++] = TCP_OPTION.END;
  return b.slice(0, at);
}

function put(b: Uint8Array, at: number, bytes: number[]): number {
  b.set(bytes, at);
  return at + bytes.length;
}

function renderOptions(b: Uint8Array, off: number): string {
  const end = off + tcpHeaderLength(b, off);
  const parts: string[] = [];
  for (let at = off + TCP_HEADER; at < end; ) {
    const kind = b[at]!;
    if (kind === TCP_OPTION.END) break;
    if (kind === TCP_OPTION.NOP) {
      parts.push('nop');
      at++;
      continue;
    }
    if (kind === TCP_OPTION.MSS) parts.push(`mss ${get16(b, at + 2)}`);
    else if (kind === TCP_OPTION.WINDOW_SCALE) parts.push(`wscale ${b[at + 2]}`);
    else if (kind === TCP_OPTION.SACK_PERMITTED) parts.push('sackOK');
    else if (kind === TCP_OPTION.TIMESTAMP) parts.push(`TS val ${get32(b, at + 2)} ecr ${get32(b, at + 6)}`);
    else parts.push(`kind ${kind}`);
    if (b[at + 1]! < 2) return `${parts.join(',')} and a malformed option`;
    at += b[at + 1]!;
  }
  return parts.join(',');
}

function optionsMatch(want: string, actual: string): boolean {
  const escaped = want.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '\\d+');
  return new RegExp(`^${escaped}$`).test(actual);
}
