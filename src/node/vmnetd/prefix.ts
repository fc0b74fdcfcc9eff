/** IPv4 prefixes as vmnetd compares them: `192.168.88.0/24` and whether two of them share an address. */

import { ipv4FromString, ipv4ToString, prefixMask } from '../../core/base/address.ts';

/** A network address (host bits zero) and the length of its mask. */
export interface Prefix {
  readonly network: number;
  readonly length: number;
}

/** The prefix of this length that an address lies in. */
export function prefixOf(address: number, length: number): Prefix {
  return { network: (address & prefixMask(length)) >>> 0, length };
}

/** The address and length that `a.b.c.d/n` spells, host bits kept; null for any other text. */
export function parseCidr(text: string): { address: number; length: number } | null {
  const match = /^([\d.]{7,15})\/(\d{1,2})$/.exec(text);
  if (match === null) return null;
  const address = ipv4FromString(match[1]!);
  const length = Number(match[2]);
  return address < 0 || length > 32 ? null : { address, length };
}

/** `192.168.88.0/24`. */
export function prefixToString({ network, length }: Prefix): string {
  return `${ipv4ToString(network)}/${length}`;
}

/** How many addresses a prefix has. */
export function prefixSize({ length }: Prefix): number {
  return 2 ** (32 - length);
}

/** Whether an address lies in a prefix. */
export function contains(prefix: Prefix, address: number): boolean {
  return (address & prefixMask(prefix.length)) >>> 0 === prefix.network;
}

/** Whether two prefixes have an address in common: then one contains the other. */
export function overlap(a: Prefix, b: Prefix): boolean {
  const mask = prefixMask(Math.min(a.length, b.length));
  return (a.network & mask) >>> 0 === (b.network & mask) >>> 0;
}

/** Whether the addresses of a prefix of /16 or longer can be those of single hosts: not loopback, link-local, multicast or reserved. */
export function isForHosts({ network }: Prefix): boolean {
  const first = network >>> 24;
  return first !== 0 && first !== 127 && first < 224 && network >>> 16 !== 0xa9fe;
}
