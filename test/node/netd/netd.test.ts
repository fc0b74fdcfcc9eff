/** A whole netd in this process: requests over its control socket, guests over its stream socket, one turn at a time. */

import { mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ipv4FromString } from '../../../src/core/base/address.ts';
import { SOCK_STREAM } from '../../../src/node/linux/constants.ts';
import { Epoll } from '../../../src/node/linux/epoll.ts';
import { close } from '../../../src/node/linux/libc.ts';
import { openPidfd } from '../../../src/node/linux/pidfd.ts';
import { closeAll, receiveDescriptors, sendDescriptors } from '../../../src/node/linux/unix-fd.ts';
import { connectUnix, listenUnix } from '../../../src/node/linux/unix-stream.ts';
import { ControlServer } from '../../../src/node/netd/control.ts';
import { logTo } from '../../../src/node/netd/log.ts';
import { Loop } from '../../../src/node/netd/loop.ts';
import { Netd, PORTS_MAX } from '../../../src/node/netd/netd.ts';
import type { NetdConfig, NetdEvent, Reply } from '../../../src/node/netd/protocol.ts';
import { pair } from '../../support/port-host.ts';

const GATEWAY_MAC = 0x02_76_6d_00_00_08;

const CONFIG: NetdConfig = {
  name: 'vmnet8',
  mode: 'nat',
  ipv4: {
    network: ipv4FromString('192.168.88.0'),
    prefixLength: 24,
    host: ipv4FromString('192.168.88.1'),
    gateway: ipv4FromString('192.168.88.2'),
    dhcpServer: ipv4FromString('192.168.88.254'),
  },
  mtu: 1500,
  gatewayMac: GATEWAY_MAC,
  dhcp: {
    rangeStart: ipv4FromString('192.168.88.128'),
    rangeEnd: ipv4FromString('192.168.88.253'),
    leaseSeconds: 1800,
    reservations: [],
  },
  domain: 'vmnet.internal',
  resolvers: [],
  otherNetworks: [],
  hostAddress: 0,
  leases: [],
};

/** An ARP request for the gateway by the guest 192.168.88.77 with this MAC, framed for the stream. */
function arpRequest(guestMac: string): Buffer {
  const arp = `0806 0001 0800 06 04 0001 ${guestMac} c0a8584d 000000000000 c0a85802`;
  const frame = Buffer.from(`ffffffffffff ${guestMac} ${arp}`.replaceAll(' ', ''), 'hex');
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(frame.length);
  return Buffer.concat([prefix, frame]);
}

describe('netd', () => {
  let dir: string;
  let loop: Loop;
  let netd: Netd;
  let control: number;
  let lastId: number;
  let events: NetdEvent[];
  let descriptors: number[];

  beforeEach(() => {
    logTo(() => {});
    dir = mkdtempSync(join(tmpdir(), 'openvmnet-netd-'));
    const epoll = new Epoll();
    loop = new Loop(epoll);
    netd = new Netd(epoll, loop, '1.2.3');
    const server = new ControlServer(listenUnix(join(dir, 'net.ctl')), epoll, netd);
    netd.broadcast = (event) => server.broadcast(event);
    loop.network = netd;
    control = connectUnix(join(dir, 'net.ctl'));
    lastId = 0;
    events = [];
    descriptors = [];
  });
  afterEach(() => {
    closeAll([control, ...descriptors]);
    rmSync(dir, { recursive: true });
  });

  function turns(count = 5): void {
    for (let i = 0; i < count; i += 1) loop.turn(0);
  }

  function call(op: string, params: unknown = {}, fds: number[] = []): Reply & { result?: unknown } {
    lastId += 1;
    sendDescriptors(control, Buffer.from(`${JSON.stringify({ id: lastId, op, params })}\n`), 0, fds);
    const lines = receiveLines();
    return lines.find((line) => 'id' in line && line.id === lastId) as Reply;
  }

  /** All lines that have come; events are put aside. */
  function receiveLines(): (Reply | NetdEvent)[] {
    turns();
    let text = '';
    for (;;) {
      const piece = receiveDescriptors(control, descriptors);
      if (typeof piece === 'number' || piece.length === 0) break;
      text += Buffer.from(piece).toString();
      turns(1);
    }
    const lines = text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Reply | NetdEvent);
    events.push(...lines.filter((line): line is NetdEvent => 'event' in line));
    return lines;
  }

  function start(config: NetdConfig = CONFIG): Reply {
    const stream = listenUnix(join(dir, 'net.sock'));
    const journal = openSync(join(dir, 'leases.jsonl'), 'a');
    const reply = call('start', { config, fds: ['stream', 'journal'] }, [stream, journal]);
    closeAll([stream, journal]);
    return reply;
  }

  /** A guest on the stream socket. */
  function guest() {
    const fd = connectUnix(join(dir, 'net.sock'));
    turns();
    return {
      fd,
      send(bytes: Uint8Array) {
        writeSync(fd, bytes);
        turns();
      },
      receive(): Buffer {
        const piece = receiveDescriptors(fd, []);
        return Buffer.from(typeof piece === 'number' ? [] : piece);
      },
      ended: () => {
        const piece = receiveDescriptors(fd, []);
        return typeof piece === 'number' ? piece !== -1 : piece.length === 0;
      },
    };
  }

  test('tells its status when no descriptor is left to read its memory by', () => {
    start();
    vi.spyOn(process.memoryUsage, 'rss').mockImplementationOnce(() => {
      throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
    });
    expect(call('status')).toMatchObject({ ok: true, result: { rssBytes: 0 } });
  });

  test('before the start it says hello, and that it has nothing to show', () => {
    expect(call('hello')).toMatchObject({ ok: true, result: { pid: process.pid, version: '1.2.3', config: null } });
    expect(call('status')).toMatchObject({ ok: true, result: { ports: 0, flows: 0, echo: 'unavailable' } });
    for (const op of ['ports', 'leases', 'descriptors', 'update']) {
      expect(call(op)).toMatchObject({ ok: false, error: { code: 'NOT_STARTED' } });
    }
  });

  test('starts once', () => {
    expect(start()).toMatchObject({ ok: true, result: { pid: process.pid } });
    expect(start()).toMatchObject({ ok: false, error: { code: 'ALREADY_STARTED' } });
    expect(call('hello')).toMatchObject({ result: { config: { name: 'vmnet8', leases: [] } } });
  });

  test('shows the gateway as a port', () => {
    start();
    expect(call('ports')).toMatchObject({
      result: [{ kind: 'gateway', macs: [GATEWAY_MAC], addresses: [CONFIG.ipv4!.gateway] }],
    });
  });

  test('a guest on the stream socket is a port, and the gateway answers its ARP', () => {
    start();
    const { fd, send, receive } = guest();
    send(arpRequest('020000000077'));
    const reply = receive();
    expect(reply.readUInt32BE()).toBe(reply.length - 4);
    expect(reply.subarray(4, 18).toString('hex')).toBe('02000000007702766d0000080806');
    expect(reply.subarray(26, 32).toString('hex')).toBe('02766d000008');
    const ports = call('ports').result as { kind: string; pid: number; macs: number[]; addresses: number[] }[];
    expect(ports[1]).toMatchObject({
      kind: 'stream',
      pid: process.pid,
      macs: [0x02_00_00_00_00_77],
      addresses: [ipv4FromString('192.168.88.77')],
      rxFrames: 1,
      txFrames: 1,
    });
    close(fd);
  });

  test('a guest that unplugs is forgotten, and everybody is told', () => {
    start();
    const { fd, send } = guest();
    send(arpRequest('020000000077'));
    expect(call('status')).toMatchObject({ result: { ports: 1 } });
    close(fd);
    turns();
    expect(call('status')).toMatchObject({ result: { ports: 0, counters: { 'ports.peerGone': 1 } } });
    expect(events).toEqual([{ event: 'removed', port: 2 }]);
  });

  test('a guest that breaks the framing loses its port; the others and their frames go on', () => {
    start();
    const [bad, good] = [guest(), guest()];
    bad.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    expect(bad.ended()).toBe(true);
    good.send(arpRequest('020000000078'));
    expect(good.receive().length).toBeGreaterThan(40);
    expect(call('status')).toMatchObject({ result: { ports: 1, counters: { 'ports.badLength': 1 } } });
    expect(call('ports')).toMatchObject({ result: [{ kind: 'gateway', drops: { badLength: 1 } }, { kind: 'stream' }] });
    close(bad.fd);
    close(good.fd);
  });

  test('detach pulls a cable, and knows which ports there are', () => {
    start();
    const { fd, ended } = guest();
    expect(call('detach', { port: 2 })).toMatchObject({ ok: true });
    expect(ended()).toBe(true);
    expect(call('detach', { port: 2 })).toMatchObject({ ok: false, error: { code: 'UNKNOWN_PORT' } });
    expect(call('detach', { port: 1 })).toMatchObject({ ok: false, error: { code: 'UNKNOWN_PORT' } });
    close(fd);
  });

  test('has room for a bounded number of guests; the next one is turned away and counted', () => {
    start();
    const fds: number[] = [];
    for (let i = 0; i < PORTS_MAX; i += 1) {
      fds.push(connectUnix(join(dir, 'net.sock')));
      turns(1);
    }
    turns(20);
    expect(call('status')).toMatchObject({ result: { ports: PORTS_MAX } });
    const surplus = guest();
    expect(surplus.ended()).toBe(true);
    expect(call('status')).toMatchObject({ result: { ports: PORTS_MAX, counters: { 'ports.refused': 1 } } });
    closeAll([...fds, surplus.fd]);
    turns(20);
    expect(call('status')).toMatchObject({ result: { ports: 0 } });
  });

  test('refuses a descriptor that is no TAP, and keeps nothing of it', () => {
    start();
    const [a, b] = pair(SOCK_STREAM);
    const pidfd = openPidfd(process.pid);
    const attach = { name: 'x', interface: 'eth0', mac: 1, address: 0, mtu: 1500, pid: process.pid };
    expect(call('attachTap', attach, [a, pidfd])).toMatchObject({ ok: false, error: { code: 'TAP_REFUSED' } });
    expect(call('leases')).toMatchObject({ result: [] });
    closeAll([a, b, pidfd]);
  });

  test('hands its descriptors to a new vmnetd', () => {
    start();
    expect(call('descriptors')).toMatchObject({ ok: true, result: { taps: [], fds: ['stream', 'journal'] } });
    expect(descriptors.length).toBe(2);
    writeSync(descriptors[1]!, 'same file');
    expect(readFileSync(join(dir, 'leases.jsonl'), 'utf8')).toBe('same file');
  });

  test('learns what changed on the host', () => {
    start();
    const resolvers = [{ address: 0x0101_0101, port: 53 }];
    expect(call('update', { resolvers, hostAddress: 5 })).toMatchObject({ ok: true });
    expect(call('hello')).toMatchObject({ result: { config: { resolvers, hostAddress: 5 } } });
  });

  test('shows no flows where there are none', () => {
    start();
    expect(call('flows', { limit: 10 })).toMatchObject({ ok: true, result: { total: 0, flows: [] } });
  });

  test('stops when it is told, after it has answered', () => {
    expect(netd.stopping).toBe(false);
    expect(call('stop')).toMatchObject({ ok: true, result: null });
    expect(netd.stopping).toBe(true);
  });

  test('an idle network sleeps', () => {
    start();
    const { fd, send } = guest();
    send(arpRequest('020000000077'));
    turns(10);
    const from = performance.now();
    loop.turn(100);
    expect(performance.now() - from).toBeGreaterThan(80);
    close(fd);
  });
});
