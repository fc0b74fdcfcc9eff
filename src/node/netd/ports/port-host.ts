/** What a port needs of the process around it; main.ts provides it, tests put a fake in place. */

import type { Frame } from '../../../core/link/frame.ts';
import type { SwitchPort } from '../../../core/link/port.ts';
import type { Arena } from '../../linux/arena.ts';
import type { Epoll } from '../../linux/epoll.ts';

/** The part of `Network` that ports use. */
export interface PortNetwork {
  receive(port: SwitchPort, frame: Frame): void;
  portDrained(port: SwitchPort): void;
}

/** A port of this process: a cable end that can be closed. */
export interface CablePort extends SwitchPort {
  /** Stops listening, closes the descriptor, gives memory back. Idempotent. Doesn't detach from the network. */
  close(): void;
}

/** A port with a queue that is written once a turn. */
export interface FlushablePort {
  flush(): void;
}

/** The process around a port. */
export interface PortHost {
  readonly epoll: Epoll;
  readonly arena: Arena;
  readonly network: PortNetwork;
  /** Has `port.flush()` called at the end of this turn, or of the next if this one is being flushed already. */
  flushLater(port: FlushablePort): void;
  /** The cable's other end is gone, or broke the rules: the port is to be detached and closed. `reason` goes to the log and is counted. */
  portEnded(port: CablePort, reason: string): void;
}
