/**
 * The UDP proxy (RFC 4787): one unconnected host socket for each guest address and port, whatever it talks to, so the
 * mapping is endpoint-independent; filtering is address-dependent: a datagram from an address that the guest never sent
 * to is dropped and counted.
 *
 * A mapping lives `IDLE_MS` after the guest's last datagram (REQ-5, REQ-6). It remembers the last `MAX_PEERS` addresses
 * that it sent to; beyond that the oldest is forgotten. At `limit` mappings the one idle for longest loses. A guest's
 * superframe of UDP segments (GSO_UDP_L4) is sent datagram by datagram. ICMP errors that the host's kernel reports for a
 * datagram end nothing (REQ-12): a refused one is told to the guest as port unreachable for the last peer.
 */

import { IO, type Region, type SocketListener, type UdpSocket } from '../base/ports.ts';
import { type Counters, count } from '../base/stats.ts';
import { Timer } from '../base/timer-table.ts';
import { ICMPV4, ICMPV4_UNREACHABLE } from '../wire/icmpv4.ts';
import { UDP_HEADER, udpDstPort, udpEmit, udpLength, udpSrcPort } from '../wire/udp.ts';
import type { ProxyEnvironment } from './environment.ts';
import { FlowTable, type TableEntry } from './flow-table.ts';
import { VERDICT } from './policy.ts';
import { unreachableCode } from './unreachable.ts';

/** Idle life of a mapping: RFC 4787 REQ-5 recommends five minutes or more. */
export const UDP_IDLE_MS = 300_000;
export const UDP_MAPPING_LIMIT = 16_384;
/** Addresses that a mapping admits datagrams from. */
const MAX_PEERS = 64;
/** Datagrams taken from one socket in one turn, so that a flood doesn't starve the others. */
const RECEIVE_BUDGET = 64;
/** Longest payload that fits an IPv4 packet. */
const MAX_PAYLOAD = 65_507;

/** The mapping of one guest address and port. */
export class UdpMapping extends Timer implements SocketListener, TableEntry<UdpMapping> {
  readonly guestAddress: number;
  readonly guestPort: number;
  guestMac: number;
  readonly keyGuest: number;
  readonly keyRemote = 0;
  readonly keyPorts: number;
  hashNext: UdpMapping | null = null;
  older: UdpMapping | null = null;
  newer: UdpMapping | null = null;
  socket: UdpSocket | null = null;
  /** The peer of the latest datagram, as the guest knows it and as the host does. */
  remoteAddress = 0;
  remotePort = 0;
  hostAddress = 0;
  /** Addresses that it sent to, as the host knows them, the oldest first, and as the guest knows them. */
  readonly peers: number[] = [];
  readonly guestPeers: number[] = [];
  readonly openedAt: number;
  lastActive: number;
  rxBytes = 0;
  txBytes = 0;
  /** The host has datagrams that last turn's budget left over. */
  backlog = false;
  private readonly proxy: UdpProxy;

  constructor(proxy: UdpProxy, guest: number, port: number, mac: number, now: number) {
    super();
    this.proxy = proxy;
    this.guestAddress = guest;
    this.guestPort = port;
    this.guestMac = mac;
    this.keyGuest = guest | 0;
    this.keyPorts = port << 16;
    this.openedAt = now;
    this.lastActive = now;
  }

  override onTimer(): void {
    this.proxy.close(this);
  }

  onReady(): void {
    this.proxy.receive(this);
  }
}

export class UdpProxy {
  readonly mappings: FlowTable<UdpMapping>;
  readonly counters: Counters = { opened: 0, denied: 0, filtered: 0, evicted: 0 };
  private readonly env: ProxyEnvironment;
  private backlog: UdpMapping[] = [];

  constructor(env: ProxyEnvironment, limit = UDP_MAPPING_LIMIT) {
    this.env = env;
    this.mappings = new FlowTable(limit, env.hash);
  }

  /** Whether datagrams were left over for the next turn. */
  get busy(): boolean {
    return this.backlog.length > 0;
  }

  /**
   * A UDP datagram from a guest: IPv4 header at `ip`, a valid UDP header at `off`, packet end at `end`, checksum checked.
   * `segment` is the payload of each datagram in a superframe, 0 for an ordinary one. Borrowed for the call.
   */
  input(
    region: Region,
    ip: number,
    off: number,
    end: number,
    src: number,
    dst: number,
    mac: number,
    segment: number,
  ): void {
    const b = region.bytes;
    const verdict = this.env.policy.verdict(dst);
    if (verdict !== VERDICT.ALLOWED) {
      count(this.counters, verdict === VERDICT.DENIED ? 'denied' : 'unreachable');
      const code = verdict === VERDICT.DENIED ? ICMPV4_UNREACHABLE.ADMIN_PROHIBITED : ICMPV4_UNREACHABLE.HOST;
      this.env.icmp.errorAbout(b, ip, end, mac, src, ICMPV4.UNREACHABLE, code);
      return;
    }
    const port = udpDstPort(b, off);
    const mapping = this.mapping(src, udpSrcPort(b, off), mac);
    if (mapping === null || mapping.socket === null) return;
    mapping.guestMac = mac;
    mapping.lastActive = this.env.clock.now;
    mapping.remoteAddress = dst;
    mapping.remotePort = port;
    mapping.hostAddress = this.env.policy.translate(dst);
    remember(mapping);
    this.env.timers.arm(mapping, mapping.lastActive + UDP_IDLE_MS);
    let at = off + UDP_HEADER;
    const payloadEnd = segment > 0 ? end : off + udpLength(b, off);
    do {
      const length = segment > 0 ? Math.min(segment, payloadEnd - at) : payloadEnd - at;
      mapping.rxBytes += length;
      const sent = mapping.socket.sendTo4(region, at, length, mapping.hostAddress, port);
      if (sent < 0 && !this.sendFailed(mapping, sent, b, ip, end)) return;
      at += length;
    } while (at < payloadEnd);
  }

  /** Takes what the host received for a mapping. */
  receive(mapping: UdpMapping): void {
    const { out, clock, mtu } = this.env;
    const at = out.l4 + UDP_HEADER;
    for (let budget = RECEIVE_BUDGET; budget > 0; budget--) {
      const socket = mapping.socket;
      if (socket === null) return;
      const length = socket.receive(out.region, at, MAX_PAYLOAD);
      if (length === IO.WOULD_BLOCK) return;
      if (length < 0) {
        if (length === IO.REFUSED) this.refused(mapping);
        continue;
      }
      const peer = mapping.peers.lastIndexOf(socket.fromAddress4);
      if (peer < 0) {
        this.counters.filtered!++;
        continue;
      }
      if (length + UDP_HEADER + 20 > mtu) {
        count(this.counters, 'overMtu');
        continue;
      }
      mapping.txBytes += length;
      mapping.lastActive = clock.now;
      udpEmit(out.region.bytes, out.l4, socket.fromPort, mapping.guestPort, UDP_HEADER + length);
      out.sendUdp4(mapping.guestMac, mapping.guestPeers[peer] as number, mapping.guestAddress, length);
    }
    if (mapping.backlog) return;
    mapping.backlog = true;
    this.backlog.push(mapping);
  }

  /** Goes on with what the last turn's budget left over. */
  endTurn(): void {
    if (this.backlog.length === 0) return;
    const list = this.backlog;
    this.backlog = [];
    for (const mapping of list) {
      mapping.backlog = false;
      this.receive(mapping);
    }
  }

  /** Ends all mappings for which `concerns` holds. */
  evict(concerns: (mapping: UdpMapping) => boolean): void {
    this.mappings.each((mapping) => {
      if (concerns(mapping)) this.close(mapping);
      return true;
    });
  }

  close(mapping: UdpMapping): void {
    this.env.timers.remove(mapping);
    mapping.socket?.close();
    mapping.socket = null;
    this.mappings.remove(mapping);
  }

  private mapping(src: number, port: number, mac: number): UdpMapping | null {
    const found = this.mappings.find(src | 0, 0, port << 16);
    if (found !== null) {
      this.mappings.touch(found);
      return found;
    }
    if (this.mappings.full && this.mappings.oldest !== null) {
      this.counters.evicted!++;
      this.close(this.mappings.oldest);
    }
    const mapping = new UdpMapping(this, src, port, mac, this.env.clock.now);
    const socket = this.env.world.openUdp4(mapping);
    if (typeof socket === 'number') {
      count(this.counters, 'noResources');
      return null;
    }
    mapping.socket = socket;
    this.counters.opened!++;
    this.mappings.add(mapping);
    return mapping;
  }

  /** Returns whether the rest of a superframe is worth sending. */
  private sendFailed(mapping: UdpMapping, result: number, b: Uint8Array, ip: number, end: number): boolean {
    if (result === IO.REFUSED) {
      // An error of an earlier datagram, reported now: this one was not sent.
      this.refused(mapping);
      return true;
    }
    const code = unreachableCode(result);
    if (code >= 0) {
      this.env.icmp.errorAbout(b, ip, end, mapping.guestMac, mapping.guestAddress, ICMPV4.UNREACHABLE, code);
      count(this.counters, 'unreachable');
    } else {
      count(this.counters, result === IO.WOULD_BLOCK ? 'socketFull' : 'sendFailed');
    }
    return false;
  }

  private refused(mapping: UdpMapping): void {
    count(this.counters, 'refused');
    const { guestMac, guestAddress, guestPort, remoteAddress, remotePort } = mapping;
    this.env.icmp.portUnreachable(guestMac, guestAddress, guestPort, remoteAddress, remotePort);
  }
}

/** Admits the current peer from now on; it becomes the newest. */
function remember(mapping: UdpMapping): void {
  const { peers, guestPeers } = mapping;
  const last = peers.length - 1;
  if (last >= 0 && peers[last] === mapping.hostAddress && guestPeers[last] === mapping.remoteAddress) return;
  const at = peers.indexOf(mapping.hostAddress);
  if (at >= 0) {
    peers.splice(at, 1);
    guestPeers.splice(at, 1);
  } else if (peers.length >= MAX_PEERS) {
    peers.shift();
    guestPeers.shift();
  }
  peers.push(mapping.hostAddress);
  guestPeers.push(mapping.remoteAddress);
}
