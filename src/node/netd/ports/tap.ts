/**
 * The port of a guest behind a TAP: a network namespace, whose kernel has its own end of the cable.
 *
 * Theory of operation. The descriptor carries one frame a read or write, each behind a virtio_net_hdr of 10 bytes
 * (linux/tap.ts), so that segments of 64 KiB cross it whole and without a checksum. Towards us: level-triggered, up to
 * {@link RX_BUDGET} frames a turn into one receive slot that all TAPs of the process share (a frame is borrowed for the
 * call). Towards the guest: the header is written into the frame's headroom and both leave by one write(2). The kernel
 * runs the guest's receive path inside of that write, so there is no queue to overrun and {@link TapPort.room} has no
 * bound; should a kernel say EAGAIN nevertheless (TUNSETSNDBUF), frames are copied into a queue of {@link TX_QUEUE}.
 *
 * Drops, by reason: `badOffload` (a header that doesn't fit its frame), `linkDown` (the guest's interface is down),
 * `queueFull`, `noBuffers` (the kernel had no memory), `rejected` (the kernel refused the frame).
 *
 * The port ends when the interface is gone: its namespace was destroyed, or somebody deleted it.
 */

import type { Slot } from '../../../core/base/ports.ts';
import { count } from '../../../core/base/stats.ts';
import type { DropReason } from '../../../core/link/drops.ts';
import { CSUM, Frame, GSO, MAX_FRAME } from '../../../core/link/frame.ts';
import { offloadIsValid } from '../../../core/link/offload.ts';
import type { PortStats } from '../../../core/link/port.ts';
import type { Arena } from '../../linux/arena.ts';
import {
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
} from '../../linux/constants.ts';
import { EAGAIN, EBADFD, EINTR, EIO, ENOBUFS, ENODEV, ENOMEM } from '../../linux/errno.ts';
import { close, errno, read, write } from '../../linux/libc.ts';
import { address } from '../../linux/memory.ts';
import { VNET_HDR } from '../../linux/tap.ts';
import { FrameQueue } from './frame-queue.ts';
import type { CablePort, PortHost, PortNetwork } from './port-host.ts';

/** Most frames taken from one TAP in one turn. */
export const RX_BUDGET = 64;

/** Most frames that wait for a TAP that can't take them. */
export const TX_QUEUE = 256;

/**
 * Where a frame lies in the shared receive slot. Behind Ethernet, IPv4 and a TCP header with timestamps (66 bytes) the
 * payload then begins on a cache line, which the kernel's copies are faster to and from.
 */
const RX_FRAME_AT = 62;
const RX_LENGTH = VNET_HDR + MAX_FRAME;

/** "No bound": what `room()` says while nothing waits. A small integer for the engine. */
const UNBOUNDED = 0x3fff_ffff;

/** The receive slot that all TAP ports of a process share; 68 KiB of the arena. Throws when that is exhausted. */
export function takeReceiveSlot(arena: Arena): Slot {
  const slot = arena.takeBuffer(RX_FRAME_AT + MAX_FRAME);
  if (slot === null) throw new Error('no memory for the receive slot');
  return slot;
}

/** One TAP. */
export class TapPort implements CablePort {
  readonly id: number;
  readonly stats: PortStats = { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, drops: {} };
  private fd: number;
  private readonly host: PortHost;
  private readonly network: PortNetwork;
  private readonly entry: number;
  private readonly frame: Frame;
  private readonly rxOffset: number;
  private readonly rxAddress: number;
  private readonly queue: FrameQueue;

  /** Takes over the descriptor, which must have been through `adoptTap`. Throws when it can't be watched. */
  constructor(id: number, fd: number, host: PortHost, receiveSlot: Slot) {
    this.id = id;
    this.fd = fd;
    this.host = host;
    this.network = host.network;
    this.frame = new Frame(receiveSlot.region);
    this.rxOffset = receiveSlot.offset + RX_FRAME_AT;
    this.rxAddress = address(receiveSlot.region, this.rxOffset - VNET_HDR, RX_LENGTH);
    this.queue = new FrameQueue(host.arena, TX_QUEUE);
    this.entry = host.epoll.add(fd, EPOLLIN, this);
    if (this.entry < 0) throw new Error(`the TAP cannot be watched: errno ${errno()}`);
  }

  room(): number {
    return this.queue.length === 0 ? UNBOUNDED : 0;
  }

  onEvents(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.drain();
    for (let i = 0; i < RX_BUDGET && this.fd >= 0; i += 1) {
      const length = read(this.fd, this.rxAddress, RX_LENGTH);
      if (length >= VNET_HDR) {
        this.receive(length - VNET_HDR);
        continue;
      }
      const error = length < 0 ? errno() : ENODEV;
      if (error === EBADFD || error === ENODEV || (events & (EPOLLERR | EPOLLHUP)) !== 0) {
        this.host.portEnded(this, 'tapGone');
      } else if (error !== EAGAIN && error !== EINTR) {
        this.host.portEnded(this, `tapReadErrno${error}`);
      }
      return;
    }
  }

  transmit(frame: Frame): void {
    if (this.fd < 0) return;
    this.putHeader(frame);
    if (this.queue.length > 0) {
      this.enqueue(frame);
      return;
    }
    const offset = frame.offset - VNET_HDR;
    const length = VNET_HDR + frame.length;
    if (write(this.fd, address(frame.region, offset, length), length) === length) {
      this.stats.txFrames += 1;
      this.stats.txBytes += frame.length;
      return;
    }
    const error = errno();
    if (error === EAGAIN) {
      this.host.epoll.modify(this.entry, this.fd, EPOLLIN | EPOLLOUT);
      this.enqueue(frame);
    } else {
      this.dropped(error);
    }
  }

  close(): void {
    if (this.fd < 0) return;
    // vmnetd holds a duplicate, so closing alone would leave the registration behind.
    this.host.epoll.remove(this.entry, this.fd);
    close(this.fd);
    this.fd = -1;
    this.queue.clear();
  }

  /** Hands a frame that lies in the receive slot to the switch. */
  private receive(length: number): void {
    const stats = this.stats;
    stats.rxFrames += 1;
    stats.rxBytes += length;
    const frame = this.frame;
    const at = this.rxOffset;
    frame.setPlain(frame.region, at, length);
    const bytes = frame.region.bytes;
    const flags = bytes[at - 10] as number;
    const gsoType = bytes[at - 9] as number;
    if ((flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0 || gsoType !== GSO.NONE) {
      frame.csum = (flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0 ? CSUM.PARTIAL : CSUM.UNVERIFIED;
      frame.gsoType = gsoType;
      frame.hdrLen = get16le(bytes, at - 8);
      frame.gsoSize = get16le(bytes, at - 6);
      frame.csumStart = get16le(bytes, at - 4);
      frame.csumOffset = get16le(bytes, at - 2);
      if (!offloadIsValid(frame)) {
        count(stats.drops, 'badOffload');
        return;
      }
    } else if ((flags & VIRTIO_NET_HDR_F_DATA_VALID) !== 0) {
      frame.csum = CSUM.VALID;
    }
    this.network.receive(this, frame);
  }

  /** Writes the virtio_net_hdr into the frame's headroom. */
  private putHeader(frame: Frame): void {
    const bytes = frame.region.bytes;
    const at = frame.offset;
    if (frame.csum === CSUM.PARTIAL) {
      bytes[at - 10] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
      bytes[at - 9] = frame.gsoType;
      put16le(bytes, at - 8, frame.hdrLen);
      put16le(bytes, at - 6, frame.gsoSize);
      put16le(bytes, at - 4, frame.csumStart);
      put16le(bytes, at - 2, frame.csumOffset);
      return;
    }
    bytes[at - 10] = frame.csum === CSUM.VALID ? VIRTIO_NET_HDR_F_DATA_VALID : 0;
    for (let i = at - 9; i < at; i += 1) bytes[i] = 0;
  }

  private enqueue(frame: Frame): void {
    if (!this.queue.push(frame.region, frame.offset - VNET_HDR, VNET_HDR + frame.length)) {
      count(this.stats.drops, 'queueFull');
    }
  }

  /** Writes what waits, until the kernel says EAGAIN again. */
  private drain(): void {
    for (let slot = this.queue.first(); slot !== null; slot = this.queue.first()) {
      const length = this.queue.firstLength();
      if (write(this.fd, address(slot.region, slot.offset, length), length) === length) {
        this.stats.txFrames += 1;
        this.stats.txBytes += length - VNET_HDR;
      } else {
        const error = errno();
        if (error === EAGAIN) return;
        this.dropped(error);
      }
      this.queue.shift();
    }
    this.host.epoll.modify(this.entry, this.fd, EPOLLIN);
    this.network.portDrained(this);
  }

  private dropped(error: number): void {
    count(this.stats.drops, DROP_REASONS.get(error) ?? 'rejected');
  }
}

const DROP_REASONS = new Map<number, DropReason>([
  [EIO, 'linkDown'],
  [ENOBUFS, 'noBuffers'],
  [ENOMEM, 'noBuffers'],
]);

function get16le(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

function put16le(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}
