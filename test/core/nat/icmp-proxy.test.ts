import { describe, expect, test } from 'vitest';
import { get16 } from '../../../src/core/base/bytes.ts';
import { IO } from '../../../src/core/base/ports.ts';
import { ICMP_FLOW_LIMIT, ICMP_IDLE_MS } from '../../../src/core/nat/icmp-proxy.ts';
import { type EchoFields, echoFrame, GATEWAY, GUEST, NETWORK, pattern, REMOTE, text } from '../../support/frames.ts';
import { Lab } from '../../support/lab.ts';

const L4 = 14 + 20;

function pinged(fields: EchoFields = {}) {
  const lab = new Lab();
  lab.guest.send(echoFrame(fields));
  return { lab, socket: lab.world.echo[0]! };
}

describe('the echo proxy', () => {
  test("pings through the host and answers with the guest's own identifier", () => {
    const { lab, socket } = pinged({ identifier: 0x1234, sequence: 7, payload: 'are you there' });
    expect(socket.sent).toEqual([{ address: REMOTE, port: 7, bytes: text('are you there') }]);
    lab.settle();
    expect(lab.guest.take()).toEqual([]);
    socket.arrive(REMOTE, 7, 'are you there');
    lab.settle();
    const [reply, ...others] = lab.guest.take();
    expect([reply!.icmp, reply!.src, reply!.dst]).toEqual(['0/0', REMOTE, GUEST]);
    expect(get16(reply!.bytes, L4 + 4)).toBe(0x1234);
    expect(get16(reply!.bytes, L4 + 6)).toBe(7);
    expect(reply!.payload).toEqual(text('are you there'));
    expect(others).toEqual([]);
  });

  test('never makes up a reply', () => {
    const { lab } = pinged();
    lab.advance(ICMP_IDLE_MS * 2);
    expect(lab.guest.take()).toEqual([]);
  });

  test('keeps pings of different identifiers, destinations and guests apart', () => {
    const { lab } = pinged({ identifier: 1 });
    lab.guest.send(echoFrame({ identifier: 1, sequence: 2 }));
    expect(lab.world.echo).toHaveLength(1);
    lab.guest.send(echoFrame({ identifier: 2 }));
    lab.guest.send(echoFrame({ identifier: 1, dst: REMOTE + 1 }));
    lab.guest.send(echoFrame({ identifier: 1, src: GUEST + 1 }));
    expect(lab.world.echo).toHaveLength(4);
  });

  test('says administratively prohibited where the host may not ping, and quotes the request', () => {
    const lab = new Lab();
    lab.world.openError = IO.DENIED;
    const frame = echoFrame();
    lab.guest.send(frame);
    const [error, ...others] = lab.guest.take();
    expect([error!.icmp, error!.src]).toEqual(['3/13', GATEWAY]);
    expect(error!.payload).toEqual(frame.slice(14));
    expect(others).toEqual([]);
    expect(lab.counter('icmp.unavailable')).toBe(1);
    expect(lab.network.flowCount()).toBe(0);
  });

  test.each([
    [IO.DENIED, '3/13'],
    [IO.HOST_UNREACHABLE, '3/1'],
    [IO.NET_UNREACHABLE, '3/0'],
  ])('tells of a ping that could not be sent (%i), and quotes it as the guest sent it', (code, icmp) => {
    const { lab, socket } = pinged();
    socket.sendError = code;
    const frame = echoFrame({ sequence: 2 });
    lab.guest.send(frame);
    const [error, ...others] = lab.guest.take();
    expect(error!.icmp).toBe(icmp);
    expect(error!.payload).toEqual(frame.slice(14));
    expect(others).toEqual([]);
  });

  test('counts a ping that failed otherwise, and says nothing', () => {
    const { lab, socket } = pinged();
    socket.sendError = IO.OTHER;
    lab.guest.send(echoFrame());
    expect(lab.guest.take()).toEqual([]);
    expect(lab.counter('icmp.sendFailed')).toBe(1);
  });

  test.each([0x7f00_0001, 0xa9fe_a9fe, NETWORK + 9, 0xffff_fffe])('denies %i by ICMP', (dst) => {
    const lab = new Lab();
    lab.guest.send(echoFrame({ dst }));
    expect(lab.guest.take().map((frame) => frame.icmp)).toEqual(['3/13']);
    expect(lab.world.echo).toEqual([]);
    expect(lab.counter('icmp.denied')).toBe(1);
  });

  test('takes all replies that wait with one edge', () => {
    const { lab, socket } = pinged();
    for (let i = 0; i < 200; i++) socket.arrive(REMOTE, i, 'x');
    lab.settle();
    expect(lab.guest.take()).toHaveLength(200);
  });

  test('drops and counts a reply that does not fit the cable', () => {
    const { lab, socket } = pinged();
    socket.arrive(REMOTE, 1, pattern(0, 1473));
    socket.arrive(REMOTE, 1, pattern(0, 1472));
    lab.settle();
    expect(lab.guest.take()).toHaveLength(1);
    expect(lab.counter('icmp.overMtu')).toBe(1);
  });

  test('ends a flow a minute after its last request', () => {
    const { lab, socket } = pinged();
    lab.advance(ICMP_IDLE_MS - 1);
    expect(socket.ended).toBe('open');
    lab.advance(1);
    expect(socket.ended).toBe('closed');
    expect(lab.network.flowCount()).toBe(0);
  });

  test('gives the flow idle for longest up when there are too many', () => {
    const lab = new Lab();
    for (let i = 0; i <= ICMP_FLOW_LIMIT; i++) lab.guest.send(echoFrame({ identifier: i }));
    expect(lab.world.openSockets).toBe(ICMP_FLOW_LIMIT);
    expect(lab.world.echo[0]!.ended).toBe('closed');
    expect(lab.counter('icmp.evicted')).toBe(1);
  });

  test('ends the flows of a guest that is unplugged', () => {
    const { lab, socket } = pinged();
    lab.network.detach(lab.guest);
    expect(socket.ended).toBe('closed');
  });

  test('shows its flows', () => {
    const { lab, socket } = pinged({ identifier: 5 });
    expect(lab.network.flows(10)[0]).toMatchObject({
      protocol: 'icmp',
      state: 'ECHO',
      guest: { our: '203.0.113.5', endpoint: '192.168.88.10:5' },
      host: { endpoint: '203.0.113.5', fd: socket.fd },
    });
  });
});
