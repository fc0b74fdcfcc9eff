import { describe, expect, test } from 'vitest';
import { get32 } from '../../../src/core/base/bytes.ts';
import { ARP_OP } from '../../../src/core/wire/arp.ts';
import {
  Dhcpv4Writer,
  dhcpv4Emit,
  dhcpv4MessageType,
  dhcpv4Option32,
  dhcpv4OptionText,
  dhcpv4Yiaddr,
  DHCPV4_MESSAGE as MSG,
  DHCPV4_OPTION as OPT,
} from '../../../src/core/wire/dhcpv4.ts';
import { DNS_RCODE, DNS_TYPE, dnsEmitQuery, dnsId, dnsRcode } from '../../../src/core/wire/dns.ts';
import { ethernetDst, MAC_BROADCAST } from '../../../src/core/wire/ethernet.ts';
import {
  arpFrame,
  DHCP_SERVER,
  echoFrame,
  GATEWAY,
  GATEWAY_MAC,
  GUEST,
  GUEST_MAC,
  HOST,
  NETWORK,
  tcpFrame,
  udpFrame,
} from '../../support/frames.ts';
import { Lab, type SentFrame } from '../../support/lab.ts';

/** A DHCP message as a guest without an address sends it. */
function dhcpFrame(
  type: number,
  options: { requested?: number; server?: number; name?: string; unicast?: boolean } = {},
) {
  const { requested, server, name, unicast = false } = options;
  const b = new Uint8Array(400);
  const header = {
    op: 1,
    xid: 0x1234,
    secs: 0,
    broadcast: false,
    ciaddr: 0,
    yiaddr: 0,
    siaddr: 0,
    giaddr: 0,
    chaddr: GUEST_MAC,
  };
  const writer = new Dhcpv4Writer();
  writer.start(b, dhcpv4Emit(b, 0, header), b.length);
  writer.put8(OPT.MESSAGE_TYPE, type);
  if (requested !== undefined) writer.put32(OPT.REQUESTED_ADDRESS, requested);
  if (server !== undefined) writer.put32(OPT.SERVER_ID, server);
  if (name !== undefined) writer.putText(OPT.HOST_NAME, name);
  const payload = b.slice(0, writer.finish(0));
  const to = unicast ? { src: GUEST, dst: DHCP_SERVER } : { src: 0, dst: 0xffff_ffff, dstMac: MAC_BROADCAST };
  return udpFrame({ ...to, srcPort: 68, dstPort: 67, payload });
}

/** A guest that asked for an address and took what was offered. */
function leased(lab: Lab, name: string): number {
  lab.guest.send(dhcpFrame(MSG.DISCOVER, { name }));
  const offer = lab.guest.take()[0]!.payload;
  const requested = dhcpv4Yiaddr(offer, 0);
  const server = dhcpv4Option32(offer, 0, offer.length, OPT.SERVER_ID);
  lab.guest.send(dhcpFrame(MSG.REQUEST, { requested, server, name }));
  expect(dhcpv4MessageType(lab.guest.frames[0]!.payload, 0, lab.guest.take()[0]!.payload.length)).toBe(MSG.ACK);
  return requested;
}

function query(name: string, type: number = DNS_TYPE.A, dst = GATEWAY) {
  const b = new Uint8Array(300);
  return udpFrame({
    dst,
    srcPort: 3333,
    dstPort: 53,
    payload: b.slice(0, dnsEmitQuery(b, 0, 300, 0xabcd, name, type)),
  });
}

/** The address at the end of an answer with one A record. */
function answerOf(frame: SentFrame): number {
  return get32(frame.payload, frame.payload.length - 4);
}

describe('a network with DHCP', () => {
  test('leases an address, told to the MAC of a guest that has none yet, and keeps it before it tells', () => {
    const lab = new Lab();
    lab.guest.send(dhcpFrame(MSG.DISCOVER));
    const [offer, ...others] = lab.guest.take();
    expect([offer!.src, offer!.ports]).toEqual([DHCP_SERVER, { src: 67, dst: 68 }]);
    expect(ethernetDst(offer!.bytes, 0)).toBe(GUEST_MAC);
    expect(offer!.dst).toBe(dhcpv4Yiaddr(offer!.payload, 0));
    const { payload } = offer!;
    expect(dhcpv4Option32(payload, 0, payload.length, OPT.ROUTER)).toBe(GATEWAY);
    expect(dhcpv4OptionText(payload, 0, payload.length, OPT.DOMAIN_NAME)).toBe('vmnet.internal');
    expect(others).toEqual([]);
    const requested = dhcpv4Yiaddr(payload, 0);
    lab.guest.onFrame = () => expect(lab.saved).toHaveLength(1);
    lab.guest.send(dhcpFrame(MSG.REQUEST, { requested, server: DHCP_SERVER }));
    expect(lab.saved).toMatchObject([{ address: requested, mac: GUEST_MAC }]);
    expect(lab.network.leases()).toMatchObject([{ address: requested, mac: GUEST_MAC }]);
  });

  test('takes DHCP at the address of its server too, as a guest that renews sends it', () => {
    const lab = new Lab();
    lab.guest.send(dhcpFrame(MSG.INFORM, { unicast: true }));
    expect(lab.drops).toEqual({});
  });

  test("knows a guest's addresses by lease and by ARP, each once", () => {
    const lab = new Lab();
    const address = leased(lab, 'web');
    lab.guest.send(arpFrame({ spa: address, tpa: GATEWAY }));
    lab.guest.send(arpFrame({ op: ARP_OP.REPLY, spa: NETWORK + 50 }));
    expect(lab.network.addressesOf(GUEST_MAC).sort()).toEqual([address, NETWORK + 50].sort());
  });

  test('gives an address to a guest that is configured from outside, and takes it back', () => {
    const lab = new Lab();
    const address = lab.network.allocate(0x02_00_00_00_00_0b, 'db', 0);
    expect(address).toBeGreaterThanOrEqual(NETWORK + 128);
    expect(lab.network.allocate(0x02_00_00_00_00_0c, 'db2', NETWORK + 9)).toBe(NETWORK + 9);
    lab.guest.send(query('db.vmnet.internal'));
    expect(answerOf(lab.guest.take()[0]!)).toBe(address);
    lab.network.release(0x02_00_00_00_00_0b);
    expect(lab.network.leases().map((lease) => lease.address)).not.toContain(address);
  });
});

describe('a network with DNS', () => {
  test('answers the names of the network and of its guests', () => {
    const lab = new Lab();
    const address = leased(lab, 'Web-1');
    lab.guest.send(query('host.vmnet.internal'));
    lab.guest.send(query('GATEWAY.vmnet.internal'));
    lab.guest.send(query('web-1.vmnet.internal'));
    const answers = lab.guest.take();
    expect(answers.map(answerOf)).toEqual([HOST, GATEWAY, address]);
    expect(answers.every(({ src, dst, ports }) => src === GATEWAY && dst === GUEST && ports.dst === 3333)).toBe(true);
    lab.guest.send(query('nobody.vmnet.internal'));
    expect(dnsRcode(lab.guest.take()[0]!.payload, 0)).toBe(DNS_RCODE.NXDOMAIN);
    expect(lab.world.udp).toEqual([]);
  });

  test("forwards other names to the host's resolver, and the answer comes from the gateway", () => {
    const lab = new Lab();
    lab.world.onDatagram = (socket, { address, port, bytes }) => {
      const answer = bytes.slice();
      answer[2]! |= 0x80;
      socket.arrive(address, port, answer);
    };
    lab.guest.send(query('example.com'));
    lab.settle();
    expect(lab.world.udp[0]!.sent[0]).toMatchObject({ address: 0x0909_0909, port: 53 });
    const [answer, ...others] = lab.guest.take();
    expect([answer!.src, answer!.ports, dnsId(answer!.payload, 0)]).toEqual([GATEWAY, { src: 53, dst: 3333 }, 0xabcd]);
    expect(others).toEqual([]);
    expect(lab.world.openSockets).toBe(0);
  });

  test('asks the resolvers that it was told of last', () => {
    const lab = new Lab();
    lab.network.setResolvers([{ address: 0x0808_0808, port: 5353 }]);
    lab.guest.send(query('example.com'));
    expect(lab.world.udp[0]!.sent[0]).toMatchObject({ address: 0x0808_0808, port: 5353 });
    lab.guest.send(tcpFrame({ dst: GATEWAY, dstPort: 53 }));
    expect(lab.world.tcp[0]!.peer).toMatchObject({ address: 0x0808_0808, port: 5353 });
  });

  test('wakes up for the next try at another resolver', () => {
    const lab = new Lab({ resolvers: [1, 2].map((address) => ({ address, port: 53 })) });
    lab.guest.send(query('example.com'));
    lab.advance(10_000);
    expect(lab.world.udp[0]!.sent.map(({ address }) => address)).toEqual([1, 2]);
    expect(lab.guest.take().map((frame) => dnsRcode(frame.payload, 0))).toEqual([DNS_RCODE.SERVFAIL]);
    expect(lab.network.pollAt()).toBe(Number.POSITIVE_INFINITY);
  });

  test('listens on no other address than the gateway’s', () => {
    const lab = new Lab();
    lab.guest.send(query('host.vmnet.internal', DNS_TYPE.A, DHCP_SERVER));
    expect(lab.guest.take().map((frame) => frame.icmp)).toEqual(['3/3']);
    // .1 is the host: its own name server answers, if it has one.
    lab.guest.send(query('host.vmnet.internal', DNS_TYPE.A, HOST));
    expect(lab.world.udp).toHaveLength(1);
  });
});

describe('a network', () => {
  test('carries frames between guests without its gateway', () => {
    const lab = new Lab();
    const other = lab.plug();
    const mac = 0x02_00_00_00_00_0b;
    other.send(arpFrame({ srcMac: mac, sha: mac, spa: GUEST + 1, tpa: GUEST }));
    expect(lab.guest.take()).toHaveLength(1);
    lab.guest.send(echoFrame({ dst: GUEST + 1, dstMac: mac }));
    expect(other.take()).toHaveLength(1);
    expect(lab.drops).toEqual({});
  });

  test("drops frames in the gateway's name", () => {
    const lab = new Lab();
    lab.guest.send(arpFrame({ srcMac: GATEWAY_MAC }));
    expect(lab.guest.stats.drops).toEqual({ spoofedSource: 1 });
  });

  test('without an address plan is a switch and nothing else', () => {
    const lab = new Lab({ mode: 'segment', ipv4: null, dhcp: null });
    const other = lab.plug();
    lab.guest.send(arpFrame());
    expect(other.take()).toHaveLength(1);
    expect(lab.guest.take()).toEqual([]);
    expect([lab.network.gateway, lab.network.nat, lab.network.flowCount()]).toEqual([null, null, 0]);
    expect([lab.network.leases(), lab.network.flows(9)]).toEqual([[], []]);
    expect(lab.network.pollAt()).toBe(Number.POSITIVE_INFINITY);
    expect(lab.pool.taken).toBe(0);
  });

  test('counts what its gateway sent and got', () => {
    const lab = new Lab();
    lab.guest.send(echoFrame({ dst: GATEWAY, payload: '12345678' }));
    expect(lab.network.gateway!.stats).toEqual({ rxFrames: 1, rxBytes: 50, txFrames: 1, txBytes: 50, drops: {} });
  });

  test('never gives a port number twice', () => {
    const lab = new Lab();
    const first = lab.plug();
    lab.network.detach(first);
    expect(lab.plug().id).toBeGreaterThan(first.id);
  });
});
