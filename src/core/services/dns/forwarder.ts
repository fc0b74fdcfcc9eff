/**
 * The name server of a NAT network (`.2`): answers for the network's own names, forwards everything else.
 *
 * Theory of operation. A query that is not for the {@link LocalZone} goes to the host's name servers as it is, whatever
 * its type, class or EDNS options, and the answer comes back as it is; only the id is changed (RFC 5625: a proxy is
 * transparent). Each query gets a host socket of its own, so a source port that the kernel chose, and a random id
 * (RFC 5452 §9.2): an answer is taken only on that socket, from a server that was asked, with that id and question.
 *
 *   asked      the server that answered last first; the next after ATTEMPT_MS, or at once when it refuses, is
 *              unreachable, or answers with SERVFAIL or REFUSED. A late answer of an earlier one is still good
 *   answered   the guest's id is put back. An answer that doesn't fit in one packet of the guest's link is cut to its
 *              question with TC set, so that the guest asks again over TCP (which the gateway proxies)
 *   failed     SERVFAIL, LAST_MS after the last server was asked, or at once when all of them failed
 *
 * A guest that repeats its query while it is on its way makes us repeat ours: loss is repaired from end to end.
 *
 * Bounds: MAX_IN_FLIGHT queries, MAX_PER_GUEST of one guest, each a socket and a slot of MAX_QUERY bytes; beyond them the
 * new query is dropped and counted, and the guest's resolver tries again. MAX_UPSTREAMS servers, the first of the list.
 */

import { copyBytes } from '../../base/bytes.ts';
import { type Clock, IO, type Region, type Slot, type SlotPool, type World } from '../../base/ports.ts';
import { type Counters, count } from '../../base/stats.ts';
import {
  DNS_FLAG,
  DNS_RCODE,
  dnsEdnsSize,
  dnsEmitReply,
  dnsId,
  dnsIsResponse,
  dnsIsValid,
  dnsOpcode,
  dnsParseQuestion,
  dnsPutId,
  dnsQuestionCount,
  dnsQuestionEnd,
  dnsRcode,
  dnsSameQuestion,
} from '../../wire/dns.ts';
import { type LocalNames, LocalZone } from './local-zone.ts';
import { type Asker, Query, type Upstream } from './query.ts';

export interface DnsForwarderConfig extends LocalNames {
  /** In order of preference; perhaps empty, then everything but the own names fails. */
  resolvers: readonly Upstream[];
  /** Longest message that goes to a guest in one packet: the MTU without IP and UDP headers; 1472 unless told. */
  maxReply?: number;
}

export interface DnsForwarderDeps {
  world: World;
  clock: Clock;
  pool: SlotPool;
  /** 32 unpredictable bits. */
  random32(): number;
  /** Sends an answer to a guest; the bytes are borrowed for the call. */
  reply(region: Region, offset: number, length: number, guestAddress: number, guestPort: number): void;
}

/** Most queries on their way. */
export const MAX_IN_FLIGHT = 512;
/** Most of them of one guest. */
export const MAX_PER_GUEST = 256;
/** Longest query that is taken. */
export const MAX_QUERY = 2048;
/** Most name servers that are used. */
export const MAX_UPSTREAMS = 8;
/** How long a server is waited for before the next is asked too. */
export const ATTEMPT_MS = 2_000;
/** How long the last server is waited for: it may itself be waiting for others. */
export const LAST_MS = 5_000;
/** How long a server that had to stand in stays the first one asked. */
const PREFERENCE_MS = 60_000;

const ANSWER_CAPACITY = 65_535;
const DEFAULT_MAX_REPLY = 1472;

/** Counters of our own refusals by response code. */
const REFUSALS: Readonly<Record<number, string>> = {
  [DNS_RCODE.FORMERR]: 'formerr',
  [DNS_RCODE.SERVFAIL]: 'servfail',
  [DNS_RCODE.NOTIMP]: 'notimp',
};

/** The name server of one network. */
export class DnsForwarder {
  /** Queries and answers, and by reason what was dropped. */
  readonly counters: Counters = {
    queries: 0,
    local: 0,
    forwarded: 0,
    answered: 0,
    truncated: 0,
    failover: 0,
    servfail: 0,
  };
  private readonly deps: DnsForwarderDeps;
  private readonly zone: LocalZone;
  private readonly maxReply: number;
  private resolvers: readonly Upstream[];
  private preferred = 0;
  private preferredUntil = 0;
  /** Queries by deadline: those with another server to ask, and those that wait for the last. */
  private readonly waiting = new Set<Query>();
  private readonly waitingLast = new Set<Query>();
  private readonly byKey = new Map<string, Query>();
  private readonly perGuest = new Map<number, number>();
  private readonly onReady = (query: Query): void => this.receive(query);

  constructor(config: DnsForwarderConfig, deps: DnsForwarderDeps) {
    this.deps = deps;
    this.zone = new LocalZone(config);
    this.maxReply = config.maxReply ?? DEFAULT_MAX_REPLY;
    this.resolvers = config.resolvers.slice(0, MAX_UPSTREAMS);
  }

  /** How many queries are on their way. */
  get inFlight(): number {
    return this.byKey.size;
  }

  /** The host's name servers changed. Queries on their way go on with the old ones. */
  setResolvers(resolvers: readonly Upstream[]): void {
    this.resolvers = resolvers.slice(0, MAX_UPSTREAMS);
    this.preferred = 0;
  }

  /** Takes a guest's message (a UDP payload) at `[off, end)`; borrowed for the call. Never throws on any bytes. */
  input(b: Uint8Array, off: number, end: number, guestAddress: number, guestPort: number): void {
    this.note(this.take(b, off, end, guestAddress, guestPort));
  }

  /** When `poll` has something to do, in milliseconds of the clock; `Infinity` if nothing is on its way. */
  pollAt(): number {
    return Math.min(firstDeadline(this.waiting), firstDeadline(this.waitingLast));
  }

  /** Asks the next server, or gives up, where time is over. */
  poll(): void {
    const now = this.deps.clock.now;
    for (const query of this.waiting) {
      if (query.deadline > now) break;
      this.askNext(query);
    }
    for (const query of this.waitingLast) {
      if (query.deadline > now) break;
      count(this.counters, 'timeout');
      this.fail(query);
    }
  }

  /** Takes a query; returns why it was dropped, null when it wasn't. */
  private take(b: Uint8Array, off: number, end: number, address: number, port: number): string | null {
    if (!dnsIsValid(b, off, end)) return 'malformed';
    if (dnsIsResponse(b, off)) return 'response';
    // Nobody listens on port 0 (RFC 768: it says that no reply is expected).
    if (port === 0) return 'noReplyPort';
    if (end - off > MAX_QUERY) return 'tooLong';
    this.counters.queries!++;
    if (dnsOpcode(b, off) !== 0) return this.refuse(b, off, end, DNS_RCODE.NOTIMP, address, port);
    const question = dnsParseQuestion(b, off, end);
    const edns = question === null ? -1 : dnsEdnsSize(b, off, end);
    if (question === null || edns < 0) return this.refuse(b, off, end, DNS_RCODE.FORMERR, address, port);
    if (!this.zone.owns(question)) return this.forward(b, off, end, address, port);

    const slot = this.deps.pool.take(MAX_QUERY);
    if (slot === null) return 'noMemory';
    const out = slot.region.bytes;
    const behind = this.zone.answer(out, slot.offset, slot.offset + MAX_QUERY, b, off, question, edns > 0);
    if (behind > 0) {
      this.counters.local!++;
      this.deps.reply(slot.region, slot.offset, behind - slot.offset, address, port);
    }
    this.deps.pool.give(slot);
    return behind > 0 ? null : 'answerTooLong';
  }

  private forward(b: Uint8Array, off: number, end: number, address: number, port: number): string | null {
    const { clock, pool, world } = this.deps;
    const id = dnsId(b, off);
    const key = `${address}:${port}:${id}`;
    const before = this.byKey.get(key);
    if (before !== undefined) {
      const { region, offset } = before.slot;
      if (dnsSameQuestion(region.bytes, offset, offset + before.length, b, off, end)) {
        this.send(before);
        return 'repeated';
      }
      this.finish(before);
    }
    if (this.resolvers.length === 0) {
      count(this.counters, 'noResolver');
      return this.refuse(b, off, end, DNS_RCODE.SERVFAIL, address, port);
    }
    if (this.byKey.size >= MAX_IN_FLIGHT) return 'inFlightFull';
    const ofGuest = this.perGuest.get(address) ?? 0;
    if (ofGuest >= MAX_PER_GUEST) return 'guestInFlightFull';
    const length = end - off;
    const slot = pool.take(length);
    if (slot === null) return 'noMemory';

    if (clock.now >= this.preferredUntil) this.preferred = 0;
    const asker: Asker = { address, port, id, key };
    const upstreamId = this.deps.random32() & 0xffff;
    const query = new Query(asker, slot, length, upstreamId, this.resolvers, this.preferred, this.onReady);
    const socket = world.openUdp4(query);
    if (typeof socket === 'number') {
      pool.give(slot);
      count(this.counters, 'noSocket');
      return this.refuse(b, off, end, DNS_RCODE.SERVFAIL, address, port);
    }
    query.socket = socket;
    copyBytes(slot.region.bytes, slot.offset, b, off, length);
    dnsPutId(slot.region.bytes, slot.offset, upstreamId);
    this.byKey.set(key, query);
    this.perGuest.set(address, ofGuest + 1);
    this.counters.forwarded!++;
    this.askNext(query);
    return null;
  }

  /** Puts the query to the next server that takes it. */
  private askNext(query: Query): void {
    this.waiting.delete(query);
    this.waitingLast.delete(query);
    while (query.hasMore) {
      if (query.asked > 0) this.counters.failover!++;
      query.asked++;
      if (this.send(query)) break;
      query.failed(query.asked - 1);
    }
    if (query.isHopeless) {
      this.fail(query);
      return;
    }
    query.deadline = this.deps.clock.now + (query.hasMore ? ATTEMPT_MS : LAST_MS);
    (query.hasMore ? this.waiting : this.waitingLast).add(query);
  }

  /** Sends the query to the server that was asked last. */
  private send(query: Query): boolean {
    const { region, offset } = query.slot;
    const { address, port } = query.nth(query.asked - 1);
    // The first error may be an earlier datagram's.
    for (let attempt = 0; attempt < 2; attempt++) {
      if (query.socket!.sendTo4(region, offset, query.length, address, port) >= 0) return true;
    }
    count(this.counters, 'notSent');
    return false;
  }

  /** Reads what came for a query. */
  private receive(query: Query): void {
    const slot = this.deps.pool.take(ANSWER_CAPACITY);
    if (slot === null) {
      // The answer stays in the kernel: time runs out, or the guest asks again.
      this.note('noMemory');
      return;
    }
    while (query.socket !== null) {
      const length = query.socket.receive(slot.region, slot.offset, ANSWER_CAPACITY);
      if (length === IO.WOULD_BLOCK) break;
      // Which server an ICMP error speaks of isn't told; most likely the one asked last.
      if (length < 0) this.attemptFailed(query, query.asked - 1);
      else this.note(this.answer(query, slot, length));
    }
    this.deps.pool.give(slot);
  }

  /** A datagram for a query, `length` bytes at the slot's start; returns why it was dropped, null when it wasn't. */
  private answer(query: Query, slot: Slot, length: number): string | null {
    const b = slot.region.bytes;
    const off = slot.offset;
    const end = off + length;
    const n = query.whoAnswered();
    if (n < 0 || !dnsIsValid(b, off, end) || !dnsIsResponse(b, off) || dnsId(b, off) !== query.id) {
      return 'foreignAnswer';
    }
    const rcode = dnsRcode(b, off);
    const { region, offset } = query.slot;
    if (!dnsSameQuestion(b, off, end, region.bytes, offset, offset + query.length)) {
      // A server that could make nothing of the query may leave the question out.
      if (rcode === DNS_RCODE.NOERROR || dnsQuestionCount(b, off) !== 0) return 'foreignAnswer';
      this.attemptFailed(query, n);
      return null;
    }
    if (rcode === DNS_RCODE.SERVFAIL || rcode === DNS_RCODE.REFUSED) {
      query.failed(n);
      if (!query.isHopeless) {
        this.attemptFailed(query, n);
        return null;
      }
    } else if (query.upstreams === this.resolvers && query.indexOf(n) !== this.preferred) {
      this.preferred = query.indexOf(n);
      this.preferredUntil = this.deps.clock.now + PREFERENCE_MS;
    }
    dnsPutId(b, off, query.asker.id);
    this.counters.answered!++;
    const sent = length <= this.maxReply ? length : this.truncate(b, off, end);
    this.finish(query);
    this.deps.reply(slot.region, off, sent, query.asker.address, query.asker.port);
    return null;
  }

  /** Cuts an answer down to its question and sets TC; returns the new length. */
  private truncate(b: Uint8Array, off: number, end: number): number {
    this.counters.truncated!++;
    return dnsEmitReply(b, off, end, b, off, dnsQuestionEnd(b, off, end), DNS_FLAG.TC | dnsRcode(b, off)) - off;
  }

  /** The n-th server asked is known to give no answer. */
  private attemptFailed(query: Query, n: number): void {
    count(this.counters, 'upstreamFailed');
    query.failed(n);
    if (query.hasMore) this.askNext(query);
    else if (query.isHopeless) this.fail(query);
  }

  private fail(query: Query): void {
    const { slot, length, asker } = query;
    const b = slot.region.bytes;
    dnsPutId(b, slot.offset, asker.id);
    this.note(this.refuse(b, slot.offset, slot.offset + length, DNS_RCODE.SERVFAIL, asker.address, asker.port));
    this.finish(query);
  }

  private finish(query: Query): void {
    const { address, key } = query.asker;
    this.waiting.delete(query);
    this.waitingLast.delete(query);
    this.byKey.delete(key);
    const ofGuest = this.perGuest.get(address)! - 1;
    if (ofGuest === 0) this.perGuest.delete(address);
    else this.perGuest.set(address, ofGuest);
    query.socket!.close();
    query.socket = null;
    this.deps.pool.give(query.slot);
  }

  /** Answers a query with a response code and no records; returns why not, null when it did. */
  private refuse(b: Uint8Array, off: number, end: number, rcode: number, address: number, port: number): string | null {
    const slot = this.deps.pool.take(MAX_QUERY);
    if (slot === null) return 'noMemory';
    count(this.counters, REFUSALS[rcode]!);
    const at = slot.offset;
    const questionEnd = dnsQuestionEnd(b, off, end);
    const behind = dnsEmitReply(slot.region.bytes, at, at + MAX_QUERY, b, off, questionEnd, rcode);
    this.deps.reply(slot.region, at, behind - at, address, port);
    this.deps.pool.give(slot);
    return null;
  }

  private note(drop: string | null): void {
    if (drop !== null) count(this.counters, drop);
  }
}

function firstDeadline(queries: ReadonlySet<Query>): number {
  for (const query of queries) return query.deadline;
  return Number.POSITIVE_INFINITY;
}
