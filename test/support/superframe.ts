/**
 * Superframes as a guest's NIC hands them over, and a model of what they have to become: written plainly from the
 * kernel's rules and without the code under test.
 */
import { CSUM, Frame, GSO, HEADROOM } from '../../src/core/link/frame.ts';

/** What to build; all of it may vary in a property. */
export interface Shape {
  version: 4 | 6;
  protocol: 'tcp' | 'udp';
  vlan: boolean;
  /** 32-bit words of IPv4 options, or 8-byte extension headers of IPv6. */
  ipExtra: number;
  /** 32-bit words of TCP options. */
  tcpOptions: number;
  tcpFlags: number;
  seq: number;
  ipId: number;
  payload: Uint8Array;
  gsoSize: number;
  /** Bytes behind the IP packet, which belong to nothing. */
  padding: number;
}

export const PLAIN: Shape = {
  version: 4,
  protocol: 'tcp',
  vlan: false,
  ipExtra: 0,
  tcpOptions: 0,
  tcpFlags: 0x18,
  seq: 1,
  ipId: 7,
  payload: Uint8Array.from({ length: 4000 }, (_, i) => (i * 31) & 255),
  gsoSize: 1460,
  padding: 0,
};

const TCP_NUMBER = 6;
const UDP_NUMBER = 17;

/** Offsets in a frame of the shape. */
export function layout(shape: Shape) {
  const l3 = shape.vlan ? 18 : 14;
  const ipHeader = shape.version === 4 ? 20 + shape.ipExtra * 4 : 40 + shape.ipExtra * 8;
  const l4 = l3 + ipHeader;
  const l4Header = shape.protocol === 'tcp' ? 20 + shape.tcpOptions * 4 : 8;
  const number = shape.protocol === 'tcp' ? TCP_NUMBER : UDP_NUMBER;
  return { l3, l4, payload: l4 + l4Header, checksum: l4 + (shape.protocol === 'tcp' ? 16 : 6), number };
}

/** A 16-bit big-endian store for the model. */
function store(b: Uint8Array, at: number, value: number): void {
  b[at] = (value >> 8) & 255;
  b[at + 1] = value & 255;
}

/** The Internet checksum by its definition. */
export function plainChecksum(bytes: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return 0xffff - sum;
}

/** The bytes of the pseudo-header, for `length` bytes of TCP or UDP. */
function pseudoHeader(b: Uint8Array, shape: Shape, length: number): number[] {
  const { l3, number } = layout(shape);
  const addresses = shape.version === 4 ? b.subarray(l3 + 12, l3 + 20) : b.subarray(l3 + 8, l3 + 40);
  return [...addresses, 0, number, length >> 8, length & 255];
}

/**
 * A complete frame with the payload and final checksums: what one segment of the shape looks like on a cable without
 * offloads, or the whole superframe.
 */
function complete(shape: Shape, payload: Uint8Array, ipId: number, seq: number, tcpFlags: number): Uint8Array {
  const at = layout(shape);
  const b = new Uint8Array(at.payload + payload.length);
  b.set([2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a], 0);
  if (shape.vlan) b.set([0x81, 0x00, 0x20, 0x05], 12);
  store(b, at.l3 - 2, shape.version === 4 ? 0x0800 : 0x86dd);
  if (shape.version === 4) {
    b.fill(1, at.l3 + 20, at.l4);
    b.set([0x45 + shape.ipExtra, 0x02, 0, 0, 0, 0, 0x40, 0, 63, at.number], at.l3);
    store(b, at.l3 + 2, b.length - at.l3);
    store(b, at.l3 + 4, ipId);
    b.set([192, 168, 88, 128, 192, 168, 88, 129], at.l3 + 12);
    store(b, at.l3 + 10, plainChecksum([...b.subarray(at.l3, at.l4)]));
  } else {
    b.set([0x60, 0x20, 0x12, 0x34, 0, 0, shape.ipExtra > 0 ? 60 : at.number, 63], at.l3);
    store(b, at.l3 + 4, b.length - at.l3 - 40);
    b.set([0xfd, ...Array<number>(14).fill(0), 1, 0xfd, ...Array<number>(14).fill(0x11), 2], at.l3 + 8);
    for (let i = 0; i < shape.ipExtra; i++) {
      b.set([i + 1 < shape.ipExtra ? 60 : at.number, 0, 1, 4, 0, 0, 0, 0], at.l3 + 40 + i * 8);
    }
  }
  b.set([0x9c, 0x40, 0x00, 0x50], at.l4);
  if (shape.protocol === 'tcp') {
    b.fill(1, at.l4 + 20, at.payload);
    b.set([(seq >>> 24) & 255, (seq >>> 16) & 255, (seq >>> 8) & 255, seq & 255, 9, 8, 7, 6], at.l4 + 4);
    b.set([(5 + shape.tcpOptions) << 4, tcpFlags, 0x10, 0x20], at.l4 + 12);
  } else {
    store(b, at.l4 + 4, b.length - at.l4);
  }
  b.set(payload, at.payload);
  const sum = plainChecksum([...pseudoHeader(b, shape, b.length - at.l4), ...b.subarray(at.l4)]);
  store(b, at.checksum, sum === 0 ? 0xffff : sum);
  return b;
}

/** What the shape has to become on a cable without offloads. */
export function modelSegments(shape: Shape): Uint8Array[] {
  const count = Math.max(1, Math.ceil(shape.payload.length / shape.gsoSize));
  return Array.from({ length: count }, (_, i) => {
    const begin = i * shape.gsoSize;
    const isLast = i === count - 1;
    const keep = (isLast ? 0xff : 0xff & ~0x09) & (i === 0 ? 0xff : 0x7f);
    const piece = shape.payload.subarray(begin, begin + shape.gsoSize);
    return complete(shape, piece, (shape.ipId + i) & 0xffff, shape.seq + begin, shape.tcpFlags & keep);
  });
}

/** The superframe itself, at an odd place of a region, with a partial checksum and the offload state of its shape. */
export function superframe(shape: Shape): Frame {
  const at = layout(shape);
  const whole = complete(shape, shape.payload, shape.ipId, shape.seq, shape.tcpFlags);
  store(whole, at.checksum, 0xffff - plainChecksum(pseudoHeader(whole, shape, whole.length - at.l4)));
  const bytes = new Uint8Array(HEADROOM + 1 + whole.length + shape.padding).fill(0xa5);
  bytes.set(whole, HEADROOM + 1);
  const region = { bytes, base: 0 };
  const frame = new Frame(region);
  frame.setPlain(region, HEADROOM + 1, whole.length + shape.padding);
  frame.csum = CSUM.PARTIAL;
  frame.csumStart = at.l4;
  frame.csumOffset = at.checksum - at.l4;
  frame.gsoType = shape.protocol === 'udp' ? GSO.UDP_L4 : shape.version === 4 ? GSO.TCPV4 : GSO.TCPV6;
  frame.gsoSize = shape.gsoSize;
  frame.hdrLen = at.payload;
  return frame;
}

/** A frame without offload state around bytes. */
export function plainFrame(bytes: Uint8Array): Frame {
  const room = new Uint8Array(HEADROOM + bytes.length).fill(0xa5);
  room.set(bytes, HEADROOM);
  const region = { bytes: room, base: 0 };
  const frame = new Frame(region);
  frame.setPlain(region, HEADROOM, bytes.length);
  return frame;
}
