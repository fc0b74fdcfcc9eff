/** The control channel: requests, descriptors, events, and what is no request. */

import { mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Epoll } from '../../../src/node/linux/epoll.ts';
import { closeAll, receiveDescriptors, sendDescriptors } from '../../../src/node/linux/unix-fd.ts';
import { connectUnix, listenUnix } from '../../../src/node/linux/unix-stream.ts';
import { type Answer, ControlError, type ControlHandler, ControlServer } from '../../../src/node/netd/control.ts';
import { logTo } from '../../../src/node/netd/log.ts';
import type { Op, Request } from '../../../src/node/netd/protocol.ts';

/** Serves a few requests of its own making. */
class Handler implements ControlHandler {
  readonly served: { op: Op; params: unknown; descriptors: number }[] = [];
  descriptorCount(request: Request): number {
    if (request.op === 'attachTap') return 2;
    return request.op === 'journal' ? 1 : ['hello', 'status', 'descriptors', 'leases'].includes(request.op) ? 0 : -1;
  }
  handle(op: Op, params: Request['params'], descriptors: number[]): Answer {
    this.served.push({ op, params, descriptors: descriptors.length });
    closeAll(descriptors);
    if (op === 'leases') throw new ControlError('NOT_STARTED', 'not yet');
    if (op === 'descriptors') return { result: 'three', descriptors: [0, 1, 2] };
    if (op === 'status') return { result: 'x'.repeat(1 << 20) };
    return { result: op };
  }
}

describe('the control channel', () => {
  let dir: string;
  let path: string;
  let epoll: Epoll;
  let handler: Handler;
  let server: ControlServer;
  const clients: Client[] = [];

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'openvmnet-control-'));
    path = join(dir, 'net.ctl');
    logTo(() => {});
    epoll = new Epoll();
    handler = new Handler();
    server = new ControlServer(listenUnix(path), epoll, handler);
  });
  afterEach(() => {
    for (const client of clients.splice(0)) closeAll([client.fd, ...client.descriptors]);
    rmSync(dir, { recursive: true });
  });

  function turns(count = 5): void {
    for (let i = 0; i < count; i += 1) epoll.dispatch(epoll.wait(0));
  }

  class Client {
    readonly fd = connectUnix(path);
    readonly descriptors: number[] = [];
    closed = false;
    private text = '';
    constructor() {
      clients.push(this);
      turns();
    }
    send(text: string, descriptors: number[] = []): void {
      const bytes = Buffer.from(text);
      expect(sendDescriptors(this.fd, bytes, 0, descriptors)).toBe(bytes.length);
    }
    request(id: number, op: string, params: unknown = {}, descriptors: number[] = []): void {
      this.send(`${JSON.stringify({ id, op, params })}\n`, descriptors);
    }
    /** All lines that have come. */
    lines(): unknown[] {
      for (let i = 0; i < 100; i += 1) {
        turns(1);
        const piece = receiveDescriptors(this.fd, this.descriptors);
        if (typeof piece === 'number') continue;
        if (piece.length === 0) {
          this.closed = true;
          break;
        }
        this.text += Buffer.from(piece).toString();
      }
      const lines = this.text.split('\n');
      this.text = lines.pop()!;
      return lines.map((line) => JSON.parse(line));
    }
  }

  test('answers requests in order, on the connection they came from', () => {
    const [a, b] = [new Client(), new Client()];
    a.request(1, 'hello');
    b.request(7, 'hello');
    a.request(2, 'leases');
    expect(a.lines()).toEqual([
      { id: 1, ok: true, result: 'hello' },
      { id: 2, ok: false, error: { code: 'NOT_STARTED', message: 'not yet' } },
    ]);
    expect(b.lines()).toEqual([{ id: 7, ok: true, result: 'hello' }]);
  });

  test('puts a request together from pieces, and takes several from one piece', () => {
    const client = new Client();
    client.send('{"id":1,"op":"hel');
    turns();
    client.send('lo","params":{}}\n{"id":2,"op":"hello","params":{}}\n{"id":3,');
    turns();
    client.send('"op":"hello","params":{}}\n');
    expect(client.lines()).toMatchObject([{ id: 1 }, { id: 2 }, { id: 3 }]);
  });

  test('gives each request the descriptors that are its own, though all came in one read', () => {
    const client = new Client();
    const fd = openSync('/dev/null', 'r');
    client.request(1, 'hello');
    client.request(2, 'attachTap', {}, [fd, fd]);
    client.request(3, 'hello');
    client.request(4, 'journal', {}, [fd]);
    client.lines();
    expect(handler.served.map(({ op, descriptors }) => [op, descriptors])).toEqual([
      ['hello', 0],
      ['attachTap', 2],
      ['hello', 0],
      ['journal', 1],
    ]);
    closeAll([fd]);
  });

  test('answers with descriptors', () => {
    const client = new Client();
    client.request(1, 'descriptors');
    expect(client.lines()).toEqual([{ id: 1, ok: true, result: 'three' }]);
    expect(client.descriptors.length).toBe(3);
  });

  test('an answer larger than the socket buffer arrives whole, while others are served', () => {
    const [slow, other] = [new Client(), new Client()];
    slow.request(1, 'status');
    slow.request(2, 'hello');
    turns();
    other.request(3, 'hello');
    expect(other.lines()).toEqual([{ id: 3, ok: true, result: 'hello' }]);
    const lines = slow.lines() as { id: number; result: string }[];
    expect(lines.map(({ id, result }) => [id, result.length])).toEqual([
      [1, 1 << 20],
      [2, 5],
    ]);
  });

  test('tells every connection of an event', () => {
    const [a, b] = [new Client(), new Client()];
    server.broadcast({ event: 'removed', port: 4 });
    expect(a.lines()).toEqual([{ event: 'removed', port: 4 }]);
    expect(b.lines()).toEqual([{ event: 'removed', port: 4 }]);
  });

  test.each([
    ['no JSON', 'hello\n'],
    ['half a JSON', '{"id":1,"op":"hello"\n'],
    ['a number', '5\n'],
    ['null', 'null\n'],
    ['no parameters', '{"id":1,"op":"hello"}\n'],
    ['an id that is none', '{"id":"1","op":"hello","params":{}}\n'],
    ['an unknown operation', '{"id":1,"op":"launch","params":{}}\n'],
    ['a name of Object’s prototype', '{"id":1,"op":"__proto__","params":{}}\n'],
    ['descriptors that did not come', '{"id":1,"op":"attachTap","params":{}}\n'],
    ['an empty line', '\n'],
    ['bytes that are no text', '\xff\xfe\x00\n'],
    ['deep nesting', `${'['.repeat(100_000)}\n`],
  ])('%s: closes that connection, and no other', (_what, text) => {
    const [bad, good] = [new Client(), new Client()];
    for (let at = 0; at < text.length; at += 50_000) bad.send(text.slice(at, at + 50_000));
    expect(bad.lines()).toEqual([]);
    expect(bad.closed).toBe(true);
    good.request(1, 'hello');
    expect(good.lines()).toEqual([{ id: 1, ok: true, result: 'hello' }]);
  });

  test('surplus descriptors are closed with their connection', () => {
    const [ours, theirs] = [openSync('/dev/null', 'r'), openSync('/dev/null', 'r')];
    const lowest = () => {
      const fd = openSync('/dev/null', 'r');
      closeAll([fd]);
      return fd;
    };
    const client = new Client();
    const before = lowest();
    client.send('x', [ours, theirs]);
    turns();
    expect(lowest()).toBeGreaterThan(before);
    client.send('\n');
    turns();
    // The connection's own descriptor was below them.
    expect(lowest()).toBeLessThanOrEqual(before);
    closeAll([ours, theirs]);
  });

  test('descriptors without end and without a request end their connection, not this process', () => {
    const client = new Client();
    const descriptors = Array<number>(200).fill(openSync('/dev/null', 'r'));
    const before = readdirSync('/proc/self/fd').length;
    for (const text of ['{"id"', ' ']) {
      client.send(text, descriptors);
      turns();
    }
    client.lines();
    expect(client.closed).toBe(true);
    expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before);
    closeAll(descriptors.slice(0, 1));
  });

  test('more connections than there is room for are closed at once', () => {
    const many = Array.from({ length: 64 }, () => new Client());
    const surplus = new Client();
    surplus.lines();
    expect(surplus.closed).toBe(true);
    many[0]!.request(1, 'hello');
    expect(many[0]!.lines()).toHaveLength(1);
    closeAll([many.pop()!.fd]);
    turns();
    const next = new Client();
    next.request(2, 'hello');
    expect(next.lines()).toHaveLength(1);
  });

  test('a client that goes away leaves nothing behind', () => {
    const client = new Client();
    const size = epoll.size;
    client.request(1, 'status');
    closeAll([client.fd]);
    clients.pop();
    turns();
    expect(epoll.size).toBe(size - 1);
  });
});
