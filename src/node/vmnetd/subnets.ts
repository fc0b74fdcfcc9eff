/**
 * Chooses subnets for networks that the configuration gives none, and keeps the choice in `<state>/networks.json`.
 *
 * The choice is the same on every machine that is free to make it: `vmnetN` asks for 192.168.(80+N).0/24 first, then for
 * the following ones in a circle, leaving out those that home routers and other virtualisers like (0, 1, 122); when all
 * of 192.168/16 is taken, 172.16–31.N. A candidate is free when it overlaps no route of the host, no configured subnet
 * and no other choice. A choice once made is kept, since guests have addresses in it; only if a route of the host has come
 * to lie over it is another one taken, with a warning.
 */

import { join } from 'node:path';
import { UserError } from '../../shared/errors.ts';
import { STATE_FILES } from '../../shared/paths.ts';
import type { HostRoute } from './host-info.ts';
import { readJsonFile, writeFileAtomically } from './json-file.ts';
import { isForHosts, overlap, type Prefix, parseCidr, prefixOf, prefixToString } from './prefix.ts';

const AVOIDED = new Set([0, 1, 122]);

/** Subnets by network, as chosen or read. */
export type Subnets = Map<string, Prefix>;

/** Which subnets the networks have, and what people should know of it. */
export interface Choice {
  subnets: Subnets;
  /** Sentences, by network. */
  warnings: Map<string, string>;
}

/** Finds a subnet for every network in `wanted`, keeping those in `kept` that still are free. Throws SUBNET_NONE_FREE. */
export function chooseSubnets(
  wanted: readonly string[],
  taken: readonly Prefix[],
  routes: readonly HostRoute[],
  kept: Subnets,
): Choice {
  const subnets: Subnets = new Map();
  const warnings = new Map<string, string>();
  const inUse = [...taken];
  const isFree = (candidate: Prefix) =>
    !inUse.some((other) => overlap(candidate, other)) && !routes.some(({ prefix }) => overlap(candidate, prefix));
  // Kept choices first: a newly added network must not take the subnet of an older one.
  for (const network of wanted) {
    const before = kept.get(network);
    if (before !== undefined && isFree(before)) {
      subnets.set(network, before);
      inUse.push(before);
    }
  }
  for (const network of wanted) {
    if (subnets.has(network)) continue;
    const chosen = candidates(Number(network.slice('vmnet'.length))).find(isFree);
    if (chosen === undefined) throw new UserError('SUBNET_NONE_FREE', { network });
    subnets.set(network, chosen);
    inUse.push(chosen);
    const before = kept.get(network);
    if (before !== undefined) {
      warnings.set(
        network,
        `its subnet ${prefixToString(before)} overlaps a route of this host now, so it moved to ${prefixToString(chosen)}`,
      );
    }
  }
  return { subnets, warnings };
}

function candidates(number: number): Prefix[] {
  const found: Prefix[] = [];
  for (let i = 0; i < 256; i++) {
    const third = (80 + number + i) % 256;
    if (!AVOIDED.has(third)) found.push(prefixOf(((192 << 24) | (168 << 16) | (third << 8)) >>> 0, 24));
  }
  for (let second = 31; second >= 16; second--) {
    found.push(prefixOf(((172 << 24) | (second << 16) | (number << 8)) >>> 0, 24));
  }
  return found;
}

/** The choices of former starts. A file that makes no sense counts as none. */
export function readKeptSubnets(stateDir: string): Subnets {
  const value = readJsonFile(join(stateDir, STATE_FILES.networks));
  const kept: Subnets = new Map();
  if (typeof value !== 'object' || value === null) return kept;
  for (const [network, entry] of Object.entries(value)) {
    const text: unknown = typeof entry === 'object' && entry !== null ? Reflect.get(entry, 'subnet') : undefined;
    const cidr = typeof text === 'string' ? parseCidr(text) : null;
    if (cidr === null || cidr.length < 16 || cidr.length > 29) continue;
    const subnet = prefixOf(cidr.address, cidr.length);
    if (isForHosts(subnet)) kept.set(network, subnet);
  }
  return kept;
}

/** Adds choices to the file, without forgetting those of networks that are not configured just now. No news, no write. */
export function keepSubnets(stateDir: string, chosen: Subnets, kept: Subnets): void {
  const isNews = ([network, { network: address, length }]: [string, Prefix]) =>
    kept.get(network)?.network !== address || kept.get(network)?.length !== length;
  if (![...chosen].some(isNews)) return;
  const all = new Map([...kept, ...chosen]);
  const entries = [...all].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
  const value = Object.fromEntries(entries.map(([network, prefix]) => [network, { subnet: prefixToString(prefix) }]));
  writeFileAtomically(join(stateDir, STATE_FILES.networks), `${JSON.stringify(value, null, 2)}\n`);
}
