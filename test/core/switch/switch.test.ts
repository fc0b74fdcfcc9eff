import { describe, expect, test } from 'vitest';
import type { Region } from '../../../src/core/base/ports.ts';
import { Frame, GSO, HEADROOM, MAX_FRAME } from '../../../src/core/link/frame.ts';
import type { PortStats, SwitchPort } from '../../../src/core/link/port.ts';
import { Switch } from '../../../src/core/switch/switch.ts';

const A = 0x0200_0000_000a;
const B = 0x0200_0000_000b;
const C = 0x0200_0000_000c;
const BROADCAST = 0xffff_ffff_ffff;

class TestPort implements SwitchPort {
  readonly id: number;
  readonly stats: PortStats = { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, drops: {} };
  readonly got: { length: number; gsoSize: number }[] = [];
  onTransmit: (() => void) | null = null;
  constructor(id: number) {
    this.id = id;
  }
  transmit(frame: Frame): void {
    this.got.push({ length: frame.length, gsoSize: frame.gsoSize });
    this.onTransmit?.();
  }
  room(): number {
    return 1 << 20;
  }
}

function frameOf(dst: number, src: number, length = 60): Frame {
  const region: Region = { bytes: new Uint8Array(HEADROOM + MAX_FRAME + 1), base: 0 };
  for (let i = 0; i < 6; i++) {
    region.bytes[HEADROOM + i] = Math.floor(dst / 2 ** (40 - 8 * i)) & 0xff;
    region.bytes[HEADROOM + 6 + i] = Math.floor(src / 2 ** (40 - 8 * i)) & 0xff;
  }
  const frame = new Frame(region);
  frame.setPlain(region, HEADROOM, length);
  return frame;
}

function world(ports: number) {
  const clock = { now: 0 };
  const sw = new Switch(clock);
  const list = Array.from({ length: ports }, (_, id) => new TestPort(id));
  for (const port of list) sw.attach(port);
  const counts = () => list.map((port) => port.got.length);
  return { clock, sw, list, counts };
}

describe('Switch', () => {
  test('floods a frame for an unknown station to all ports but its own', () => {
    const { sw, list, counts } = world(3);
    sw.receive(list[0]!, frameOf(B, A));
    expect(counts()).toEqual([0, 1, 1]);
  });

  test('sends a frame for a known station to its port only', () => {
    const { sw, list, counts } = world(3);
    sw.receive(list[1]!, frameOf(BROADCAST, B));
    expect(counts()).toEqual([1, 0, 1]);
    sw.receive(list[0]!, frameOf(B, A));
    expect(counts()).toEqual([1, 1, 1]);
    expect(sw.portOf(B)).toBe(list[1]);
    expect(sw.portOf(C)).toBeNull();
  });

  test('floods broadcast and multicast, even of a group that somebody tried to be the source of', () => {
    const { sw, list, counts } = world(3);
    const mdns = 0x0100_5e00_00fb;
    sw.receive(list[1]!, frameOf(A, mdns));
    expect(list[1]!.stats.drops).toEqual({ sourceAddress: 1 });
    expect(counts()).toEqual([0, 0, 0]);
    sw.receive(list[0]!, frameOf(mdns, A));
    expect(counts()).toEqual([0, 1, 1]);
  });

  test('follows a station that moved to another port', () => {
    const { sw, list, counts } = world(3);
    sw.receive(list[1]!, frameOf(BROADCAST, B));
    sw.receive(list[2]!, frameOf(BROADCAST, B));
    list.forEach((port) => {
      port.got.length = 0;
    });
    sw.receive(list[0]!, frameOf(B, A));
    expect(counts()).toEqual([0, 0, 1]);
    expect(sw.counters.moved).toBe(1);
  });

  test('floods again for a station that was silent for 300 s', () => {
    const { clock, sw, list, counts } = world(3);
    sw.receive(list[1]!, frameOf(BROADCAST, B));
    clock.now = 300_000;
    sw.receive(list[0]!, frameOf(B, A));
    expect(counts()).toEqual([1, 1, 2]);
  });

  test('keeps a frame for a station on the same port away from the others', () => {
    const { sw, list, counts } = world(3);
    sw.receive(list[0]!, frameOf(BROADCAST, B));
    sw.receive(list[0]!, frameOf(B, A));
    expect(counts()).toEqual([0, 1, 1]);
    expect(list[0]!.stats.drops).toEqual({ sameSegment: 1 });
  });

  test('drops and counts what is no frame', () => {
    const { sw, list, counts } = world(2);
    for (let length = 0; length < 14; length++) sw.receive(list[0]!, frameOf(B, A, length));
    sw.receive(list[0]!, frameOf(B, A, MAX_FRAME + 1));
    sw.receive(list[0]!, frameOf(B, 0));
    sw.receive(list[0]!, frameOf(B, BROADCAST));
    expect(list[0]!.stats.drops).toEqual({ runt: 14, giant: 1, sourceAddress: 2 });
    expect(counts()).toEqual([0, 0]);
    sw.receive(list[0]!, frameOf(B, A, 14));
    sw.receive(list[0]!, frameOf(B, A, MAX_FRAME));
    expect(counts()).toEqual([0, 2]);
  });

  test("drops a frame in the gateway's name from anybody else", () => {
    const { sw, list, counts } = world(3);
    sw.pin(A, list[0]!);
    sw.receive(list[1]!, frameOf(BROADCAST, A));
    expect(list[1]!.stats.drops).toEqual({ spoofedSource: 1 });
    sw.receive(list[2]!, frameOf(A, C));
    expect(counts()).toEqual([1, 0, 0]);
  });

  test('forgets the stations of a port that is pulled out', () => {
    const { sw, list, counts } = world(3);
    sw.receive(list[1]!, frameOf(BROADCAST, B));
    expect(sw.stationsOf(list[1]!, 16)).toEqual([B]);
    sw.detach(list[1]!);
    expect(sw.portOf(B)).toBeNull();
    expect(sw.ports()).toEqual([list[0], list[2]]);
    sw.receive(list[0]!, frameOf(B, A));
    sw.receive(list[1]!, frameOf(A, B));
    expect(counts()).toEqual([1, 0, 2]);
    expect(list[1]!.stats.drops).toEqual({ detachedPort: 1 });
  });

  test('carries offload state through unchanged', () => {
    const { sw, list } = world(2);
    const frame = frameOf(B, A, 30_000);
    frame.gsoType = GSO.TCPV4;
    frame.gsoSize = 1448;
    sw.receive(list[0]!, frame);
    expect(list[1]!.got).toEqual([{ length: 30_000, gsoSize: 1448 }]);
  });

  test('lets a port answer, or pull out another, while it is given a flooded frame', () => {
    const { sw, list, counts } = world(4);
    list[1]!.onTransmit = () => {
      list[1]!.onTransmit = null;
      sw.receive(list[1]!, frameOf(A, B));
      sw.detach(list[2]!);
    };
    sw.receive(list[0]!, frameOf(BROADCAST, A));
    expect(counts()).toEqual([1, 1, 0, 1]);
  });

  test('refuses two ports with one id', () => {
    const { sw } = world(1);
    expect(() => sw.attach(new TestPort(0))).toThrow('attached already');
  });
});
