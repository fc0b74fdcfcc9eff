import { describe, expect, test } from 'vitest';
import { CSUM, GSO } from '../../../src/core/link/frame.ts';
import { ipv4FillChecksum } from '../../../src/core/wire/ipv4.ts';
import {
  arpFrame,
  echoFrame,
  ethernet,
  GATEWAY,
  GATEWAY_MAC,
  GUEST,
  NETWORK,
  pattern,
  REMOTE,
  tcpFrame,
  udpFrame,
} from '../../support/frames.ts';
import { Lab, type Offload } from '../../support/lab.ts';
import { MemoryWorld } from '../../support/memory-world.ts';

/** The gateway's initial sequence number here: known, so that some handshakes are completed by chance. */
const ISS = 1_000;

/** Seeded dice. */
class Dice {
  private readonly world: MemoryWorld;
  constructor(seed: number) {
    this.world = new MemoryWorld(undefined, seed);
  }
  below(n: number): number {
    return this.world.random32() % n;
  }
  one<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

const ADDRESSES = [
  REMOTE,
  REMOTE + 1,
  GATEWAY,
  NETWORK + 1,
  NETWORK + 254,
  NETWORK + 255,
  0xffff_ffff,
  0x7f00_0001,
  GUEST,
  0,
];

/** A frame with a true skeleton and random flesh, so that it gets past the first checks more often than not. */
function plausible(dice: Dice): Uint8Array {
  const dst = dice.below(2) === 0 ? REMOTE : dice.one(ADDRESSES);
  const ttl = dice.one([64, 64, 64, 64, 64, 64, 64, 1, 0]);
  const payload = pattern(dice.below(256), dice.below(40));
  switch (dice.below(6)) {
    case 0:
      return arpFrame({ op: dice.below(4), spa: NETWORK + dice.below(256), tpa: NETWORK + dice.below(256) });
    case 1:
      return udpFrame({ dst, ttl, srcPort: dice.below(300), dstPort: dice.one([53, 67, 123, 4000]), payload });
    case 2:
      return echoFrame({ dst, ttl, type: dice.one([8, 8, 0, 3, 11]), identifier: dice.below(50), payload });
    case 3:
      return ethernet(dice.bytes(dice.below(120)), dice.one([0x0800, 0x0806, 0x86dd, 0x8100, 0x0001]));
    default: {
      const options = new Uint8Array(4 * dice.below(11));
      for (let i = 0; i < options.length; i++) options[i] = dice.one([0, 1, 2, 3, 4, 5, 8, 10, dice.below(256)]);
      return tcpFrame({
        dst,
        ttl,
        srcPort: 40_000 + dice.below(8),
        seq: dice.one([0, 1, 1, 1, dice.below(60)]),
        ack: dice.one([ISS + 1, ISS + 1, ISS + dice.below(3000), dice.below(1 << 30)]),
        flags: dice.one([2, 2, 2, 16, 16, 16, 16, 17, 24, 24, 4, 18, dice.below(256)]),
        window: dice.below(65_536),
        options,
        payload,
      });
    }
  }
}

function offload(dice: Dice, length: number): Offload {
  if (dice.below(8) > 0) return {};
  return {
    csum: dice.one([CSUM.UNVERIFIED, CSUM.PARTIAL, CSUM.VALID, 7]),
    csumStart: dice.one([34, 34, dice.below(100), dice.below(65_536)]),
    csumOffset: dice.one([16, 6, dice.below(65_536)]),
    gsoType: dice.one([GSO.NONE, GSO.TCPV4, GSO.UDP_L4, GSO.UDP, GSO.TCPV6, 255]),
    gsoSize: dice.one([0, 1, 8, 100, 65_535]),
    hdrLen: dice.below(length + 10),
  };
}

describe('a hundred thousand frames of a hostile guest', () => {
  // Seeds are fixed, so that a failure is repeated by running again.
  test.each([1, 20_261_122])(
    'never throw, and no table grows beyond its bound (seed %i)',
    { timeout: 20_000 },
    (seed) => {
      const dice = new Dice(seed);
      const lab = new Lab({}, seed);
      lab.network.nat!.tcp.stack.initialSequence = () => ISS;
      const slots = lab.pool.taken;
      lab.guest.onFrame = () => {};
      lab.world.onConnect = (peer) => {
        const fate = dice.below(4);
        if (fate < 2) peer.accept();
        else if (fate === 2) peer.fail(-2 - dice.below(10));
        if (fate === 0) peer.send(pattern(0, dice.below(3000)));
      };
      lab.world.onDatagram = (socket, { address, port, bytes }) => {
        if (dice.below(3) === 0) socket.arrive(address, port, bytes);
        if (dice.below(30) === 0) socket.fail(-2 - dice.below(10));
      };
      for (let i = 0; i < 50_000; i++) {
        const frame = plausible(dice);
        const hits = dice.one([0, 0, 0, 0, 0, 1, 3]);
        for (let hit = 0; hit < hits; hit++) frame[dice.below(frame.length)] = dice.below(256);
        // A wrong header checksum would end most of these too early to be interesting.
        if (frame.length >= 34 && dice.below(4) > 0)
          ipv4FillChecksum(frame.length > 14 + (frame[14]! & 15) * 4 ? frame : new Uint8Array(80), 14);
        const cut = dice.below(20) === 0 ? dice.below(frame.length + 1) : frame.length;
        lab.guest.send(frame.subarray(0, cut), offload(dice, cut));
        if (i % 16 === 0) lab.turn();
        if (i % 256 === 0) {
          lab.advance(dice.one([1, 100, 3_000]));
          const peer = lab.world.tcp.at(-1)?.peer;
          if (peer?.socket.ended === 'open' && !peer.gotFin && peer.socket.sendSpace() > 0)
            dice.one([() => peer.end(), () => peer.reset()])();
        }
      }
      expect(lab.network.flowCount()).toBeLessThan(2_000);
      expect(lab.world.openSockets).toBeLessThan(2_000);
      expect(lab.pool.taken).toBeLessThan(1_024);
      // Something of every kind got through, or this test tests nothing.
      for (const counter of [
        'tcp.opened',
        'tcp.established',
        'tcp.stray',
        'tcp.challengeAcks',
        'udp.opened',
        'icmp.opened',
      ]) {
        expect([counter, lab.counter(counter) > 20]).toEqual([counter, true]);
      }
      for (const reason of [
        'ipMalformed',
        'tcpMalformed',
        'l4Checksum',
        'ipChecksum',
        'offloadMalformed',
        'ttlExceeded',
        'arpMalformed',
      ]) {
        expect([reason, (lab.drops[reason] ?? 0) > 20]).toEqual([reason, true]);
      }
      lab.network.detach(lab.guest);
      lab.advance(400_000);
      expect([lab.network.flowCount(), lab.pool.taken]).toEqual([0, slots]);
    },
  );

  test('of nothing but noise never throw', () => {
    const dice = new Dice(3);
    const lab = new Lab();
    for (let i = 0; i < 5_000; i++) {
      const frame = dice.bytes(dice.below(80));
      lab.guest.send(frame, offload(dice, frame.length));
    }
    lab.settle();
    expect(lab.guest.take()).toEqual([]);
    expect(lab.world.openSockets).toBe(0);
    expect(lab.guest.stats.drops.runt).toBeGreaterThan(500);
  });

  test('do not stop an honest guest on another port', () => {
    const dice = new Dice(4);
    const lab = new Lab();
    const honest = lab.plug();
    for (let i = 0; i < 5_000; i++) {
      const frame = plausible(dice);
      lab.guest.send(frame, offload(dice, frame.length));
    }
    lab.advance(1_000);
    honest.take();
    honest.send(echoFrame({ src: GUEST + 50, srcMac: 0x02_00_00_00_00_50, dst: GATEWAY }));
    expect(honest.take().map((frame) => frame.icmp)).toEqual(['0/0']);
    expect(lab.network.switch.portOf(GATEWAY_MAC)).toBe(lab.network.gateway);
  });
});
