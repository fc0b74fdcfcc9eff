/**
 * The core's {@link World} in memory: sockets whose far ends are scripted by the test, a clock that only the test moves,
 * and a pool of heap slots.
 *
 * Events come as from an epoll loop: what a peer does marks the socket, and `world.deliver()` (the test's "next turn")
 * tells the listeners. As with edge-triggered epoll, the listener is told the *whole* readiness at that moment, so
 * WRITABLE often rides along with READABLE and bytes that were only peeked at make READABLE again. Nothing is told to a
 * listener after `close` or `reset`, and any other call on such a socket throws: that would be a use after close.
 *
 * The far end of each kind:
 *   TCP   `world.tcp[i].peer`  (accept, fail, send, end, reset, read …); `world.onConnect` scripts every new one
 *   UDP   `world.udp[i]`       `.sent`, `.arrive(address, port, bytes)`; `world.onDatagram` answers by itself
 *   echo  `world.echo[i]`      `.sent`, `.arrive(address, sequence, bytes)`; `world.onEcho` answers by itself
 */

import {
  type EchoSocket,
  type HostSocket,
  IO,
  READY,
  type Region,
  type Slot,
  type SlotPool,
  type SocketListener,
  type TcpSocket,
  type UdpSocket,
  type World,
} from '../../src/core/base/ports.ts';

/** A clock that stands still until it is told. */
export class ManualClock {
  now: number;
  constructor(now = 1_000) {
    this.now = now;
  }
  advance(ms: number): void {
    this.now += ms;
  }
}

/** Slots from the heap, at most `limit` taken at a time. Fresh slots are filled with 0xa5: nobody may rely on zeroes. */
export class HeapPool implements SlotPool {
  limit: number;
  readonly #taken = new Set<Slot>();
  constructor(limit = 1024) {
    this.limit = limit;
  }
  /** How many slots are out: a test ends with 0, or something leaked. */
  get taken(): number {
    return this.#taken.size;
  }
  take(size: number): Slot | null {
    if (size > 66_048) throw new Error(`slot of ${size} bytes asked for`);
    if (this.#taken.size >= this.limit) return null;
    const slot: Slot = { region: region(size <= 2048 ? 2048 : 66_048), offset: 0, size: size <= 2048 ? 2048 : 66_048 };
    slot.region.bytes.fill(0xa5);
    this.#taken.add(slot);
    return slot;
  }
  give(slot: Slot): void {
    if (!this.#taken.delete(slot)) throw new Error('slot given back that was not taken');
  }
}

/** Heap memory as a region without an address. */
export function region(size: number | Uint8Array): Region {
  return { bytes: typeof size === 'number' ? new Uint8Array(size) : size, base: 0 };
}

/** A first-in first-out of bytes. */
class ByteQueue {
  #bytes = new Uint8Array(1024);
  #start = 0;
  #end = 0;
  get length(): number {
    return this.#end - this.#start;
  }
  push(bytes: Uint8Array): void {
    if (this.#end + bytes.length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(1024, 2 * (this.length + bytes.length)));
      grown.set(this.#bytes.subarray(this.#start, this.#end));
      this.#end -= this.#start;
      this.#start = 0;
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }
  /** A view of `length` bytes after `skip`, valid until the next push. */
  view(skip: number, length: number): Uint8Array {
    const from = this.#start + skip;
    return this.#bytes.subarray(from, Math.min(this.#end, from + length));
  }
  drop(length: number): void {
    if (length < 0 || length > this.length) throw new Error(`${length} of ${this.length} bytes dropped`);
    this.#start += length;
  }
}

/** What the sockets have in common: a descriptor number, readiness on demand, and an end. */
abstract class MemorySocket implements HostSocket {
  readonly fd: number;
  readonly #port: number;
  protected readonly world: MemoryWorld;
  readonly #listener: SocketListener;
  /** 'open', or how it ended. */
  ended: 'open' | 'closed' | 'reset' = 'open';

  constructor(world: MemoryWorld, listener: SocketListener) {
    this.world = world;
    this.#listener = listener;
    this.fd = world.nextFd();
    this.#port = 30_000 + this.fd;
  }
  localAddress4(): number {
    return this.ended === 'open' ? this.world.hostAddress : 0;
  }
  localPort(): number {
    return this.ended === 'open' ? this.#port : 0;
  }
  close(): void {
    if (this.ended === 'open') this.end('closed');
  }
  /** All that is ready now: bits of READY. */
  abstract readiness(): number;
  /** Called by the world at `deliver`. */
  tell(): void {
    const readiness = this.ended === 'open' ? this.readiness() : 0;
    if (readiness !== 0) this.#listener.onReady(readiness);
  }
  protected end(how: 'closed' | 'reset'): void {
    this.ended = how;
    this.world.release(this);
  }
  protected mustBeOpen(call: string): void {
    if (this.ended !== 'open') throw new Error(`${call} on a socket that is ${this.ended}`);
  }
}

/** The far end of a TCP connection, for tests to act with. */
export class TcpPeer {
  readonly address: number;
  readonly port: number;
  readonly socket: MemoryTcpSocket;
  /** Bytes that the host's send buffer takes before the peer reads them. */
  sendBuffer = 65_536;
  /** While true the peer reads at once, so the send buffer is always empty. */
  autoRead = true;
  /** Most bytes that one peek returns. */
  peekLimit = Number.POSITIVE_INFINITY;
  /** Everything that the peer has read. */
  readonly received: ByteQueue = new ByteQueue();
  /** Takes what the peer reads instead of `received`; the bytes are only valid in the call. */
  onBytes: ((bytes: Uint8Array) => void) | null = null;
  /** Called once, after the last byte was read. */
  onFin: (() => void) | null = null;
  gotFin = false;
  /** `reset()`, or `close()` with unread bytes in the receive queue, as Linux does it. */
  gotReset = false;

  constructor(socket: MemoryTcpSocket, address: number, port: number) {
    this.socket = socket;
    this.address = address;
    this.port = port;
  }
  /** Bytes in the host's send buffer that the peer has not read. */
  get unread(): number {
    return this.socket.outgoing.length;
  }
  /** What was received so far, as text. */
  text(): string {
    return Buffer.from(this.bytes()).toString('latin1');
  }
  /** What was received so far, copied. */
  bytes(): Uint8Array {
    return this.received.view(0, this.received.length).slice();
  }
  accept(): void {
    this.socket.settle(0);
  }
  /** The connection can't be made: REFUSED, HOST_UNREACHABLE, NET_UNREACHABLE, TIMED_OUT … */
  fail(code: number): void {
    this.socket.settle(code);
  }
  send(bytes: Uint8Array | string): void {
    this.socket.incoming.push(typeof bytes === 'string' ? latin1(bytes) : bytes);
    this.socket.wake();
  }
  /** Sends FIN. */
  end(): void {
    this.socket.eof = true;
    this.socket.wake();
  }
  /** Sends RST. What was sent before can still be read, as on Linux. */
  reset(): void {
    this.socket.breakWith(IO.RESET);
  }
  /** Reads at most `length` bytes; returns how many. Frees the host's send buffer. */
  read(length = Number.POSITIVE_INFINITY): number {
    const bytes = this.socket.outgoing.view(0, Math.min(length, this.unread));
    if (this.onBytes !== null) this.onBytes(bytes);
    else this.received.push(bytes);
    this.socket.outgoing.drop(bytes.length);
    if (bytes.length > 0) this.socket.drained();
    if (this.gotFin && this.unread === 0) {
      const onFin = this.onFin;
      this.onFin = null;
      onFin?.();
    }
    return bytes.length;
  }
}

/** A TCP socket of the host; its far end is `peer`. */
export class MemoryTcpSocket extends MemorySocket implements TcpSocket {
  readonly peer: TcpPeer;
  readonly incoming = new ByteQueue();
  readonly outgoing = new ByteQueue();
  eof = false;
  #connect: number = IO.WOULD_BLOCK;
  /** Reported once by the next call, then the connection is merely at its end: Linux's `sk_err`. */
  #error = 0;
  #dead = false;
  #finSent = false;
  #wantsSpace = false;

  constructor(world: MemoryWorld, listener: SocketListener, address: number, port: number) {
    super(world, listener);
    this.peer = new TcpPeer(this, address, port);
  }

  result(): number {
    this.mustBeOpen('result');
    return this.#connect === 0 ? this.#takeError() : this.#connect;
  }
  write(region: Region, offset: number, length: number): number {
    this.mustBeOpen('write');
    if (this.#finSent) return IO.BROKEN;
    if (this.#dead) return this.#takeError() || IO.BROKEN;
    if (this.#connect !== 0) return 0;
    checkRange(region, offset, length);
    const taken = Math.min(length, this.sendSpace());
    if (taken < length) this.#wantsSpace = true;
    this.outgoing.push(region.bytes.subarray(offset, offset + taken));
    if (this.peer.autoRead) this.peer.read();
    return taken;
  }
  peek(region: Region, offset: number, length: number, skip: number): number {
    this.mustBeOpen('peek');
    checkRange(region, offset, length);
    if (skip < this.incoming.length) {
      const bytes = this.incoming.view(skip, Math.min(length, this.peer.peekLimit));
      region.bytes.set(bytes, offset);
      return bytes.length;
    }
    if (this.#error !== 0) return this.#takeError();
    return this.eof || this.#dead ? 0 : IO.WOULD_BLOCK;
  }
  consume(length: number): void {
    this.mustBeOpen('consume');
    this.incoming.drop(length);
  }
  sendSpace(): number {
    this.mustBeOpen('sendSpace');
    return this.#connect === 0 && !this.#dead ? Math.max(0, this.peer.sendBuffer - this.outgoing.length) : 0;
  }
  notifyWritable(): void {
    this.mustBeOpen('notifyWritable');
    this.#wantsSpace = true;
    this.drained();
  }
  shutdown(): void {
    this.mustBeOpen('shutdown');
    if (this.#finSent) return;
    this.#finSent = true;
    this.peer.gotFin = true;
    if (this.peer.autoRead) this.peer.read();
    if (this.eof) this.wake();
  }
  reset(): void {
    if (this.ended !== 'open') return;
    this.peer.gotReset = true;
    this.end('reset');
  }
  override close(): void {
    if (this.ended !== 'open') return;
    if (this.incoming.length > 0) this.peer.gotReset = true;
    else if (!this.#finSent && this.#connect === 0) this.peer.gotFin = true;
    this.end('closed');
    if (this.peer.autoRead) this.peer.read();
  }

  readiness(): number {
    if (this.#connect === IO.WOULD_BLOCK) return 0;
    const over = this.#dead || this.eof;
    let bits = this.incoming.length > 0 || over ? READY.READABLE : 0;
    if (this.#dead || this.sendSpace() > 0) bits |= READY.WRITABLE;
    if (this.#dead || (this.eof && this.#finSent)) bits |= READY.ERROR;
    if (over) bits |= READY.END;
    return bits;
  }

  /** Far end's doing: see {@link TcpPeer}. */
  settle(code: number): void {
    if (this.#connect !== IO.WOULD_BLOCK) throw new Error('the connection was settled already');
    this.#connect = code;
    this.#dead = code !== 0;
    this.wake();
  }
  breakWith(code: number): void {
    this.#error = code;
    this.#dead = true;
    this.outgoing.drop(this.outgoing.length);
    this.wake();
  }
  wake(): void {
    this.world.wake(this);
  }
  /** Tells of space once a third of the buffer is free, if anybody waits for it. */
  drained(): void {
    if (this.ended !== 'open' || !this.#wantsSpace) return;
    if (!this.#dead && this.sendSpace() * 3 < this.peer.sendBuffer) return;
    this.#wantsSpace = false;
    this.wake();
  }

  #takeError(): number {
    const error = this.#error;
    this.#error = 0;
    return error;
  }
}

/** A datagram seen by a test: for echo, `port` is the sequence number. */
export interface Datagram {
  address: number;
  port: number;
  bytes: Uint8Array;
}

/** UDP and echo have the same bones: a queue in, a record out, an error that waits. */
abstract class MemoryDatagramSocket extends MemorySocket {
  /** Everything sent. */
  readonly sent: Datagram[] = [];
  fromAddress4 = 0;
  /** Most datagrams that wait; more are lost, as in the kernel. */
  queueLimit = 256;
  lost = 0;
  /** While not 0, every send returns this IO code and sends nothing. */
  sendError = 0;
  readonly #queue: Datagram[] = [];
  #error = 0;

  /** A datagram arrives from outside. */
  arrive(address: number, port: number, bytes: Uint8Array | string): void {
    if (this.ended !== 'open' || this.#queue.length >= this.queueLimit) {
      this.lost++;
      return;
    }
    this.#queue.push({ address, port, bytes: typeof bytes === 'string' ? latin1(bytes) : bytes.slice() });
    this.world.wake(this);
  }
  /** An error is pending, for example what an ICMP message told. The next call reports it, once. */
  fail(code: number): void {
    this.#error = code;
    this.world.wake(this);
  }
  readiness(): number {
    return (this.#queue.length > 0 ? READY.READABLE : 0) | READY.WRITABLE | (this.#error !== 0 ? READY.ERROR : 0);
  }
  receive(region: Region, offset: number, capacity: number): number {
    this.mustBeOpen('receive');
    checkRange(region, offset, capacity);
    if (this.#error !== 0) return this.#takeError();
    const datagram = this.#queue.shift();
    if (datagram === undefined) return IO.WOULD_BLOCK;
    this.fromAddress4 = datagram.address;
    this.setFromPort(datagram.port);
    const length = Math.min(capacity, datagram.bytes.length);
    region.bytes.set(datagram.bytes.subarray(0, length), offset);
    return length;
  }
  protected abstract setFromPort(port: number): void;
  protected send(region: Region, offset: number, length: number, address: number, port: number): number {
    this.mustBeOpen('send');
    checkRange(region, offset, length);
    if (this.#error !== 0) return this.#takeError();
    if (this.sendError !== 0) return this.sendError;
    this.sent.push({ address, port, bytes: region.bytes.slice(offset, offset + length) });
    return length;
  }

  #takeError(): number {
    const error = this.#error;
    this.#error = 0;
    return error;
  }
}

export class MemoryUdpSocket extends MemoryDatagramSocket implements UdpSocket {
  fromPort = 0;
  sendTo4(region: Region, offset: number, length: number, address: number, port: number): number {
    const result = this.send(region, offset, length, address, port);
    if (result >= 0) this.world.onDatagram?.(this, this.sent.at(-1)!);
    return result;
  }
  protected setFromPort(port: number): void {
    this.fromPort = port;
  }
}

export class MemoryEchoSocket extends MemoryDatagramSocket implements EchoSocket {
  sequence = 0;
  sendEcho4(region: Region, offset: number, length: number, address: number, sequence: number): number {
    if (offset < 8) throw new Error('no room for the ICMP header before the payload');
    const result = this.send(region, offset, length, address, sequence);
    region.bytes.fill(0xee, offset - 8, offset);
    if (result >= 0) this.world.onEcho?.(this, this.sent.at(-1)!);
    return result;
  }
  protected setFromPort(port: number): void {
    this.sequence = port;
  }
}

/** The world, and the test's handle on everything outside. */
export class MemoryWorld implements World {
  readonly clock: ManualClock;
  /** Every socket ever opened, by kind, in order. */
  readonly tcp: MemoryTcpSocket[] = [];
  readonly udp: MemoryUdpSocket[] = [];
  readonly echo: MemoryEchoSocket[] = [];
  /** What `localAddress4` says. */
  hostAddress = 0xc000_0202;
  /** While not 0, every `open…` and `connect…` returns this IO code. */
  openError = 0;
  /** Most sockets open at a time; beyond it NO_RESOURCES. */
  maxSockets = Number.POSITIVE_INFINITY;
  /** Scripts the far end of each new connection, e.g. `(peer) => peer.accept()`; without it connections stay pending. */
  onConnect: ((peer: TcpPeer) => void) | null = null;
  /** Sees each datagram sent; may answer with `socket.arrive(…)`. */
  onDatagram: ((socket: MemoryUdpSocket, datagram: Datagram) => void) | null = null;
  onEcho: ((socket: MemoryEchoSocket, request: Datagram) => void) | null = null;
  readonly #open = new Set<MemorySocket>();
  #woken = new Set<MemorySocket>();
  #fd = 100;
  #random: number;

  constructor(clock = new ManualClock(), seed = 1) {
    this.clock = clock;
    this.#random = seed | 0 || 1;
  }

  /** How many sockets are open: a test ends with 0, or something leaked. */
  get openSockets(): number {
    return this.#open.size;
  }

  connectTcp4(address: number, port: number, listener: SocketListener): TcpSocket | number {
    const error = this.#refusal();
    if (error !== 0) return error;
    const socket = new MemoryTcpSocket(this, listener, address, port);
    this.#open.add(socket);
    this.tcp.push(socket);
    this.onConnect?.(socket.peer);
    return socket;
  }
  openUdp4(listener: SocketListener): UdpSocket | number {
    const error = this.#refusal();
    if (error !== 0) return error;
    const socket = new MemoryUdpSocket(this, listener);
    this.#open.add(socket);
    this.udp.push(socket);
    return socket;
  }
  openEcho4(listener: SocketListener): EchoSocket | number {
    const error = this.#refusal();
    if (error !== 0) return error;
    const socket = new MemoryEchoSocket(this, listener);
    this.#open.add(socket);
    this.echo.push(socket);
    return socket;
  }
  random32(): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    return x >>> 0;
  }
  wallClock(): number {
    return 1_700_000_000_000 + this.clock.now;
  }

  /** One turn: tells the listeners of all that happened since. Returns how many sockets were told. */
  deliver(): number {
    const woken = this.#woken;
    this.#woken = new Set();
    for (const socket of woken) socket.tell();
    return woken.size;
  }
  /** Turns until nothing happens any more; throws when that takes more than `limit` turns. */
  settle(limit = 1000): void {
    for (let turns = 0; this.deliver() > 0; turns++)
      if (turns >= limit) throw new Error('the world does not come to rest');
  }

  /** For the sockets: marks one for the next turn. */
  wake(socket: MemorySocket): void {
    if (socket.ended === 'open') this.#woken.add(socket);
  }
  release(socket: MemorySocket): void {
    this.#open.delete(socket);
    this.#woken.delete(socket);
  }
  nextFd(): number {
    return this.#fd++;
  }

  #refusal(): number {
    if (this.openError !== 0) return this.openError;
    return this.#open.size >= this.maxSockets ? IO.NO_RESOURCES : 0;
  }
}

function checkRange(region: Region, offset: number, length: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= region.bytes.length)) {
    throw new Error(`${length} bytes at ${offset} lie outside a region of ${region.bytes.length}`);
  }
}

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}
