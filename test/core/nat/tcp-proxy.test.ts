import { describe, expect, test } from 'vitest';
import { getInt32 } from '../../../src/core/base/bytes.ts';
import { HalfSipHash } from '../../../src/core/base/half-sip-hash.ts';
import { IO } from '../../../src/core/base/ports.ts';
import { Policy } from '../../../src/core/nat/policy.ts';
import { TcpProxy, type TcpProxyLimits } from '../../../src/core/nat/tcp-proxy.ts';
import { IcmpSender } from '../../../src/core/stack/icmp-sender.ts';
import { MAX_HELD_BYTES } from '../../../src/core/stack/tcp/reassembly.ts';
import { TCP, tcpAck, tcpFlags, tcpSeq } from '../../../src/core/wire/tcp.ts';
import {
  arpFrame,
  GATEWAY,
  GUEST,
  GUEST_MAC,
  HOST,
  HOST_LAN,
  NETWORK,
  pattern,
  REMOTE,
  type TcpFields,
  tcpFrame,
} from '../../support/frames.ts';
import { Lab, type LabPort } from '../../support/lab.ts';
import type { TcpPeer } from '../../support/memory-world.ts';

const accepting = (peer: TcpPeer) => peer.accept();

/** Completes a handshake from a guest; returns what sends further segments of the connection. */
function connect(lab: Lab, fields: TcpFields = {}, port: LabPort = lab.guest) {
  port.send(tcpFrame({ ...fields, seq: 0, flags: TCP.SYN }));
  lab.settle();
  const synAck = port.take()[0]!;
  const base = { ...fields, flags: TCP.ACK, ack: (tcpSeq(synAck.bytes, synAck.l4) + 1) | 0, seq: 1 };
  port.send(tcpFrame(base));
  lab.settle();
  return { base, peer: lab.world.tcp.at(-1)!.peer };
}

/** A proxy with small bounds beside the network's own. `syn` returns the gateway's initial sequence number. */
function bounded(limits: TcpProxyLimits) {
  const lab = new Lab();
  // The switch has to know where the guest is.
  lab.guest.send(arpFrame());
  lab.guest.take();
  const { stack } = lab.network.nat!.tcp;
  const policy = new Policy(HOST, [{ network: NETWORK, prefixLength: 24 }], HOST_LAN);
  const icmp = new IcmpSender(stack.out, lab.clock, GATEWAY);
  const proxy = new TcpProxy(stack, lab.world, policy, icmp, () => null, new HalfSipHash(1, 2), limits);
  const send = (fields: TcpFields) => {
    const bytes = tcpFrame(fields);
    proxy.input({ bytes, base: 0 }, 34, bytes.length, GUEST, REMOTE, GUEST_MAC, false);
    lab.settle();
  };
  const syn = (srcPort: number): number => {
    send({ srcPort });
    const answer = lab.guest.frames.at(-1);
    return answer === undefined ? 0 : tcpSeq(answer.bytes, answer.l4);
  };
  return { lab, proxy, send, syn };
}

/** Flags and kind of all that a guest got. */
function taken(port: LabPort): string[] {
  return port.take().map((frame) => (frame.protocol === 6 ? `flags ${tcpFlags(frame.bytes, frame.l4)}` : frame.icmp));
}

describe('the TCP proxy', () => {
  test('keeps connections of different ports, destinations and guests apart', () => {
    const lab = new Lab();
    lab.world.onConnect = accepting;
    const connections = [
      connect(lab),
      connect(lab, { srcPort: 40_001 }),
      connect(lab, { dstPort: 81 }),
      connect(lab, { dst: REMOTE + 1 }),
      connect(lab, { src: GUEST + 1 }),
    ];
    expect(lab.network.flowCount()).toBe(5);
    connections.forEach(({ base }, i) => {
      lab.guest.send(tcpFrame({ ...base, payload: pattern(0, i + 1) }));
    });
    lab.settle();
    expect(connections.map(({ peer }) => peer.bytes().length)).toEqual([1, 2, 3, 4, 5]);
  });

  test('drops a SYN silently while too many connections are being made, and counts it', () => {
    const { lab, proxy, syn } = bounded({ flows: 100, pending: 3 });
    for (let port = 1; port <= 4; port++) syn(port);
    expect([lab.world.openSockets, proxy.pending, proxy.counters.pendingLimit]).toEqual([3, 3, 1]);
    lab.world.tcp[0]!.peer.fail(IO.TIMED_OUT);
    lab.settle();
    syn(4);
    expect([lab.world.openSockets, proxy.pending]).toEqual([3, 3]);
    expect(lab.guest.take()).toEqual([]);
  });

  test('drops a SYN silently when there are too many flows, unless the one idle for longest is in TIME-WAIT', () => {
    const { lab, proxy, syn, send } = bounded({ flows: 4, pending: 100 });
    lab.world.onConnect = accepting;
    // The first one closes, host first, and rests in TIME-WAIT.
    const ack = syn(1) + 1;
    send({ srcPort: 1, flags: TCP.ACK, seq: 1, ack });
    lab.world.tcp[0]!.peer.end();
    lab.settle();
    send({ srcPort: 1, flags: TCP.ACK | TCP.FIN, seq: 1, ack: ack + 1 });
    for (let port = 2; port <= 4; port++) syn(port);
    lab.guest.take();
    syn(5);
    expect(taken(lab.guest)).toEqual([`flags ${TCP.SYN | TCP.ACK}`]);
    syn(6);
    expect(taken(lab.guest)).toEqual([]);
    expect([proxy.flows.size, lab.world.openSockets, proxy.counters.flowLimit]).toEqual([4, 4, 1]);
  });

  test('drops a SYN silently when the host has no socket for it, and counts it', () => {
    const lab = new Lab();
    lab.world.openError = IO.NO_RESOURCES;
    lab.guest.send(tcpFrame());
    lab.settle();
    expect(lab.guest.take()).toEqual([]);
    expect(lab.counter('tcp.noResources')).toBe(1);
    expect(lab.network.flowCount()).toBe(0);
  });

  test.each([
    [IO.REFUSED, `flags ${TCP.RST | TCP.ACK}`],
    [IO.NET_UNREACHABLE, '3/0'],
    [IO.HOST_UNREACHABLE, '3/1'],
    [IO.DENIED, '3/13'],
  ])('tells at once of a connection that the host cannot even begin (%i)', (code, answer) => {
    const lab = new Lab();
    lab.world.openError = code;
    lab.guest.send(tcpFrame());
    lab.settle();
    expect(taken(lab.guest)).toEqual([answer]);
    expect(lab.network.flowCount()).toBe(0);
  });

  test('tells of a host without an address', () => {
    const lab = new Lab({ hostAddress: 0 });
    lab.guest.send(tcpFrame({ dst: HOST }));
    expect(taken(lab.guest)).toEqual(['3/1']);
  });

  test('resets the host side of all connections of a guest that is unplugged, in every state, and of no other', () => {
    const lab = new Lab();
    const second = lab.plug();
    lab.guest.send(tcpFrame({ srcPort: 1 }));
    lab.world.onConnect = accepting;
    connect(lab, { srcPort: 2 });
    connect(lab, { src: GUEST + 1, srcMac: 0x02_00_00_00_00_0b }, second);
    lab.guest.send(tcpFrame({ srcPort: 3 }));
    lab.settle();
    lab.guest.take();
    lab.network.detach(lab.guest);
    lab.settle();
    expect(lab.world.tcp.map((socket) => socket.ended)).toEqual(['reset', 'reset', 'open', 'reset']);
    expect(lab.network.flowCount()).toBe(1);
    expect(lab.counter('tcp.evicted')).toBe(3);
    expect(lab.guest.take()).toEqual([]);
    expect(second.take()).toEqual([]);
  });

  test('resets the connections of an unplugged guest that was silent for so long that the switch forgot it', () => {
    const lab = new Lab();
    lab.world.onConnect = accepting;
    connect(lab);
    lab.advance(400_000);
    lab.network.detach(lab.guest);
    expect(lab.world.openSockets).toBe(0);
  });

  test('follows a guest whose MAC changes, as with a failover', () => {
    const lab = new Lab();
    lab.world.onConnect = accepting;
    const { base, peer } = connect(lab);
    const srcMac = 0x02_00_00_00_00_77;
    lab.guest.send(tcpFrame({ ...base, srcMac }));
    peer.send('x');
    lab.settle();
    expect(Array.from(lab.guest.take()[0]!.bytes.subarray(0, 6))).toEqual([2, 0, 0, 0, 0, 0x77]);
  });

  test('gives memory for segments out of order back, however the connection ends', () => {
    const lab = new Lab();
    lab.world.onConnect = accepting;
    const before = lab.pool.taken;
    const { base } = connect(lab);
    for (const seq of [1001, 3001, 2001]) lab.guest.send(tcpFrame({ ...base, seq, payload: pattern(seq - 1, 500) }));
    expect(lab.pool.taken).toBe(before + 3);
    lab.guest.send(tcpFrame({ ...base, flags: TCP.RST }));
    expect(lab.pool.taken).toBe(before);
    const again = connect(lab, { srcPort: 5 });
    lab.guest.send(tcpFrame({ ...again.base, seq: 1001, payload: pattern(1000, 500) }));
    lab.network.detach(lab.guest);
    expect(lab.pool.taken).toBe(before);
  });

  test('keeps at most 64 segments out of order for a connection, and counts the rest', () => {
    const lab = new Lab();
    lab.world.onConnect = accepting;
    const before = lab.pool.taken;
    const { base, peer } = connect(lab);
    for (let i = 1; i <= 80; i++) lab.guest.send(tcpFrame({ ...base, seq: 1 + i * 10, payload: pattern(i * 10, 10) }));
    expect(lab.pool.taken).toBe(before + 64);
    expect(lab.counter('tcp.reassemblyLimit')).toBe(16);
    lab.guest.send(tcpFrame({ ...base, seq: 1, payload: pattern(0, 10) }));
    lab.settle();
    expect(peer.bytes()).toEqual(pattern(0, 650));
    expect(lab.pool.taken).toBe(before);
  });

  test('keeps at most 8 MiB out of order for all connections, so that a guest with holes starves nobody else', () => {
    const lab = new Lab();
    lab.world.onConnect = accepting;
    const before = lab.pool.taken;
    const connections = [1, 2, 3, 4].map((srcPort) => connect(lab, { srcPort }));
    for (const { base } of connections) {
      for (let i = 1; i <= 60; i++)
        lab.guest.send(tcpFrame({ ...base, seq: 1 + i * 100, payload: pattern(i * 100, 3000) }));
    }
    expect(lab.pool.taken - before).toBe(Math.floor(MAX_HELD_BYTES / 66_048));
    for (const { base } of connections) lab.guest.send(tcpFrame({ ...base, flags: TCP.RST }));
    expect(lab.pool.taken).toBe(before);
    lab.guest.take();
    const { base } = connect(lab, { srcPort: 5 });
    lab.guest.send(tcpFrame({ ...base, seq: 101, payload: pattern(100, 3000) }));
    expect(lab.pool.taken).toBe(before + 1);
  });

  test('keeps no connection in mind that ended while it waited for room in the port', () => {
    const lab = new Lab();
    lab.world.onConnect = accepting;
    const { base, peer } = connect(lab);
    lab.guest.roomBytes = 0;
    peer.send(pattern(0, 5000));
    lab.settle();
    const { stack } = lab.network.nat!.tcp;
    const waiters = Reflect.get(stack, 'waiters') as Set<unknown>;
    expect(waiters.size).toBe(1);
    lab.guest.send(tcpFrame({ ...base, flags: TCP.RST }));
    expect(waiters.size).toBe(0);
  });

  test('does without memory for segments out of order', () => {
    const lab = new Lab();
    lab.world.onConnect = accepting;
    const { base, peer } = connect(lab);
    lab.pool.limit = 0;
    lab.guest.send(tcpFrame({ ...base, seq: 11, payload: pattern(10, 10) }));
    lab.guest.send(tcpFrame({ ...base, seq: 1, payload: pattern(0, 10) }));
    lab.advance(10);
    expect(peer.bytes()).toEqual(pattern(0, 10));
    expect(tcpAck(lab.guest.frames.at(-1)!.bytes, 34)).toBe(11);
  });

  test('holds what the host took less of than its window said, and passes it on without being asked', () => {
    const lab = new Lab();
    lab.world.onConnect = (peer) => {
      peer.autoRead = false;
      peer.accept();
    };
    const { base, peer } = connect(lab);
    peer.sendBuffer = 1000;
    lab.guest.send(tcpFrame({ ...base, payload: pattern(0, 1400) }));
    lab.guest.send(tcpFrame({ ...base, seq: 1401, payload: pattern(1400, 600), flags: TCP.ACK | TCP.FIN }));
    lab.settle();
    expect(tcpAck(lab.guest.frames.at(-1)!.bytes, 34)).toBe(1001);
    lab.guest.take();
    peer.read();
    lab.settle();
    peer.read();
    lab.settle();
    expect(peer.bytes()).toEqual(pattern(0, 2000));
    expect(peer.gotFin).toBe(true);
    expect(tcpAck(lab.guest.frames.at(-1)!.bytes, 34)).toBe(2002);
  });

  test('shows a flow with both its sides', () => {
    const lab = new Lab();
    lab.world.onConnect = accepting;
    const { base, peer } = connect(lab, { dst: HOST, dstPort: 22 });
    lab.guest.send(tcpFrame({ ...base, payload: pattern(0, 100) }));
    peer.send(pattern(0, 30));
    lab.settle();
    lab.advance(100);
    expect(lab.network.flows(1)).toEqual([
      {
        protocol: 'tcp',
        state: 'ESTABLISHED',
        guest: { our: '192.168.88.1:22', endpoint: '192.168.88.10:40000' },
        host: { our: expect.stringMatching(/^192\.0\.2\.2:\d+$/), endpoint: '198.51.100.7:22', fd: peer.socket.fd },
        rxBytes: 100,
        txBytes: 30,
        ageMs: 100,
        idleMs: 100,
      },
    ]);
    expect(lab.world.tcp[0]!.peer.address).toBe(HOST_LAN);
  });

  test('chooses initial sequence numbers that differ by connection, by network, and grow with time', () => {
    const iss = (seed: number, fields: TcpFields = {}, later = 0) => {
      const lab = new Lab({}, seed);
      lab.world.onConnect = accepting;
      lab.clock.advance(later);
      lab.guest.send(tcpFrame(fields));
      lab.settle();
      return getInt32(lab.guest.take()[0]!.bytes, 34 + 4);
    };
    expect(iss(1)).not.toBe(iss(2));
    expect(iss(1)).not.toBe(iss(1, { srcPort: 40_001 }));
    expect(iss(1)).not.toBe(iss(1, { dst: REMOTE + 1 }));
    expect((iss(1, {}, 8) - iss(1)) | 0).toBe(2000);
  });

  test('leaves no socket, slot or timer behind when all connections have ended', () => {
    const lab = new Lab();
    lab.world.onConnect = accepting;
    const before = lab.pool.taken;
    const { base, peer } = connect(lab);
    lab.guest.send(tcpFrame({ ...base, payload: pattern(0, 100), flags: TCP.ACK | TCP.FIN }));
    peer.end();
    lab.settle();
    lab.guest.send(tcpFrame({ ...base, seq: 102, ack: base.ack + 1 }));
    lab.advance(3_000);
    expect([lab.world.openSockets, lab.pool.taken - before, lab.network.flowCount()]).toEqual([0, 0, 0]);
    expect(lab.network.pollAt()).toBe(Number.POSITIVE_INFINITY);
  });
});
