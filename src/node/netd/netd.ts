/**
 * One network's process: its core `Network`, its ports, and the requests of vmnetd (protocol.ts).
 *
 * Theory of operation. Until `start` there is no network; it brings configuration and descriptors. Then guests come by
 * two ways: `attachTap` brings a TAP and a pidfd, and the stream listener accepts connections. A port ends when its
 * cable does, when the guest's process has ended (the pidfd becomes readable), or by `detach`; each time the flows behind
 * it are reset, its memory is given back and every control connection is told `removed`.
 *
 * Bounds: {@link PORTS_MAX} ports, of which {@link TAPS_MAX} TAPs (their descriptors fit one message); beyond that
 * attachTap is refused, and a connection is closed and counted.
 */

import { type Counters, count } from '../../core/base/stats.ts';
import type { DropReason } from '../../core/link/drops.ts';
import type { SwitchPort } from '../../core/link/port.ts';
import { Network } from '../../core/network/network.ts';
import type { LeaseRecord } from '../../core/services/dhcp/lease.ts';
import { Arena } from '../linux/arena.ts';
import { EPOLLIN } from '../linux/constants.ts';
import type { Epoll, EpollHandler } from '../linux/epoll.ts';
import { close } from '../linux/libc.ts';
import { adoptTap } from '../linux/tap.ts';
import { closeAll } from '../linux/unix-fd.ts';
import { peerPid } from '../linux/unix-stream.ts';
import { LinuxWorld } from '../linux/world.ts';
import { type Answer, ControlError, type ControlHandler } from './control.ts';
import { Journal } from './journal.ts';
import { log } from './log.ts';
import type { Loop, Turns } from './loop.ts';
import type { CablePort, FlushablePort, PortHost } from './ports/port-host.ts';
import { openStreamPort } from './ports/stream.ts';
import { StreamListener } from './ports/stream-listener.ts';
import { TapPort, takeReceiveSlot } from './ports/tap.ts';
import type {
  AttachResult,
  AttachTap,
  NetdConfig,
  NetdEvent,
  NetdStatus,
  Op,
  PortInfo,
  Request,
  Requests,
} from './protocol.ts';
import { descriptorCount } from './request-shape.ts';

/** Most ports of a network, the gateway not counted. */
export const PORTS_MAX = 256;
/** Most of them that are TAPs. */
export const TAPS_MAX = 120;
/** Ends of ports, and connections that became none, that are shown among the gateway's drops. */
const PORT_DROPS = ['badLength', 'refused'] as const satisfies DropReason[];
/** Most stations shown of one port. */
const STATIONS_SHOWN = 16;

/** A port and what is known of its guest. */
interface Plugged {
  port: CablePort;
  kind: 'tap' | 'stream';
  pid: number | null;
  /** Null for a stream. */
  tap: { attach: AttachTap; fd: number; pidfd: number; watch: ProcessWatch } | null;
}

/** What exists from `start` on. */
interface Running {
  config: NetdConfig;
  network: Network;
  world: LinuxWorld;
  stream: StreamListener | null;
  icmp: number | null;
  journal: Journal | null;
}

/** The process's state, and the handler of its control channel. */
export class Netd implements ControlHandler, PortHost, Turns {
  readonly epoll: Epoll;
  readonly arena = new Arena();
  /** Set by `stop`: the process is to end after this turn. */
  stopping = false;
  /** Tells all control connections. */
  broadcast: (event: NetdEvent) => void = () => {};
  private readonly loop: Loop;
  private readonly version: string;
  private readonly startedAt: number;
  private readonly receiveSlot = takeReceiveSlot(this.arena);
  private readonly plugged = new Map<number, Plugged>();
  /** Ends of ports and refusals, by reason. */
  private readonly counters: Counters = {};
  private running: Running | null = null;
  private leasesChanged = false;

  constructor(epoll: Epoll, loop: Loop, version: string) {
    this.epoll = epoll;
    this.loop = loop;
    this.version = version;
    this.startedAt = loop.clock.now;
  }

  // ---- the loop's and the ports' side -------------------------------------------------------------------------------

  get network(): Network {
    return this.mustRun().network;
  }

  flushLater(port: FlushablePort): void {
    this.loop.flushLater(port);
  }

  portEnded(port: CablePort, reason: string): void {
    count(this.counters, `ports.${reason}`);
    log(`port ${port.id} ended: ${reason}`);
    this.unplug(port.id);
  }

  poll(): void {
    this.running?.network.poll();
  }

  pollAt(): number {
    return this.running === null ? Number.POSITIVE_INFINITY : this.running.network.pollAt();
  }

  endTurn(): void {
    this.running?.network.endTurn();
    if (!this.leasesChanged) return;
    this.leasesChanged = false;
    this.broadcast({ event: 'leases' });
  }

  // ---- the control channel's side -----------------------------------------------------------------------------------

  descriptorCount(request: Request): number {
    return descriptorCount(request);
  }

  handle(op: Op, params: Request['params'], descriptors: number[]): Answer {
    switch (op) {
      case 'hello':
        return { result: { pid: process.pid, version: this.version, config: this.running?.config ?? null } };
      case 'start':
        return { result: this.start(params as Requests['start']['params'], descriptors) };
      case 'update':
        return { result: this.update(params as Requests['update']['params']) };
      case 'journal':
        return { result: this.replaceJournal(descriptors) };
      case 'attachTap':
        return { result: this.attachTap(params as AttachTap, descriptors) };
      case 'detach':
        return { result: this.detach((params as Requests['detach']['params']).port) };
      case 'descriptors':
        return this.descriptors();
      case 'status':
        return { result: this.status() };
      case 'ports':
        return { result: this.ports() };
      case 'leases':
        return { result: this.mustRun().network.leases() };
      case 'flows':
        return { result: this.flows((params as Requests['flows']['params']).limit) };
      case 'stop':
        this.stopping = true;
        return { result: null };
    }
  }

  private start({ config, fds }: Requests['start']['params'], descriptors: number[]): { pid: number } {
    if (this.running !== null) {
      closeAll(descriptors);
      throw new ControlError('ALREADY_STARTED', 'the network runs already');
    }
    const fdOf = (name: (typeof fds)[number]) => descriptors[fds.indexOf(name)] ?? null;
    const world = new LinuxWorld(this.epoll);
    const icmp = fdOf('icmp');
    if (icmp !== null) world.useRawEcho(icmp);
    const journalFd = fdOf('journal');
    const streamFd = fdOf('stream');
    const network = new Network(config, world, this.loop.clock, this.arena, {
      saveLease: (record) => this.saveLease(record),
    });
    // The leases were for the network only; they live on in it.
    this.running = {
      config: { ...config, leases: [] },
      network,
      world,
      icmp,
      journal: journalFd === null ? null : new Journal(journalFd),
      stream: streamFd === null ? null : new StreamListener(streamFd, this.epoll, (fd) => this.plugStream(fd)),
    };
    log(`network ${config.name} runs, mode ${config.mode}, echo ${world.echo}`);
    return { pid: process.pid };
  }

  private update({ resolvers, hostAddress }: Requests['update']['params']): null {
    const { network, config } = this.mustRun();
    if (resolvers !== undefined) {
      config.resolvers = resolvers;
      network.setResolvers(resolvers);
    }
    if (hostAddress !== undefined) {
      config.hostAddress = hostAddress;
      network.setHostAddress(hostAddress);
    }
    return null;
  }

  private replaceJournal(descriptors: number[]): null {
    const running = this.running;
    const [fd] = descriptors;
    if (running === null || fd === undefined) {
      closeAll(descriptors);
      throw notStarted();
    }
    running.journal?.close();
    running.journal = new Journal(fd);
    return null;
  }

  private saveLease(record: LeaseRecord): void {
    this.running?.journal?.append(record);
    this.leasesChanged = true;
  }

  private attachTap(attach: AttachTap, descriptors: number[]): AttachResult {
    const [fd = -1, pidfd = -1] = descriptors;
    try {
      return this.plugTap(attach, fd, pidfd);
    } catch (error) {
      closeAll(descriptors);
      throw error;
    }
  }

  private plugTap(attach: AttachTap, fd: number, pidfd: number): AttachResult {
    const { network, config } = this.mustRun();
    const taps = [...this.plugged.values()].filter((plugged) => plugged.kind === 'tap').length;
    if (taps >= TAPS_MAX || this.plugged.size >= PORTS_MAX) {
      throw new ControlError('PORTS_FULL', `${this.plugged.size} ports are in use`);
    }
    try {
      adoptTap(fd);
    } catch (error) {
      throw new ControlError('TAP_REFUSED', error instanceof Error ? error.message : String(error));
    }
    const address = network.allocate(attach.mac, attach.name, attach.address);
    if (address === 0 && config.dhcp !== null) {
      if (attach.address !== 0) throw new ControlError('ADDRESS_TAKEN', 'the address is in use');
      throw new ControlError('POOL_EMPTY', 'the network has no address left');
    }
    const id = network.nextPortId();
    const watch = new ProcessWatch(pidfd, this.epoll, () => {
      log(`port ${id}: process ${attach.pid} has ended`);
      this.unplug(id);
    });
    if (!watch.begin()) {
      network.release(attach.mac);
      throw new ControlError('PROCESS_UNWATCHED', 'the second descriptor is no pidfd');
    }
    const port = new TapPort(id, fd, this, this.receiveSlot);
    this.plugged.set(id, { port, kind: 'tap', pid: attach.pid, tap: { attach, fd, pidfd, watch } });
    network.attach(port);
    const plan = config.ipv4;
    const nat = config.mode === 'nat' && plan !== null;
    return {
      port: id,
      address,
      prefixLength: plan?.prefixLength ?? 0,
      gateway: nat ? plan.gateway : 0,
      dns: nat ? [plan.gateway] : [],
      domain: config.domain,
      mtu: attach.mtu,
    };
  }

  private plugStream(fd: number): void {
    const { network } = this.mustRun();
    const port = this.plugged.size < PORTS_MAX ? openStreamPort(network.nextPortId(), fd, this) : null;
    if (port === null) {
      count(this.counters, 'ports.refused');
      log('a stream connection is refused: too many ports');
      close(fd);
      return;
    }
    const pid = peerPid(fd);
    this.plugged.set(port.id, { port, kind: 'stream', pid: pid === 0 ? null : pid, tap: null });
    network.attach(port);
    log(`port ${port.id}: a stream is plugged in, process ${pid}`);
  }

  private detach(id: number): null {
    this.mustRun();
    if (!this.unplug(id)) throw new ControlError('UNKNOWN_PORT', `there is no port ${id}`);
    return null;
  }

  /** Takes a port and all that belongs to it away; false when there is no such port. */
  private unplug(id: number): boolean {
    const plugged = this.plugged.get(id);
    if (plugged === undefined) return false;
    this.plugged.delete(id);
    const { network } = this.mustRun();
    network.detach(plugged.port);
    plugged.port.close();
    if (plugged.tap !== null) {
      plugged.tap.watch.end();
      close(plugged.tap.pidfd);
      network.release(plugged.tap.attach.mac);
    }
    this.broadcast({ event: 'removed', port: id });
    return true;
  }

  private descriptors(): Answer {
    const { stream, journal, icmp } = this.mustRun();
    const taps: Requests['descriptors']['result']['taps'] = [];
    const fds: Requests['descriptors']['result']['fds'] = [];
    const descriptors: number[] = [];
    for (const [port, { tap }] of this.plugged) {
      if (tap === null) continue;
      taps.push({ ...tap.attach, port });
      descriptors.push(tap.fd, tap.pidfd);
    }
    for (const [name, fd] of [
      ['stream', stream?.fd],
      ['journal', journal?.fd],
      ['icmp', icmp],
    ] as const) {
      if (fd === undefined || fd === null) continue;
      fds.push(name);
      descriptors.push(fd);
    }
    return { result: { taps, fds }, descriptors };
  }

  private status(): NetdStatus {
    const running = this.running;
    return {
      pid: process.pid,
      uptimeMs: this.loop.clock.now - this.startedAt,
      rssBytes: rssBytes(),
      ports: this.plugged.size,
      leases: running?.network.leases().length ?? 0,
      flows: running?.network.flowCount() ?? 0,
      echo: running?.world.echo ?? 'unavailable',
      counters: { ...running?.network.counters(), ...this.counters },
    };
  }

  private ports(): PortInfo[] {
    const { network } = this.mustRun();
    const gateway = network.gateway;
    const infos = gateway === null ? [] : [this.portInfo(gateway, 'gateway', null, null)];
    for (const { port, kind, pid, tap } of this.plugged.values()) {
      infos.push(this.portInfo(port, kind, pid, tap?.attach ?? null));
    }
    return infos;
  }

  private portInfo(port: SwitchPort, kind: PortInfo['kind'], pid: number | null, attach: AttachTap | null): PortInfo {
    const { network, config } = this.mustRun();
    const { rxFrames, rxBytes, txFrames, txBytes, drops } = port.stats;
    const macs = network.switch.stationsOf(port, STATIONS_SHOWN);
    if (attach !== null && !macs.includes(attach.mac)) macs.push(attach.mac);
    if (kind === 'gateway' && !macs.includes(config.gatewayMac)) macs.push(config.gatewayMac);
    return {
      port: port.id,
      kind,
      name: attach?.name ?? null,
      interface: attach?.interface ?? null,
      pid,
      macs,
      addresses: kind === 'gateway' ? this.gatewayAddresses() : macs.flatMap((mac) => network.addressesOf(mac)),
      rxFrames,
      rxBytes,
      txFrames,
      txBytes,
      drops: kind === 'gateway' ? this.gatewayDrops() : { ...drops },
    };
  }

  /** A port that broke the framing, or was one too many, is not there to show it: the gateway does. */
  private gatewayDrops(): Record<string, number> {
    const drops = this.network.gatewayDrops();
    for (const reason of PORT_DROPS) {
      const times = this.counters[`ports.${reason}`];
      if (times !== undefined) drops[reason] = times;
    }
    return drops;
  }

  private gatewayAddresses(): number[] {
    const { config } = this.mustRun();
    if (config.ipv4 === null) return [];
    return config.mode === 'nat' ? [config.ipv4.gateway] : [config.ipv4.dhcpServer];
  }

  private flows(limit: number): Requests['flows']['result'] {
    const { network } = this.mustRun();
    const flows = network.flows(limit).map((flow) => ({ ...flow, host: { ...flow.host, pid: process.pid } }));
    return { total: network.flowCount(), flows };
  }

  private mustRun(): Running {
    if (this.running === null) throw notStarted();
    return this.running;
  }
}

/** Memory in use; 0 where that can't be read just now: it takes a descriptor, and to be asked must never end us. */
function rssBytes(): number {
  try {
    return process.memoryUsage.rss();
  } catch {
    return 0;
  }
}

function notStarted(): ControlError {
  return new ControlError('NOT_STARTED', 'the network was not started yet');
}

/** Tells when a process has ended. */
class ProcessWatch implements EpollHandler {
  private readonly pidfd: number;
  private readonly epoll: Epoll;
  private readonly ended: () => void;
  private entry = -1;

  constructor(pidfd: number, epoll: Epoll, ended: () => void) {
    this.pidfd = pidfd;
    this.epoll = epoll;
    this.ended = ended;
  }

  /** False when the descriptor can't be watched. */
  begin(): boolean {
    this.entry = this.epoll.add(this.pidfd, EPOLLIN, this);
    return this.entry >= 0;
  }

  onEvents(): void {
    this.ended();
  }

  end(): void {
    this.epoll.remove(this.entry, this.pidfd);
  }
}
