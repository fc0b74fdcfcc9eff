/**
 * The control channel between vmnetd and a netd: JSON, one message a line, over a unix stream socket on which netd
 * listens (`<run dir>/<network>.ctl`, mode 0600). Descriptors ride as SCM_RIGHTS on the first byte of the line they
 * belong to. Any number of connections; netd answers each request on the connection it came from, in order, and sends
 * events to every connection. netd outlives vmnetd: a new vmnetd connects, says `hello`, and asks for `descriptors`.
 */

import type { FlowView } from '../../core/nat/flow-view.ts';
import type { DhcpPlan, Ipv4Plan, NetworkConfig, Reservation } from '../../core/network/config.ts';
import type { LeaseRecord } from '../../core/services/dhcp/lease.ts';

export type { DhcpPlan, Ipv4Plan, LeaseRecord, Reservation };

/** All that a netd must know of its network: validated by vmnetd, trusted here. Addresses are unsigned 32-bit numbers. */
export type NetdConfig = NetworkConfig;

/** A guest in a network namespace; descriptors: [tap, pidfd of the namespace's process]. */
export interface AttachTap {
  name: string | null;
  interface: string;
  mac: number;
  /** Static address given by `--ip`, 0 for one from the lease table. */
  address: number;
  mtu: number;
  pid: number;
}

/** Requests, by `op`. The reply is `{id, ok: true, result}` or `{id, ok: false, error: {code, message}}`. */
export interface Requests {
  hello: { params: Record<string, never>; result: { pid: number; version: string; config: NetdConfig | null } };
  /** Descriptors, in this order, each named in `fds`: stream listener, lease journal (O_APPEND), raw ICMP socket. */
  start: { params: { config: NetdConfig; fds: ('stream' | 'journal' | 'icmp')[] }; result: { pid: number } };
  /** Resolvers or the host's address changed. */
  update: { params: Partial<Pick<NetdConfig, 'resolvers' | 'hostAddress'>>; result: null };
  /** A fresh, compacted lease journal: 1 descriptor. */
  journal: { params: Record<string, never>; result: null };
  attachTap: { params: AttachTap; result: AttachResult };
  detach: { params: { port: number }; result: null };
  /** Every attached TAP again, with its descriptors [tap, pidfd] per entry, in order; and names of the others in `fds`. */
  descriptors: {
    params: Record<string, never>;
    result: { taps: (AttachTap & { port: number })[]; fds: ('stream' | 'journal' | 'icmp')[] };
  };
  status: { params: Record<string, never>; result: NetdStatus };
  ports: { params: Record<string, never>; result: PortInfo[] };
  leases: { params: Record<string, never>; result: LeaseRecord[] };
  flows: { params: { limit: number }; result: { total: number; flows: FlowInfo[] } };
  stop: { params: Record<string, never>; result: null };
}

/** What a namespace guest is to be configured with. `address` is its own, with the network's prefix length. */
export interface AttachResult {
  port: number;
  address: number;
  prefixLength: number;
  gateway: number;
  dns: number[];
  domain: string;
  mtu: number;
}

export interface NetdStatus {
  pid: number;
  uptimeMs: number;
  rssBytes: number;
  ports: number;
  leases: number;
  flows: number;
  /** Whether guests' pings to the outside can be carried, and how. */
  echo: 'ping-socket' | 'raw' | 'unavailable';
  /** What happened so far, by kind: docs/counters.md. */
  counters: Record<string, number>;
}

export interface PortInfo {
  port: number;
  kind: 'gateway' | 'tap' | 'stream' | 'uplink' | 'host';
  name: string | null;
  interface: string | null;
  pid: number | null;
  /** Stations seen behind the port, from the FDB, at most 16 of them. */
  macs: number[];
  addresses: number[];
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
  /** What went no further, by reason: core/link/drops.ts, and at the gateway core/network/drops.ts. */
  drops: Record<string, number>;
}

/** One proxied conversation, both sides, and whose descriptor the host's socket is. */
export type FlowInfo = FlowView & { host: { pid: number } };

export type Op = keyof Requests;

export interface Request {
  id: number;
  op: Op;
  params: Requests[Op]['params'];
}

export type Reply =
  | { id: number; ok: true; result: unknown }
  | { id: number; ok: false; error: { code: string; message: string } };

/** Sent to every control connection. `removed` says that the guest is gone and its descriptors may be closed. */
export type NetdEvent = { event: 'removed'; port: number } | { event: 'leases' };
