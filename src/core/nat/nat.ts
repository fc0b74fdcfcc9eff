/** The connection proxy of a `nat` network as one piece: TCP, UDP and ICMP echo, their shared policy and their limits. */

import type { Clock, Region, SlotPool } from '../base/ports.ts';
import { TcpStack } from '../stack/tcp/tcp-stack.ts';
import type { ProxyEnvironment } from './environment.ts';
import { type FlowView, viewIcmp, viewTcp, viewUdp } from './flow-view.ts';
import { IcmpProxy } from './icmp-proxy.ts';
import { type LocalService, TcpProxy } from './tcp-proxy.ts';
import { UdpProxy } from './udp-proxy.ts';

export interface NatEnvironment extends ProxyEnvironment {
  /** Memory for segments out of order. */
  readonly pool: SlotPool;
  /** Bytes that the port behind which this MAC lives takes now without a drop. */
  room(mac: number): number;
  /** Where a guest's TCP connection to one of the gateway's own addresses leads. */
  readonly local: LocalService;
}

export class Nat {
  readonly tcp: TcpProxy;
  readonly udp: UdpProxy;
  readonly icmp: IcmpProxy;
  private readonly clock: Clock;

  constructor(env: NatEnvironment) {
    this.clock = env.clock;
    const stack = new TcpStack({
      clock: env.clock,
      timers: env.timers,
      output: env.out,
      hash: env.hash,
      pool: env.pool,
      mtu: env.mtu,
      room: (mac) => env.room(mac),
    });
    this.tcp = new TcpProxy(stack, env.world, env.policy, env.icmp, env.local, env.hash);
    this.udp = new UdpProxy(env);
    this.icmp = new IcmpProxy(env);
  }

  /** Whether work was left over for the next turn, so that the loop must not sleep. */
  get busy(): boolean {
    return this.tcp.stack.busy || this.udp.busy;
  }

  get flowCount(): number {
    return this.tcp.flows.size + this.udp.mappings.size + this.icmp.flows.size;
  }

  tcpInput(region: Region, off: number, end: number, src: number, dst: number, mac: number, local: boolean): void {
    this.tcp.input(region, off, end, src, dst, mac, local);
  }

  endTurn(): void {
    this.tcp.stack.endTurn();
    this.udp.endTurn();
  }

  /** Ends all flows of guests for whose MAC `gone` holds. */
  evict(gone: (mac: number) => boolean): void {
    this.tcp.evict((flow) => gone(flow.guestMac));
    this.udp.evict((mapping) => gone(mapping.guestMac));
    this.icmp.evict((flow) => gone(flow.guestMac));
  }

  /** At most `limit` flows for display, those idle for longest first. */
  view(limit: number): FlowView[] {
    const views: FlowView[] = [];
    const now = this.clock.now;
    const room = () => views.length < limit;
    this.tcp.flows.each((flow) => room() && views.push(viewTcp(flow, now)) > 0);
    this.udp.mappings.each((mapping) => room() && views.push(viewUdp(mapping, now)) > 0);
    this.icmp.flows.each((flow) => room() && views.push(viewIcmp(flow, now)) > 0);
    return views;
  }

  /** All counters, prefixed by their protocol. */
  counters(): Record<string, number> {
    const all: Record<string, number> = {};
    const add = (prefix: string, counters: Record<string, number>) => {
      for (const [name, value] of Object.entries(counters)) all[`${prefix}.${name}`] = value;
    };
    add('tcp', this.tcp.stack.counters);
    add('tcp', this.tcp.counters);
    add('udp', this.udp.counters);
    add('icmp', this.icmp.counters);
    return all;
  }
}
