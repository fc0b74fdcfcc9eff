/** Flows as people see them: both sides, each with our address and the endpoint's (DESIGN §1). */

import { ipv4ToString } from '../base/address.ts';
import type { HostSocket } from '../base/ports.ts';
import { tcpStateName } from '../stack/tcp/state.ts';
import type { IcmpFlow } from './icmp-proxy.ts';
import type { TcpFlow } from './tcp-proxy.ts';
import type { UdpMapping } from './udp-proxy.ts';

/** One side of a flow: addresses as `a.b.c.d:port`. */
export interface SideView {
  our: string;
  endpoint: string;
}

export interface FlowView {
  protocol: 'tcp' | 'udp' | 'icmp';
  state: string;
  guest: SideView;
  /** `fd` is −1 once the host's side is closed. */
  host: SideView & { fd: number };
  /** Payload bytes from the guest and to it. */
  rxBytes: number;
  txBytes: number;
  ageMs: number;
  idleMs: number;
}

function at(address: number, port: number): string {
  return `${ipv4ToString(address)}:${port}`;
}

function hostSide(socket: HostSocket | null, endpoint: string): SideView & { fd: number } {
  if (socket === null) return { our: '-', endpoint, fd: -1 };
  return { our: at(socket.localAddress4(), socket.localPort()), endpoint, fd: socket.fd };
}

export function viewTcp(flow: TcpFlow, now: number): FlowView {
  return {
    protocol: 'tcp',
    state: tcpStateName(flow.state),
    guest: { our: at(flow.remoteAddress, flow.remotePort), endpoint: at(flow.guestAddress, flow.guestPort) },
    host: hostSide(flow.socket, at(flow.hostAddress, flow.hostPort)),
    rxBytes: flow.rxBytes,
    txBytes: flow.txBytes,
    ageMs: Math.round(now - flow.openedAt),
    idleMs: Math.round(now - flow.lastActive),
  };
}

export function viewUdp(mapping: UdpMapping, now: number): FlowView {
  return {
    protocol: 'udp',
    state: 'MAPPED',
    guest: {
      our: at(mapping.remoteAddress, mapping.remotePort),
      endpoint: at(mapping.guestAddress, mapping.guestPort),
    },
    host: hostSide(mapping.socket, at(mapping.hostAddress, mapping.remotePort)),
    rxBytes: mapping.rxBytes,
    txBytes: mapping.txBytes,
    ageMs: Math.round(now - mapping.openedAt),
    idleMs: Math.round(now - mapping.lastActive),
  };
}

export function viewIcmp(flow: IcmpFlow, now: number): FlowView {
  return {
    protocol: 'icmp',
    state: 'ECHO',
    guest: { our: ipv4ToString(flow.remoteAddress), endpoint: `${ipv4ToString(flow.guestAddress)}:${flow.identifier}` },
    host: hostSide(flow.socket, ipv4ToString(flow.hostAddress)),
    rxBytes: flow.rxBytes,
    txBytes: flow.txBytes,
    ageMs: Math.round(now - flow.openedAt),
    idleMs: Math.round(now - flow.lastActive),
  };
}
