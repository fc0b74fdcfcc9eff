/**
 * The contract of the HTTP API: what `vmnetd` answers on `<run dir>/api.sock` and what it takes, as zod schemas and the
 * types they stand for. JSON both ways; addresses, MACs and times are text here and numbers inside of the daemon.
 *
 * | request | answer |
 * |---|---|
 * | GET /v1/status | {@link Status} |
 * | GET /v1/ports[?network=] | {@link Port}[] |
 * | GET /v1/leases[?network=] | {@link Lease}[] |
 * | GET /v1/flows[?network=&limit=] | {@link Flows} |
 * | POST /v1/networks/:network/guests, a {@link GuestRequest} | 201, {@link Guest} |
 * | DELETE /v1/networks/:network/guests/:port | 204 |
 * | POST /v1/shutdown | 202 |
 *
 * A request that fails is answered by `{error: {code, message, hint}}` from the table in `errors.ts`, with its status.
 * Answers may gain fields; a client ignores those it doesn't know. Requests are strict: an unknown field is an error.
 */

import * as z from 'zod';

/** `vmnet0` … `vmnet255`, without leading zeros. */
export const networkName = z
  .string()
  .regex(/^vmnet(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])$/, 'a network is named vmnet0 … vmnet255');

/** A DNS label: what a guest may be called. Lower case. */
export const guestName = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    'a name has 1 to 63 of a-z, 0-9 and -, and neither starts nor ends with -',
  );

/** An interface name that Linux takes (dev_valid_name in net/core/dev.c, and narrower). */
export const interfaceName = z
  .string()
  .regex(/^(?!\.{1,2}$)[a-zA-Z0-9_.-]{1,15}$/, 'an interface name has 1 to 15 of a-z, A-Z, 0-9, _ . and -');

/** Bytes of an IP packet: 576 is IPv4's least reassembly size (RFC 791 §3.2), 65,520 leaves room for every header of ours. */
export const mtu = z.int().min(576, 'an MTU is at least 576').max(65520, 'an MTU is at most 65520');

export const networkMode = z.enum(['bridged', 'nat', 'hostonly', 'segment']);
export type NetworkMode = z.infer<typeof networkMode>;

/**
 * `running`: frames flow. `restarting`: its netd died and is being replaced. `failed`: it could not be restarted; the
 * attempts go on. `unavailable`: configured, but not brought up; `warnings` tell why.
 */
export const networkState = z.enum(['running', 'restarting', 'failed', 'unavailable']);
export type NetworkState = z.infer<typeof networkState>;

export const networkStatus = z.object({
  name: networkName,
  mode: networkMode,
  /** `a.b.c.d/n`; null for a plain segment. */
  subnet: z.string().nullable(),
  /** Pid of its netd, null while none runs. */
  pid: z.int().nullable(),
  state: networkState,
  /** Gateway and name server (`.2`) of a NAT network. */
  gateway: z.string().nullable(),
  /** The host as guests see it (`.1`). */
  host: z.string().nullable(),
  /** The host's own address that flows to `host` are made to, null when it has none. */
  hostAddress: z.string().nullable(),
  mtu: z.int(),
  /** Path for QEMU's `-netdev stream`. */
  socket: z.string().nullable(),
  ports: z.int(),
  leases: z.int(),
  flows: z.int(),
  /** How often its netd had to be restarted since this vmnetd started. */
  restarts: z.int(),
  rssBytes: z.int(),
  uptimeSeconds: z.int(),
  /** How guests' pings to the outside are carried. */
  echo: z.enum(['ping-socket', 'raw', 'unavailable']),
  /** What happened so far, by kind (docs/counters.md). Empty while its netd does not answer. */
  counters: z.record(z.string(), z.number()),
  /** Sentences for people. */
  warnings: z.array(z.string()),
});
export type NetworkStatus = z.infer<typeof networkStatus>;

export const daemonStatus = z.object({
  pid: z.int(),
  version: z.string(),
  uptimeSeconds: z.int(),
  runDir: z.string(),
  stateDir: z.string(),
  /** Absolute path, null when it runs on defaults. */
  configFile: z.string().nullable(),
  /** Whether it runs as an ordinary user. */
  rootless: z.boolean(),
});
export type DaemonStatus = z.infer<typeof daemonStatus>;

export const status = z.object({ daemon: daemonStatus, networks: z.array(networkStatus) });
export type Status = z.infer<typeof status>;

export const portKind = z.enum(['gateway', 'tap', 'stream', 'uplink', 'host']);
export type PortKind = z.infer<typeof portKind>;

/** A switch port. `rx` came from the guest, `tx` went to it; `drops` counts frames by the reason they went no further. */
export const port = z.object({
  network: networkName,
  port: z.int(),
  kind: portKind,
  name: z.string().nullable(),
  interface: z.string().nullable(),
  pid: z.int().nullable(),
  macs: z.array(z.string()),
  addresses: z.array(z.string()),
  rxFrames: z.number(),
  rxBytes: z.number(),
  txFrames: z.number(),
  txBytes: z.number(),
  drops: z.record(z.string(), z.number()),
});
export type Port = z.infer<typeof port>;

export const lease = z.object({
  network: networkName,
  address: z.string(),
  mac: z.string(),
  name: z.string().nullable(),
  /** ISO 8601, UTC. */
  expiresAt: z.string(),
});
export type Lease = z.infer<typeof lease>;

/** One proxied conversation: two sides, each with our address and that of the endpoint. */
export const flow = z.object({
  network: networkName,
  protocol: z.enum(['tcp', 'udp', 'icmp']),
  state: z.string(),
  guest: z.object({ our: z.string(), endpoint: z.string() }),
  /** `fd` in the process `pid` is the host's socket, as `lsof -p <pid>` shows it. */
  host: z.object({ our: z.string(), endpoint: z.string(), fd: z.int(), pid: z.int() }),
  rxBytes: z.number(),
  txBytes: z.number(),
  ageMs: z.number(),
  idleMs: z.number(),
});
export type Flow = z.infer<typeof flow>;

/** `total` counts all flows, `flows` lists at most `limit` of them a network. */
export const flows = z.object({ total: z.int(), flows: z.array(flow) });
export type Flows = z.infer<typeof flows>;

/** Flows listed a network unless `limit` says otherwise, and at most. */
export const FLOW_LIMIT = { DEFAULT: 256, MAX: 10_000 } as const;

/** Query of the three lists. */
export const listQuery = z.strictObject({ network: networkName.optional() });
export const flowsQuery = z.strictObject({
  network: networkName.optional(),
  limit: z.coerce.number().int().min(1).max(FLOW_LIMIT.MAX).default(FLOW_LIMIT.DEFAULT),
});

/** Makes the network namespace of a process a guest: a TAP `interface` appears in it. It leaves with the process. */
export const guestRequest = z.strictObject({
  pid: z.int().min(1, 'a pid is at least 1'),
  interface: interfaceName,
  /** Guests find it under `<name>.vmnet.internal`; its MAC and address then stay the same from run to run. */
  name: guestName.optional(),
  /** The network's unless told. */
  mtu: mtu.optional(),
  /** `a.b.c.d/n`: a static address instead of one from the lease table. */
  address: z.cidrv4('an address is written a.b.c.d/n').optional(),
});
export type GuestRequest = z.infer<typeof guestRequest>;

/** How the interface is to be configured. vmnetd has created it (with MAC and MTU), but not set addresses and routes. */
export const guest = z.object({
  network: networkName,
  port: z.int(),
  interface: z.string(),
  mac: z.string(),
  /** `a.b.c.d/n`; null on a network without addresses (a segment): configure one by hand or not at all. */
  address: z.string().nullable(),
  gateway: z.string().nullable(),
  dns: z.array(z.string()),
  domain: z.string(),
  mtu: z.int(),
});
export type Guest = z.infer<typeof guest>;

/** Body of every answer that isn't a success. */
export const errorBody = z.object({
  error: z.object({ code: z.string(), message: z.string(), hint: z.string() }),
});

/** The one line that `vmnetd --ready-fd N` writes to descriptor N, before it closes it. */
export const readyLine = z.union([z.object({ ready: z.literal(true), pid: z.int() }), errorBody]);
export type ReadyLine = z.infer<typeof readyLine>;
