import { describe, expect, test } from 'vitest';
import { get16, put16 } from '../../../src/core/base/bytes.ts';
import { CSUM, GSO } from '../../../src/core/link/frame.ts';
import { ARP_OP, arpParse } from '../../../src/core/wire/arp.ts';
import { ETHER_TYPE, ETHERNET_HEADER, ethernetParse, MAC_BROADCAST } from '../../../src/core/wire/ethernet.ts';
import { ICMPV4, icmpv4FillChecksum } from '../../../src/core/wire/icmpv4.ts';
import { IP_PROTOCOL, IPV4_MF, ipv4FillChecksum } from '../../../src/core/wire/ipv4.ts';
import {
  arpFrame,
  DHCP_SERVER,
  echoFrame,
  ethernet,
  GATEWAY,
  GATEWAY_MAC,
  GUEST,
  GUEST_MAC,
  HOST,
  ipv4Frame,
  NETWORK,
  pattern,
  REMOTE,
  tcpFrame,
  udpFrame,
} from '../../support/frames.ts';
import { Lab } from '../../support/lab.ts';

const L3 = ETHERNET_HEADER;
const L4 = L3 + 20;

/** A change to a frame, with the IPv4 header's checksum made right again. */
function changed(frame: Uint8Array, change: (frame: Uint8Array) => void): Uint8Array {
  change(frame);
  ipv4FillChecksum(frame, L3);
  return frame;
}

/** Sends one frame; expects that the gateway drops it for one reason and sends nothing. */
function expectDrop(frame: Uint8Array, reason: string, offload = {}): void {
  const lab = new Lab();
  lab.guest.send(frame, offload);
  lab.settle();
  expect(lab.drops).toEqual({ [reason]: 1 });
  expect(lab.guest.take()).toEqual([]);
  expect(lab.world.openSockets).toBe(0);
  expect(lab.network.flowCount()).toBe(0);
}

/** Sends one frame; expects one ICMP error about it. */
function expectError(frame: Uint8Array, reason: string, icmp: string, lab = new Lab()): void {
  lab.guest.send(frame);
  lab.settle();
  expect(lab.drops).toEqual({ [reason]: 1 });
  const [error, ...others] = lab.guest.take();
  expect(error?.icmp).toBe(icmp);
  expect(error?.src).toBe(GATEWAY);
  expect(error?.dst).toBe(GUEST);
  expect(error?.payload).toEqual(frame.slice(L3, L3 + 548));
  expect(others).toEqual([]);
}

describe('the gateway, asked by ARP,', () => {
  test.each([
    ['the gateway', GATEWAY],
    ['the host', HOST],
    ['the DHCP server', DHCP_SERVER],
  ])('answers for %s', (_name, tpa) => {
    const lab = new Lab();
    lab.guest.send(arpFrame({ tpa }));
    const [reply, ...others] = lab.guest.take();
    expect(ethernetParse(reply!.bytes, 0)).toEqual({ dst: GUEST_MAC, src: GATEWAY_MAC, etherType: ETHER_TYPE.ARP });
    expect(arpParse(reply!.bytes, L3)).toEqual({
      op: ARP_OP.REPLY,
      sha: GATEWAY_MAC,
      spa: tpa,
      tha: GUEST_MAC,
      tpa: GUEST,
    });
    expect(others).toEqual([]);
  });

  test.each([
    ['another guest', NETWORK + 77],
    ['a remote host', REMOTE],
    ['the unspecified address', 0],
    ['everybody', NETWORK + 255],
  ])('is silent about %s', (_name, tpa) => {
    const lab = new Lab();
    lab.guest.send(arpFrame({ tpa }));
    expect(lab.guest.take()).toEqual([]);
    expect(lab.drops).toEqual({});
  });

  test("is silent when a guest probes for an address of its own (RFC 5227), and defends the network's", () => {
    const lab = new Lab();
    lab.guest.send(arpFrame({ spa: 0, tpa: NETWORK + 130 }));
    expect(lab.guest.take()).toEqual([]);
    lab.guest.send(arpFrame({ spa: 0, tpa: GATEWAY }));
    expect(arpParse(lab.guest.take()[0]!.bytes, L3)).toMatchObject({ op: ARP_OP.REPLY, spa: GATEWAY, tpa: 0 });
    expect(lab.network.neighbors.size).toBe(0);
  });

  test('is silent about replies and other operations', () => {
    const lab = new Lab();
    lab.guest.send(arpFrame({ op: ARP_OP.REPLY, tpa: GATEWAY }));
    lab.guest.send(arpFrame({ op: 3, tpa: GATEWAY }));
    expect(lab.guest.take()).toEqual([]);
  });

  test("learns who has which address, never the network's own ones, nor from outside", () => {
    const lab = new Lab();
    lab.guest.send(arpFrame({ tpa: NETWORK + 99 }));
    lab.guest.send(arpFrame({ spa: GATEWAY, tpa: NETWORK + 99 }));
    lab.guest.send(arpFrame({ spa: REMOTE, tpa: NETWORK + 99 }));
    expect(lab.network.neighbors.macOf(GUEST)).toBe(GUEST_MAC);
    expect(lab.network.neighbors.size).toBe(1);
    expect(lab.network.addressesOf(GUEST_MAC)).toEqual([GUEST]);
  });

  test.each([
    ['a truncated packet', arpFrame().slice(0, L3 + 27)],
    ['another hardware', changedArp((b) => put16(b, L3, 6))],
    ["a group's hardware address, to which the answer would be flooded", arpFrame({ sha: MAC_BROADCAST })],
    ['hardware address zero', arpFrame({ sha: 0 })],
  ])('drops %s', (_name, frame) => expectDrop(frame, 'arpMalformed'));

  test('leaves the host to its adapter on a network that only serves DHCP', () => {
    const lab = new Lab({ mode: 'hostonly', resolvers: [] });
    lab.guest.send(arpFrame({ tpa: HOST }));
    lab.guest.send(arpFrame({ tpa: GATEWAY }));
    expect(lab.guest.take()).toEqual([]);
    lab.guest.send(arpFrame({ tpa: DHCP_SERVER }));
    expect(lab.guest.take()).toHaveLength(1);
  });
});

function changedArp(change: (frame: Uint8Array) => void): Uint8Array {
  const frame = arpFrame();
  change(frame);
  return frame;
}

describe('the gateway, pinged,', () => {
  test.each([
    ['gateway', GATEWAY],
    ['host', HOST],
    ['DHCP server', DHCP_SERVER],
  ])('answers for the %s with the same identifier, sequence number and bytes', (_name, dst) => {
    const lab = new Lab();
    lab.guest.send(echoFrame({ dst, identifier: 0xbeef, sequence: 0xfffe, payload: pattern(0, 1400) }));
    const [reply, ...others] = lab.guest.take();
    expect(reply!.icmp).toBe('0/0');
    expect(reply!.src).toBe(dst);
    expect(reply!.dst).toBe(GUEST);
    expect(get16(reply!.bytes, L4 + 4)).toBe(0xbeef);
    expect(get16(reply!.bytes, L4 + 6)).toBe(0xfffe);
    expect(reply!.payload).toEqual(pattern(0, 1400));
    expect(others).toEqual([]);
    expect(lab.world.echo).toEqual([]);
  });

  test('leaves Ethernet padding out of the reply', () => {
    const lab = new Lab();
    const padded = new Uint8Array(60).fill(0xee);
    padded.set(echoFrame({ dst: GATEWAY, payload: 'hi' }));
    lab.guest.send(padded);
    expect(lab.guest.take()[0]!.payload).toHaveLength(2);
  });

  test('takes a request with IPv4 options', () => {
    const lab = new Lab();
    lab.guest.send(echoFrame({ dst: GATEWAY, optionBytes: 8, payload: 'with options' }));
    expect(String.fromCharCode(...lab.guest.take()[0]!.payload)).toBe('with options');
  });

  test('answers no broadcast and no multicast ping', () => {
    expectDrop(echoFrame({ dst: 0xffff_ffff, dstMac: MAC_BROADCAST }), 'broadcast');
    expectDrop(echoFrame({ dst: NETWORK + 255, dstMac: MAC_BROADCAST }), 'broadcast');
    expectDrop(echoFrame({ dst: 0xe000_0001, dstMac: 0x0100_5e00_0001 }), 'multicast');
  });
});

describe('the gateway as a router', () => {
  test('tells of a TTL that ran out, whatever the protocol', () => {
    expectError(tcpFrame({ ttl: 1 }), 'ttlExceeded', '11/0');
    expectError(udpFrame({ ttl: 1, payload: pattern(0, 1000) }), 'ttlExceeded', '11/0');
    expectError(echoFrame({ ttl: 1 }), 'ttlExceeded', '11/0');
    expectError(echoFrame({ ttl: 0 }), 'ttlExceeded', '11/0');
  });

  test('takes TTL 1 for its own addresses and the host next door', () => {
    const lab = new Lab();
    lab.guest.send(echoFrame({ ttl: 1, dst: GATEWAY }));
    lab.guest.send(echoFrame({ ttl: 1, dst: HOST }));
    lab.guest.send(udpFrame({ ttl: 1, dst: HOST, payload: 'x' }));
    expect(lab.guest.take().map((frame) => frame.icmp)).toEqual(['0/0', '0/0']);
    expect(lab.world.udp).toHaveLength(1);
  });

  test('tells of a protocol that it does not know', () => {
    expectError(ipv4Frame(47, pattern(0, 40)), 'ipProtocol', '3/2');
    expectError(ipv4Frame(47, pattern(0, 40), { dst: GATEWAY }), 'ipProtocol', '3/2');
  });

  test('tells of a closed UDP port of its own', () => {
    expectError(udpFrame({ dst: GATEWAY, dstPort: 4711, payload: 'x' }), 'portUnreachable', '3/3');
  });

  test('sends no error about an error, nor about a message that nobody asked for', () => {
    for (const type of [ICMPV4.UNREACHABLE, ICMPV4.TIME_EXCEEDED, ICMPV4.ECHO_REPLY, 13]) {
      expectDrop(echoFrame({ type, ttl: 1 }), 'icmpType');
      expectDrop(echoFrame({ type }), 'icmpType');
      expectDrop(echoFrame({ type, dst: GATEWAY }), 'icmpType');
    }
  });

  test('limits the rate of its errors, and recovers', () => {
    const lab = new Lab();
    for (let i = 0; i < 500; i++) lab.guest.send(udpFrame({ ttl: 1 }));
    expect(lab.guest.take()).toHaveLength(200);
    lab.advance(50);
    for (let i = 0; i < 500; i++) lab.guest.send(udpFrame({ ttl: 1 }));
    expect(lab.guest.take()).toHaveLength(50);
    expect(lab.drops).toEqual({ ttlExceeded: 1000 });
  });

  test('routes nothing on a network that is not NAT', () => {
    const lab = new Lab({ mode: 'hostonly', resolvers: [] });
    lab.guest.send(tcpFrame());
    lab.guest.send(udpFrame());
    expect(lab.guest.take()).toEqual([]);
    expect(lab.drops).toEqual({ noGateway: 2 });
  });
});

describe('the gateway drops, and counts by reason,', () => {
  const partial = { csum: CSUM.PARTIAL, csumStart: L4, csumOffset: 16 };

  test('what is no frame for it', () => {
    expectDrop(ethernet(pattern(0, 46), 0x88cc, 0x0180_c200_000e), 'etherType');
    expectDrop(ethernet(pattern(0, 60), ETHER_TYPE.IPV6, 0x3333_0000_0001), 'ipv6');
    expectDrop(tcpFrame({ dstMac: 0x02_00_00_00_00_99 }), 'otherStation');
  });

  test('a malformed IPv4 header', () => {
    expectDrop(tcpFrame().slice(0, L3 + 19), 'ipMalformed');
    expectDrop(
      changed(tcpFrame(), (b) => (b[L3] = 0x65)),
      'ipMalformed',
    );
    expectDrop(
      changed(tcpFrame(), (b) => (b[L3] = 0x44)),
      'ipMalformed',
    );
    expectDrop(
      changed(tcpFrame(), (b) => put16(b, L3 + 2, 9999)),
      'ipMalformed',
    );
    expectDrop(
      changed(tcpFrame(), (b) => put16(b, L3 + 2, 19)),
      'ipMalformed',
    );
  });

  test('a wrong IPv4 checksum', () => {
    const frame = tcpFrame();
    frame[L3 + 8] = 63;
    expectDrop(frame, 'ipChecksum');
  });

  test('fragments', () => {
    expectDrop(udpFrame({ flagsFragment: IPV4_MF, payload: 'part' }), 'ipFragment');
    expectDrop(udpFrame({ flagsFragment: 185, payload: 'part' }), 'ipFragment');
  });

  test('a malformed L4 header', () => {
    expectDrop(ipv4Frame(IP_PROTOCOL.TCP, pattern(0, 19)), 'tcpMalformed');
    expectDrop(
      changed(tcpFrame(), (b) => (b[L4 + 12] = 0x40)),
      'tcpMalformed',
    );
    expectDrop(
      changed(tcpFrame(), (b) => (b[L4 + 12] = 0xf0)),
      'tcpMalformed',
    );
    expectDrop(ipv4Frame(IP_PROTOCOL.UDP, pattern(0, 7)), 'udpMalformed');
    expectDrop(
      changed(udpFrame(), (b) => put16(b, L4 + 4, 9)),
      'udpMalformed',
    );
    expectDrop(
      changed(udpFrame(), (b) => put16(b, L4 + 4, 7)),
      'udpMalformed',
    );
    expectDrop(ipv4Frame(IP_PROTOCOL.ICMP, pattern(0, 7)), 'icmpMalformed');
  });

  test('a wrong L4 checksum', () => {
    for (const make of [tcpFrame, udpFrame, echoFrame]) {
      for (const dst of [REMOTE, GATEWAY]) {
        const frame = make({ dst, payload: pattern(0, 33) });
        frame[frame.length - 1]! ^= 1;
        expectDrop(frame, 'l4Checksum');
      }
    }
  });

  test('offload state that does not fit the frame', () => {
    expectDrop(tcpFrame(), 'offloadMalformed', { ...partial, csumStart: 9999 });
    expectDrop(tcpFrame(), 'offloadMalformed', { ...partial, csumOffset: -1 });
    expectDrop(tcpFrame(), 'offloadMalformed', { ...partial, gsoType: GSO.TCPV4, gsoSize: 0 });
    expectDrop(tcpFrame(), 'offloadMalformed', { gsoType: GSO.TCPV4, gsoSize: 1460 });
    expectDrop(udpFrame({ payload: pattern(0, 999) }), 'offloadMalformed', {
      csum: CSUM.PARTIAL,
      csumStart: L4,
      csumOffset: 6,
      gsoType: GSO.UDP_L4,
      gsoSize: 1,
    });
    expectDrop(udpFrame({ payload: pattern(0, 999) }), 'offloadMalformed', {
      csum: CSUM.VALID,
      gsoType: GSO.UDP_L4,
      gsoSize: 100,
    });
  });

  test('a source that no guest has', () => {
    for (const src of [REMOTE, 0, HOST, GATEWAY, DHCP_SERVER, NETWORK, NETWORK + 255, 0x7f00_0001]) {
      expectDrop(tcpFrame({ src }), 'foreignSource');
      expectDrop(udpFrame({ src, ttl: 1 }), 'foreignSource');
    }
  });

  test('a packet for one that was sent to all by Ethernet', () => {
    expectDrop(tcpFrame({ dstMac: MAC_BROADCAST }), 'linkBroadcast');
    expectDrop(udpFrame({ dstMac: MAC_BROADCAST, ttl: 1 }), 'linkBroadcast');
  });

  test('broadcasts that are not for the DHCP server', () => {
    expectDrop(udpFrame({ dst: 0xffff_ffff, dstPort: 137, dstMac: MAC_BROADCAST }), 'broadcast');
    expectDrop(tcpFrame({ dst: NETWORK + 255, dstMac: MAC_BROADCAST }), 'broadcast');
  });
});

test('the gateway trusts a checksum that the frame says is known to be right', () => {
  const lab = new Lab();
  const frame = echoFrame({ dst: GATEWAY });
  frame[L4 + 2]! ^= 0xff;
  lab.guest.send(frame, { csum: CSUM.VALID });
  expect(lab.guest.take()[0]!.icmp).toBe('0/0');
});

test('the gateway finishes no checksum of what it takes from a guest with offloads', () => {
  const lab = new Lab();
  const frame = udpFrame({ payload: 'x' });
  put16(frame, L4 + 6, 0x1234);
  lab.guest.send(frame, { csum: CSUM.PARTIAL, csumStart: L4, csumOffset: 6 });
  expect(lab.world.udp[0]!.sent).toHaveLength(1);
});

test('the gateway reads no byte behind an ICMP message that Ethernet padded', () => {
  const frame = new Uint8Array(60).fill(0xee);
  const echo = echoFrame({ dst: GATEWAY, payload: '' });
  icmpv4FillChecksum(echo, L4, echo.length);
  frame.set(echo);
  const lab = new Lab();
  lab.guest.send(frame);
  expect(lab.guest.take()[0]!.payload).toHaveLength(0);
});
