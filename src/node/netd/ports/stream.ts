/**
 * The port of a guest behind a unix stream socket: QEMU's `-netdev stream` and legacy `-netdev socket`
 * (qemu net/stream.c, net/socket.c), and whoever speaks the same framing.
 *
 * ```
 *  0               4
 * +---------------+------------------------------+---------------+---
 * | length (BE)   | Ethernet frame, no FCS       | length        | …
 * +---------------+------------------------------+---------------+---
 * ```
 *
 * Theory of operation. Towards us: one recv a turn, as much as there is, into the port's own buffer; frames are parsed in
 * place and borrowed to the switch from there. What is left of an unfinished frame moves to the front of the buffer when
 * the room behind it gets short. Towards the guest: there are no offloads on this cable, so superframes are segmented and
 * checksums finished while they are copied into a byte ring of {@link TX_RING}; one send a turn empties it. A frame goes in
 * whole, with all of its segments, or not at all. When the kernel takes less, the rest waits for EPOLLOUT: QEMU stops
 * reading when its guest does, so `room()` is the back-pressure that our own TCP sees.
 *
 * A length below 14 or above {@link FRAME_MAX} ends the port: in a byte stream there is no way to find the next frame.
 *
 * Drops, by reason: `queueFull`, `tooLong`.
 */

import { get32, put32 } from '../../../core/base/bytes.ts';
import { IO, type Slot } from '../../../core/base/ports.ts';
import { count } from '../../../core/base/stats.ts';
import { Frame, HEADROOM } from '../../../core/link/frame.ts';
import { segmentCount, segmentInto, segmentLength } from '../../../core/link/offload.ts';
import type { PortStats } from '../../../core/link/port.ts';
import { ETHERNET_HEADER } from '../../../core/wire/ethernet.ts';
import { EPOLLIN, EPOLLOUT } from '../../linux/constants.ts';
import { close, errno } from '../../linux/libc.ts';
import { address } from '../../linux/memory.ts';
import { growSendBuffer, receiveUnix, sendUnix } from '../../linux/unix-stream.ts';
import type { CablePort, FlushablePort, PortHost, PortNetwork } from './port-host.ts';

const PREFIX = 4;
/** Longest frame that is taken from or given to this cable. QEMU itself stops at 69,632 (NET_BUFSIZE). */
export const FRAME_MAX = 65_550;

/** Bytes of the receive buffer: some 170 full frames of MTU 1500, or three of the longest. */
const RX_BUFFER = 256 * 1024;
/** Bytes of the ring towards the guest; a power of two. */
export const TX_RING = 512 * 1024;
/** Send buffer asked of the kernel, which gives net.core.wmem_max at most. */
const SEND_BUFFER = 1024 * 1024;

/** One stream connection. Made by {@link openStreamPort}. */
export class StreamPort implements CablePort, FlushablePort {
  readonly id: number;
  readonly stats: PortStats = { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, drops: {} };
  private fd: number;
  private readonly host: PortHost;
  private readonly network: PortNetwork;
  private readonly entry: number;
  private readonly frame: Frame;

  private readonly rx: Slot;
  /** Bounds of what was received and not parsed yet: indices into the region. */
  private rxHead: number;
  private rxTail: number;

  private readonly ring: Slot;
  /** Where the waiting bytes begin, within the ring, and how many they are. */
  private txHead = 0;
  private txPending = 0;
  private flushQueued = false;
  /** The kernel took less than we had: EPOLLOUT is awaited. */
  private blocked = false;
  /** Somebody may have found little room: `portDrained` is owed. */
  private wasShort = false;

  /** Takes over descriptor, buffer and ring. */
  constructor(id: number, fd: number, host: PortHost, rx: Slot, ring: Slot) {
    this.id = id;
    this.fd = fd;
    this.host = host;
    this.network = host.network;
    this.rx = rx;
    this.ring = ring;
    this.frame = new Frame(rx.region);
    this.rxHead = rx.offset + HEADROOM;
    this.rxTail = this.rxHead;
    growSendBuffer(fd, SEND_BUFFER);
    this.entry = host.epoll.add(fd, EPOLLIN, this);
    if (this.entry < 0) throw new Error(`the stream cannot be watched: errno ${errno()}`);
  }

  /** Seven eighths of what is free: the rest is for the headers that segmentation adds. */
  room(): number {
    const free = TX_RING - this.txPending;
    return free - (free >>> 3);
  }

  onEvents(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.unblocked();
    if (this.fd >= 0 && (events & ~EPOLLOUT) !== 0) this.receive();
  }

  transmit(frame: Frame): void {
    if (this.fd < 0) return;
    const segments = segmentCount(frame);
    if (segments === 1 && frame.length > FRAME_MAX) {
      count(this.stats.drops, 'tooLong');
      return;
    }
    if (segmentedLength(frame, segments) > TX_RING - this.txPending) {
      count(this.stats.drops, 'queueFull');
      this.wasShort = true;
      return;
    }
    const bytes = this.ring.region.bytes;
    for (let i = 0; i < segments; i += 1) {
      const at = this.ring.offset + ((this.txHead + this.txPending) & (TX_RING - 1));
      const length = segmentInto(frame, i, bytes, at + PREFIX);
      put32(bytes, at, length);
      this.txPending += PREFIX + length;
    }
    if (this.txPending > TX_RING / 2) this.wasShort = true;
    this.stats.txFrames += 1;
    this.stats.txBytes += frame.length;
    if (!this.flushQueued && !this.blocked) {
      this.flushQueued = true;
      this.host.flushLater(this);
    }
  }

  /** Sends what waits, by one call; called at the end of a turn in which frames came. */
  flush(): void {
    this.flushQueued = false;
    if (this.fd < 0 || this.blocked || this.txPending === 0) return;
    this.send();
    if (this.fd >= 0 && this.txPending > 0) {
      this.blocked = true;
      this.host.epoll.modify(this.entry, this.fd, EPOLLIN | EPOLLOUT);
    }
  }

  close(): void {
    if (this.fd < 0) return;
    this.host.epoll.remove(this.entry, this.fd, true);
    close(this.fd);
    this.fd = -1;
    this.host.arena.give(this.rx);
    this.host.arena.give(this.ring);
  }

  private unblocked(): void {
    this.send();
    if (this.fd < 0 || this.txPending > 0) return;
    this.blocked = false;
    this.host.epoll.modify(this.entry, this.fd, EPOLLIN);
  }

  /** One send. The ring is mapped twice in a row, so what waits is contiguous wherever it begins. */
  private send(): void {
    const at = address(this.ring.region, this.ring.offset + this.txHead, this.txPending);
    const sent = sendUnix(this.fd, at, this.txPending);
    if (sent < 0) {
      if (sent !== IO.WOULD_BLOCK) this.host.portEnded(this, 'peerGone');
      return;
    }
    this.txPending -= sent;
    // An empty ring begins at its front again: memory that is warm, and no more of it than is used.
    this.txHead = this.txPending === 0 ? 0 : (this.txHead + sent) & (TX_RING - 1);
    if (this.wasShort && this.txPending <= TX_RING / 2) {
      this.wasShort = false;
      this.network.portDrained(this);
    }
  }

  private receive(): void {
    const end = this.rx.offset + this.rx.size;
    const got = receiveUnix(this.fd, address(this.rx.region, this.rxTail, end - this.rxTail), end - this.rxTail);
    if (got <= 0) {
      if (got !== IO.WOULD_BLOCK) this.host.portEnded(this, 'peerGone');
      return;
    }
    this.rxTail += got;
    if (this.parse()) this.makeRoom();
  }

  /** Hands every complete frame to the switch. False when the port ended meanwhile. */
  private parse(): boolean {
    const bytes = this.rx.region.bytes;
    const frame = this.frame;
    const tail = this.rxTail;
    let at = this.rxHead;
    while (tail - at >= PREFIX) {
      const length = get32(bytes, at);
      if (length < ETHERNET_HEADER || length > FRAME_MAX) {
        this.host.portEnded(this, 'badLength');
        return false;
      }
      const next = at + PREFIX + length;
      if (next > tail) break;
      this.stats.rxFrames += 1;
      this.stats.rxBytes += length;
      frame.setPlain(this.rx.region, at + PREFIX, length);
      this.network.receive(this, frame);
      if (this.fd < 0) return false;
      at = next;
    }
    this.rxHead = at;
    return true;
  }

  /** Keeps room for one frame of the longest kind behind what is there. */
  private makeRoom(): void {
    const front = this.rx.offset + HEADROOM;
    if (this.rxHead === this.rxTail) {
      this.rxHead = front;
      this.rxTail = front;
    } else if (this.rx.offset + this.rx.size - this.rxTail < PREFIX + FRAME_MAX) {
      this.rx.region.bytes.copyWithin(front, this.rxHead, this.rxTail);
      this.rxTail -= this.rxHead - front;
      this.rxHead = front;
    }
  }
}

/** Bytes on the cable of a frame that is cut into `segments`, prefixes included: an upper bound where the frame is padded. */
function segmentedLength(frame: Frame, segments: number): number {
  const headers = segments > 1 ? segmentLength(frame, 0) - frame.gsoSize : 0;
  return frame.length + (segments - 1) * headers + segments * PREFIX;
}

/** Makes a port of an accepted connection; null when the arena has no room for it (the caller closes the descriptor). */
export function openStreamPort(id: number, fd: number, host: PortHost): StreamPort | null {
  const rx = host.arena.takeBuffer(RX_BUFFER);
  const ring = rx === null ? null : host.arena.takeRing(TX_RING);
  if (rx === null || ring === null) {
    if (rx !== null) host.arena.give(rx);
    return null;
  }
  return new StreamPort(id, fd, host, rx, ring);
}
