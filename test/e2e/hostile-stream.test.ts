/**
 * A client of the stream socket that means harm, beside a guest that is to notice nothing. Everything here is bounded in
 * count and time, seeded, and goes to a unix socket of our own.
 */
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { Guest, PortStatus } from '../../scripts/lib/daemon.ts';
import { PORTS } from '../../scripts/lib/lab-server.ts';
import { patternDigest } from '../../scripts/lib/pattern.ts';
import { eventually, rssBytes } from '../../scripts/lib/process.ts';
import { describeWith } from '../support/privileges.ts';
import { Stage } from '../support/stage.ts';

const HOST = 'host.vmnet.internal';
const MEBIBYTE = 1 << 20;

/** xorshift32: the same frames in every run. */
function random(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

const framed = (frame: Uint8Array): Buffer => {
  const record = Buffer.alloc(4 + frame.length);
  record.writeUInt32BE(frame.length);
  record.set(frame, 4);
  return record;
};

describeWith(['namespaces'], 'a hostile client of the stream socket', () => {
  let stage: Stage;
  let guest: Guest;
  let netd: number;
  let socketPath: string;

  beforeAll(async () => {
    stage = await Stage.open(process.getuid?.() === 0 ? 'root' : 'user');
    guest = await stage.daemon.guest(['--net', 'vmnet8', '--name', 'ada']);
    netd = await stage.daemon.netdPid();
    socketPath = await stage.daemon.socket();
  });
  afterAll(() => stage?.close());

  const sockets = new Set<Socket>();
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    await eventually('its ports are gone', async () => (await streamPorts()).length === 0);
  });

  const open = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect(socketPath, () => resolve(socket));
      sockets.add(socket);
      socket.once('error', reject);
      // What the switch floods to us is read and dropped, as a living guest would.
      socket.on('error', () => {}).resume();
    });
  const closed = (socket: Socket): Promise<true> =>
    new Promise((resolve) => (socket.destroyed ? resolve(true) : socket.once('close', () => resolve(true))));
  const streamPorts = async (): Promise<PortStatus[]> =>
    (await stage.daemon.ports()).filter((port) => port.kind === 'stream');
  const gatewayDrops = async (): Promise<Record<string, number>> =>
    (await stage.daemon.ports()).find((port) => port.kind === 'gateway')?.drops ?? {};
  const send = (socket: Socket, bytes: Uint8Array): Promise<void> =>
    new Promise((resolve) => {
      if (socket.destroyed) resolve();
      else if (socket.write(bytes)) resolve();
      else {
        socket.once('drain', () => resolve());
        socket.once('close', () => resolve());
      }
    });
  const ada = (): Promise<string> => guest.must(`curl -sS --max-time 10 http://${HOST}:${PORTS.http}/`);
  const sameNetd = async (): Promise<void> => expect(await stage.daemon.netdPid()).toBe(netd);

  it.each([0, 1, 13, 70_000, 0x7fffffff, 0xffffffff])('is cut off, or ignored, for a length of %d', async (length) => {
    const socket = await open();
    const header = Buffer.alloc(4);
    header.writeUInt32BE(length);
    await send(socket, header);
    await send(socket, Buffer.alloc(64, 0x55));
    // Whatever is done to it, the others live and nothing waits for 4 GiB.
    expect(await ada()).toBe('lab\n');
    if (length > 69_632) await closed(socket);
    await sameNetd();
  });

  it('is counted among the drops when it broke the framing', async () => {
    const { badLength = 0 } = await gatewayDrops();
    const socket = await open();
    await send(socket, Buffer.alloc(64, 0xff));
    await closed(socket);
    expect((await gatewayDrops()).badLength).toBe(badLength + 1);
  });

  it('that leaves in the middle of a frame is forgotten', async () => {
    for (const cut of [1, 3, 4, 5, 17, 63]) {
      const socket = await open();
      await send(socket, framed(Buffer.alloc(64, 0xff)).subarray(0, cut));
      socket.end();
      await closed(socket);
    }
    expect(await ada()).toBe('lab\n');
    await sameNetd();
  });

  it('that sends a frame byte by byte is understood', async () => {
    const socket = await open();
    const arp = Buffer.alloc(42, 0);
    arp.fill(0xff, 0, 6);
    arp.set([0x02, 0, 0, 0, 0, 0x42], 6);
    arp.writeUInt16BE(0x0806, 12);
    for (const byte of framed(arp)) await send(socket, Buffer.from([byte]));
    await eventually('the station is learned', async () =>
      (await streamPorts()).some((port) => port.macs.includes('02:00:00:00:00:42')),
    );
  });

  it('is outlived by everybody through 200,000 random frames, with flat memory and counted drops', async () => {
    const socket = await open();
    const next = random(20_261_122);
    const gateway = await guest.must("ip neigh show dev eth0 | awk '/lladdr/ {print $3; exit}'");
    const gatewayMac = Buffer.from(gateway.trim().replaceAll(':', ''), 'hex');
    const round = async (frames: number): Promise<void> => {
      const batch: Buffer[] = [];
      for (let i = 0; i < frames; i++) {
        // A quarter each: noise; noise in an IPv4 frame to the gateway; truncated TCP, UDP and ICMP; ARP and DHCP noise.
        const kind = next() & 3;
        const frame = Buffer.alloc(14 + (next() % (kind === 0 ? 128 : 400)));
        for (let at = 0; at + 4 <= frame.length; at += 4) frame.writeUInt32BE(next(), at);
        if (kind !== 0) {
          if (gatewayMac.length === 6 && (next() & 1) === 0) frame.set(gatewayMac, 0);
          else frame.fill(0xff, 0, 6);
          frame.set([0x02, 0, 0, 0, 0, next() & 0x0f], 6);
          frame.writeUInt16BE(kind === 3 ? 0x0806 : 0x0800, 12);
          if (kind !== 3 && frame.length > 34) {
            frame[14] = 0x45;
            frame.writeUInt16BE(next() & 1 ? frame.length - 14 : next() & 0xffff, 16);
            frame[23] = [6, 17, 1, next() & 0xff][next() & 3] ?? 0;
            if (kind === 2) frame.writeUInt16BE(ipv4Checksum(frame), 24);
          }
        }
        batch.push(framed(frame));
      }
      await send(socket, Buffer.concat(batch));
    };
    for (let i = 0; i < 20; i++) await round(1000);
    await ada();
    const early = rssBytes(netd);
    for (let i = 0; i < 180; i++) await round(1000);
    expect(socket.destroyed).toBe(false);
    const url = `http://${HOST}:${PORTS.http}/bytes/50000000`;
    expect(await guest.must(`curl -sS --max-time 60 ${url} | sha256sum`)).toContain(patternDigest(50_000_000));
    expect(rssBytes(netd) - early).toBeLessThan(40 * MEBIBYTE);
    const ports = await stage.daemon.ports();
    const hostile = ports.find((port) => port.kind === 'stream');
    const drops = (port: PortStatus | undefined): number =>
      Object.values(port?.drops ?? {}).reduce((sum, count) => sum + count, 0);
    expect(drops(hostile) + drops(ports.find((port) => port.kind === 'gateway'))).toBeGreaterThan(10_000);
    for (const reason of Object.keys(hostile?.drops ?? {})) expect(reason).toMatch(/^[a-z][A-Za-z0-9]+$/);
    expect(hostile?.macs.length).toBeLessThanOrEqual(16);
    await sameNetd();
  });

  it('that never reads stalls nobody, and what it did not take is counted', async () => {
    const socket = await open();
    socket.pause();
    // Known as a station, so that frames to it are queued at its port only.
    const hello = Buffer.alloc(60);
    hello.fill(0xff, 0, 6);
    hello.set([0x02, 0, 0, 0, 0, 0x77], 6);
    hello.writeUInt16BE(0x88b5, 12);
    await send(socket, framed(hello));
    await guest.must(
      'ip neigh replace 192.0.2.77 lladdr 02:00:00:00:00:77 dev eth0; ip route replace 192.0.2.77 dev eth0',
    );
    // 28 MB: more than its queue and the kernel's buffers hold.
    await stage.client(guest, 'flood', '192.0.2.77', 9, 20_000, 1400);
    const url = `http://${HOST}:${PORTS.http}/bytes/50000000`;
    expect(await guest.must(`curl -sS --max-time 60 ${url} | sha256sum`)).toContain(patternDigest(50_000_000));
    const slow = (await streamPorts()).find((port) => port.macs.includes('02:00:00:00:00:77'));
    expect(Object.values(slow?.drops ?? {}).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
    expect(rssBytes(netd)).toBeLessThan(200 * MEBIBYTE);
  });

  it('cannot open more connections than netd takes, and the others live', async () => {
    const { refused: before = 0 } = await gatewayDrops();
    // A full backlog says EAGAIN, and netd takes a few connections a turn.
    for (let i = 0; i < 300; i++) await eventually('a connection', open, 5000, 20);
    expect(await ada()).toBe('lab\n');
    const { refused = 0 } = await gatewayDrops();
    expect(refused).toBeGreaterThan(before);
    expect((await streamPorts()).length + refused - before).toBe(300);
    await sameNetd();
  });
});

function ipv4Checksum(frame: Buffer): number {
  frame.writeUInt16BE(0, 24);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += frame.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
