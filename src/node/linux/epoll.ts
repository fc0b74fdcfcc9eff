/**
 * The event loop's core: one epoll instance, one handler a registered descriptor.
 *
 * Theory of operation. The kernel keeps 64 bits with each registration. We put two numbers there: an index into the
 * table of handlers, and the generation of that entry. Removing a registration raises the generation, so an event for
 * a descriptor that was closed earlier in the same batch matches nothing, even if its number and its entry were taken
 * up again at once. `epoll_wait` fills a fixed array of {@link BATCH} events; what doesn't fit comes in the next turn.
 *
 * Edge-triggered registrations are re-armed by {@link Epoll.modify}: the kernel then looks at the descriptor afresh,
 * reports it in the next turn if it is ready, and otherwise asks to be told (SOCK_NOSPACE), which
 * test/node/linux/kernel.test.ts proves.
 *
 * Bound: as many entries as the process may have descriptors.
 */

import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLL_EVENT, O_CLOEXEC } from './constants.ts';
import { EINTR, must } from './errno.ts';
import { epollCreate1, epollCtl, epollWait, errno } from './libc.ts';
import { AT, address, mapRegion, scratchAddress, scratchWords } from './memory.ts';

/** Most events handled in one turn. */
export const BATCH = 256;

/** Who is told of a descriptor's readiness; `events` are EPOLL… bits. */
export interface EpollHandler {
  onEvents(events: number): void;
}

const CTL_EVENT = scratchAddress(AT.EPOLL_EVENT, EPOLL_EVENT.words * 4);
const CTL_WORD = AT.EPOLL_EVENT / 4;
const WORDS = EPOLL_EVENT.words;
const DATA = EPOLL_EVENT.data;

/** Stands in free entries of the table, so that all of its elements are of one kind. */
const NOBODY: EpollHandler = { onEvents() {} };

/** One epoll instance and its handlers. */
export class Epoll {
  readonly fd: number;
  private readonly handlers: EpollHandler[] = [];
  private readonly generations: number[] = [];
  private readonly freeEntries: number[] = [];
  private readonly events: number;
  private readonly words: Int32Array;

  constructor() {
    this.fd = must(epollCreate1(O_CLOEXEC), 'epoll_create1');
    const region = mapRegion(BATCH * WORDS * 4);
    this.events = address(region, 0, BATCH * WORDS * 4);
    this.words = new Int32Array(region.bytes.buffer);
  }

  /** Registers a descriptor; returns its entry (≥ 0) for `modify` and `remove`, or −1 with errno set. */
  add(fd: number, events: number, handler: EpollHandler): number {
    const entry = this.freeEntries.pop() ?? this.handlers.length;
    if (entry === this.handlers.length) {
      this.handlers.push(NOBODY);
      this.generations.push(0);
    }
    if (this.control(EPOLL_CTL_ADD, fd, events, entry) < 0) {
      this.freeEntries.push(entry);
      return -1;
    }
    this.handlers[entry] = handler;
    return entry;
  }

  /** Changes what is reported, and re-arms an edge-triggered registration. */
  modify(entry: number, fd: number, events: number): void {
    must(this.control(EPOLL_CTL_MOD, fd, events, entry), 'epoll_ctl MOD');
  }

  /**
   * Takes a registration back; its handler hears nothing more, not even of events that were fetched already. For a
   * descriptor without duplicates that is closed right after, `closing` saves the system call: close removes it.
   */
  remove(entry: number, fd: number, closing = false): void {
    if (!closing) this.control(EPOLL_CTL_DEL, fd, 0, entry);
    this.handlers[entry] = NOBODY;
    this.generations[entry] = ((this.generations[entry] as number) + 1) | 0;
    this.freeEntries.push(entry);
  }

  /** How many descriptors are registered. */
  get size(): number {
    return this.handlers.length - this.freeEntries.length;
  }

  /**
   * Sleeps until a descriptor is ready, a signal comes, or `timeoutMs` has passed (−1: for ever). Returns how many
   * events there are for {@link dispatch}, which is a call of its own so that the clock can be read in between.
   */
  wait(timeoutMs: number): number {
    const count = epollWait(this.fd, this.events, BATCH, timeoutMs);
    if (count >= 0) return count;
    must(errno() === EINTR ? 0 : -1, 'epoll_wait');
    return 0;
  }

  /** Calls the handlers of the first `count` events. */
  dispatch(count: number): void {
    const words = this.words;
    for (let i = 0, word = 0; i < count; i += 1, word += WORDS) {
      const entry = words[word + DATA] as number;
      if (this.generations[entry] === words[word + DATA + 1]) {
        (this.handlers[entry] as EpollHandler).onEvents(words[word] as number);
      }
    }
  }

  private control(op: number, fd: number, events: number, entry: number): number {
    scratchWords[CTL_WORD] = events;
    scratchWords[CTL_WORD + DATA] = entry;
    scratchWords[CTL_WORD + DATA + 1] = this.generations[entry] as number;
    return epollCtl(this.fd, op, fd, CTL_EVENT);
  }
}
