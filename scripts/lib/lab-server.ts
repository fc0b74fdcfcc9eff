/**
 * The services that guests talk to, in one process: `node lab-server.js [--bind ADDRESS] [--offset N] [--dns]`. Prints
 * `READY` when all listen. Ports are fixed ({@link PORTS}) but for the offset: every place has its own address space.
 *
 * http: GET /bytes/N (pattern), PUT /sink (answers digest and length), GET /whoami (peer's address), GET /early (digest
 * of the last connection to `early`). echo: TCP and UDP. digest: reads to the FIN, then answers with the digest: works
 * only where a half-close is passed on. early: says `hello`, sends its FIN, reads to the other's. reset: resets after
 * the first bytes. stall: accepts and never reads. dns: every name under `example.test` is 203.0.113.10, others don't exist.
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { pattern } from './pattern.ts';

export const PORTS = { http: 8080, echo: 7000, digest: 7001, early: 7002, reset: 7003, stall: 7004, dns: 53 } as const;

let lastEarly = '';

function http(): ReturnType<typeof createHttpServer> {
  return createHttpServer((request, response) => {
    const bytes = /^\/bytes\/(\d+)$/.exec(request.url ?? '');
    if (bytes !== null) {
      const length = Number(bytes[1]);
      response.writeHead(200, { 'content-length': length, 'content-type': 'application/octet-stream' });
      Readable.from(pattern(length))
        .on('error', () => {})
        .pipe(response);
    } else if (request.url === '/sink') {
      const hash = createHash('sha256');
      let length = 0;
      request.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        length += chunk.length;
      });
      request.on('end', () => response.end(`${hash.digest('hex')} ${length}\n`));
    } else if (request.url === '/whoami') {
      response.end(`${request.socket.remoteAddress}\n`);
    } else if (request.url === '/early') {
      response.end(`${lastEarly}\n`);
    } else {
      response.writeHead(request.url === '/' ? 200 : 404).end('lab\n');
    }
  });
}

function digest(socket: Socket, done: (hex: string) => void): void {
  const hash = createHash('sha256');
  socket.on('data', (chunk) => hash.update(chunk));
  socket.on('end', () => done(hash.digest('hex')));
}

function tcp(listener: (socket: Socket) => void): ReturnType<typeof createServer> {
  return createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    listener(socket);
  });
}

/** A name server that knows one zone; only A queries with one question. */
function answer(query: Buffer): Buffer {
  let at = 12;
  const labels: string[] = [];
  while (at < query.length && query[at] !== 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + (query[at] ?? 0)));
    at += 1 + (query[at] ?? 0);
  }
  const question = query.subarray(12, at + 5);
  const known = /(^|\.)example\.test$/i.test(labels.join('.'));
  const isA = query.readUInt16BE(at + 1) === 1;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(known ? 0x8180 : 0x8183, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(known && isA ? 1 : 0, 6);
  header.writeUInt32BE(0, 8);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 10]);
  return Buffer.concat(known && isA ? [header, question, record] : [header, question]);
}

function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.filter(({ family }) => family === 'IPv4').map(({ address }) => address);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      bind: { type: 'string', default: '0.0.0.0' },
      offset: { type: 'string', default: '0' },
      dns: { type: 'boolean', default: false },
    },
  });
  const host = values.bind;
  const offset = Number(values.offset);
  const servers = {
    http: http(),
    echo: tcp((socket) => socket.pipe(socket)),
    digest: tcp((socket) => digest(socket, (hex) => socket.end(`${hex}\n`))),
    early: tcp((socket) => {
      digest(socket, (hex) => {
        lastEarly = hex;
      });
      socket.end('hello\n');
    }),
    reset: tcp((socket) => socket.once('data', () => socket.resetAndDestroy())),
    stall: tcp((socket) => socket.pause()),
  };
  for (const [name, server] of Object.entries(servers)) {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port: PORTS[name as keyof typeof servers] + offset, backlog: 1024 }, resolve);
    });
  }
  // A wildcard socket would answer from the address of the route back, not from the one that was asked.
  const addresses = host === '0.0.0.0' ? ownAddresses() : [host];
  const udp = async (port: number, reply: (message: Buffer) => Buffer): Promise<void> => {
    for (const address of addresses) {
      const socket = createSocket('udp4');
      socket.on('message', (message, peer) => socket.send(reply(message), peer.port, peer.address));
      await new Promise<void>((resolve) => socket.bind(port, address, () => resolve()));
    }
  };
  await udp(PORTS.echo + offset, (message) => message);
  if (values.dns) await udp(PORTS.dns, answer);
  console.log('READY');
  process.stdin.on('end', () => process.exit(0)).resume();
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
