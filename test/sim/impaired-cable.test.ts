import { describe, expect, test } from 'vitest';
import { Frame, HEADROOM } from '../../src/core/link/frame.ts';
import { segmentCount, segmentInto, segmentLength } from '../../src/core/link/offload.ts';
import { udpDstPort, udpSrcPort } from '../../src/core/wire/udp.ts';
import { pattern, patternDiffers } from '../support/frames.ts';
import { Lab, type SentFrame } from '../support/lab.ts';
import type { TcpPeer } from '../support/memory-world.ts';
import { Cable, CLEAN, type Impairment } from './cable.ts';
import { GuestTcp } from './guest-tcp.ts';

interface Scene {
  impairment: Impairment;
  seed: number;
  up: number;
  down: number;
  keepsOutOfOrder?: boolean;
  /** Off as in Windows, on as in Linux. */
  timestamps?: boolean;
  window?: number;
  connections?: number;
  /** Bytes that the far end reads each 5 ms; all at once when absent. */
  readsSlowly?: number;
  /** Free bytes of the guest port's queue; unbounded when absent. */
  portQueue?: number;
}

/** A far end that sends a pattern, closes, and checks what it gets. */
class FarEnd {
  readonly peer: TcpPeer;
  received = 0;
  wrong = -1;
  constructor(peer: TcpPeer, scene: Scene) {
    this.peer = peer;
    peer.autoRead = scene.readsSlowly === undefined;
    peer.onBytes = (bytes) => {
      const differs = patternDiffers(bytes, this.received);
      if (differs >= 0 && this.wrong < 0) this.wrong = this.received + differs;
      this.received += bytes.length;
    };
    peer.accept();
    peer.send(pattern(0, scene.down));
    peer.end();
  }
}

/** Cuts what the gateway sent into the frames that a cable without offloads carries. */
function segments(sent: SentFrame): Uint8Array[] {
  const bytes = new Uint8Array(HEADROOM + sent.bytes.length);
  bytes.set(sent.bytes, HEADROOM);
  const frame = new Frame({ bytes, base: 0 });
  frame.setPlain({ bytes, base: 0 }, HEADROOM, sent.bytes.length);
  const { csum, csumStart, csumOffset, gsoType, gsoSize, hdrLen } = sent;
  Object.assign(frame, { csum, csumStart, csumOffset, gsoType, gsoSize, hdrLen });
  return Array.from({ length: segmentCount(frame) }, (_, i) => {
    const out = new Uint8Array(segmentLength(frame, i));
    segmentInto(frame, i, out, 0);
    return out;
  });
}

/** Plays a scene to its end; returns the lab and how long it took in the lab's time. */
function play(scene: Scene) {
  const lab = new Lab({}, scene.seed);
  const up = new Cable(scene.impairment, scene.seed * 2 + 1);
  const down = new Cable(scene.impairment, scene.seed * 2 + 2);
  const slots = lab.pool.taken;
  const farEnds: FarEnd[] = [];
  lab.world.onConnect = (peer) => farEnds.push(new FarEnd(peer, scene));
  const guests: GuestTcp[] = [];
  lab.guest.onFrame = (sent) => {
    if (sent.protocol !== 6) throw new Error(`unexpected: ${sent}`);
    const guest = guests.find(({ options }) => options.srcPort === udpDstPort(sent.bytes, sent.l4));
    if (guest === undefined) throw new Error(`for nobody: ${udpSrcPort(sent.bytes, sent.l4)}`);
    for (const bytes of segments(sent)) down.carry(lab.clock.now, () => guest.receive(bytes));
  };
  for (let i = 0; i < (scene.connections ?? 1); i++) {
    guests.push(
      new GuestTcp({
        srcPort: 40_000 + i,
        sendBytes: scene.up,
        keepsOutOfOrder: scene.keepsOutOfOrder ?? true,
        timestamps: scene.timestamps ?? true,
        window: scene.window ?? 262_144,
        iss: 0x7fff_ff00 + i * 77_777,
        transmit: (bytes) => up.carry(lab.clock.now, () => lab.guest.send(bytes)),
        now: () => lab.clock.now,
      }),
    );
  }
  const began = lab.clock.now;
  let nextRead = began;
  const over = () => guests.every((guest) => guest.done || guest.state === 'reset');
  for (let turns = 0; !over(); turns++) {
    if (turns > 200_000 || lab.clock.now - began > 3_600_000) break;
    const timers = Math.min(...guests.map((guest) => guest.nextAt()));
    const reads = scene.readsSlowly === undefined ? Number.POSITIVE_INFINITY : nextRead;
    lab.clock.now = Math.max(lab.clock.now, Math.min(lab.network.pollAt(), up.nextAt(), down.nextAt(), timers, reads));
    up.run(lab.clock.now);
    down.run(lab.clock.now);
    for (const guest of guests) guest.run(lab.clock.now);
    if (lab.clock.now >= nextRead && scene.readsSlowly !== undefined) {
      nextRead = lab.clock.now + 5;
      for (const { peer } of farEnds) if (peer.socket.outgoing.length > 0) peer.read(scene.readsSlowly);
    }
    if (scene.portQueue !== undefined) {
      lab.guest.roomBytes = scene.portQueue;
      lab.network.portDrained(lab.guest);
    }
    lab.settle();
  }
  const milliseconds = lab.clock.now - began;
  // What is on its way still arrives.
  while (Math.min(up.nextAt(), down.nextAt()) < Number.POSITIVE_INFINITY) {
    lab.clock.now = Math.max(lab.clock.now, Math.min(up.nextAt(), down.nextAt()));
    up.run(lab.clock.now);
    down.run(lab.clock.now);
    lab.settle();
  }
  return { lab, guests, farEnds, slots, milliseconds, up, down };
}

/** Everything arrived as it was sent, and nothing was left behind. */
function expectWhole(scene: Scene) {
  const result = play(scene);
  const { lab, guests, farEnds, slots } = result;
  for (const guest of guests) {
    expect(guest.complaints).toEqual([]);
    expect([guest.state, guest.received, guest.finReceived, guest.finAcknowledged]).toEqual([
      'open',
      scene.down,
      true,
      true,
    ]);
  }
  for (const end of farEnds) {
    end.peer.read();
    expect([end.received, end.wrong, end.peer.gotFin, end.peer.gotReset]).toEqual([scene.up, -1, true, false]);
  }
  expect(farEnds).toHaveLength(scene.connections ?? 1);
  // Last ACKs of the guest may have been lost: the gateway's own timers end it then.
  lab.guest.onFrame = () => {};
  lab.advance(1_200_000);
  expect([lab.network.flowCount(), lab.world.openSockets, lab.pool.taken - slots]).toEqual([0, 0, 0]);
  return result;
}

const SEEDS = [1, 2, 3];

describe('over a cable', () => {
  test('that is clean, both directions take as long as their bytes, and nothing is sent twice', () => {
    const { lab, guests, milliseconds } = expectWhole({ impairment: CLEAN, seed: 1, up: 2_000_000, down: 2_000_000 });
    expect(guests[0]!.retransmissions).toBe(0);
    expect(lab.counter('tcp.retransmitted')).toBe(0);
    expect(milliseconds).toBeLessThan(1_000);
  });

  test.each(SEEDS)('that loses one frame in 100, all bytes arrive (seed %i)', (seed) => {
    const impairment = { ...CLEAN, loss: 0.01 };
    const { lab } = expectWhole({ impairment, seed, up: 400_000, down: 1_000_000 });
    expect(lab.counter('tcp.fastRetransmits')).toBeGreaterThan(0);
  });

  test.each(SEEDS)('that loses one frame in 10, all bytes arrive (seed %i)', (seed) => {
    const { lab, milliseconds } = expectWhole({
      impairment: { ...CLEAN, loss: 0.1 },
      seed,
      up: 200_000,
      down: 300_000,
    });
    expect(lab.counter('tcp.retransmitted')).toBeGreaterThan(10);
    expect(milliseconds).toBeLessThan(300_000);
  });

  test.each(SEEDS)('that reorders and repeats, all bytes arrive (seed %i)', (seed) => {
    expectWhole({ impairment: { loss: 0, duplicate: 0.05, delay: 1, jitter: 8 }, seed, up: 400_000, down: 400_000 });
  });

  test.each(SEEDS)('that does everything at once, all bytes of five connections arrive (seed %i)', (seed) => {
    const impairment = { loss: 0.03, duplicate: 0.03, delay: 2, jitter: 20 };
    expectWhole({ impairment, seed, up: 60_000, down: 100_000, connections: 5 });
  });

  test.each(SEEDS)(
    'that loses one frame in 30, a guest that throws away what is out of order gets all (seed %i)',
    (seed) => {
      const impairment = { ...CLEAN, loss: 0.03, jitter: 2 };
      expectWhole({ impairment, seed, up: 50_000, down: 200_000, keepsOutOfOrder: false });
    },
  );

  test.each(SEEDS)('that does everything at once, a guest without timestamps gets and sends all (seed %i)', (seed) => {
    const impairment = { loss: 0.01, duplicate: 0.02, delay: 2, jitter: 10 };
    expectWhole({ impairment, seed, up: 100_000, down: 200_000, timestamps: false });
  });

  test('with a guest that has a tiny window, all bytes arrive', () => {
    expectWhole({ impairment: { ...CLEAN, loss: 0.02 }, seed: 5, up: 1_000, down: 100_000, window: 2_048 });
  });

  test.each(SEEDS)(
    'with a far end that reads slowly, the guest is held back and all bytes arrive (seed %i)',
    (seed) => {
      const impairment = { ...CLEAN, loss: 0.01 };
      expectWhole({ impairment, seed, up: 500_000, down: 1_000, readsSlowly: 8_000 });
    },
  );

  test('with a far end that reads slowly and nothing lost, the guest never has to send twice', () => {
    const { guests, lab } = expectWhole({ impairment: CLEAN, seed: 1, up: 500_000, down: 0, readsSlowly: 8_000 });
    expect(lab.counter('tcp.refusedBySocket')).toBe(0);
    expect(guests[0]!.retransmissions).toBe(0);
  });

  // 68,310 bytes are what a superframe of 45 segments with timestamps takes up.
  test.each([20_000, 68_000, 68_310])('behind a port with a queue of %i bytes, nothing is sent twice', (portQueue) => {
    const { lab } = expectWhole({
      impairment: CLEAN,
      seed: 1,
      up: 100_000,
      down: 1_000_000,
      portQueue,
      connections: 3,
    });
    expect(lab.counter('tcp.retransmitted')).toBe(0);
  });
});
