import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DhcpServerPlan, LeaseRecord } from '../../../src/core/services/dhcp/lease.ts';
import { DECLINE_MS, DhcpServer, OFFER_HOLD_MS } from '../../../src/core/services/dhcp/server.ts';
import {
  Dhcpv4Options,
  Dhcpv4Writer,
  dhcpv4Emit,
  dhcpv4IsValid,
  dhcpv4MessageType,
  dhcpv4Option32,
  dhcpv4OptionText,
  dhcpv4Parse,
  DHCPV4_MESSAGE as MSG,
  DHCPV4_OPTION as OPT,
} from '../../../src/core/wire/dhcpv4.ts';
import { ManualClock } from '../../support/memory-world.ts';

const NET = 0xc0a8_5800;
const SERVER = NET + 254;
const GATEWAY = NET + 2;
const A = 0x0200_0000_000a;
const B = 0x0200_0000_000b;
const BROADCAST = 0xffff_ffff;
const WALL = 1_700_000_000_000;

interface Ask {
  type: number;
  mac: number;
  ciaddr?: number;
  requested?: number;
  server?: number;
  clientId?: number[];
  name?: string;
  parameters?: number[];
  broadcast?: boolean;
  maxSize?: number;
}

interface Reply {
  type: number;
  yiaddr: number;
  ciaddr: number;
  xid: number;
  length: number;
  to: number;
  toMac: number;
  options: Map<number, number[]>;
  bytes: Uint8Array;
}

class Lab {
  readonly clock = new ManualClock(5_000);
  readonly saved: LeaseRecord[] = [];
  readonly plan: DhcpServerPlan;
  server: DhcpServer;
  wallOffset = WALL;

  constructor(plan: Partial<DhcpServerPlan> = {}) {
    this.plan = {
      network: NET,
      prefixLength: 24,
      serverId: SERVER,
      router: GATEWAY,
      dns: [GATEWAY],
      domain: 'vmnet.internal',
      mtu: 1500,
      rangeStart: NET + 128,
      rangeEnd: NET + 253,
      leaseSeconds: 1800,
      reservations: [],
      taken: [NET + 1, GATEWAY, SERVER],
      ownNames: ['host', 'gateway'],
      leases: [],
      ...plan,
    };
    this.server = this.start(this.plan);
  }

  start(plan: DhcpServerPlan): DhcpServer {
    return new DhcpServer(plan, {
      clock: this.clock,
      wallClock: () => this.wallOffset + this.clock.now,
      save: (record) => this.saved.push(record),
    });
  }

  /** A new server that knows what the old one saved. */
  restart(plan: Partial<DhcpServerPlan> = {}): void {
    this.clock.now += 1;
    this.server = this.start({ ...this.plan, leases: this.saved.slice(), ...plan });
  }

  send(ask: Ask): Reply | null {
    const b = new Uint8Array(700).fill(0xa5);
    const at = dhcpv4Emit(b, 7, {
      op: 1,
      xid: 0xdead_beef,
      secs: 0,
      broadcast: ask.broadcast ?? false,
      ciaddr: ask.ciaddr ?? 0,
      yiaddr: 0,
      siaddr: 0,
      giaddr: 0,
      chaddr: ask.mac,
    });
    const w = new Dhcpv4Writer();
    w.start(b, 7 + at, b.length);
    if (ask.type !== 0) w.put8(OPT.MESSAGE_TYPE, ask.type);
    if (ask.requested !== undefined) w.put32(OPT.REQUESTED_ADDRESS, ask.requested);
    if (ask.server !== undefined) w.put32(OPT.SERVER_ID, ask.server);
    if (ask.clientId) w.putBytes(OPT.CLIENT_ID, Uint8Array.from(ask.clientId), 0, ask.clientId.length);
    if (ask.name !== undefined) w.putText(OPT.HOST_NAME, ask.name);
    if (ask.maxSize !== undefined) w.put16(OPT.MAX_MESSAGE_SIZE, ask.maxSize);
    if (ask.parameters) w.putBytes(OPT.PARAMETER_LIST, Uint8Array.from(ask.parameters), 0, ask.parameters.length);
    return this.input(b, 7, 7 + w.finish(7));
  }

  input(b: Uint8Array, off: number, end: number): Reply | null {
    const out = new Uint8Array(2000).fill(0xa5);
    const length = this.server.input(b, off, end, out, 33);
    expect(out.subarray(0, 33).every((byte) => byte === 0xa5)).toBe(true);
    expect(out.subarray(33 + length).every((byte) => byte === 0xa5)).toBe(true);
    if (length === 0) return null;
    expect(dhcpv4IsValid(out, 33, 33 + length)).toBe(true);
    const header = dhcpv4Parse(out, 33);
    const options = new Map<number, number[]>();
    const walk = new Dhcpv4Options();
    walk.start(out, 33, 33 + length);
    while (walk.next()) options.set(walk.code, [...out.subarray(walk.at, walk.at + walk.length)]);
    return {
      type: dhcpv4MessageType(out, 33, 33 + length),
      yiaddr: header.yiaddr,
      ciaddr: header.ciaddr,
      xid: header.xid,
      length,
      to: this.server.replyAddress,
      toMac: this.server.replyMac,
      options,
      bytes: out.slice(33, 33 + length),
    };
  }

  /** DISCOVER and REQUEST; returns the address. */
  join(mac: number, more: Partial<Ask> = {}): number {
    const offer = this.send({ type: MSG.DISCOVER, mac, ...more });
    if (offer === null) return 0;
    const ack = this.send({ type: MSG.REQUEST, mac, ...more, requested: offer.yiaddr, server: SERVER });
    expect(ack?.type).toBe(MSG.ACK);
    expect(ack?.yiaddr).toBe(offer.yiaddr);
    return offer.yiaddr;
  }
}

const u32 = (n: number) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];

describe('DHCP server: the exchange', () => {
  test('offers the first address of the range and acknowledges it', () => {
    const lab = new Lab();
    const offer = lab.send({ type: MSG.DISCOVER, mac: A })!;
    expect(offer).toMatchObject({ type: MSG.OFFER, yiaddr: NET + 128, xid: 0xdead_beef, to: NET + 128, toMac: A });
    expect(lab.saved).toEqual([]);
    const ack = lab.send({ type: MSG.REQUEST, mac: A, requested: offer.yiaddr, server: SERVER })!;
    expect(ack).toMatchObject({ type: MSG.ACK, yiaddr: NET + 128, ciaddr: 0, to: NET + 128, toMac: A });
    const record = { address: NET + 128, mac: A, clientId: null, name: null, expiresAt: WALL + 5_000 + 1_800_000 };
    expect(lab.saved).toEqual([record]);
    expect(lab.server.leases()).toEqual([record]);
    expect(lab.server.counters).toMatchObject({ discover: 1, offer: 1, request: 1, ack: 1, nak: 0 });
  });

  test('tells all that a guest needs, in at least 300 bytes', () => {
    const lab = new Lab();
    const offer = lab.send({ type: MSG.DISCOVER, mac: A })!;
    expect(offer.length).toBeGreaterThanOrEqual(300);
    expect([...offer.options]).toEqual([
      [OPT.MESSAGE_TYPE, [MSG.OFFER]],
      [OPT.SERVER_ID, u32(SERVER)],
      [OPT.LEASE_TIME, u32(1800)],
      [OPT.RENEWAL_TIME, u32(900)],
      [OPT.REBINDING_TIME, u32(1575)],
      [OPT.SUBNET_MASK, [255, 255, 255, 0]],
      [OPT.ROUTER, u32(GATEWAY)],
      [OPT.DNS, u32(GATEWAY)],
      [OPT.DOMAIN_NAME, [...'vmnet.internal'].map((c) => c.charCodeAt(0))],
      [OPT.BROADCAST_ADDRESS, u32(NET + 255)],
    ]);
  });

  test('answers a parameter list in its order, the mask before all, nothing twice, nothing unasked', () => {
    const lab = new Lab({ mtu: 1500 });
    const parameters = [OPT.MTU, OPT.DNS, OPT.ROUTER, OPT.DNS, 42, OPT.SUBNET_MASK];
    const offer = lab.send({ type: MSG.DISCOVER, mac: A, parameters })!;
    expect([...offer.options.keys()].slice(5)).toEqual([OPT.SUBNET_MASK, OPT.MTU, OPT.DNS, OPT.ROUTER]);
    expect(offer.options.get(OPT.MTU)).toEqual([1500 >> 8, 1500 & 255]);
  });

  test('tells an MTU other than 1500 unasked, and no router where there is none', () => {
    const lab = new Lab({ mtu: 65520, router: 0, dns: [] });
    const offer = lab.send({ type: MSG.DISCOVER, mac: A, parameters: [OPT.ROUTER, OPT.DNS] })!;
    expect([...offer.options.keys()].slice(5)).toEqual([OPT.SUBNET_MASK, OPT.MTU]);
  });

  test("echoes the client's identifier", () => {
    const offer = new Lab().send({ type: MSG.DISCOVER, mac: A, clientId: [255, 1, 2, 3] })!;
    expect(offer.options.get(OPT.CLIENT_ID)).toEqual([255, 1, 2, 3]);
  });

  test('leaves out what exceeds the maximum message size', () => {
    const lab = new Lab({ domain: 'd'.repeat(250) });
    const clientId = Array.from({ length: 200 }, (_, i) => i);
    const small = lab.send({ type: MSG.DISCOVER, mac: A, clientId })!;
    expect(small.length).toBeLessThanOrEqual(548);
    expect(small.options.has(OPT.DOMAIN_NAME)).toBe(false);
    expect(small.options.has(OPT.BROADCAST_ADDRESS)).toBe(true);
    const large = lab.send({ type: MSG.DISCOVER, mac: A, clientId, maxSize: 1500 })!;
    expect(large.options.has(OPT.DOMAIN_NAME)).toBe(true);
  });

  test('broadcasts to a client that asks for it, but not to one that has an address', () => {
    const lab = new Lab();
    expect(lab.send({ type: MSG.DISCOVER, mac: A, broadcast: true })).toMatchObject({
      to: BROADCAST,
      toMac: 0xffff_ffff_ffff,
    });
    const address = lab.join(A);
    const renewed = lab.send({ type: MSG.REQUEST, mac: A, ciaddr: address, broadcast: true });
    expect(renewed).toMatchObject({ type: MSG.ACK, to: address, toMac: A, ciaddr: address, yiaddr: address });
  });
});

describe('DHCP server: who gets which address', () => {
  test('gives a guest that asks again its old address, though the lease ran out long ago', () => {
    const lab = new Lab();
    const address = lab.join(A);
    lab.join(B);
    lab.clock.advance(7 * 86_400_000);
    expect(lab.server.leases()).toEqual([]);
    expect(lab.join(A)).toBe(address);
  });

  test('gives a wanted address when it is free, another when it is not', () => {
    const lab = new Lab();
    expect(lab.join(A, { requested: NET + 200 })).toBe(NET + 200);
    expect(lab.send({ type: MSG.DISCOVER, mac: B, requested: NET + 200 })?.yiaddr).toBe(NET + 128);
    expect(lab.send({ type: MSG.DISCOVER, mac: B + 1, requested: NET + 2 })?.yiaddr).toBe(NET + 129);
    expect(lab.send({ type: MSG.DISCOVER, mac: B + 2, requested: NET + 50 })?.yiaddr).toBe(NET + 130);
  });

  test('keeps an offered address from others for some seconds', () => {
    const lab = new Lab({ rangeStart: NET + 128, rangeEnd: NET + 128 });
    lab.send({ type: MSG.DISCOVER, mac: A });
    expect(lab.send({ type: MSG.DISCOVER, mac: B })).toBeNull();
    expect(lab.server.counters.poolExhausted).toBe(1);
    lab.clock.advance(OFFER_HOLD_MS);
    expect(lab.send({ type: MSG.DISCOVER, mac: B })?.yiaddr).toBe(NET + 128);
  });

  test('skips addresses that are taken, reserved, or the network itself', () => {
    const lab = new Lab({
      rangeStart: NET,
      rangeEnd: NET + 255,
      reservations: [{ mac: B, address: NET + 3, name: null }],
    });
    expect(lab.join(A)).toBe(NET + 4);
    expect(lab.send({ type: MSG.DISCOVER, mac: A + 7, requested: NET + 255 })?.yiaddr).toBe(NET + 5);
  });

  test('reuses the lease that ended longest ago when all are given away, and is silent when none has ended', () => {
    const lab = new Lab({ rangeStart: NET + 128, rangeEnd: NET + 130 });
    const first = lab.join(1);
    lab.clock.advance(1_000);
    lab.join(2);
    lab.clock.advance(1_000);
    lab.join(3);
    expect(lab.send({ type: MSG.DISCOVER, mac: 4 })).toBeNull();
    lab.clock.advance(1_798_000 - 1);
    expect(lab.send({ type: MSG.DISCOVER, mac: 4 })).toBeNull();
    expect(lab.server.counters.poolExhausted).toBe(2);
    lab.clock.advance(1);
    expect(lab.join(4)).toBe(first);
    expect(lab.send({ type: MSG.REQUEST, mac: 1, requested: first })?.type).toBe(MSG.NAK);
  });

  test('finds an address that was released a moment after it searched in vain', () => {
    const lab = new Lab({ rangeEnd: NET + 128 });
    const address = lab.join(A);
    expect(lab.send({ type: MSG.DISCOVER, mac: B })).toBeNull();
    lab.send({ type: MSG.RELEASE, mac: A, ciaddr: address, server: SERVER });
    expect(lab.join(B)).toBe(address);
  });

  test('gives a reservation to its MAC only, whatever identifier it sends, outside of the range too', () => {
    const lab = new Lab({ reservations: [{ mac: A, address: NET + 10, name: 'web' }] });
    expect(lab.join(B, { requested: NET + 10 })).toBe(NET + 128);
    expect(lab.join(A)).toBe(NET + 10);
    expect(lab.join(A, { clientId: [255, 9, 9] })).toBe(NET + 10);
    expect(lab.server.leases().map((lease) => lease.name)).toEqual(['web', null]);
  });

  test('moves a guest to the reservation that was made for it', () => {
    const lab = new Lab();
    const old = lab.join(A);
    lab.restart({ reservations: [{ mac: A, address: NET + 10, name: null }] });
    expect(lab.send({ type: MSG.REQUEST, mac: A, ciaddr: old })?.type).toBe(MSG.NAK);
    expect(lab.join(A)).toBe(NET + 10);
    expect(lab.server.leases().map((lease) => lease.address)).toEqual([NET + 10]);
    lab.restart();
    expect(lab.server.leases().map((lease) => lease.address)).toEqual([NET + 10]);
  });

  test('tells two identifiers behind one MAC apart, but not one that only spells the MAC', () => {
    const lab = new Lab();
    const plain = lab.join(A);
    expect(lab.join(A, { clientId: [1, 0x02, 0, 0, 0, 0, 0x0a] })).toBe(plain);
    expect(lab.join(A, { clientId: [255, 1, 2, 3, 4] })).toBe(NET + 129);
    expect(lab.join(B, { clientId: [255, 1, 2, 3, 4] })).toBe(NET + 129);
  });
});

describe('DHCP server: requests', () => {
  test('refuses an address that has become another guest’s', () => {
    const lab = new Lab();
    const address = lab.join(A);
    const nak = lab.send({ type: MSG.REQUEST, mac: B, requested: address, server: SERVER })!;
    expect(nak).toMatchObject({ type: MSG.NAK, yiaddr: 0, ciaddr: 0, to: BROADCAST, toMac: 0xffff_ffff_ffff });
    expect(nak.options.has(OPT.LEASE_TIME)).toBe(false);
    expect(dhcpv4OptionText(nak.bytes, 0, nak.length, OPT.MESSAGE)).toBe('that address is not yours');
    expect(dhcpv4Option32(nak.bytes, 0, nak.length, OPT.SERVER_ID)).toBe(SERVER);
  });

  test('acknowledges a rebooted guest, and refuses one that it does not know or that comes from elsewhere', () => {
    const lab = new Lab();
    const address = lab.join(A);
    expect(lab.send({ type: MSG.REQUEST, mac: A, requested: address })?.type).toBe(MSG.ACK);
    expect(lab.send({ type: MSG.REQUEST, mac: A, requested: address + 1 })?.type).toBe(MSG.NAK);
    expect(lab.send({ type: MSG.REQUEST, mac: A, requested: 0x0a00_0005 })?.type).toBe(MSG.NAK);
    expect(lab.send({ type: MSG.REQUEST, mac: B, requested: NET + 140 })?.type).toBe(MSG.NAK);
    expect(lab.server.leases()).toHaveLength(1);
  });

  test('renews a lease, and takes in a renewing guest that it has forgotten when its address is free', () => {
    const lab = new Lab();
    const address = lab.join(A);
    lab.clock.advance(900_000);
    expect(lab.send({ type: MSG.REQUEST, mac: A, ciaddr: address })?.type).toBe(MSG.ACK);
    expect(lab.server.leases()[0]?.expiresAt).toBe(WALL + lab.clock.now + 1_800_000);
    expect(lab.send({ type: MSG.REQUEST, mac: B, ciaddr: NET + 150 })?.type).toBe(MSG.ACK);
    expect(lab.send({ type: MSG.REQUEST, mac: B + 1, ciaddr: address })?.type).toBe(MSG.NAK);
    expect(lab.send({ type: MSG.REQUEST, mac: B + 1, ciaddr: NET + 20 })?.type).toBe(MSG.NAK);
  });

  test('takes its offer back when the guest chose another server', () => {
    const lab = new Lab({ rangeEnd: NET + 128 });
    lab.send({ type: MSG.DISCOVER, mac: A });
    expect(lab.send({ type: MSG.REQUEST, mac: A, requested: NET + 77, server: NET + 77 })).toBeNull();
    expect(lab.send({ type: MSG.DISCOVER, mac: B })?.yiaddr).toBe(NET + 128);
  });

  test('writes no more than one record a second for a guest that repeats itself', () => {
    const lab = new Lab();
    const address = lab.join(A);
    for (let i = 0; i < 100; i++) {
      expect(lab.send({ type: MSG.REQUEST, mac: A, ciaddr: address })?.type).toBe(MSG.ACK);
    }
    expect(lab.saved).toHaveLength(1);
    lab.clock.advance(1_000);
    lab.send({ type: MSG.REQUEST, mac: A, ciaddr: address });
    expect(lab.saved).toHaveLength(2);
  });

  test('gives a declined address to nobody for ten minutes, not even to the one that declined it', () => {
    const lab = new Lab({ rangeEnd: NET + 129 });
    const address = lab.join(A);
    expect(lab.send({ type: MSG.DECLINE, mac: B, requested: address, server: SERVER })).toBeNull();
    expect(lab.server.leases()).toHaveLength(1);
    expect(lab.send({ type: MSG.DECLINE, mac: A, requested: address, server: SERVER })).toBeNull();
    expect(lab.server.leases()).toHaveLength(0);
    expect(lab.join(A)).toBe(NET + 129);
    expect(lab.send({ type: MSG.DISCOVER, mac: B, requested: address })).toBeNull();
    lab.clock.advance(DECLINE_MS);
    expect(lab.join(B)).toBe(address);
    expect(lab.saved[1]).toMatchObject({ address, mac: A, expiresAt: WALL + 5_000 });
  });

  test('ends a released lease at once, on disk too, but remembers whose it was', () => {
    const lab = new Lab();
    const address = lab.join(A);
    expect(lab.send({ type: MSG.RELEASE, mac: B, ciaddr: address, server: SERVER })).toBeNull();
    expect(lab.server.leases()).toHaveLength(1);
    expect(lab.send({ type: MSG.RELEASE, mac: A, ciaddr: address, server: SERVER })).toBeNull();
    expect(lab.server.leases()).toEqual([]);
    expect(lab.saved[1]).toMatchObject({ address, mac: A, expiresAt: WALL + 5_000 });
    lab.restart();
    expect(lab.server.leases()).toEqual([]);
    expect(lab.server.counters).toMatchObject({ release: 0 });
  });

  test('informs without giving an address or times', () => {
    const lab = new Lab();
    const ack = lab.send({ type: MSG.INFORM, mac: A, ciaddr: NET + 20, broadcast: true })!;
    expect(ack).toMatchObject({ type: MSG.ACK, yiaddr: 0, ciaddr: NET + 20, to: NET + 20, toMac: A });
    expect([OPT.LEASE_TIME, OPT.RENEWAL_TIME, OPT.REBINDING_TIME].some((code) => ack.options.has(code))).toBe(false);
    expect(ack.options.has(OPT.ROUTER)).toBe(true);
    expect(lab.send({ type: MSG.INFORM, mac: A, ciaddr: 0x0808_0808 })).toBeNull();
    expect(lab.server.leases()).toEqual([]);
  });

  test('drops by a named reason what is no request of a guest', () => {
    const lab = new Lab();
    lab.send({ type: 0, mac: A });
    lab.send({ type: MSG.OFFER, mac: A });
    lab.send({ type: MSG.DISCOVER, mac: 0x0100_5e00_0001 });
    lab.send({ type: MSG.DISCOVER, mac: 0 });
    lab.send({ type: MSG.REQUEST, mac: A });
    lab.input(new Uint8Array(300), 0, 300);
    expect(lab.server.counters).toMatchObject({ bootp: 1, messageType: 1, clientMac: 2, noAddress: 1, malformed: 1 });
  });
});

describe('DHCP server: names', () => {
  test('knows guests by the name that they give, as a label', () => {
    const lab = new Lab();
    const address = lab.join(A, { name: 'Web.example.org' });
    expect(lab.server.addressOf('web')).toBe(address);
    expect(lab.server.nameOf(address)).toBe('web');
    lab.send({ type: MSG.REQUEST, mac: A, ciaddr: address });
    expect(lab.server.addressOf('web')).toBe(address);
    lab.clock.advance(1_800_000);
    expect(lab.server.addressOf('web')).toBe(0);
    expect(lab.server.nameOf(address)).toBeNull();
  });

  test('leaves a name to the guest that has it, and takes none that is reserved, our own or no label', () => {
    const lab = new Lab({ reservations: [{ mac: 99, address: NET + 10, name: 'db' }] });
    const first = lab.join(A, { name: 'web' });
    const second = lab.join(B, { name: 'web' });
    expect(lab.server.addressOf('web')).toBe(first);
    expect(lab.server.nameOf(second)).toBeNull();
    for (const [i, name] of ['host', 'gateway', 'db', '-x', 'a b', 'ü', '.', ''].entries())
      lab.join(1000 + 2 * i, { name });
    expect(lab.server.leases().map((lease) => lease.name)).toEqual(['web', ...Array(9).fill(null)]);
    expect(lab.server.addressOf('db')).toBe(NET + 10);
    expect(lab.server.nameOf(NET + 10)).toBe('db');
    lab.clock.advance(1_800_000);
    expect(lab.join(B, { name: 'web' })).toBe(second);
    expect(lab.server.addressOf('web')).toBe(second);
  });

  test('follows a guest that takes another name', () => {
    const lab = new Lab();
    const address = lab.join(A, { name: 'old' });
    lab.send({ type: MSG.REQUEST, mac: A, ciaddr: address, name: 'new' });
    expect([lab.server.addressOf('old'), lab.server.addressOf('new')]).toEqual([0, address]);
    expect(lab.saved.at(-1)?.name).toBe('new');
  });
});

describe('DHCP server: guests that we configure ourselves', () => {
  test('allocates an address that is offered to nobody else, and gives the same to DHCP from that NIC', () => {
    const lab = new Lab();
    const address = lab.server.allocate(A, 'box');
    expect(address).toBe(NET + 128);
    expect(lab.join(B)).toBe(NET + 129);
    expect(lab.join(A, { clientId: [255, 7, 7, 7, 7], requested: NET + 200 })).toBe(address);
    expect(lab.server.addressOf('box')).toBe(address);
    expect(lab.saved[0]).toMatchObject({ address, mac: A, name: 'box' });
  });

  test('keeps an attached lease for as long as its NIC exists, shown and saved with a rolling expiry', () => {
    const lab = new Lab({ rangeEnd: NET + 128 });
    const address = lab.server.allocate(A, null);
    for (let i = 0; i < 20; i++) {
      expect(lab.server.pollAt()).toBe(lab.clock.now + 900_000);
      lab.clock.now = lab.server.pollAt();
      lab.server.poll();
      expect(lab.send({ type: MSG.DISCOVER, mac: B })).toBeNull();
    }
    const expiresAt = WALL + lab.clock.now + 1_800_000;
    expect(lab.saved).toHaveLength(21);
    expect(lab.saved.at(-1)).toMatchObject({ address, mac: A, expiresAt });
    lab.clock.advance(10_000_000);
    expect(lab.server.leases()).toMatchObject([{ address, mac: A, expiresAt: expiresAt + 10_000_000 }]);
    expect(lab.send({ type: MSG.DISCOVER, mac: B })).toBeNull();
  });

  test('lets neither RELEASE nor DECLINE from its NIC end an attached lease', () => {
    const lab = new Lab();
    const address = lab.server.allocate(A, null);
    lab.send({ type: MSG.RELEASE, mac: A, ciaddr: address, server: SERVER });
    lab.send({ type: MSG.DECLINE, mac: A, requested: address, server: SERVER });
    expect(lab.server.leases()).toHaveLength(1);
    expect(lab.server.counters.notItsAddress).toBe(2);
  });

  test('frees an attached lease when its NIC is gone, and remembers it', () => {
    const lab = new Lab({ rangeEnd: NET + 129 });
    const address = lab.server.allocate(A, null);
    lab.server.release(B);
    expect(lab.server.leases()).toHaveLength(1);
    lab.server.release(A);
    expect(lab.server.leases()).toEqual([]);
    expect(lab.saved.at(-1)).toMatchObject({ address, expiresAt: WALL + lab.clock.now });
    lab.clock.now = lab.server.pollAt();
    lab.server.poll();
    expect(lab.server.pollAt()).toBe(Number.POSITIVE_INFINITY);
    expect(lab.server.allocate(A, null)).toBe(address);
    lab.server.release(A);
    for (let mac = 500; mac < 700; mac++) {
      expect(lab.server.allocate(mac, null)).not.toBe(0);
      lab.server.release(mac);
    }
  });

  test('says 0 when the pool is empty', () => {
    const lab = new Lab({ rangeEnd: NET + 128 });
    lab.server.allocate(A, null);
    expect(lab.server.allocate(B, null)).toBe(0);
    expect(lab.server.counters.poolExhausted).toBe(1);
  });

  test('allocates a static address of the network that is nobody else’s, and no other', () => {
    const lab = new Lab({ reservations: [{ mac: 99, address: NET + 11, name: null }] });
    const leased = lab.join(B);
    expect(lab.server.allocate(A, null, NET + 10)).toBe(NET + 10);
    expect(lab.server.allocate(A, null, NET + 10)).toBe(NET + 10);
    for (const address of [NET, NET + 2, NET + 255, NET + 256, NET + 11, leased]) {
      expect(lab.server.allocate(3, null, address)).toBe(0);
    }
    expect(lab.server.counters.addressInUse).toBe(6);
    expect(lab.server.allocate(A, null, NET + 140)).toBe(NET + 140);
    expect(lab.server.leases().map((lease) => lease.address)).toEqual([leased, NET + 140]);
    expect(lab.send({ type: MSG.DISCOVER, mac: 4, requested: NET + 140 })?.yiaddr).toBe(NET + 129);
  });
});

describe('DHCP server: memory', () => {
  test('goes on with the leases that an earlier process saved', () => {
    const lab = new Lab();
    const a = lab.join(A, { name: 'web' });
    const b = lab.server.allocate(B, 'box', NET + 10);
    const before = lab.server.leases();
    lab.restart();
    expect(lab.server.leases()).toEqual([before[0], before[1]]);
    expect(lab.server.addressOf('web')).toBe(a);
    expect(lab.join(77)).toBe(a + 1);
    expect(lab.server.allocate(B, 'box')).toBe(lab.plan.rangeStart + 2);
    expect(lab.server.allocate(B, 'box', NET + 10)).toBe(b);
    expect(lab.send({ type: MSG.REQUEST, mac: A, requested: a })?.type).toBe(MSG.ACK);
  });

  test('takes no lease from disk that is void, of another network, or longer than a new one', () => {
    const record = { mac: A, clientId: null, name: null, address: NET + 130, expiresAt: WALL + 1e15 };
    const lab = new Lab({
      leases: [
        record,
        { ...record, mac: B, address: 0x0a00_0001 },
        { ...record, mac: 3, address: NET + 2 },
        { ...record, mac: 4, address: NET + 131, expiresAt: WALL + 5_000 },
      ],
    });
    expect(lab.server.leases()).toEqual([{ ...record, expiresAt: WALL + 5_000 + 1_800_000 }]);
  });

  test('stays bounded and silent under 20,000 made-up clients of a large network, and recovers', () => {
    const lab = new Lab({ network: 0x0a00_0000, prefixLength: 8, rangeStart: 0x0a00_0100, rangeEnd: 0x0aff_0000 });
    let offers = 0;
    const b = new Uint8Array(300);
    for (let i = 0; i < 20_000; i++) {
      const at = dhcpv4Emit(b, 0, {
        op: 1,
        xid: i,
        secs: 0,
        broadcast: true,
        ciaddr: 0,
        yiaddr: 0,
        siaddr: 0,
        giaddr: 0,
        chaddr: 2 * i + 2,
      });
      b.set([53, 1, MSG.DISCOVER, 255], at);
      if (lab.server.input(b, 0, 300, new Uint8Array(600), 0) > 0) offers++;
    }
    expect(offers).toBe(8192);
    expect(lab.server.counters.poolExhausted).toBe(20_000 - 8192);
    lab.clock.advance(OFFER_HOLD_MS);
    expect(lab.send({ type: MSG.DISCOVER, mac: A })?.type).toBe(MSG.OFFER);
  });
});

describe('DHCP server: any bytes', () => {
  test('never throws, and answers only what is valid', () => {
    const lab = new Lab({ rangeEnd: NET + 135 });
    const option = fc.tuple(
      fc.constantFrom(0, 1, 12, 50, 51, 52, 53, 54, 55, 57, 61, 255),
      fc.uint8Array({ maxLength: 8 }),
    );
    const message = fc
      .tuple(
        fc.constantFrom(1, 2),
        fc.integer({ min: 0, max: 9 }),
        fc.integer({ min: 0, max: 3 }),
        fc.constantFrom(0, NET + 128, NET + 130, NET + 2, 0xffff_ffff),
        fc.array(option, { maxLength: 8 }),
        fc.uint8Array({ maxLength: 40 }),
      )
      .map(([op, type, mac, ciaddr, options, tail]) => {
        const b = new Uint8Array(240 + 3 + options.length * 10 + tail.length);
        const h = { op, xid: 1, secs: 0, broadcast: false, ciaddr, yiaddr: 0, siaddr: 0, giaddr: 0, chaddr: A + mac };
        let at = dhcpv4Emit(b, 0, h);
        const put = (bytes: ArrayLike<number>) => {
          b.set(bytes, at);
          at += bytes.length;
        };
        put([53, 1, type]);
        for (const [code, value] of options) put([code, value.length, ...value]);
        put(tail);
        return b.subarray(0, at);
      });
    fc.assert(
      fc.property(fc.oneof(message, fc.uint8Array({ maxLength: 600 })), (bytes) => {
        const before = lab.server.leases().length;
        lab.input(bytes, 0, bytes.length);
        lab.clock.advance(500);
        return lab.server.leases().length <= Math.max(before + 1, 8);
      }),
      { numRuns: 2000 },
    );
    expect(lab.server.counters.ack).toBeGreaterThan(0);
    for (const { address } of lab.server.leases()) expect(address >= NET + 128 && address <= NET + 135).toBe(true);
  });

  test('never gives one address to two guests, whatever they do', () => {
    const step = fc.record({
      mac: fc.integer({ min: 1, max: 6 }),
      act: fc.constantFrom(
        'join',
        'join',
        'reboot',
        'renew',
        'release',
        'decline',
        'allocate',
        'detach',
        'wait',
        'restart',
      ),
      address: fc.integer({ min: 127, max: 132 }),
      wait: fc.constantFrom(1, 11_000, 500_000, 1_800_000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const lab = new Lab({
          rangeEnd: NET + 131,
          reservations: [{ mac: 2, address: NET + 130, name: null }],
        });
        /** What each guest believes to have, and until when. */
        const held = new Map<number, { address: number; until: number; attached: boolean }>();
        const got = (mac: number, address: number, attached: boolean) => {
          for (const [other, lease] of held) {
            if (other === mac || lease.address !== address) continue;
            if (lease.attached || lease.until > lab.clock.now) throw new Error(`${mac} got the address of ${other}`);
          }
          held.set(mac, { address, until: lab.clock.now + 1_800_000, attached });
        };
        for (const { mac, act, address, wait } of steps) {
          const own = held.get(mac);
          if (act === 'wait') {
            lab.clock.advance(wait);
            lab.server.poll();
          } else if (act === 'allocate') {
            const given = lab.server.allocate(mac, null, wait === 1 ? NET + address : 0);
            if (given !== 0) got(mac, given, true);
          } else if (act === 'detach') {
            lab.server.release(mac);
            if (own?.attached) held.delete(mac);
          } else if (act === 'restart') {
            lab.restart();
            // The daemon attaches again what is attached, before anything else happens.
            for (const [guest, lease] of held) {
              if (lease.attached) expect(lab.server.allocate(guest, null, lease.address)).toBe(lease.address);
            }
          } else if (act === 'join') {
            const given = lab.join(mac, { requested: NET + address });
            if (given !== 0) got(mac, given, own?.attached ?? false);
          } else if (act === 'release' || act === 'decline') {
            const target = own?.address ?? NET + address;
            if (act === 'release') lab.send({ type: MSG.RELEASE, mac, ciaddr: target });
            else lab.send({ type: MSG.DECLINE, mac, requested: target, server: SERVER });
            if (own && !own.attached) held.delete(mac);
          } else {
            const at = act === 'renew' ? { ciaddr: NET + address } : { requested: NET + address };
            const reply = lab.send({ type: MSG.REQUEST, mac, ...at });
            if (reply?.type === MSG.ACK) got(mac, reply.yiaddr, own?.attached ?? false);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
