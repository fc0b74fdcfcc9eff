/**
 * The TCP connection proxy: one flow is a TCB towards the guest and a socket of the host, and each serves the other.
 *
 * Theory of operation (DESIGN §6). A guest's SYN starts a non-blocking connect of the host; the SYN-ACK leaves when the
 * host's connection stands. Refused: RST. Unreachable: the ICMP error that says so. Timed out: silence. A repeated SYN
 * meets the pending flow and opens nothing. Bytes from the guest are acknowledged when the host's socket took them;
 * bytes for the guest stay in the host's socket until the guest acknowledged them. FIN and RST cross over in both
 * directions, so each end sees what the other did.
 *
 * Bounds: `limits.flows` flows in all, of which `limits.pending` may be connecting. At the first bound the flow idle
 * for longest goes if it is in TIME-WAIT, else the new SYN loses; at the second the new SYN loses, silently, as in a full listen
 * queue, and the guest tries again. Established flows are never dropped for idling (RFC 5382 REQ-5).
 */

import type { HalfSipHash } from '../base/half-sip-hash.ts';
import { IO, READY, type Region, type SocketListener, type TcpSocket, type World } from '../base/ports.ts';
import { type Counters, count } from '../base/stats.ts';
import type { IcmpSender } from '../stack/icmp-sender.ts';
import { ABORT, type AbortReason, type TcpApplication } from '../stack/tcp/application.ts';
import { acceptConnection, segmentArrives, synArrives, timeWaitMayBeReused } from '../stack/tcp/receive.ts';
import { TCP_STATE } from '../stack/tcp/state.ts';
import { Tcb } from '../stack/tcp/tcb.ts';
import type { TcpStack } from '../stack/tcp/tcp-stack.ts';
import { timerDue } from '../stack/tcp/timeouts.ts';
import { ICMPV4 } from '../wire/icmpv4.ts';
import {
  TCP,
  TCP_HEADER,
  tcpAck,
  tcpDstPort,
  tcpEmit,
  tcpFlags,
  tcpHeaderLength,
  tcpSeq,
  tcpSrcPort,
} from '../wire/tcp.ts';
import { FlowTable, type TableEntry } from './flow-table.ts';
import { type Policy, VERDICT } from './policy.ts';
import { unreachableCode } from './unreachable.ts';

export interface TcpProxyLimits {
  flows: number;
  /** Connections that the host is making at one time. */
  pending: number;
}

export const TCP_PROXY_LIMITS: TcpProxyLimits = { flows: 65_536, pending: 8_192 };

/** Where a guest's connection to one of the gateway's own addresses leads, if anywhere. */
export type LocalService = (address: number, port: number) => { address: number; port: number } | null;

/** One proxied connection. */
export class TcpFlow extends Tcb implements TcpApplication, SocketListener, TableEntry<TcpFlow> {
  readonly keyGuest: number;
  readonly keyRemote: number;
  readonly keyPorts: number;
  hashNext: TcpFlow | null = null;
  older: TcpFlow | null = null;
  newer: TcpFlow | null = null;
  /** The host's side; null before `connect` returned and after the end. */
  socket: TcpSocket | null = null;
  /** What the host's socket is connected to. */
  hostAddress = 0;
  hostPort = 0;
  /** Counted among the pending ones. */
  pending = false;
  private readonly proxy: TcpProxy;

  constructor(proxy: TcpProxy, guest: number, guestPort: number, remote: number, remotePort: number, mac: number) {
    super(guest, guestPort, remote, remotePort, mac, proxy.stack.clock.now);
    this.proxy = proxy;
    this.keyGuest = guest | 0;
    this.keyRemote = remote | 0;
    this.keyPorts = (guestPort << 16) | remotePort;
  }

  override get app(): TcpApplication {
    return this;
  }

  override onTimer(): void {
    timerDue(this.proxy.stack, this);
  }

  onReady(readiness: number): void {
    this.proxy.ready(this, readiness);
  }

  accept(region: Region, offset: number, length: number): number {
    return this.socket === null ? IO.RESET : this.socket.write(region, offset, length);
  }

  space(): number {
    return this.socket === null ? 0 : this.socket.sendSpace();
  }

  notifySpace(): void {
    this.socket?.notifyWritable();
  }

  endOfInput(): void {
    this.socket?.shutdown();
  }

  peek(region: Region, offset: number, length: number, skip: number): number {
    return this.socket === null ? 0 : this.socket.peek(region, offset, length, skip);
  }

  consume(length: number): void {
    this.socket?.consume(length);
  }

  lingering(): void {
    this.socket?.close();
    this.socket = null;
  }

  finished(): void {
    this.socket?.close();
    this.socket = null;
    this.proxy.forget(this);
  }

  aborted(_reason: AbortReason): void {
    this.socket?.reset();
    this.socket = null;
    this.proxy.forget(this);
  }
}

export class TcpProxy {
  readonly stack: TcpStack;
  readonly flows: FlowTable<TcpFlow>;
  /** Refusals and drops by reason. */
  readonly counters: Counters = { refused: 0, unreachable: 0, connectTimeout: 0, denied: 0 };
  private readonly world: World;
  private readonly policy: Policy;
  private readonly icmp: IcmpSender;
  private readonly local: LocalService;
  private readonly limits: TcpProxyLimits;
  private connecting = 0;

  constructor(
    stack: TcpStack,
    world: World,
    policy: Policy,
    icmp: IcmpSender,
    local: LocalService,
    hash: HalfSipHash,
    limits: TcpProxyLimits = TCP_PROXY_LIMITS,
  ) {
    this.stack = stack;
    this.world = world;
    this.policy = policy;
    this.icmp = icmp;
    this.local = local;
    this.limits = limits;
    this.flows = new FlowTable(limits.flows, hash);
  }

  /** Connections that wait for the host. */
  get pending(): number {
    return this.connecting;
  }

  /**
   * A TCP segment from a guest: `[off, end)` is a valid header with its payload, checksum checked. `local` says that
   * `dst` is one of the gateway's own addresses. The segment is borrowed for the call.
   */
  input(region: Region, off: number, end: number, src: number, dst: number, mac: number, local: boolean): void {
    const b = region.bytes;
    const guestPort = tcpSrcPort(b, off);
    const remotePort = tcpDstPort(b, off);
    const flags = tcpFlags(b, off);
    const isSyn = (flags & (TCP.SYN | TCP.ACK | TCP.RST | TCP.FIN)) === TCP.SYN;
    let flow = this.flows.find(src | 0, dst | 0, (guestPort << 16) | remotePort);
    if (flow !== null && isSyn && timeWaitMayBeReused(flow, b, off)) {
      this.stack.finish(flow);
      flow = null;
    }
    if (flow !== null) {
      this.flows.touch(flow);
      segmentArrives(this.stack, flow, region, off, end, mac);
    } else if (isSyn) {
      this.open(b, off, src, guestPort, dst, remotePort, mac, local);
    } else {
      this.answerStray(b, off, end, src, guestPort, dst, remotePort, mac, flags);
    }
  }

  /** Breaks all flows for which `concerns` holds: their guest's port is gone. */
  evict(concerns: (flow: TcpFlow) => boolean): void {
    this.flows.each((flow) => {
      if (concerns(flow)) this.stack.abort(flow, ABORT.EVICTED);
      return true;
    });
  }

  /** The host's socket of a flow became ready. */
  ready(flow: TcpFlow, readiness: number): void {
    if (flow.state === TCP_STATE.CONNECTING) {
      this.connected(flow, readiness);
      return;
    }
    if ((readiness & READY.WRITABLE) !== 0) this.stack.spaceAvailable(flow);
    if (flow.ended) {
      // The host's stream has ended; a reset that follows is still news for the guest.
      if ((readiness & READY.ERROR) !== 0 && flow.socket !== null) {
        const result = flow.socket.result();
        if (result < 0 && result !== IO.WOULD_BLOCK) this.stack.reset(flow, ABORT.HOST_RESET);
      }
    } else if ((readiness & (READY.READABLE | READY.ERROR | READY.END)) !== 0) {
      this.stack.readable(flow, (readiness & (READY.END | READY.ERROR)) !== 0);
    }
  }

  /** A flow ended. Called by the flow itself. */
  forget(flow: TcpFlow): void {
    this.settled(flow);
    this.flows.remove(flow);
  }

  private settled(flow: TcpFlow): void {
    if (!flow.pending) return;
    flow.pending = false;
    this.connecting--;
  }

  private open(
    b: Uint8Array,
    off: number,
    src: number,
    guestPort: number,
    dst: number,
    remotePort: number,
    mac: number,
    local: boolean,
  ): void {
    const flow = new TcpFlow(this, src, guestPort, dst, remotePort, mac);
    synArrives(this.stack, flow, b, off);
    const service = local ? this.local(dst, remotePort) : null;
    if (local && service === null) {
      this.answer(flow, IO.REFUSED);
      return;
    }
    if (service === null) {
      const verdict = this.policy.verdict(dst);
      if (verdict !== VERDICT.ALLOWED) {
        this.answer(flow, verdict === VERDICT.DENIED ? IO.DENIED : IO.HOST_UNREACHABLE);
        return;
      }
    }
    if (!this.makeRoom()) return;
    flow.hostAddress = service === null ? this.policy.translate(dst) : service.address;
    flow.hostPort = service === null ? remotePort : service.port;
    const socket = this.world.connectTcp4(flow.hostAddress, flow.hostPort, flow);
    if (typeof socket === 'number') {
      this.answer(flow, socket);
      return;
    }
    flow.socket = socket;
    flow.pending = true;
    this.connecting++;
    this.flows.add(flow);
  }

  /** Room for one more flow that is to be connected; false when the new one loses. */
  private makeRoom(): boolean {
    if (this.connecting >= this.limits.pending) {
      count(this.counters, 'pendingLimit');
      return false;
    }
    if (!this.flows.full) return true;
    const oldest = this.flows.oldest;
    if (oldest !== null && oldest.state === TCP_STATE.TIME_WAIT) {
      this.stack.finish(oldest);
      return true;
    }
    count(this.counters, 'flowLimit');
    return false;
  }

  private connected(flow: TcpFlow, readiness: number): void {
    const socket = flow.socket;
    if (socket === null) return;
    const result = socket.result();
    if (result === IO.WOULD_BLOCK) return;
    this.settled(flow);
    if (result === 0) {
      acceptConnection(this.stack, flow);
      if ((readiness & (READY.READABLE | READY.END)) !== 0) this.stack.readable(flow, (readiness & READY.END) !== 0);
      return;
    }
    this.answer(flow, result);
    flow.socket = null;
    socket.close();
    this.stack.setState(flow, TCP_STATE.CLOSED);
    this.flows.remove(flow);
  }

  /** Tells the guest why its SYN led nowhere, in the words that a router or the far host would use. */
  private answer(flow: TcpFlow, result: number): void {
    switch (result) {
      case IO.REFUSED:
      case IO.RESET:
        this.counters.refused!++;
        this.resetSyn(flow);
        break;
      case IO.HOST_UNREACHABLE:
      case IO.NET_UNREACHABLE:
        this.counters.unreachable!++;
        this.unreachable(flow, unreachableCode(result));
        break;
      case IO.DENIED:
        this.counters.denied!++;
        this.unreachable(flow, unreachableCode(result));
        break;
      case IO.TIMED_OUT:
        this.counters.connectTimeout!++;
        break;
      default:
        // The host has no more sockets or memory: like a full listen queue, say nothing and let the guest try again.
        count(this.counters, 'noResources');
    }
  }

  private resetSyn(flow: TcpFlow): void {
    const out = this.stack.out;
    const b = out.region.bytes;
    tcpEmit(b, out.l4, flow.remotePort, flow.guestPort, 0, flow.rcvNxt, TCP_HEADER, TCP.RST | TCP.ACK, 0);
    out.sendTcp4(flow.guestMac, flow.remoteAddress, flow.guestAddress, TCP_HEADER, 0, flow.mss);
  }

  private unreachable(flow: TcpFlow, code: number): void {
    this.icmp.errorAboutTcp(
      flow.guestMac,
      flow.guestAddress,
      flow.guestPort,
      flow.remoteAddress,
      flow.remotePort,
      flow.irs,
      ICMPV4.UNREACHABLE,
      code,
    );
  }

  /** A segment of no connection: RST, at the place where the guest looks (RFC 9293 §3.10.7.1). */
  private answerStray(
    b: Uint8Array,
    off: number,
    end: number,
    src: number,
    guestPort: number,
    dst: number,
    remotePort: number,
    mac: number,
    flags: number,
  ): void {
    if ((flags & TCP.RST) !== 0) return;
    count(this.counters, 'stray');
    const out = this.stack.out;
    if ((flags & TCP.ACK) !== 0) {
      tcpEmit(out.region.bytes, out.l4, remotePort, guestPort, tcpAck(b, off), 0, TCP_HEADER, TCP.RST, 0);
    } else {
      const length =
        end - off - tcpHeaderLength(b, off) + ((flags & TCP.SYN) !== 0 ? 1 : 0) + ((flags & TCP.FIN) !== 0 ? 1 : 0);
      const ack = (tcpSeq(b, off) + length) | 0;
      tcpEmit(out.region.bytes, out.l4, remotePort, guestPort, 0, ack, TCP_HEADER, TCP.RST | TCP.ACK, 0);
    }
    out.sendTcp4(mac, dst, src, TCP_HEADER, 0, 1460);
  }
}
