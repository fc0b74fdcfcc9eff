/** From netd's numbers to the API's texts. */

import { ipv4ToString, macToString } from '../../core/base/address.ts';
import type { Flow, Guest, Lease, Port } from '../../shared/api.ts';
import type { AttachResult, AttachTap, FlowInfo, LeaseRecord, PortInfo } from '../netd/protocol.ts';

export function presentPort(network: string, info: PortInfo): Port {
  return {
    network,
    port: info.port,
    kind: info.kind,
    name: info.name,
    interface: info.interface,
    pid: info.pid,
    macs: info.macs.map(macToString),
    addresses: info.addresses.map(ipv4ToString),
    rxFrames: info.rxFrames,
    rxBytes: info.rxBytes,
    txFrames: info.txFrames,
    txBytes: info.txBytes,
    drops: info.drops,
  };
}

export function presentLease(network: string, { address, mac, name, expiresAt }: LeaseRecord): Lease {
  return {
    network,
    address: ipv4ToString(address),
    mac: macToString(mac),
    name,
    expiresAt: new Date(Math.min(expiresAt, 8.64e15)).toISOString(),
  };
}

export function presentFlow(network: string, flow: FlowInfo): Flow {
  return { network, ...flow };
}

export function presentGuest(network: string, attach: AttachTap, result: AttachResult): Guest {
  // A network without DHCP knows of no addresses, but a guest may bring its own.
  const address = result.address === 0 ? attach.address : result.address;
  return {
    network,
    port: result.port,
    interface: attach.interface,
    mac: macToString(attach.mac),
    address: address === 0 ? null : `${ipv4ToString(address)}/${result.prefixLength}`,
    gateway: result.gateway === 0 ? null : ipv4ToString(result.gateway),
    dns: result.dns.map(ipv4ToString),
    domain: result.domain,
    mtu: result.mtu,
  };
}
