/**
 * All that the core asks of the world, as interfaces. `node/linux` implements them over system calls, the tests over
 * memory; one contract suite holds both to the same behaviour.
 *
 * Every call returns at once. Calls that move bytes name them as `(region, offset, length)`: the implementation may
 * hand `region.base + offset` to the kernel, so no buffer is pinned or copied. Numbers below zero are {@link IO}
 * codes. Readiness arrives through the listener given at creation, and is edge-triggered: a listener must go on until
 * it is told WOULD_BLOCK, or remember that it stopped early.
 */

/** Memory whose address the world knows: `bytes[i]` lies at address `base + i`. Owned by whoever allocated it. */
export interface Region {
  readonly bytes: Uint8Array;
  /** Address of `bytes[0]` in this process; 0 where no kernel is involved (tests). */
  readonly base: number;
}

/** A piece of a region, owned by whoever took it until it is given back. */
export interface Slot {
  readonly region: Region;
  readonly offset: number;
  readonly size: number;
}

/** Bounded memory for frames that outlive a call: queues, reassembly. `node/linux/arena.ts` in the daemon, a heap in tests. */
export interface SlotPool {
  /** A slot of at least `size` bytes (≤ 66,048), contents undefined; null when the pool is exhausted: drop and count. */
  take(size: number): Slot | null;
  give(slot: Slot): void;
}

/** The time of the current turn in milliseconds, monotonic, set by the event loop once a turn. The core only reads it. */
export interface Clock {
  readonly now: number;
}

/** Results of socket calls below zero. `WOULD_BLOCK` is no failure; all others end the operation. */
export const IO = {
  WOULD_BLOCK: -1,
  /** The peer reset the connection (ECONNRESET). */
  RESET: -2,
  /** ECONNREFUSED: RST to a SYN, or ICMP port unreachable. */
  REFUSED: -3,
  HOST_UNREACHABLE: -4,
  NET_UNREACHABLE: -5,
  TIMED_OUT: -6,
  /** EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL: the host has no more to give. */
  NO_RESOURCES: -7,
  /** EACCES, EPERM: a firewall or a missing privilege. */
  DENIED: -8,
  /** EMSGSIZE. */
  TOO_LONG: -9,
  /** EPIPE: our direction is shut already. */
  BROKEN: -10,
  OTHER: -11,
} as const;

/** Bits handed to {@link SocketListener.onReady}. */
export const READY = {
  READABLE: 1,
  WRITABLE: 2,
  /** An error is pending, or both directions are closed: the next call tells. */
  ERROR: 4,
  /**
   * No further edge announces what is behind the bytes that a peek shows: the peer has sent its FIN, or an urgent mark
   * cuts peeks short. From now on only WOULD_BLOCK, the end or an error tells that nothing is left.
   */
  END: 8,
} as const;

/** Who is told that a socket became ready. */
export interface SocketListener {
  onReady(readiness: number): void;
}

/** What every host socket shows of itself, so that a flow can be found in `lsof -p <netd>`. */
export interface HostSocket {
  readonly fd: number;
  /** Local address of the host's side, IPv4 as an unsigned 32-bit number; 0 while unknown. Asks the kernel. */
  localAddress4(): number;
  localPort(): number;
  /** Closes in the ordinary way and tells the listener nothing more. Idempotent. */
  close(): void;
}

/** A non-blocking TCP connection of the host. */
export interface TcpSocket extends HostSocket {
  /**
   * What became of the connection (SO_ERROR): `WOULD_BLOCK` while it is being made, 0 when it stands, else why it failed
   * or what broke it later. An error is told once, here or by the next call that moves bytes.
   */
  result(): number;
  /** Hands bytes to the kernel; returns how many it took (≥ 0; 0 = full), or an error. */
  write(region: Region, offset: number, length: number): number;
  /**
   * Copies bytes from the kernel's receive queue without consuming them, beginning `skip` bytes after the first
   * unconsumed one. Returns how many (> 0), 0 at the end of the stream, `WOULD_BLOCK`, or an error. Fewer than `length`
   * means that no more was queued, and a later arrival is announced by an edge, unless READY.END was told.
   */
  peek(region: Region, offset: number, length: number, skip: number): number;
  /** Discards the first `length` bytes of the receive queue: the guest has acknowledged them. */
  consume(length: number): void;
  /** How many bytes `write` would take now: free space of the kernel's send buffer. */
  sendSpace(): number;
  /** Asks for one WRITABLE readiness as soon as a good part of the send buffer is free; at once if it is now. */
  notifyWritable(): void;
  /** Sends FIN after what was written (SHUT_WR). */
  shutdown(): void;
  /** Closes with RST (SO_LINGER 0). */
  reset(): void;
}

/** An unconnected UDP socket of the host. The four `from…` fields describe the datagram received last. */
export interface UdpSocket extends HostSocket {
  fromAddress4: number;
  fromPort: number;
  /** Sends one datagram; returns `length` or an error. Errors that an earlier datagram caused may be reported here. */
  sendTo4(region: Region, offset: number, length: number, address: number, port: number): number;
  /** Receives one datagram into the region; returns its length (0 is legal) or an error, WOULD_BLOCK when drained. */
  receive(region: Region, offset: number, capacity: number): number;
}

/** ICMP echo of the host for one conversation (a ping socket, or a share of a raw one). The identifier on the wire is the host's. */
export interface EchoSocket extends HostSocket {
  fromAddress4: number;
  /** Sequence number of the reply received last. */
  sequence: number;
  /**
   * Sends an echo request whose payload lies at `offset`; the 8 bytes before `offset` are overwritten by the header.
   * Returns `length` or an error.
   */
  sendEcho4(region: Region, offset: number, length: number, address: number, sequence: number): number;
  /** Receives one reply's payload; returns its length or an error, WOULD_BLOCK when drained. */
  receive(region: Region, offset: number, capacity: number): number;
}

/** The world of one network. Each `open…` returns the socket, or an {@link IO} code. */
export interface World {
  /** Starts a connection; the listener hears of its outcome by readiness. `address` is IPv4 as an unsigned 32-bit number. */
  connectTcp4(address: number, port: number, listener: SocketListener): TcpSocket | number;
  openUdp4(listener: SocketListener): UdpSocket | number;
  openEcho4(listener: SocketListener): EchoSocket | number;
  /** 32 unpredictable bits, unsigned. */
  random32(): number;
  /** Milliseconds since 1970, for lease expiry that is shown to people and kept on disk. Nothing is timed by it. */
  wallClock(): number;
}
