/**
 * The data plane's loop. One turn: sleep until a descriptor is ready or a timer is due, read the clock once, let ports,
 * sockets and the control channel handle what came, fire timers, let the network send what all that made due, and empty
 * the ports' queues. Nothing else ever runs in this process: Node's own loop stands still.
 *
 * There is no periodic tick. A network without a pending timer sleeps for ever, and costs no CPU.
 */

import type { Clock } from '../../core/base/ports.ts';
import type { Epoll } from '../linux/epoll.ts';
import type { FlushablePort } from './ports/port-host.ts';

/** The part of `Network` that the loop drives. */
export interface Turns {
  poll(): void;
  /** Until when the loop may sleep, in the clock's milliseconds; `Infinity` for ever. */
  pollAt(): number;
  endTurn(): void;
}

/** Longest timeout of epoll_wait; a later deadline is looked at again then. */
const TIMEOUT_MAX_MS = 0x7fff_ffff;

/** Whole milliseconds since this process began: small integers, which the engine keeps unboxed. */
export class TurnClock implements Clock {
  now: number = Math.floor(performance.now());

  /** Reads the time; once a turn. */
  update(): void {
    this.now = Math.floor(performance.now());
  }
}

/** Drives one network. */
export class Loop {
  readonly clock = new TurnClock();
  /** Null until the control channel has configured it. */
  network: Turns | null = null;
  private readonly epoll: Epoll;
  /** Ports to flush in this turn, and those that were named while that was under way. */
  private dirty: FlushablePort[] = [];
  private flushing: FlushablePort[] = [];

  constructor(epoll: Epoll) {
    this.epoll = epoll;
  }

  /** Has `port.flush()` called at the end of this turn. */
  flushLater(port: FlushablePort): void {
    this.dirty.push(port);
  }

  /** One turn, which sleeps no longer than `limitMs` (−1: as long as the network allows). A bug of ours passes through as its exception. */
  turn(limitMs = -1): void {
    const count = this.epoll.wait(this.timeout(limitMs));
    this.clock.update();
    this.epoll.dispatch(count);
    const network = this.network;
    if (network !== null) {
      network.poll();
      network.endTurn();
    }
    const ports = this.dirty;
    if (ports.length === 0) return;
    this.dirty = this.flushing;
    this.flushing = ports;
    for (let i = 0; i < ports.length; i += 1) (ports[i] as FlushablePort).flush();
    ports.length = 0;
  }

  private timeout(limitMs: number): number {
    if (this.dirty.length > 0) return 0;
    const deadline = this.network === null ? Number.POSITIVE_INFINITY : this.network.pollAt();
    if (deadline === Number.POSITIVE_INFINITY) return limitMs;
    const wait = Math.min(Math.max(0, Math.ceil(deadline - this.clock.now)), TIMEOUT_MAX_MS);
    return limitMs < 0 ? wait : Math.min(wait, limitMs);
  }
}
