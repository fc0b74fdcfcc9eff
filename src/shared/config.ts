/**
 * The shape of `vmnet.yaml`. This is what an editor can check by the JSON Schema generated from here
 * (`schema/vmnet.schema.json`); what depends on this host or on other networks (free subnets, addresses within them) is
 * checked by vmnetd when it plans the networks. No file is needed: see defaults.ts. A file with networks replaces those
 * defaults as a whole.
 */

import * as z from 'zod';
import { guestName, mtu, networkName } from './api.ts';
import { LEASE_SECONDS, MTU_DEFAULT, RESERVATIONS_MAX } from './defaults.ts';

const ADDRESS_HINT = 'an address is written a.b.c.d';

const address = z.ipv4(ADDRESS_HINT).describe('An IPv4 address, a.b.c.d.');

const mac = z
  .string()
  .regex(/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/, 'a MAC address is written 02:00:00:00:00:01')
  .describe('A MAC address, six bytes in hexadecimal.');

const subnet = z
  .cidrv4('a subnet is written a.b.c.d/n')
  .describe("The network's IPv4 subnet, a.b.c.0/24 for example, /16 to /29. Left out: a free one is chosen and kept.");

const networkMtu = mtu
  .default(MTU_DEFAULT)
  .describe('Largest IP packet in bytes, 576 to 65520. Guests are told by DHCP.');

const reservation = z
  .strictObject({ mac, address })
  .describe('The guest with this MAC always gets this address, and is found under this name.');

const dhcp = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Whether guests get addresses by DHCP.'),
    range: z
      .tuple([address, address])
      .optional()
      .describe(
        'First and last address given to guests. Left out: the upper half of the subnet (.128 to .253 of a /24).',
      ),
    leaseSeconds: z
      .int()
      .min(LEASE_SECONDS.MIN, `a lease lasts at least ${LEASE_SECONDS.MIN} seconds`)
      .max(LEASE_SECONDS.MAX, `a lease lasts at most ${LEASE_SECONDS.MAX} seconds`)
      .default(LEASE_SECONDS.DEFAULT)
      .describe('How long a lease lasts before the guest renews it.'),
    reservations: z
      .record(guestName, reservation)
      .refine((all) => Object.keys(all).length <= RESERVATIONS_MAX, `at most ${RESERVATIONS_MAX} reservations`)
      .default({})
      .describe('Fixed addresses, by guest name.'),
  })
  .describe('The DHCP server of the network.');

/** `a.b.c.d` or `a.b.c.d:port`. */
const nameServer = z
  .string()
  .regex(
    /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|(?=$|:))){4}(?::\d{1,5})?$/,
    'a name server is written a.b.c.d or a.b.c.d:port',
  );

const dns = z
  .strictObject({
    servers: z
      .array(nameServer)
      .min(1, 'name at least one server, or leave `servers` out')
      .max(8, 'at most 8 name servers')
      .optional()
      .describe("Name servers that guests' questions are passed on to, in order. Left out: those of /etc/resolv.conf."),
  })
  .describe('The name server that guests find on the gateway.');

const natNetwork = z
  .strictObject({
    mode: z.literal('nat').describe("Guests reach the outside through ordinary sockets of this host's user."),
    subnet: subnet.optional(),
    mtu: networkMtu,
    dhcp: dhcp.optional(),
    dns: dns.optional(),
  })
  .describe('A NAT network: gateway, name server and DHCP at .2 and .254.');

const hostonlyNetwork = z
  .strictObject({
    mode: z.literal('hostonly').describe('Guests reach each other and the host.'),
    subnet: subnet.optional(),
    mtu: networkMtu,
    dhcp: dhcp.optional(),
  })
  .describe('A host-only network.');

const segmentNetwork = z
  .strictObject({
    mode: z.literal('segment').describe('Guests reach only each other.'),
    mtu: networkMtu,
  })
  .describe('A cable between guests, without any service.');

const bridgedNetwork = z
  .strictObject({
    mode: z.literal('bridged').describe('Guests are on the LAN of a network card of this host.'),
    uplink: z
      .string()
      .regex(/^[a-zA-Z0-9_.-]{1,15}$/, '`auto`, or the name of a network card')
      .default('auto')
      .describe('The network card, or `auto` for the one with the default route.'),
    mtu: networkMtu,
  })
  .describe('A bridged network.');

const networkSchemas = {
  nat: natNetwork,
  hostonly: hostonlyNetwork,
  segment: segmentNetwork,
  bridged: bridgedNetwork,
} as const;

const network = z.discriminatedUnion('mode', [natNetwork, hostonlyNetwork, segmentNetwork, bridgedNetwork]);

/** The whole file. */
export const configSchema = z
  .strictObject({
    networks: z
      .record(networkName, network)
      .refine((networks) => Object.keys(networks).length > 0, 'name at least one network, or leave the file out')
      .describe('The virtual networks, vmnet0 to vmnet255. By custom vmnet0 is bridged, vmnet1 host-only, vmnet8 NAT.'),
  })
  .describe('Configuration of openvmnet (vmnet.yaml).');

/** A validated file with all defaults filled in. */
export type Config = z.infer<typeof configSchema>;
export type NetworkEntry = z.infer<typeof network>;
export type DhcpEntry = z.infer<typeof dhcp>;

/**
 * The keys that are known at a place of the file, for "did you mean": `path` as zod reports it, `mode` that of the
 * network which the path leads into. Empty where any key may stand.
 */
export function knownKeys(path: readonly PropertyKey[], mode: unknown): string[] {
  if (path.length === 0) return Object.keys(configSchema.shape);
  if (path.length < 2) return [];
  const schema =
    typeof mode === 'string' && Object.hasOwn(networkSchemas, mode)
      ? networkSchemas[mode as keyof typeof networkSchemas]
      : natNetwork;
  if (path.length === 2) return Object.keys(schema.shape);
  const section = path[2];
  if (path.length === 3 && section === 'dhcp') return Object.keys(dhcp.shape);
  if (path.length === 3 && section === 'dns') return Object.keys(dns.shape);
  if (path.length === 5 && path[3] === 'reservations') return Object.keys(reservation.shape);
  return [];
}
