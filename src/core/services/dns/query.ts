/** One query of a guest on its way to the host's name servers: what the forwarder remembers of it. */

import type { Slot, SocketListener, UdpSocket } from '../../base/ports.ts';

/** A name server of the host. */
export interface Upstream {
  address: number;
  port: number;
}

/** Who asked: the guest's address, port and message id, and the three as a key. */
export interface Asker {
  readonly address: number;
  readonly port: number;
  readonly id: number;
  readonly key: string;
}

/** A query, the servers it may be put to, and which of them failed. Owns its slot and its socket until it is finished. */
export class Query implements SocketListener {
  readonly asker: Asker;
  /** The query as it goes to the servers, `length` bytes with our id. */
  readonly slot: Slot;
  readonly length: number;
  readonly id: number;
  /** The servers as they were when the query came (at most 31), and the index of the one to ask first. */
  readonly upstreams: readonly Upstream[];
  private readonly first: number;
  private readonly ready: (query: Query) => void;
  /** How many servers were asked; the last of them is `current`. */
  asked = 0;
  /** Bit n: the n-th server asked gives no answer, for sure. */
  private failures = 0;
  /** Null once the query is finished. */
  socket: UdpSocket | null = null;
  /** Milliseconds of the clock. */
  deadline = 0;

  constructor(
    asker: Asker,
    slot: Slot,
    length: number,
    id: number,
    upstreams: readonly Upstream[],
    first: number,
    ready: (query: Query) => void,
  ) {
    this.asker = asker;
    this.slot = slot;
    this.length = length;
    this.id = id;
    this.upstreams = upstreams;
    this.first = first;
    this.ready = ready;
  }

  onReady(): void {
    this.ready(this);
  }

  /** There are servers that were not asked yet. */
  get hasMore(): boolean {
    return this.asked < this.upstreams.length;
  }

  /** Nobody is left who could answer. */
  get isHopeless(): boolean {
    return !this.hasMore && this.failures === 2 ** this.asked - 1;
  }

  /** The server that was asked as the n-th, from 0. */
  nth(n: number): Upstream {
    return this.upstreams[this.indexOf(n)]!;
  }

  /** Its place in the list of servers. */
  indexOf(n: number): number {
    return (this.first + n) % this.upstreams.length;
  }

  /** Notes that the n-th server asked gives no answer. */
  failed(n: number): void {
    this.failures |= 1 << n;
  }

  /** Which of the servers asked, from 0, the socket's last datagram came from; −1 if from none. */
  whoAnswered(): number {
    const { fromAddress4, fromPort } = this.socket!;
    for (let n = 0; n < this.asked; n++) {
      const { address, port } = this.nth(n);
      if (address === fromAddress4 && port === fromPort) return n;
    }
    return -1;
  }
}
