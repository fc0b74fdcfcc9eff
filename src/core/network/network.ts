/**
 * One virtual network: its switch, the gateway with its services, and time.
 *
 * The daemon's loop drives it, a turn at a time: it sets the clock, lets ports and sockets deliver what is ready, calls
 * `poll` for timers that are due, then `endTurn`, in which acknowledgements and data for guests leave, then flushes the
 * ports' queues. `pollAt` says until when it may sleep. Everything runs to completion synchronously; nothing here
 * touches a clock, a socket or randomness but through `World`.
 */

import { prefixMask } from '../base/address.ts';
import { copyBytes } from '../base/bytes.ts';
import { HalfSipHash } from '../base/half-sip-hash.ts';
import type { Clock, SlotPool, World } from '../base/ports.ts';
import { TimerTable } from '../base/timer-table.ts';
import type { Frame } from '../link/frame.ts';
import type { SwitchPort } from '../link/port.ts';
import type { FlowView } from '../nat/flow-view.ts';
import { Nat } from '../nat/nat.ts';
import { Policy } from '../nat/policy.ts';
import type { LeaseRecord } from '../services/dhcp/lease.ts';
import { DhcpServer } from '../services/dhcp/server.ts';
import { DnsForwarder } from '../services/dns/forwarder.ts';
import { IcmpSender } from '../stack/icmp-sender.ts';
import { Neighbors } from '../stack/neighbor.ts';
import { OUTPUT_SLOT_BYTES, PacketOutput } from '../stack/packet-output.ts';
import { Switch } from '../switch/switch.ts';
import { DNS_PORT } from '../wire/dns.ts';
import { UDP_HEADER, udpEmit } from '../wire/udp.ts';
import type { NetworkConfig, Resolver } from './config.ts';
import { dropsAmong } from './drops.ts';
import { Gateway } from './gateway.ts';

/** Names that stand for the network's own addresses. */
const HOST_LABEL = 'host';
const GATEWAY_LABEL = 'gateway';

export interface NetworkHooks {
  /** Keeps a lease on disk; called before the guest hears of it. */
  saveLease(record: LeaseRecord): void;
}

export class Network {
  readonly config: NetworkConfig;
  readonly switch: Switch;
  /** Null on a plain segment. */
  readonly gateway: Gateway | null = null;
  readonly nat: Nat | null = null;
  readonly dhcp: DhcpServer | null = null;
  readonly dns: DnsForwarder | null = null;
  readonly neighbors = new Neighbors();
  private readonly clock: Clock;
  private readonly timers = new TimerTable();
  private readonly policy: Policy | null = null;
  private readonly icmp: IcmpSender | null = null;
  private resolvers: readonly Resolver[];
  private lastPortId = 0;

  /** Takes one large slot of the pool for as long as it lives. Throws when the pool has none. */
  constructor(config: NetworkConfig, world: World, clock: Clock, pool: SlotPool, hooks: NetworkHooks) {
    this.config = config;
    this.clock = clock;
    this.switch = new Switch(clock, { hashSeed: world.random32() });
    this.resolvers = config.resolvers;
    const plan = config.ipv4;
    if (plan === null) return;

    const nat = config.mode === 'nat';
    const slot = pool.take(OUTPUT_SLOT_BYTES);
    if (slot === null) throw new Error('no memory for the output slot');
    // The gateway's port exists from here on: nothing is sent while it is being put together.
    const out = new PacketOutput(slot, config.gatewayMac, (frame) => this.sendFromGateway(frame));
    const icmp = new IcmpSender(out, clock, nat ? plan.gateway : plan.dhcpServer);
    const mask = prefixMask(plan.prefixLength);
    this.icmp = icmp;

    if (config.dhcp !== null) {
      this.dhcp = new DhcpServer(
        {
          serverId: plan.dhcpServer,
          network: plan.network,
          prefixLength: plan.prefixLength,
          rangeStart: config.dhcp.rangeStart,
          rangeEnd: config.dhcp.rangeEnd,
          leaseSeconds: config.dhcp.leaseSeconds,
          reservations: config.dhcp.reservations,
          router: nat ? plan.gateway : 0,
          dns: nat ? [plan.gateway] : [],
          domain: config.domain,
          mtu: config.mtu,
          taken: [plan.host, plan.gateway, plan.dhcpServer],
          ownNames: [HOST_LABEL, GATEWAY_LABEL],
          leases: config.leases,
        },
        {
          clock,
          wallClock: () => world.wallClock(),
          save: (record) => hooks.saveLease(record),
        },
      );
    }
    if (nat) {
      this.policy = new Policy(plan.host, [plan, ...config.otherNetworks], config.hostAddress);
      this.nat = new Nat({
        world,
        clock,
        timers: this.timers,
        hash: new HalfSipHash(world.random32(), world.random32()),
        out,
        icmp,
        policy: this.policy,
        pool,
        mtu: config.mtu,
        room: (mac) => this.switch.portOf(mac)?.room() ?? Number.MAX_SAFE_INTEGER,
        local: (address, port) => this.localTcp(address, port),
      });
      this.dns = new DnsForwarder(
        {
          domain: config.domain,
          resolvers: config.resolvers,
          names: (label) => this.addressOf(label),
          reverse: (address) => this.nameOf(address),
          // What doesn't fit a packet is cut, and asked again over TCP.
          maxReply: config.mtu - 28,
          isLocal: (address) => (address & mask) >>> 0 === plan.network,
        },
        {
          world,
          clock,
          pool,
          random32: () => world.random32(),
          reply: (region, offset, length, address, port) => {
            const mac = this.neighbors.macOf(address);
            if (mac < 0) return;
            copyBytes(out.region.bytes, out.l4 + UDP_HEADER, region.bytes, offset, length);
            udpEmit(out.region.bytes, out.l4, DNS_PORT, port, UDP_HEADER + length);
            out.sendUdp4(mac, plan.gateway, address, length);
          },
        },
      );
    }
    this.gateway = new Gateway(this.nextPortId(), {
      out,
      icmp,
      neighbors: this.neighbors,
      clock,
      nat: this.nat,
      dhcp: this.dhcp,
      dns: this.dns,
      network: plan.network,
      mask,
      gateway: nat ? plan.gateway : 0,
      dhcpServer: plan.dhcpServer,
      host: nat ? plan.host : 0,
    });
    this.switch.attach(this.gateway);
    this.switch.pin(config.gatewayMac, this.gateway);
  }

  /** A port number that was never used in this network before. */
  nextPortId(): number {
    this.lastPortId++;
    return this.lastPortId;
  }

  attach(port: SwitchPort): void {
    this.switch.attach(port);
  }

  /** Pulls a port's cable: the flows of the guests behind it end, their host sockets are reset. */
  detach(port: SwitchPort): void {
    // A station that the switch had no room to learn is taken for one of this port's: else its flows would stay for ever.
    this.nat?.evict((mac) => (this.switch.lastPortOf(mac) ?? port) === port);
    this.switch.detach(port);
  }

  /** A frame from a port's cable; borrowed for the call. */
  receive(port: SwitchPort, frame: Frame): void {
    this.switch.receive(port, frame);
  }

  /** A port's queue has room again. */
  portDrained(_port: SwitchPort): void {
    this.nat?.tcp.stack.roomAvailable();
  }

  /** Fires all timers that are due at the turn's time. */
  poll(): void {
    this.timers.poll(this.clock.now);
    this.dns?.poll();
    this.dhcp?.poll();
  }

  /** Until when, in the clock's milliseconds, the loop may sleep; `Infinity` without a timer, now when work is left over. */
  pollAt(): number {
    if (this.nat?.busy) return this.clock.now;
    return Math.min(
      this.timers.pollAt(),
      this.dns?.pollAt() ?? Number.POSITIVE_INFINITY,
      this.dhcp?.pollAt() ?? Number.POSITIVE_INFINITY,
    );
  }

  /** Sends what the turn's input made due. */
  endTurn(): void {
    this.nat?.endTurn();
  }

  /**
   * Gives a guest its address without a DHCP exchange, as for a namespace that we configure ourselves; the address
   * stays taken until {@link release}. `address` asks for a certain one, 0 for any. Returns 0 when there is none.
   */
  allocate(mac: number, name: string | null, address: number): number {
    return this.dhcp?.allocate(mac, name, address) ?? address;
  }

  /** The guest with this MAC is unplugged: its lease ends, and is remembered for when it comes back. */
  release(mac: number): void {
    this.dhcp?.release(mac);
  }

  leases(): LeaseRecord[] {
    return this.dhcp?.leases() ?? [];
  }

  flowCount(): number {
    return this.nat?.flowCount ?? 0;
  }

  flows(limit: number): FlowView[] {
    return this.nat?.view(limit) ?? [];
  }

  /** Addresses known to belong to a station, by lease or by ARP. */
  addressesOf(mac: number): number[] {
    const found = this.neighbors.addressesOf(mac);
    for (const lease of this.leases())
      if (lease.mac === mac && !found.includes(lease.address)) found.push(lease.address);
    return found;
  }

  /** Counters of the whole network by prefixed name. */
  counters(): Record<string, number> {
    const all: Record<string, number> = this.nat?.counters() ?? {};
    const add = (prefix: string, counters: Record<string, number> | undefined) => {
      for (const [name, value] of Object.entries(counters ?? {})) all[`${prefix}.${name}`] = value;
    };
    add('switch', this.switch.counters);
    add('dhcp', this.dhcp?.counters);
    add('dns', this.dns?.counters);
    add('icmpError', this.icmp?.counters);
    return all;
  }

  /** What went no further at the gateway, by reason: frames, and what proxy and services left undone (drops.ts). */
  gatewayDrops(): Record<string, number> {
    return { ...this.gateway?.stats.drops, ...dropsAmong(this.counters()) };
  }

  setResolvers(resolvers: readonly Resolver[]): void {
    this.resolvers = resolvers;
    this.dns?.setResolvers(resolvers);
  }

  /** The host's address changed; new flows to `.1` go there. */
  setHostAddress(address: number): void {
    if (this.policy !== null) this.policy.hostAddress = address;
  }

  private sendFromGateway(frame: Frame): void {
    const gateway = this.gateway;
    if (gateway === null) return;
    gateway.stats.rxFrames++;
    gateway.stats.rxBytes += frame.length;
    this.switch.receive(gateway, frame);
  }

  /** DNS over TCP goes to the host's resolver as it is; the gateway listens on nothing else. */
  private localTcp(address: number, port: number): { address: number; port: number } | null {
    const resolver = this.resolvers[0];
    if (port !== DNS_PORT || address !== this.config.ipv4?.gateway || resolver === undefined) return null;
    return { address: resolver.address, port: resolver.port };
  }

  private addressOf(label: string): number {
    if (label === HOST_LABEL) return this.config.ipv4?.host ?? 0;
    if (label === GATEWAY_LABEL) return this.config.ipv4?.gateway ?? 0;
    return this.dhcp?.addressOf(label) ?? 0;
  }

  private nameOf(address: number): string | null {
    const plan = this.config.ipv4;
    if (plan !== null && address === plan.host) return HOST_LABEL;
    if (plan !== null && address === plan.gateway) return GATEWAY_LABEL;
    return this.dhcp?.nameOf(address) ?? null;
  }
}
