/**
 * The echo proxy (RFC 5508): a guest's pings go out through an echo socket of the host, and what comes back goes to the
 * guest with its own identifier. A reply is never made up: where the host can't send pings the guest is told
 * "administratively prohibited" at once.
 *
 * One flow for each guest, destination and identifier; it lives `ICMP_IDLE_MS` after the last request (REQ-1: at least
 * 60 s). At the limit the one idle for longest loses.
 */

import { type EchoSocket, IO, type Region, type SocketListener } from '../base/ports.ts';
import { type Counters, count } from '../base/stats.ts';
import { Timer } from '../base/timer-table.ts';
import {
  ICMPV4,
  ICMPV4_HEADER,
  ICMPV4_UNREACHABLE,
  icmpv4EmitEcho,
  icmpv4Identifier,
  icmpv4Sequence,
} from '../wire/icmpv4.ts';
import type { ProxyEnvironment } from './environment.ts';
import { FlowTable, type TableEntry } from './flow-table.ts';
import { VERDICT } from './policy.ts';
import { unreachableCode } from './unreachable.ts';

export const ICMP_IDLE_MS = 60_000;
export const ICMP_FLOW_LIMIT = 1_024;
/** Replies taken from one socket at a time: more than the kernel queues, since no further edge tells of the rest. */
const RECEIVE_BUDGET = 1_024;
const MAX_PAYLOAD = 65_507;

/** Pings of one guest to one destination under one identifier. */
export class IcmpFlow extends Timer implements SocketListener, TableEntry<IcmpFlow> {
  readonly guestAddress: number;
  readonly remoteAddress: number;
  readonly identifier: number;
  guestMac: number;
  readonly keyGuest: number;
  readonly keyRemote: number;
  readonly keyPorts: number;
  hashNext: IcmpFlow | null = null;
  older: IcmpFlow | null = null;
  newer: IcmpFlow | null = null;
  socket: EchoSocket | null = null;
  hostAddress = 0;
  readonly openedAt: number;
  lastActive: number;
  rxBytes = 0;
  txBytes = 0;
  private readonly proxy: IcmpProxy;

  constructor(proxy: IcmpProxy, guest: number, remote: number, identifier: number, mac: number, now: number) {
    super();
    this.proxy = proxy;
    this.guestAddress = guest;
    this.remoteAddress = remote;
    this.identifier = identifier;
    this.guestMac = mac;
    this.keyGuest = guest | 0;
    this.keyRemote = remote | 0;
    this.keyPorts = identifier;
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

export class IcmpProxy {
  readonly flows: FlowTable<IcmpFlow>;
  readonly counters: Counters = { opened: 0, denied: 0, unavailable: 0 };
  private readonly env: ProxyEnvironment;

  constructor(env: ProxyEnvironment, limit = ICMP_FLOW_LIMIT) {
    this.env = env;
    this.flows = new FlowTable(limit, env.hash);
  }

  /** An echo request from a guest: IPv4 header at `ip`, ICMP header at `off`, checksum checked. Borrowed for the call. */
  input(region: Region, ip: number, off: number, end: number, src: number, dst: number, mac: number): void {
    const b = region.bytes;
    const verdict = this.env.policy.verdict(dst);
    if (verdict !== VERDICT.ALLOWED) {
      count(this.counters, verdict === VERDICT.DENIED ? 'denied' : 'unreachable');
      const code = verdict === VERDICT.DENIED ? ICMPV4_UNREACHABLE.ADMIN_PROHIBITED : ICMPV4_UNREACHABLE.HOST;
      this.env.icmp.errorAbout(b, ip, end, mac, src, ICMPV4.UNREACHABLE, code);
      return;
    }
    const flow = this.flow(src, dst, icmpv4Identifier(b, off), mac);
    if (typeof flow === 'number') {
      this.failed(flow, b, ip, end, src, mac);
      return;
    }
    flow.guestMac = mac;
    flow.lastActive = this.env.clock.now;
    this.env.timers.arm(flow, flow.lastActive + ICMP_IDLE_MS);
    const payload = off + ICMPV4_HEADER;
    flow.rxBytes += end - payload;
    const sequence = icmpv4Sequence(b, off);
    const sent = flow.socket!.sendEcho4(region, payload, end - payload, flow.hostAddress, sequence);
    if (sent >= 0) return;
    // The socket has built its own header over the guest's, which is to be quoted.
    icmpv4EmitEcho(b, off, ICMPV4.ECHO_REQUEST, flow.identifier, sequence, end - payload);
    this.failed(sent, b, ip, end, src, mac);
  }

  /** Takes the replies that the host received for a flow. */
  receive(flow: IcmpFlow): void {
    const { out, icmp, mtu, clock } = this.env;
    for (let budget = RECEIVE_BUDGET; budget > 0; budget--) {
      const socket = flow.socket;
      if (socket === null) return;
      const length = socket.receive(out.region, out.l4 + ICMPV4_HEADER, MAX_PAYLOAD);
      if (length === IO.WOULD_BLOCK) return;
      if (length < 0) continue;
      if (length + ICMPV4_HEADER + 20 > mtu) {
        count(this.counters, 'overMtu');
        continue;
      }
      flow.txBytes += length;
      flow.lastActive = clock.now;
      const from = socket.fromAddress4 === flow.hostAddress ? flow.remoteAddress : socket.fromAddress4;
      icmp.sendEchoReply(flow.guestMac, from, flow.guestAddress, flow.identifier, socket.sequence, length);
    }
  }

  evict(concerns: (flow: IcmpFlow) => boolean): void {
    this.flows.each((flow) => {
      if (concerns(flow)) this.close(flow);
      return true;
    });
  }

  close(flow: IcmpFlow): void {
    this.env.timers.remove(flow);
    flow.socket?.close();
    flow.socket = null;
    this.flows.remove(flow);
  }

  private flow(src: number, dst: number, identifier: number, mac: number): IcmpFlow | number {
    const found = this.flows.find(src | 0, dst | 0, identifier);
    if (found !== null) {
      this.flows.touch(found);
      return found;
    }
    if (this.flows.full && this.flows.oldest !== null) {
      count(this.counters, 'evicted');
      this.close(this.flows.oldest);
    }
    const flow = new IcmpFlow(this, src, dst, identifier, mac, this.env.clock.now);
    const socket = this.env.world.openEcho4(flow);
    if (typeof socket === 'number') return socket;
    flow.socket = socket;
    flow.hostAddress = this.env.policy.translate(dst);
    this.counters.opened!++;
    this.flows.add(flow);
    return flow;
  }

  private failed(result: number, b: Uint8Array, ip: number, end: number, src: number, mac: number): void {
    const code = unreachableCode(result);
    if (code < 0) {
      count(this.counters, 'sendFailed');
      return;
    }
    count(this.counters, result === IO.DENIED ? 'unavailable' : 'unreachable');
    this.env.icmp.errorAbout(b, ip, end, mac, src, ICMPV4.UNREACHABLE, code);
  }
}
