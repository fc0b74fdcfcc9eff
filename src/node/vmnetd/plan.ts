/**
 * From what the operator wrote to what each netd is told: addresses as numbers, defaults by VMware's table, and all the
 * checks that need arithmetic or this host's routes.
 *
 * Address plan of a subnet of 2^k addresses, as a /24 has it (DESIGN §1): first address the host's (`.1`), second the
 * gateway's and name server's (`.2`, NAT only), the upper half up to the last but two for DHCP (`.128`–`.253`), the last
 * but one DHCP's server identifier (`.254`). Subnets are /16 to /29: smaller ones have no room for these roles.
 *
 * Planning changes nothing. It throws the first mistake it finds as a coded error that names file, line and column.
 */

import { ipv4FromString, ipv4ToString, macFromString, macIsMulticast } from '../../core/base/address.ts';
import type { DhcpEntry, NetworkEntry } from '../../shared/config.ts';
import { DOMAIN, LEASE_SECONDS } from '../../shared/defaults.ts';
import { UserError } from '../../shared/errors.ts';
import type { DhcpPlan, Ipv4Plan, NetdConfig, Reservation } from '../netd/protocol.ts';

import { type HostRoute, parseResolver, type Resolver } from './host-info.ts';
import { type LoadedConfig, pathText } from './loaded-config.ts';
import {
  contains,
  isForHosts,
  overlap,
  type Prefix,
  parseCidr,
  prefixOf,
  prefixSize,
  prefixToString,
} from './prefix.ts';
import { chooseSubnets, type Subnets } from './subnets.ts';

/** What a netd is told of its network, but for what changes while it runs. */
export type NetdPlan = Omit<NetdConfig, 'leases' | 'resolvers' | 'hostAddress'>;

/** One network, ready to be brought up. */
export interface NetworkPlan {
  readonly name: string;
  readonly mode: NetdConfig['mode'];
  readonly mtu: number;
  readonly subnet: Prefix | null;
  /** Null for a network that cannot be brought up yet; `warnings` say why. */
  readonly netd: NetdPlan | null;
  /** Name servers from the configuration; null for those of the host. */
  readonly resolvers: Resolver[] | null;
  readonly warnings: string[];
}

/** Plans of all networks in order of their numbers, and the subnets to be remembered. */
export interface Plan {
  networks: NetworkPlan[];
  /** Subnets that were chosen here, not by the operator. */
  chosen: Subnets;
}

/** Plans every network. Throws CONFIG_INVALID, SUBNET_COLLIDES or SUBNET_NONE_FREE. */
export function planNetworks(loaded: LoadedConfig, routes: readonly HostRoute[], kept: Subnets): Plan {
  const entries = Object.entries(loaded.config.networks).sort(([a], [b]) => numberOf(a) - numberOf(b));
  const subnets: Subnets = new Map();
  for (const [name, entry] of entries) {
    if ('subnet' in entry && entry.subnet !== undefined) {
      subnets.set(name, configuredSubnet(loaded, name, entry.subnet, subnets, routes));
    }
  }
  const wanted = entries.filter(([name, { mode }]) => (mode === 'nat' || mode === 'hostonly') && !subnets.has(name));
  const choice = chooseSubnets(
    wanted.map(([name]) => name),
    [...subnets.values()],
    routes,
    kept,
  );
  const all = new Map([...subnets, ...choice.subnets]);
  const networks = entries.map(([name, entry]) => {
    const others = [...all].filter(([other]) => other !== name).map(([, subnet]) => subnet);
    return planNetwork(loaded, name, entry, all.get(name) ?? null, others, choice.warnings.get(name));
  });
  return { networks, chosen: choice.subnets };
}

function numberOf(name: string): number {
  return Number(name.slice('vmnet'.length));
}

function planNetwork(
  loaded: LoadedConfig,
  name: string,
  entry: NetworkEntry,
  subnet: Prefix | null,
  others: readonly Prefix[],
  warning: string | undefined,
): NetworkPlan {
  const common = { name, mode: entry.mode, mtu: entry.mtu, subnet };
  const warnings = warning === undefined ? [] : [warning];
  if (entry.mode === 'bridged') {
    warnings.push('bridged networks are not supported by this version: the network is left out');
    return { ...common, netd: null, resolvers: null, warnings };
  }
  const ipv4 = subnet === null ? null : addressPlan(subnet, entry.mode === 'nat');
  const dhcp =
    subnet === null || ipv4 === null || entry.mode === 'segment'
      ? null
      : dhcpPlan(loaded, name, entry.dhcp, subnet, ipv4);
  const netd: NetdPlan = {
    name,
    mode: entry.mode,
    ipv4,
    mtu: entry.mtu,
    gatewayMac: gatewayMac(numberOf(name)),
    dhcp,
    domain: DOMAIN,
    otherNetworks: others.map(({ network, length }) => ({ network, prefixLength: length })),
  };
  const servers = entry.mode === 'nat' ? entry.dns?.servers : undefined;
  if (servers !== undefined) checkServers(loaded, ['networks', name, 'dns', 'servers'], servers);
  return { ...common, netd, resolvers: servers?.map(parseResolver) ?? null, warnings };
}

/** Locally administered, "vm" in the middle: 02:76:6d:00:00:08 for vmnet8. */
function gatewayMac(number: number): number {
  return 0x02_76_6d_00_00_00 + number;
}

function addressPlan({ network, length }: Prefix, hasGateway: boolean): Ipv4Plan {
  const last = network + 2 ** (32 - length) - 1;
  return {
    network,
    prefixLength: length,
    host: network + 1,
    gateway: hasGateway ? network + 2 : 0,
    dhcpServer: last - 1,
  };
}

/** A mistake at a path of the file. */
function invalid(loaded: LoadedConfig, path: readonly PropertyKey[], problem: string, hint: string): UserError {
  return new UserError('CONFIG_INVALID', { place: loaded.at(path), path: pathText(path), problem, hint });
}

function configuredSubnet(
  loaded: LoadedConfig,
  name: string,
  text: string,
  others: Subnets,
  routes: readonly HostRoute[],
): Prefix {
  const path = ['networks', name, 'subnet'];
  const cidr = parseCidr(text);
  if (cidr === null) throw invalid(loaded, path, 'a subnet is written a.b.c.d/n', 'For example 192.168.88.0/24.');
  const subnet = prefixOf(cidr.address, cidr.length);
  if (cidr.length < 16 || cidr.length > 29) {
    throw invalid(loaded, path, `a subnet is /16 to /29, not /${cidr.length}`, 'A /24 suits nearly everyone.');
  }
  if (subnet.network !== cidr.address) {
    throw invalid(loaded, path, `${text} has bits set behind its prefix`, `Did you mean ${prefixToString(subnet)}?`);
  }
  if (!isForHosts(subnet)) {
    throw invalid(
      loaded,
      path,
      `${text} is not for guests (loopback, link-local or multicast)`,
      'Take a private one: 192.168.88.0/24.',
    );
  }
  const collides = (other: string) =>
    new UserError('SUBNET_COLLIDES', { place: loaded.at(path), subnet: text, network: name, other });
  for (const [otherName, other] of others) {
    if (overlap(subnet, other)) throw collides(`${prefixToString(other)} of ${otherName}`);
  }
  for (const { prefix, device } of routes) {
    if (overlap(subnet, prefix)) throw collides(`the route ${prefixToString(prefix)} of this host (${device})`);
  }
  return subnet;
}

function dhcpPlan(
  loaded: LoadedConfig,
  name: string,
  dhcp: DhcpEntry | undefined,
  subnet: Prefix,
  ipv4: Ipv4Plan,
): DhcpPlan | null {
  const size = prefixSize(subnet);
  let rangeStart = subnet.network + size / 2;
  let rangeEnd = subnet.network + size - 3;
  if (dhcp?.range !== undefined) {
    const path = ['networks', name, 'dhcp', 'range'];
    [rangeStart, rangeEnd] = [ipv4FromString(dhcp.range[0]), ipv4FromString(dhcp.range[1])];
    checkAddress(loaded, [...path, 0], rangeStart, subnet, ipv4);
    checkAddress(loaded, [...path, 1], rangeEnd, subnet, ipv4);
    if (rangeStart > rangeEnd)
      throw invalid(loaded, path, 'the first address lies behind the last', 'Write the lower one first.');
  }
  const reservations = reservationsOf(loaded, name, dhcp, subnet, ipv4);
  if (dhcp?.enabled === false) return null;
  return { rangeStart, rangeEnd, leaseSeconds: dhcp?.leaseSeconds ?? LEASE_SECONDS.DEFAULT, reservations };
}

function reservationsOf(
  loaded: LoadedConfig,
  network: string,
  dhcp: DhcpEntry | undefined,
  subnet: Prefix,
  ipv4: Ipv4Plan,
): Reservation[] {
  const macs = new Map<number, string>();
  const addresses = new Map<number, string>();
  return Object.entries(dhcp?.reservations ?? {}).map(([name, reservation]) => {
    const path = ['networks', network, 'dhcp', 'reservations', name];
    const mac = macFromString(reservation.mac);
    const address = ipv4FromString(reservation.address);
    if (mac <= 0 || macIsMulticast(mac)) {
      throw invalid(
        loaded,
        [...path, 'mac'],
        `${reservation.mac} is not the MAC of a network card`,
        'Its first byte is even, 02 or 52 for example.',
      );
    }
    checkAddress(loaded, [...path, 'address'], address, subnet, ipv4);
    const sameMac = macs.get(mac);
    if (sameMac !== undefined)
      throw invalid(loaded, [...path, 'mac'], `${sameMac} has the same MAC`, 'One reservation a MAC.');
    const sameAddress = addresses.get(address);
    if (sameAddress !== undefined) {
      throw invalid(loaded, [...path, 'address'], `${sameAddress} has the same address`, 'One reservation an address.');
    }
    macs.set(mac, name);
    addresses.set(address, name);
    return { mac, address, name };
  });
}

/** Throws CONFIG_INVALID unless the address may be a guest's. */
function checkAddress(
  loaded: LoadedConfig,
  path: readonly PropertyKey[],
  address: number,
  subnet: Prefix,
  ipv4: Ipv4Plan,
): void {
  const problem = whyNotForGuests(address, subnet, ipv4);
  if (problem === null) return;
  const first = ipv4ToString(subnet.network + (ipv4.gateway === 0 ? 2 : 3));
  const last = ipv4ToString(ipv4.dhcpServer - 1);
  throw invalid(
    loaded,
    path,
    `${ipv4ToString(address)} ${problem}`,
    `Guests have ${first} to ${last} on this network.`,
  );
}

/** Why an address cannot be a guest's, as the end of a sentence that begins with it; null when it can. */
export function whyNotForGuests(address: number, subnet: Prefix, ipv4: Ipv4Plan): string | null {
  if (!contains(subnet, address)) return `lies outside of ${prefixToString(subnet)}`;
  if (address === subnet.network) return 'is the address of the network itself';
  if (address === subnet.network + prefixSize(subnet) - 1) return 'is the broadcast address';
  if (address === ipv4.host) return "is the host's address";
  if (address === ipv4.gateway) return "is the gateway's address";
  if (address === ipv4.dhcpServer) return "is the DHCP server's address";
  return null;
}

function checkServers(loaded: LoadedConfig, path: readonly PropertyKey[], servers: readonly string[]): void {
  for (const [i, text] of servers.entries()) {
    const { address, port } = parseResolver(text);
    if (address > 0 && port > 0 && port <= 65535) continue;
    throw invalid(
      loaded,
      [...path, i],
      `${text} is not the address of a name server`,
      'Written a.b.c.d or a.b.c.d:port.',
    );
  }
}
