/**
 * What vmnetd needs to know of the host: its routes, its addresses and its name servers.
 *
 * All of it is read from /proc/net/route, getifaddrs and /etc/resolv.conf: no program is run, nothing needs a privilege,
 * and a look costs a fraction of a millisecond, so it is simply repeated ({@link HostWatch}): every 2 s for the name
 * servers, every 10 s for the address. /proc/net/route shows the main table; a VPN that routes single subnets puts them
 * there, too, and addresses of interfaces are added as prefixes of their own.
 */

import { createSocket } from 'node:dgram';
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { ipv4FromString, ipv4ToString } from '../../core/base/address.ts';
import { type Prefix, prefixOf } from './prefix.ts';

const RESOLV_CONF = '/etc/resolv.conf';
const RESOLV_CONF_POLL_MS = 2000;
const ADDRESS_POLL_MS = 10_000;
/** Resolvers that netd is told of, at most. glibc itself uses three (resolv.conf(5), MAXNS). */
const RESOLVERS_MAX = 8;

/** A route or an interface's own prefix, with the name of its interface. */
export interface HostRoute {
  prefix: Prefix;
  device: string;
}

export interface Resolver {
  address: number;
  port: number;
}

/** Every IPv4 prefix that the host reaches by something more special than its default route. */
export function readHostRoutes(): HostRoute[] {
  const routes = parseRoutes(readText('/proc/net/route'));
  for (const [device, addresses] of Object.entries(networkInterfaces())) {
    for (const { family, cidr } of addresses ?? []) {
      if (family !== 'IPv4' || cidr === null) continue;
      const [address = '', length = ''] = cidr.split('/');
      routes.push({ prefix: prefixOf(ipv4FromString(address), Number(length)), device });
    }
  }
  return routes.filter(({ prefix }) => prefix.length > 0);
}

/** The lines of /proc/net/route; addresses there are hexadecimal in the host's (little-endian) byte order. */
export function parseRoutes(text: string): HostRoute[] {
  const routes: HostRoute[] = [];
  for (const line of text.split('\n').slice(1)) {
    const fields = line.split(/\s+/);
    const [device, destination, , , , , , mask] = fields;
    if (device === undefined || destination === undefined || mask === undefined) continue;
    const length = swap(Number.parseInt(mask, 16)).toString(2).replaceAll('0', '').length;
    routes.push({ prefix: prefixOf(swap(Number.parseInt(destination, 16)), length), device });
  }
  return routes;
}

function swap(word: number): number {
  return (((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}

/**
 * The host's own address that stands behind `.1`: the one that the kernel would send from, asked by connecting a UDP
 * socket (which sends nothing), else any address that is neither loopback nor link-local. 0 where there is none.
 */
export async function readHostAddress(): Promise<number> {
  const source = await defaultSource();
  if (source !== 0) return source;
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) {
      const value = family === 'IPv4' && !internal ? ipv4FromString(address) : -1;
      if (isOwnAddress(value)) return value;
    }
  }
  return 0;
}

/** Source address towards 192.0.2.1 (TEST-NET-1, RFC 5737): somewhere behind the default route. */
function defaultSource(): Promise<number> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const done = (address: number) => {
      socket.removeAllListeners();
      socket.on('error', () => {});
      socket.close();
      resolve(isOwnAddress(address) ? address : 0);
    };
    socket.once('error', () => done(0));
    socket.once('connect', () => done(ipv4FromString(socket.address().address)));
    socket.connect(9, '192.0.2.1');
  });
}

function isOwnAddress(address: number): boolean {
  return address > 0 && address >>> 24 !== 127 && address >>> 16 !== 0xa9fe;
}

/** Name servers of the host, in order. Those with IPv6 addresses are left out: netd asks over IPv4. */
export function readResolvers(path = RESOLV_CONF): Resolver[] {
  return parseResolvConf(readText(path));
}

/** The `nameserver` lines of a resolv.conf(5). */
export function parseResolvConf(text: string): Resolver[] {
  const resolvers: Resolver[] = [];
  for (const line of text.split('\n')) {
    const [keyword, value = ''] = line.trim().split(/\s+/);
    const address = keyword === 'nameserver' ? ipv4FromString(value) : -1;
    if (address > 0 && resolvers.length < RESOLVERS_MAX) resolvers.push({ address, port: 53 });
  }
  return resolvers;
}

/** `a.b.c.d` or `a.b.c.d:port`, as the configuration has it; the schema has checked the shape. */
export function parseResolver(text: string): Resolver {
  const [address = '', port = '53'] = text.split(':');
  return { address: ipv4FromString(address), port: Number(port) };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** What {@link HostWatch} tells of. */
export interface HostFacts {
  resolvers: Resolver[];
  hostAddress: number;
}

/** Keeps an eye on the host's name servers and address; tells when either is another one. Doesn't keep the process alive. */
export class HostWatch {
  #facts: HostFacts;
  readonly #onChange: (facts: HostFacts) => void;
  #timer: NodeJS.Timeout | null = null;
  readonly #onResolvConf = () => this.#update({ ...this.#facts, resolvers: readResolvers() });

  constructor(facts: HostFacts, onChange: (facts: HostFacts) => void) {
    this.#facts = facts;
    this.#onChange = onChange;
  }

  /** Looks once. */
  static async look(): Promise<HostFacts> {
    return { resolvers: readResolvers(), hostAddress: await readHostAddress() };
  }

  /** Looks again and again from now on. */
  start(): void {
    watchFile(RESOLV_CONF, { interval: RESOLV_CONF_POLL_MS, persistent: false }, this.#onResolvConf);
    this.#timer = setInterval(() => void this.#lookAtAddress(), ADDRESS_POLL_MS).unref();
  }

  get facts(): HostFacts {
    return this.#facts;
  }

  stop(): void {
    unwatchFile(RESOLV_CONF, this.#onResolvConf);
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  async #lookAtAddress(): Promise<void> {
    const hostAddress = await readHostAddress();
    if (this.#timer !== null) this.#update({ ...this.#facts, hostAddress });
  }

  #update(facts: HostFacts): void {
    if (describe(facts) === describe(this.#facts)) return;
    this.#facts = facts;
    this.#onChange(facts);
  }
}

function describe({ resolvers, hostAddress }: HostFacts): string {
  return `${ipv4ToString(hostAddress)} ${resolvers.map((r) => `${ipv4ToString(r.address)}:${r.port}`).join(' ')}`;
}
