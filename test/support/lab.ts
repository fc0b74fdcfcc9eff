/**
 * A network on the workbench: a `nat` network with its gateway, over the world in memory, a manual clock, and ports
 * whose cables end in the test.
 *
 * Whatever leaves through a {@link LabPort} is copied, stamped with the time, and checked: Ethernet addresses, IPv4
 * checksum, TTL, the pseudo-header's sum or the finished checksum, and offload state. So no test has to.
 */

import { get16 } from '../../src/core/base/bytes.ts';
import { foldSum, pseudoSum4 } from '../../src/core/base/checksum.ts';
import { CSUM, Frame, GSO, HEADROOM, MAX_FRAME } from '../../src/core/link/frame.ts';
import { offloadIsValid, segmentCount, segmentLength, verifyL4 } from '../../src/core/link/offload.ts';
import type { PortStats, SwitchPort } from '../../src/core/link/port.ts';
import type { NetworkConfig } from '../../src/core/network/config.ts';
import { Network } from '../../src/core/network/network.ts';
import type { LeaseRecord } from '../../src/core/services/dhcp/lease.ts';
import { ETHER_TYPE, ETHERNET_HEADER, ethernetSrc, ethernetType } from '../../src/core/wire/ethernet.ts';
import { ICMPV4_HEADER, icmpv4Code, icmpv4Type } from '../../src/core/wire/icmpv4.ts';
import {
  IP_PROTOCOL,
  ipv4ChecksumIsRight,
  ipv4Dst,
  ipv4HeaderLength,
  ipv4HeaderToString,
  ipv4IsValid,
  ipv4Protocol,
  ipv4Src,
  ipv4TotalLength,
  ipv4Ttl,
} from '../../src/core/wire/ipv4.ts';
import { tcpToString } from '../../src/core/wire/tcp.ts';
import { UDP_HEADER, udpDstPort, udpSrcPort } from '../../src/core/wire/udp.ts';
import { DHCP_SERVER, GATEWAY, GATEWAY_MAC, HOST, HOST_LAN, NETWORK } from './frames.ts';
import { HeapPool, ManualClock, MemoryWorld, region } from './memory-world.ts';

/** A frame that left through a port, copied. */
export class SentFrame {
  readonly at: number;
  readonly bytes: Uint8Array;
  readonly csum: number;
  readonly csumStart: number;
  readonly csumOffset: number;
  readonly gsoType: number;
  readonly gsoSize: number;
  readonly hdrLen: number;

  constructor(frame: Frame, at: number) {
    this.at = at;
    this.bytes = frame.region.bytes.slice(frame.offset, frame.offset + frame.length);
    this.csum = frame.csum;
    this.csumStart = frame.csumStart;
    this.csumOffset = frame.csumOffset;
    this.gsoType = frame.gsoType;
    this.gsoSize = frame.gsoSize;
    this.hdrLen = frame.hdrLen;
  }

  get isIpv4(): boolean {
    return ethernetType(this.bytes, 0) === ETHER_TYPE.IPV4;
  }
  get protocol(): number {
    return this.isIpv4 ? ipv4Protocol(this.bytes, ETHERNET_HEADER) : -1;
  }
  get src(): number {
    return ipv4Src(this.bytes, ETHERNET_HEADER);
  }
  get dst(): number {
    return ipv4Dst(this.bytes, ETHERNET_HEADER);
  }
  /** Index of the L4 header. */
  get l4(): number {
    return ETHERNET_HEADER + ipv4HeaderLength(this.bytes, ETHERNET_HEADER);
  }
  get end(): number {
    return ETHERNET_HEADER + ipv4TotalLength(this.bytes, ETHERNET_HEADER);
  }
  /** ICMP: `type/code`. */
  get icmp(): string {
    if (this.protocol !== IP_PROTOCOL.ICMP) return `not ICMP: ${this}`;
    return `${icmpv4Type(this.bytes, this.l4)}/${icmpv4Code(this.bytes, this.l4)}`;
  }
  /** Payload of UDP or of an ICMP echo, the packet that an ICMP error quotes. */
  get payload(): Uint8Array {
    return this.bytes.slice(this.l4 + (this.protocol === IP_PROTOCOL.ICMP ? ICMPV4_HEADER : UDP_HEADER), this.end);
  }
  get ports(): { src: number; dst: number } {
    return { src: udpSrcPort(this.bytes, this.l4), dst: udpDstPort(this.bytes, this.l4) };
  }
  toString(): string {
    if (!this.isIpv4) return `ethertype ${ethernetType(this.bytes, 0).toString(16)}, ${this.bytes.length} bytes`;
    const ip = ipv4HeaderToString(this.bytes, ETHERNET_HEADER, this.bytes.length);
    if (this.protocol === IP_PROTOCOL.TCP) return `${ip}: ${tcpToString(this.bytes, this.l4, this.end)}`;
    if (this.protocol === IP_PROTOCOL.ICMP) return `${ip}: ICMP ${this.icmp}`;
    return ip;
  }
}

/** Offload state of a frame that a guest sends. */
export interface Offload {
  csum?: number;
  csumStart?: number;
  csumOffset?: number;
  gsoType?: number;
  gsoSize?: number;
  hdrLen?: number;
}

/** What a frame takes up in a stream port's queue: each segment behind its length prefix. */
function streamBytes(frame: Frame): number {
  let bytes = 0;
  for (let i = 0; i < segmentCount(frame); i++) bytes += 4 + segmentLength(frame, i);
  return bytes;
}

/** A cable whose far end is the test. */
export class LabPort implements SwitchPort {
  readonly id: number;
  readonly stats: PortStats = { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, drops: {} };
  /** What left through this port and was not taken by the test yet. */
  readonly frames: SentFrame[] = [];
  /** Sees each frame instead of `frames`. */
  onFrame: ((frame: SentFrame) => void) | null = null;
  /** Free bytes of the port's queue: what is transmitted takes of it until the test sets it anew. */
  roomBytes = Number.MAX_SAFE_INTEGER;
  private readonly lab: Lab;
  private readonly frame = new Frame(region(HEADROOM + MAX_FRAME + 64));

  constructor(lab: Lab, id: number) {
    this.lab = lab;
    this.id = id;
  }
  transmit(frame: Frame): void {
    const sent = new SentFrame(frame, this.lab.clock.now);
    if (ethernetSrc(sent.bytes, 0) === GATEWAY_MAC) checkFromGateway(frame, sent);
    if (this.roomBytes !== Number.MAX_SAFE_INTEGER) {
      const needed = streamBytes(frame);
      // A stream port takes a superframe whole or drops it: whoever asked for room must have asked for enough.
      if (frame.gsoType !== GSO.NONE && needed > this.roomBytes) {
        throw new Error(`a superframe of ${needed} bytes for a port with room for ${this.roomBytes}`);
      }
      this.roomBytes = Math.max(0, this.roomBytes - needed);
    }
    if (this.onFrame === null) this.frames.push(sent);
    else this.onFrame(sent);
  }
  room(): number {
    return this.roomBytes;
  }
  /** The guest sends a frame. The slot that it lies in is scribbled over afterwards: nobody may keep a part of it. */
  send(bytes: Uint8Array, offload: Offload = {}): void {
    const { frame } = this;
    frame.region.bytes.set(bytes, HEADROOM);
    frame.setPlain(frame.region, HEADROOM, bytes.length);
    Object.assign(frame, offload);
    this.lab.network.receive(this, frame);
    frame.region.bytes.fill(0xa5, HEADROOM, HEADROOM + bytes.length);
  }
  /** Takes all frames that wait. */
  take(): SentFrame[] {
    return this.frames.splice(0);
  }
}

export class Lab {
  readonly clock: ManualClock;
  readonly world: MemoryWorld;
  readonly pool = new HeapPool();
  readonly saved: LeaseRecord[] = [];
  readonly network: Network;
  /** The first guest's cable. */
  readonly guest: LabPort;

  constructor(config: Partial<NetworkConfig> = {}, seed = 1) {
    this.clock = new ManualClock(1_000);
    this.world = new MemoryWorld(this.clock, seed);
    const whole: NetworkConfig = {
      name: 'vmnet8',
      mode: 'nat',
      ipv4: { network: NETWORK, prefixLength: 24, host: HOST, gateway: GATEWAY, dhcpServer: DHCP_SERVER },
      mtu: 1500,
      gatewayMac: GATEWAY_MAC,
      dhcp: { rangeStart: NETWORK + 128, rangeEnd: NETWORK + 253, leaseSeconds: 3600, reservations: [] },
      domain: 'vmnet.internal',
      resolvers: [{ address: 0x0909_0909, port: 53 }],
      otherNetworks: [],
      hostAddress: HOST_LAN,
      leases: [],
      ...config,
    };
    this.network = new Network(whole, this.world, this.clock, this.pool, {
      saveLease: (record) => this.saved.push(record),
    });
    this.guest = this.plug();
  }

  /** One more cable. */
  plug(): LabPort {
    const port = new LabPort(this, this.network.nextPortId());
    this.network.attach(port);
    return port;
  }

  /** One turn of the daemon's loop. Returns how many sockets were told of something. */
  turn(): number {
    const told = this.world.deliver();
    this.network.poll();
    this.network.endTurn();
    return told;
  }

  /** Turns until nothing is left to do at this moment. */
  settle(): void {
    for (let turns = 0; this.turn() > 0 || this.network.pollAt() <= this.clock.now; turns++) {
      if (turns >= 10_000) throw new Error('the network does not come to rest');
    }
  }

  /** Lets time pass, waking up when the network asked for it and not otherwise. */
  advance(ms: number): void {
    const end = this.clock.now + ms;
    for (;;) {
      const next = this.network.pollAt();
      if (next > end) break;
      this.clock.now = Math.max(this.clock.now, next);
      this.settle();
    }
    this.clock.now = end;
    this.settle();
  }

  /** A counter of the network, 0 when it was never counted. */
  counter(name: string): number {
    return this.network.counters()[name] ?? 0;
  }

  /** Why the gateway dropped frames. */
  get drops(): Record<string, number> {
    return this.network.gateway!.stats.drops;
  }
}

/** What every frame of the gateway has to be. */
function checkFromGateway(frame: Frame, sent: SentFrame): void {
  const fail = (what: string) => {
    throw new Error(`the gateway sent a frame with ${what}: ${sent}`);
  };
  if (!offloadIsValid(frame)) fail('invalid offload state');
  if (!sent.isIpv4) return;
  if (!ipv4IsValid(sent.bytes, ETHERNET_HEADER, sent.bytes.length)) fail('a malformed IPv4 header');
  if (sent.end !== sent.bytes.length) fail('bytes behind the packet');
  if (!ipv4ChecksumIsRight(sent.bytes, ETHERNET_HEADER)) fail('a wrong IPv4 checksum');
  if (ipv4Ttl(sent.bytes, ETHERNET_HEADER) < 32) fail('a low TTL');
  if (sent.csum === CSUM.PARTIAL) {
    const pseudo = foldSum(pseudoSum4(sent.src, sent.dst, sent.protocol, sent.end - sent.l4));
    if (get16(sent.bytes, sent.csumStart + sent.csumOffset) !== pseudo) fail("a wrong pseudo-header's sum");
    if (sent.csumStart !== sent.l4) fail('a checksum that starts elsewhere');
  } else {
    const plain = new Frame(frame.region);
    plain.setPlain(frame.region, frame.offset, frame.length);
    if (!verifyL4(plain)) fail('a wrong checksum');
  }
  if (sent.gsoType === GSO.NONE && sent.bytes.length - ETHERNET_HEADER > 65_535) fail('more than IPv4 can carry');
}
