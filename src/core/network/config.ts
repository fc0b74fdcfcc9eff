/** What a network is told by its daemon: validated there, trusted here. Addresses are numbers (see base/address.ts). */

import type { LeaseRecord, Reservation } from '../services/dhcp/lease.ts';

export type { Reservation };

/** The address plan of a network (DESIGN §1). */
export interface Ipv4Plan {
  network: number;
  prefixLength: number;
  /** `.1`: the host, answered for by the gateway where there is no host adapter. */
  host: number;
  /** `.2`: gateway and name server. */
  gateway: number;
  /** `.254`: DHCP server identifier. */
  dhcpServer: number;
}

export interface DhcpPlan {
  rangeStart: number;
  rangeEnd: number;
  leaseSeconds: number;
  reservations: Reservation[];
}

export interface Subnet {
  network: number;
  prefixLength: number;
}

export interface Resolver {
  address: number;
  port: number;
}

export type NetworkMode = 'nat' | 'hostonly' | 'segment' | 'bridged';

export interface NetworkConfig {
  name: string;
  mode: NetworkMode;
  ipv4: Ipv4Plan | null;
  /** Largest IP packet on the cable, bytes. */
  mtu: number;
  gatewayMac: number;
  dhcp: DhcpPlan | null;
  /** Domain of the guests' names. */
  domain: string;
  /** Subnets of the host's other networks: guests of this one have no way there. */
  otherNetworks: Subnet[];
  /** The host's name servers in order. */
  resolvers: Resolver[];
  /** The host's own non-loopback address that stands behind `.1`; 0 when it has none. */
  hostAddress: number;
  leases: LeaseRecord[];
}
