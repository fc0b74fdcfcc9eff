/** The TAP port's virtio_net_hdr, both ways, and its answer to hostile ones. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CSUM, GSO } from '../../../src/core/link/frame.ts';
import { close, read, write } from '../../../src/node/linux/libc.ts';
import { address, mapRegion } from '../../../src/node/linux/memory.ts';
import { RX_BUDGET, TapPort, takeReceiveSlot } from '../../../src/node/netd/ports/tap.ts';
import { ethernet, FakeHost, frameOf, pair, superframe } from '../../support/port-host.ts';

const SOCK_SEQPACKET = 5;
const buffer = mapRegion(1 << 18);

describe('the TAP port', () => {
  let host: FakeHost;
  let port: TapPort;
  let theirs: number;
  beforeEach(() => {
    host = new FakeHost();
    const [ours, far] = pair(SOCK_SEQPACKET);
    port = new TapPort(3, ours, host, takeReceiveSlot(host.arena));
    theirs = far;
  });
  afterEach(() => {
    port.close();
    close(theirs);
  });

  function send(header: number[], bytes: Uint8Array): void {
    buffer.bytes.set(header);
    buffer.bytes.set(bytes, 10);
    expect(write(theirs, address(buffer, 0, 10 + bytes.length), 10 + bytes.length)).toBe(10 + bytes.length);
  }
  function receive(): Uint8Array {
    const n = read(theirs, address(buffer, 0, 1 << 18), 1 << 18);
    return buffer.bytes.slice(0, Math.max(0, n));
  }
  function bytesOf(frame: { region: { bytes: Uint8Array }; offset: number; length: number }): Uint8Array {
    return frame.region.bytes.slice(frame.offset, frame.offset + frame.length);
  }
  /** virtio_net_hdr of a TCP superframe, MSS 1460. */
  const TSO = [1, GSO.TCPV4, 54, 0, 1460 & 0xff, 1460 >> 8, 34, 0, 16, 0];

  test('reads the offload state of a superframe', () => {
    const frame = superframe(20_000, 1460);
    send(TSO, bytesOf(frame));
    host.settle();
    expect(host.received).toEqual([
      {
        bytes: bytesOf(frame),
        csum: CSUM.PARTIAL,
        csumStart: 34,
        csumOffset: 16,
        gsoType: GSO.TCPV4,
        gsoSize: 1460,
        hdrLen: 54,
      },
    ]);
  });

  test('reads a checksum that the guest’s kernel vouches for (DATA_VALID), and one that nobody does', () => {
    send([2, 0, 0, 0, 0, 0, 0, 0, 0, 0], ethernet(60));
    send([0, 0, 0, 0, 0, 0, 0, 0, 0, 0], ethernet(60));
    host.settle();
    expect(host.received.map(({ csum }) => csum)).toEqual([CSUM.VALID, CSUM.UNVERIFIED]);
  });

  test('state of one frame does not linger in the next', () => {
    send(TSO, bytesOf(superframe(20_000, 1460)));
    send([0, 0, 9, 9, 9, 9, 9, 9, 9, 9], ethernet(60));
    host.settle();
    expect(host.received[1]).toMatchObject({
      csum: CSUM.UNVERIFIED,
      csumStart: 0,
      csumOffset: 0,
      gsoType: 0,
      gsoSize: 0,
    });
  });

  test('writes the offload state of a superframe', () => {
    const frame = superframe(20_000, 1460);
    port.transmit(frame);
    const came = receive();
    expect([...came.subarray(0, 10)]).toEqual(TSO);
    expect(came.slice(10)).toEqual(bytesOf(frame));
  });

  test('writes DATA_VALID for a checksum known to be right, so that the guest’s kernel need not sum', () => {
    const frame = frameOf(ethernet(60));
    frame.region.bytes.fill(0xff, 0, frame.offset);
    frame.csum = CSUM.VALID;
    port.transmit(frame);
    expect([...receive().subarray(0, 10)]).toEqual([2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  test.each([
    ['a checksum beyond the frame', [1, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]],
    ['a segment size of 0', [1, GSO.TCPV4, 54, 0, 0, 0, 34, 0, 16, 0]],
    ['an unknown GSO type', [1, 0x7f, 54, 0, 100, 0, 34, 0, 16, 0]],
    ['GSO without a checksum to finish', [0, GSO.TCPV4, 54, 0, 100, 0, 0, 0, 0, 0]],
    ['all ones', [255, 255, 255, 255, 255, 255, 255, 255, 255, 255]],
  ])('drops and counts a frame with %s', (_what, header) => {
    send(header, bytesOf(superframe(3000, 1460)));
    send([0, 0, 0, 0, 0, 0, 0, 0, 0, 0], ethernet(60));
    host.settle();
    expect(host.received.length).toBe(1);
    expect(port.stats.drops).toEqual({ badOffload: 1 });
    expect(port.stats.rxFrames).toBe(2);
  });

  test('takes at most its budget of frames in one turn', () => {
    // A socket pair queues fewer datagrams than the budget: as each frame is handled, the guest sends another.
    let left = RX_BUDGET * 2;
    const more = () => {
      if (left-- > 0) send([0, 0, 0, 0, 0, 0, 0, 0, 0, 0], ethernet(60));
    };
    host.onFrame = more;
    more();
    host.turn();
    expect(host.received.length).toBe(RX_BUDGET);
    host.turn();
    expect(host.received.length).toBe(RX_BUDGET * 2);
  });
});
