/**
 * vmnetd's side of the control channel (netd/protocol.ts): requests and events over one connection, and requests that
 * carry descriptors over a connection of their own.
 *
 * Theory of operation. Node's sockets cannot send or receive descriptors. So a request with descriptors begins by FFI on
 * a fresh connection (one sendmsg into an empty socket buffer: it never blocks); Node sends what is left and awaits the
 * answer on the same connection. Only the answer to `descriptors`, which carries them, is collected by FFI as well.
 *
 * Limits: an answer has at most {@link LINE_BYTES_MAX} bytes; a request that is not answered in time fails with
 * {@link NetdError}, and so do all pending ones when the connection ends.
 */

import { connect, Socket } from 'node:net';
import { closeAll } from '../linux/unix-fd.ts';
import type { NetdEvent, Op, Reply, Requests } from '../netd/protocol.ts';
import { exchangeDescriptors, type Sent, sendWithDescriptors } from './descriptor-channel.ts';
import { LineSplitter } from './line-splitter.ts';

const LINE_BYTES_MAX = 32 * 1024 * 1024;
const REQUEST_TIMEOUT_MS = 5000;
const EXCHANGE_TIMEOUT_MS = 2000;

/** netd refused, or cannot be talked to. `code` is netd's, or one of `CLOSED`, `TIMED_OUT`, `PROTOCOL`. */
export class NetdError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'NetdError';
    this.code = code;
  }
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

/** Who is told what a netd says unasked. */
export interface NetdListener {
  onEvent(event: NetdEvent): void;
  /** The connection ended: netd is gone, or about to be. Told once. */
  onClose(): void;
}

/** What `descriptors` answers: pairs [tap, pidfd] of the guests in order, then those that `fds` names. */
export type HeldByNetd = Requests['descriptors']['result'] & { descriptors: number[] };

const SILENT: NetdListener = { onEvent: () => {}, onClose: () => {} };

/** One control connection. */
export class NetdClient {
  readonly #socket: Socket;
  readonly #listener: NetdListener;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #closed = false;

  private constructor(socket: Socket, listener: NetdListener) {
    this.#socket = socket;
    this.#listener = listener;
    const splitter = new LineSplitter(LINE_BYTES_MAX, (line) => this.#receive(line));
    socket.on('data', (chunk: Buffer) => {
      if (!splitter.push(chunk)) this.#close(new NetdError('PROTOCOL', 'netd sent a line without an end'));
    });
    socket.on('error', () => {});
    socket.on('close', () => this.#close(new NetdError('CLOSED', 'netd closed the control connection')));
  }

  /** Connects to `<run>/<network>.ctl`; rejects with Node's error where nobody listens. */
  static connect(path: string, listener: NetdListener = SILENT): Promise<NetdClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new NetdClient(socket, listener));
      });
    });
  }

  /** Sends a request that carries descriptors on a connection of its own. They remain the caller's to close. */
  static async requestWithDescriptors<O extends Op>(
    path: string,
    op: O,
    params: Requests[O]['params'],
    fds: readonly number[],
  ): Promise<Requests[O]['result']> {
    const { fd, rest } = begin(path, `${JSON.stringify({ id: 1, op, params })}\n`, fds);
    const socket = new Socket({ fd, readable: true, writable: true });
    const client = new NetdClient(socket, SILENT);
    try {
      if (rest.length > 0) socket.write(rest);
      return await client.#await(op, 1, REQUEST_TIMEOUT_MS);
    } finally {
      client.close();
    }
  }

  /** Asks for all descriptors that netd holds; the caller owns what it gets. */
  static async fetchDescriptors(path: string): Promise<HeldByNetd> {
    const request = `${JSON.stringify({ id: 1, op: 'descriptors', params: {} })}\n`;
    const { line, descriptors } = await exchangeDescriptors(path, request, LINE_BYTES_MAX, EXCHANGE_TIMEOUT_MS);
    const reply = parse(line) as Reply | null;
    if (reply?.ok) return { ...(reply.result as Requests['descriptors']['result']), descriptors };
    closeAll(descriptors);
    if (reply === null) throw new NetdError('PROTOCOL', 'netd sent a line that is no JSON object');
    throw new NetdError(reply.error.code, reply.error.message);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sends a request without descriptors; rejects with {@link NetdError}. */
  request<O extends Op>(
    op: O,
    params: Requests[O]['params'],
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<Requests[O]['result']> {
    if (this.#closed) return Promise.reject(new NetdError('CLOSED', 'netd is gone'));
    const id = ++this.#lastId;
    const answer = this.#await(op, id, timeoutMs);
    this.#socket.write(`${JSON.stringify({ id, op, params })}\n`);
    return answer;
  }

  /** Ends the connection; netd goes on. The listener is told nothing more. */
  close(): void {
    this.#end(new NetdError('CLOSED', 'the control connection was closed'));
  }

  #await<O extends Op>(op: O, id: number, timeoutMs: number): Promise<Requests[O]['result']> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new NetdError('TIMED_OUT', `netd did not answer \`${op}\` within ${timeoutMs} ms`));
      }, timeoutMs);
      // The result is trusted to have the shape that the protocol gives it: netd is of our own version.
      this.#pending.set(id, { resolve: (result) => resolve(result as Requests[O]['result']), reject, timer });
    });
  }

  #receive(line: string): void {
    const message = parse(line);
    if (message === null) {
      this.#close(new NetdError('PROTOCOL', 'netd sent a line that is no JSON object'));
    } else if ('event' in message) {
      this.#listener.onEvent(message as NetdEvent);
    } else {
      this.#settle(message as Reply);
    }
  }

  #settle(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    if (pending === undefined) return;
    this.#pending.delete(reply.id);
    clearTimeout(pending.timer);
    if (reply.ok) pending.resolve(reply.result);
    else pending.reject(new NetdError(reply.error.code, reply.error.message));
  }

  #close(error: NetdError): void {
    if (this.#end(error)) this.#listener.onClose();
  }

  #end(error: NetdError): boolean {
    if (this.#closed) return false;
    this.#closed = true;
    this.#socket.destroy();
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#pending.clear();
    return true;
  }
}

/** The first bytes of a request with descriptors. A netd that can't be reached just now is one that is gone. */
function begin(path: string, text: string, fds: readonly number[]): Sent {
  try {
    return sendWithDescriptors(path, text, fds);
  } catch (error) {
    throw new NetdError('CLOSED', error instanceof Error ? error.message : String(error));
  }
}

function parse(line: string): object | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}
