import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LineSplitter } from '../../../src/node/vmnetd/line-splitter.ts';
import { NetdClient } from '../../../src/node/vmnetd/netd-client.ts';
import { until } from './instance.ts';

let base: string;
let path: string;
let server: Server;
let connections: Socket[];

/** A netd whose answer to each line is the test's. */
function listen(answer: (line: string, socket: Socket) => void): Promise<void> {
  server = createServer((socket) => {
    connections.push(socket);
    socket.on('error', () => {});
    const splitter = new LineSplitter(1 << 24, (line) => answer(line, socket));
    socket.on('data', (chunk: Buffer) => splitter.push(chunk));
  });
  return new Promise((resolve) => server.listen(path, () => resolve()));
}

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'netd-client-'));
  path = join(base, 'ctl');
  connections = [];
});

afterEach(async () => {
  for (const connection of connections) connection.destroy();
  await new Promise((resolve) => server.close(resolve));
  rmSync(base, { recursive: true });
});

const ok = (line: string, result: unknown) => `${JSON.stringify({ id: JSON.parse(line).id, ok: true, result })}\n`;

describe('a connection', () => {
  it('matches answers to requests, whatever events come between', async () => {
    const events: string[] = [];
    await listen((line, socket) => {
      socket.write(`{"event":"removed","port":7}\n${ok(line, JSON.parse(line).op)}`);
    });
    const client = await NetdClient.connect(path, { onEvent: (event) => events.push(event.event), onClose: () => {} });
    expect(await Promise.all([client.request('hello', {}), client.request('ports', {})])).toEqual(['hello', 'ports']);
    expect(events).toEqual(['removed', 'removed']);
    client.close();
  });

  it('fails all that is pending, and tells once, when netd ends', async () => {
    await listen((_line, socket) => socket.destroy());
    let closes = 0;
    const client = await NetdClient.connect(path, { onEvent: () => {}, onClose: () => closes++ });
    const outcomes = await Promise.allSettled([client.request('hello', {}), client.request('ports', {})]);
    expect(outcomes).toMatchObject([{ reason: { code: 'CLOSED' } }, { reason: { code: 'CLOSED' } }]);
    await expect(client.request('hello', {})).rejects.toMatchObject({ code: 'CLOSED' });
    expect(closes).toBe(1);
  });

  it('tells nothing when we close it ourselves', async () => {
    await listen(() => {});
    let closes = 0;
    const client = await NetdClient.connect(path, { onEvent: () => {}, onClose: () => closes++ });
    client.close();
    await until('netd sees it', () => connections[0]?.destroyed === true || connections[0]?.readableEnded === true);
    expect(closes).toBe(0);
  });

  it('gives up on an answer that does not come', async () => {
    await listen(() => {});
    const client = await NetdClient.connect(path);
    await expect(client.request('hello', {}, 20)).rejects.toMatchObject({ code: 'TIMED_OUT' });
    client.close();
  });

  it.each(['garbage\n', '5\n', '[\n', 'null\n'])('ends when netd sends %j', async (nonsense) => {
    await listen((_line, socket) => socket.write(nonsense));
    const client = await NetdClient.connect(path);
    await expect(client.request('hello', {}, 2000)).rejects.toMatchObject({ code: 'PROTOCOL' });
  });

  it('passes a refusal on with its code', async () => {
    await listen((line, socket) => {
      const error = { code: 'POOL_EMPTY', message: 'no address left' };
      socket.write(`${JSON.stringify({ id: JSON.parse(line).id, ok: false, error })}\n`);
    });
    const client = await NetdClient.connect(path);
    await expect(client.request('status', {})).rejects.toMatchObject({
      code: 'POOL_EMPTY',
      message: 'no address left',
    });
    client.close();
  });

  it('is refused where nobody listens', async () => {
    await listen(() => {});
    await expect(NetdClient.connect(join(base, 'nobody'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

it('sends a request of several MB with descriptors whole', async () => {
  let received = 0;
  await listen((line, socket) => {
    received = line.length;
    socket.write(ok(line, { pid: 5 }));
  });
  const record = { address: 1, mac: 1, clientId: null, name: 'x'.repeat(60), expiresAt: 1 };
  const leases = Array.from({ length: 30_000 }, () => record);
  const params = { config: { leases }, fds: [] } as unknown as Parameters<
    typeof NetdClient.requestWithDescriptors<'start'>
  >[2];
  expect(await NetdClient.requestWithDescriptors(path, 'start', params, [0])).toEqual({ pid: 5 });
  expect(received).toBeGreaterThan(3_000_000);
});

it('a netd that is not there to be handed descriptors is one that is gone', async () => {
  await expect(NetdClient.requestWithDescriptors(`${path}.absent`, 'journal', {}, [0])).rejects.toMatchObject({
    name: 'NetdError',
    code: 'CLOSED',
  });
});

describe('descriptors', () => {
  it('are collected until the answer is there', async () => {
    await listen((line, socket) => {
      const text = ok(line, { taps: [], fds: [] });
      socket.write(`{"event":"leases"}\n${text.slice(0, 9)}`);
      setTimeout(() => socket.write(text.slice(9)), 10);
    });
    expect(await NetdClient.fetchDescriptors(path)).toEqual({ taps: [], fds: [], descriptors: [] });
  });

  it('are not waited for when netd ends', async () => {
    await listen((_line, socket) => socket.destroy());
    await expect(NetdClient.fetchDescriptors(path)).rejects.toThrow('netd closed the connection');
  });

  it('leave no connection behind', async () => {
    await listen((line, socket) => socket.write(ok(line, { taps: [], fds: [] })));
    const { descriptors } = await NetdClient.fetchDescriptors(path);
    for (const fd of descriptors) closeSync(fd);
    await until('netd sees the end', () => connections.every((connection) => connection.readableEnded));
  });
});

describe('the line splitter', () => {
  it('gives the same lines however the bytes are cut', () => {
    const bytes = Buffer.from('ä\n\nlong line ✓\nrest');
    for (let size = 1; size <= bytes.length; size++) {
      const lines: string[] = [];
      const splitter = new LineSplitter(100, (line) => lines.push(line));
      for (let at = 0; at < bytes.length; at += size) splitter.push(Buffer.from(bytes.subarray(at, at + size)));
      expect(lines).toEqual(['ä', '', 'long line ✓']);
    }
  });

  it('refuses a line beyond its bound, and only that', () => {
    const splitter = new LineSplitter(4, () => {});
    expect(splitter.push(Buffer.from('abcd'))).toBe(true);
    expect(splitter.push(Buffer.from('\nabcd'))).toBe(true);
    expect(splitter.push(Buffer.from('e'))).toBe(false);
  });
});
