import { describe, expect, test } from 'vitest';
import { put16 } from '../../../src/core/base/bytes.ts';
import { IO } from '../../../src/core/base/ports.ts';
import { CSUM, GSO } from '../../../src/core/link/frame.ts';
import { UDP_IDLE_MS, UDP_MAPPING_LIMIT } from '../../../src/core/nat/udp-proxy.ts';
import {
  GATEWAY,
  GUEST,
  HOST,
  HOST_LAN,
  NETWORK,
  pattern,
  REMOTE,
  text,
  type UdpFields,
  udpFrame,
} from '../../support/frames.ts';
import { Lab } from '../../support/lab.ts';

const L4 = 14 + 20;
const OTHER = 0xc633_6409;

/** A guest that has sent one datagram from port 5000 to REMOTE:4000; the host's socket of its mapping. */
function mapped(fields: UdpFields = {}) {
  const lab = new Lab();
  lab.guest.send(udpFrame({ payload: 'hello', ...fields }));
  return { lab, socket: lab.world.udp[0]! };
}

/** A superframe of UDP segments. */
function superframe(lab: Lab, payload: Uint8Array, gsoSize: number): void {
  const offload = { csum: CSUM.PARTIAL, csumStart: L4, csumOffset: 6, gsoType: GSO.UDP_L4, gsoSize, hdrLen: L4 + 8 };
  lab.guest.send(udpFrame({ payload }), offload);
}

describe('the UDP proxy', () => {
  test('carries datagrams both ways', () => {
    const { lab, socket } = mapped();
    expect(socket.sent).toEqual([{ address: REMOTE, port: 4000, bytes: text('hello') }]);
    socket.arrive(REMOTE, 4000, 'answer');
    lab.settle();
    const [answer, ...others] = lab.guest.take();
    expect([answer!.src, answer!.dst, answer!.ports]).toEqual([REMOTE, GUEST, { src: 4000, dst: 5000 }]);
    expect(answer!.payload).toEqual(text('answer'));
    expect(others).toEqual([]);
  });

  test('carries empty datagrams', () => {
    const { lab, socket } = mapped({ payload: '' });
    expect(socket.sent[0]!.bytes).toHaveLength(0);
    socket.arrive(REMOTE, 4000, '');
    lab.settle();
    expect(lab.guest.take()[0]!.payload).toHaveLength(0);
  });

  test('leaves Ethernet padding, and IP payload behind the datagram, out', () => {
    const lab = new Lab();
    const padded = new Uint8Array(60).fill(0xee);
    padded.set(udpFrame({ payload: 'ab' }));
    lab.guest.send(padded);
    expect(lab.world.udp[0]!.sent[0]!.bytes).toEqual(text('ab'));
  });

  test('takes a datagram without a checksum', () => {
    const lab = new Lab();
    const frame = udpFrame({ payload: 'x' });
    put16(frame, L4 + 6, 0);
    lab.guest.send(frame);
    expect(lab.world.udp[0]!.sent).toHaveLength(1);
  });

  test('keeps one socket for one guest port, whatever it talks to (endpoint-independent mapping)', () => {
    const { lab, socket } = mapped();
    lab.guest.send(udpFrame({ dst: OTHER, dstPort: 9, payload: 'b' }));
    lab.guest.send(udpFrame({ dstPort: 4001, payload: 'c' }));
    expect(lab.world.udp).toHaveLength(1);
    expect(socket.sent.map(({ address, port }) => [address, port])).toEqual([
      [REMOTE, 4000],
      [OTHER, 9],
      [REMOTE, 4001],
    ]);
    lab.guest.send(udpFrame({ srcPort: 5001, payload: 'd' }));
    lab.guest.send(udpFrame({ src: GUEST + 1, payload: 'e' }));
    expect(lab.world.udp).toHaveLength(3);
  });

  test('admits any port of an address that the guest sent to, and no other address (address-dependent filtering)', () => {
    const { lab, socket } = mapped();
    socket.arrive(REMOTE, 12_345, 'other port');
    socket.arrive(OTHER, 4000, 'stranger');
    lab.settle();
    expect(lab.guest.take().map((frame) => frame.ports.src)).toEqual([12_345]);
    expect(lab.counter('udp.filtered')).toBe(1);
    lab.guest.send(udpFrame({ dst: OTHER, payload: 'hi' }));
    socket.arrive(OTHER, 4000, 'no stranger');
    lab.settle();
    expect(lab.guest.take()).toHaveLength(1);
  });

  test('remembers the last 64 addresses that a guest sent to', () => {
    const { lab, socket } = mapped();
    for (let i = 1; i <= 63; i++) lab.guest.send(udpFrame({ dst: REMOTE + 0x10000 + i }));
    socket.arrive(REMOTE, 1, 'admitted');
    lab.settle();
    expect(lab.guest.take()).toHaveLength(1);
    lab.guest.send(udpFrame({ dst: OTHER }));
    socket.arrive(REMOTE, 1, 'forgotten');
    lab.settle();
    expect(lab.guest.take()).toEqual([]);
  });

  test('ends a mapping when the guest is silent for five minutes, though datagrams arrive for it', () => {
    const { lab, socket } = mapped();
    lab.advance(UDP_IDLE_MS - 10_000);
    lab.guest.send(udpFrame({ payload: 'again' }));
    lab.advance(UDP_IDLE_MS - 1);
    socket.arrive(REMOTE, 4000, 'late');
    lab.settle();
    expect(lab.guest.take()).toHaveLength(1);
    expect(socket.ended).toBe('open');
    lab.advance(1);
    expect(socket.ended).toBe('closed');
    expect(lab.network.flowCount()).toBe(0);
    expect(lab.network.pollAt()).toBe(Number.POSITIVE_INFINITY);
  });

  test('sends a superframe datagram by datagram', () => {
    const lab = new Lab();
    superframe(lab, pattern(0, 2500), 1000);
    const { sent } = lab.world.udp[0]!;
    expect(sent.map(({ bytes }) => bytes.length)).toEqual([1000, 1000, 500]);
    expect(sent.map(({ bytes }) => bytes)).toEqual([pattern(0, 1000), pattern(1000, 1000), pattern(2000, 500)]);
    superframe(lab, pattern(0, 2000), 1000);
    expect(sent).toHaveLength(5);
  });

  test('drops a superframe in more than 128 pieces', () => {
    const lab = new Lab();
    superframe(lab, pattern(0, 129), 1);
    expect(lab.drops).toEqual({ offloadMalformed: 1 });
    expect(lab.world.udp).toEqual([]);
  });

  test('leads datagrams for .1 to the host, and answers come from .1', () => {
    const { lab, socket } = mapped({ dst: HOST });
    expect(socket.sent[0]!.address).toBe(HOST_LAN);
    socket.arrive(HOST_LAN, 4000, 'from the host');
    lab.settle();
    expect(lab.guest.take()[0]!.src).toBe(HOST);
    // The same host by its own address is another peer of the same name.
    lab.guest.send(udpFrame({ dst: HOST_LAN }));
    socket.arrive(HOST_LAN, 4000, 'from the host');
    lab.settle();
    expect(lab.guest.take()[0]!.src).toBe(HOST_LAN);
  });

  test('tells of a host without an address', () => {
    const lab = new Lab({ hostAddress: 0 });
    lab.guest.send(udpFrame({ dst: HOST }));
    expect(lab.guest.take()[0]!.icmp).toBe('3/1');
    lab.network.setHostAddress(HOST_LAN);
    lab.guest.send(udpFrame({ dst: HOST }));
    expect(lab.world.udp[0]!.sent).toHaveLength(1);
  });

  test.each([
    ["the host's loopback", 0x7f00_0001],
    ['the metadata service', 0xa9fe_a9fe],
    ["the guests' own segment", NETWORK + 200],
    ['this network', 1],
    ['reserved addresses', 0xf000_0001],
  ])('denies %s by ICMP', (_name, dst) => {
    const lab = new Lab();
    const frame = udpFrame({ dst, payload: pattern(0, 900) });
    lab.guest.send(frame);
    const [error, ...others] = lab.guest.take();
    expect([error!.icmp, error!.src]).toEqual(['3/13', GATEWAY]);
    expect(error!.payload).toEqual(frame.slice(14, 14 + 548));
    expect(others).toEqual([]);
    expect(lab.world.udp).toEqual([]);
    expect(lab.counter('udp.denied')).toBe(1);
  });

  test('tells the guest of a refused datagram in the name of who refused it, and keeps the mapping', () => {
    const { lab, socket } = mapped();
    socket.fail(IO.REFUSED);
    lab.settle();
    const [error, ...others] = lab.guest.take();
    expect([error!.icmp, error!.src, error!.dst]).toEqual(['3/3', REMOTE, GUEST]);
    expect(error!.payload.slice(12, 24)).toEqual(udpFrame().slice(14 + 12, 14 + 24));
    expect(others).toEqual([]);
    expect(socket.ended).toBe('open');
  });

  test.each([
    [IO.HOST_UNREACHABLE, '3/1'],
    [IO.NET_UNREACHABLE, '3/0'],
    [IO.DENIED, '3/13'],
  ])('tells the guest that its datagram led nowhere (%i)', (code, icmp) => {
    const { lab, socket } = mapped();
    socket.sendError = code;
    const frame = udpFrame({ payload: 'lost' });
    lab.guest.send(frame);
    const [error, ...others] = lab.guest.take();
    expect(error!.icmp).toBe(icmp);
    expect(error!.payload).toEqual(frame.slice(14));
    expect(others).toEqual([]);
  });

  test.each([
    [IO.WOULD_BLOCK, 'udp.socketFull'],
    [IO.TOO_LONG, 'udp.sendFailed'],
    [IO.OTHER, 'udp.sendFailed'],
  ])('counts a datagram that the host does not take (%i), and says nothing', (code, counter) => {
    const { lab, socket } = mapped();
    socket.sendError = code;
    lab.guest.send(udpFrame());
    expect(lab.guest.take()).toEqual([]);
    expect(lab.counter(counter)).toBe(1);
  });

  test('counts a datagram for which the host has no socket', () => {
    const lab = new Lab();
    lab.world.openError = IO.NO_RESOURCES;
    lab.guest.send(udpFrame());
    expect(lab.guest.take()).toEqual([]);
    expect(lab.counter('udp.noResources')).toBe(1);
    expect(lab.network.flowCount()).toBe(0);
    expect(lab.network.pollAt()).toBe(Number.POSITIVE_INFINITY);
  });

  test('drops and counts an answer that does not fit the cable', () => {
    const { lab, socket } = mapped();
    socket.arrive(REMOTE, 4000, pattern(0, 1472));
    socket.arrive(REMOTE, 4000, pattern(0, 1473));
    lab.settle();
    expect(lab.guest.take().map((frame) => frame.payload.length)).toEqual([1472]);
    expect(lab.counter('udp.overMtu')).toBe(1);
  });

  test('takes all datagrams of a flood, a share each turn', () => {
    const { lab, socket } = mapped();
    for (let i = 0; i < 200; i++) socket.arrive(REMOTE, 4000, `${i}`);
    lab.turn();
    const first = lab.guest.frames.length;
    expect(first).toBeLessThan(200);
    expect(lab.network.pollAt()).toBe(lab.clock.now);
    lab.settle();
    expect(lab.guest.take().map((frame) => String.fromCharCode(...frame.payload))).toEqual(
      Array.from({ length: 200 }, (_, i) => `${i}`),
    );
  });

  test('gives the mapping idle for longest up when there are too many', { timeout: 20_000 }, () => {
    const lab = new Lab();
    for (let i = 0; i < UDP_MAPPING_LIMIT; i++)
      lab.guest.send(udpFrame({ src: GUEST + (i >> 13), srcPort: 1 + (i & 8191) }));
    lab.guest.send(udpFrame({ srcPort: 1 }));
    lab.guest.send(udpFrame({ src: GUEST + 90, srcPort: 9 }));
    expect(lab.world.openSockets).toBe(UDP_MAPPING_LIMIT);
    expect(lab.world.udp[0]!.ended).toBe('open');
    expect(lab.world.udp[1]!.ended).toBe('closed');
    expect(lab.counter('udp.evicted')).toBe(1);
  });

  test('ends the mappings of a guest that is unplugged, and of no other', () => {
    const lab = new Lab();
    const second = lab.plug();
    lab.guest.send(udpFrame());
    second.send(udpFrame({ src: GUEST + 1, srcMac: 0x02_00_00_00_00_0b }));
    lab.network.detach(lab.guest);
    expect(lab.world.udp.map((socket) => socket.ended)).toEqual(['closed', 'open']);
  });

  test('shows its mappings', () => {
    const { lab, socket } = mapped();
    socket.arrive(REMOTE, 4000, 'answer');
    lab.settle();
    lab.advance(2_000);
    expect(lab.network.flows(10)).toEqual([
      {
        protocol: 'udp',
        state: 'MAPPED',
        guest: { our: '203.0.113.5:4000', endpoint: '192.168.88.10:5000' },
        host: { our: expect.stringMatching(/^192\.0\.2\.2:\d+$/), endpoint: '203.0.113.5:4000', fd: socket.fd },
        rxBytes: 5,
        txBytes: 6,
        ageMs: 2000,
        idleMs: 2000,
      },
    ]);
  });
});
