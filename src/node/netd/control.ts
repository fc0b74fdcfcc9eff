/**
 * The listening end of the control channel (protocol.ts), over FFI on netd's own loop.
 *
 * Theory of operation. Each connection has a buffer of received bytes, a queue of descriptors, and bytes to send. A
 * complete line is parsed; `descriptorCount` says from its contents how many descriptors belong to it, they are taken
 * from the front of the queue, and the handler answers with a result, perhaps with descriptors, or throws a
 * {@link ControlError}. What the socket doesn't take waits for EPOLLOUT. Events go to every connection.
 *
 * Trust and bounds. Only our own user can connect (mode 0600), but a connection that sends what is no request (no
 * JSON, an unknown shape, a line beyond {@link LINE_MAX}, too few or too many descriptors) is closed, and it alone. At most
 * {@link CONNECTIONS_MAX} connections; the next one is closed at once. A connection that doesn't read is closed when
 * {@link UNSENT_MAX} bytes wait for it.
 */

import { IO } from '../../core/base/ports.ts';
import { Acceptor } from '../linux/acceptor.ts';
import { EPOLLIN, EPOLLOUT } from '../linux/constants.ts';
import type { Epoll, EpollHandler } from '../linux/epoll.ts';
import { close } from '../linux/libc.ts';
import { closeAll, receiveDescriptors, sendDescriptors } from '../linux/unix-fd.ts';
import { log } from './log.ts';
import type { NetdEvent, Op, Reply, Request } from './protocol.ts';

const LINE_MAX = 16 * 1024 * 1024;
const UNSENT_MAX = 64 * 1024 * 1024;
const CONNECTIONS_MAX = 64;
/** Most descriptors that wait for their request; a start has three, and pipelined requests are few. */
const DESCRIPTORS_MAX = 256;
const NEWLINE = 10;

/** A request that can't be served: told to whoever asked. `code` is for programs. */
export class ControlError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'ControlError';
    this.code = code;
  }
}

/** An answer; `descriptors` (at most 253, see linux/unix-fd.ts) stay the handler's. */
export interface Answer {
  result: unknown;
  descriptors?: readonly number[];
}

/** Who serves requests. */
export interface ControlHandler {
  /** How many descriptors a request brings, −1 when it is no request that we know. */
  descriptorCount(request: Request): number;
  /** Serves a request; `descriptors` are the handler's from here on. Throws {@link ControlError}. */
  handle(op: Op, params: Request['params'], descriptors: number[]): Answer;
}

/** The listener and its connections. */
export class ControlServer implements EpollHandler {
  private readonly acceptor: Acceptor;
  private readonly epoll: Epoll;
  private readonly handler: ControlHandler;
  private readonly connections = new Set<ControlConnection>();

  /** Takes over a listening descriptor. */
  constructor(fd: number, epoll: Epoll, handler: ControlHandler) {
    this.acceptor = new Acceptor(fd);
    this.epoll = epoll;
    this.handler = handler;
    if (epoll.add(fd, EPOLLIN, this) < 0) throw new Error('the control socket cannot be watched');
  }

  onEvents(): void {
    const fd = this.acceptor.accept();
    if (fd < 0) {
      if (fd !== IO.WOULD_BLOCK) log(`control: a connection could not be accepted (${fd})`);
      return;
    }
    if (this.connections.size >= CONNECTIONS_MAX) {
      log('control: too many connections, the new one is closed');
      close(fd);
      return;
    }
    this.connections.add(
      new ControlConnection(fd, this.epoll, this.handler, (closed) => this.connections.delete(closed)),
    );
  }

  /** Tells every connection. */
  broadcast(event: NetdEvent): void {
    const line = encode(event);
    for (const connection of [...this.connections]) connection.send(line, []);
  }
}

/** Bytes that wait, with the descriptors that ride on the first of them. */
interface Outgoing {
  bytes: Uint8Array;
  sent: number;
  descriptors: readonly number[];
}

/** One connection. */
class ControlConnection implements EpollHandler {
  private fd: number;
  private readonly epoll: Epoll;
  private readonly handler: ControlHandler;
  private readonly onClosed: (closed: ControlConnection) => void;
  private readonly entry: number;
  private received: Uint8Array[] = [];
  private receivedBytes = 0;
  private readonly descriptors: number[] = [];
  private outgoing: Outgoing[] = [];
  private unsentBytes = 0;
  private waitsForRoom = false;

  constructor(fd: number, epoll: Epoll, handler: ControlHandler, onClosed: (closed: ControlConnection) => void) {
    this.fd = fd;
    this.epoll = epoll;
    this.handler = handler;
    this.onClosed = onClosed;
    this.entry = epoll.add(fd, EPOLLIN, this);
    if (this.entry < 0) throw new Error('a control connection cannot be watched');
  }

  onEvents(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.flush();
    if (this.fd < 0 || (events & ~EPOLLOUT) === 0) return;
    const piece = receiveDescriptors(this.fd, this.descriptors);
    if (piece === IO.WOULD_BLOCK) return;
    if (typeof piece === 'number' || piece.length === 0) {
      this.close();
      return;
    }
    if (this.descriptors.length > DESCRIPTORS_MAX) {
      this.refuse('descriptors that belong to no request');
      return;
    }
    this.received.push(piece);
    this.receivedBytes += piece.length;
    if (piece.includes(NEWLINE)) this.takeLines();
    else if (this.receivedBytes > LINE_MAX) this.refuse('a line without an end');
  }

  /** Queues a line; descriptors are duplicated by the kernel when their bytes leave. */
  send(line: Uint8Array, descriptors: readonly number[]): void {
    if (this.fd < 0) return;
    if (this.unsentBytes + line.length > UNSENT_MAX) {
      this.refuse('it does not read');
      return;
    }
    this.outgoing.push({ bytes: line, sent: 0, descriptors });
    this.unsentBytes += line.length;
    if (!this.waitsForRoom) this.flush();
  }

  private takeLines(): void {
    let bytes: Uint8Array =
      this.received.length === 1 ? (this.received[0] as Uint8Array) : Buffer.concat(this.received);
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE)) {
      if (!this.serve(bytes.subarray(0, end))) return;
      bytes = bytes.subarray(end + 1);
    }
    this.received = bytes.length > 0 ? [bytes.slice()] : [];
    this.receivedBytes = bytes.length;
  }

  /** Serves one line; false when the connection is closed by it. */
  private serve(line: Uint8Array): boolean {
    const request = parseRequest(line);
    const count = request === null ? -1 : this.handler.descriptorCount(request);
    if (request === null || count < 0 || count > this.descriptors.length) {
      this.refuse('it sent what is no request');
      return false;
    }
    const brought = this.descriptors.splice(0, count);
    let reply: Reply;
    let descriptors: readonly number[] = [];
    try {
      const answer = this.handler.handle(request.op, request.params, brought);
      reply = { id: request.id, ok: true, result: answer.result };
      descriptors = answer.descriptors ?? [];
    } catch (error) {
      if (!(error instanceof ControlError)) throw error;
      reply = { id: request.id, ok: false, error: { code: error.code, message: error.message } };
    }
    this.send(encode(reply), descriptors);
    return this.fd >= 0;
  }

  private flush(): void {
    while (this.fd >= 0 && this.outgoing.length > 0) {
      const first = this.outgoing[0] as Outgoing;
      const taken = sendDescriptors(this.fd, first.bytes, first.sent, first.sent === 0 ? first.descriptors : []);
      if (taken === IO.WOULD_BLOCK) {
        this.waitFor(true);
        return;
      }
      if (taken < 0) {
        this.close();
        return;
      }
      first.sent += taken;
      this.unsentBytes -= taken;
      if (first.sent === first.bytes.length) this.outgoing.shift();
    }
    this.waitFor(false);
  }

  private waitFor(room: boolean): void {
    if (this.fd < 0 || room === this.waitsForRoom) return;
    this.waitsForRoom = room;
    this.epoll.modify(this.entry, this.fd, room ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }

  private refuse(why: string): void {
    log(`control: a connection is closed: ${why}`);
    this.close();
  }

  private close(): void {
    if (this.fd < 0) return;
    this.epoll.remove(this.entry, this.fd, true);
    close(this.fd);
    this.fd = -1;
    closeAll(this.descriptors.splice(0));
    this.received = [];
    this.outgoing = [];
    this.onClosed(this);
  }
}

function encode(message: Reply | NetdEvent): Uint8Array {
  return Buffer.from(`${JSON.stringify(message)}\n`);
}

/** A line as a request, as far as its outer shape goes; null when it is none. */
function parseRequest(line: Uint8Array): Request | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.length).toString('utf8'));
    if (typeof value !== 'object' || value === null) return null;
    const { id, op, params } = value as Partial<Record<keyof Request, unknown>>;
    if (!Number.isSafeInteger(id) || typeof op !== 'string' || typeof params !== 'object' || params === null)
      return null;
    return value as Request;
  } catch {
    return null;
  }
}
