/**
 * Whether a request is one: the shape of its parameters, and how many descriptors come with it. vmnetd has validated
 * what the numbers mean; here they are only kept from being something else than numbers.
 */

import type { NetdConfig, Op, Request, Requests } from './protocol.ts';

type Shape = (value: unknown) => boolean;

const isNumber: Shape = (value) => typeof value === 'number' && Number.isFinite(value) && value >= 0;
const isText: Shape = (value) => typeof value === 'string';
const isTextOrNull: Shape = (value) => value === null || typeof value === 'string';

/** An object with these fields, perhaps with more. */
function object(fields: Record<string, Shape>): Shape {
  return (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(fields).every(([name, holds]) => holds((value as Record<string, unknown>)[name]));
}

function orNull(shape: Shape): Shape {
  return (value) => value === null || shape(value);
}

function optional(shape: Shape): Shape {
  return (value) => value === undefined || shape(value);
}

function list(shape: Shape): Shape {
  return (value) => Array.isArray(value) && value.every(shape);
}

const resolvers = list(object({ address: isNumber, port: isNumber }));

const isConfig = object({
  name: isText,
  mode: (value) => ['nat', 'hostonly', 'segment', 'bridged'].includes(value as NetdConfig['mode']),
  ipv4: orNull(
    object({ network: isNumber, prefixLength: isNumber, host: isNumber, gateway: isNumber, dhcpServer: isNumber }),
  ),
  mtu: isNumber,
  gatewayMac: isNumber,
  dhcp: orNull(
    object({
      rangeStart: isNumber,
      rangeEnd: isNumber,
      leaseSeconds: isNumber,
      reservations: list(object({ mac: isNumber, address: isNumber, name: isTextOrNull })),
    }),
  ),
  domain: isText,
  otherNetworks: list(object({ network: isNumber, prefixLength: isNumber })),
  resolvers,
  hostAddress: isNumber,
  leases: list(
    object({ address: isNumber, mac: isNumber, clientId: isTextOrNull, name: isTextOrNull, expiresAt: isNumber }),
  ),
});

/** Names of descriptors that `start` brings, each at most once. */
const isDescriptorNames: Shape = (value) =>
  Array.isArray(value) &&
  new Set(value).size === value.length &&
  value.every((name) => name === 'stream' || name === 'journal' || name === 'icmp');

const anything = object({});

const SHAPES: Record<Op, Shape> = {
  hello: anything,
  start: object({ config: isConfig, fds: isDescriptorNames }),
  update: object({ resolvers: optional(resolvers), hostAddress: optional(isNumber) }),
  journal: anything,
  attachTap: object({
    name: isTextOrNull,
    interface: isText,
    mac: isNumber,
    address: isNumber,
    mtu: isNumber,
    pid: isNumber,
  }),
  detach: object({ port: isNumber }),
  descriptors: anything,
  status: anything,
  ports: anything,
  leases: anything,
  flows: object({ limit: isNumber }),
  stop: anything,
};

/** How many descriptors a request brings; −1 when it isn't a request. */
export function descriptorCount(request: Request): number {
  if (!Object.hasOwn(SHAPES, request.op) || !SHAPES[request.op](request.params)) return -1;
  switch (request.op) {
    case 'start':
      return (request.params as Requests['start']['params']).fds.length;
    case 'journal':
      return 1;
    case 'attachTap':
      return 2;
    default:
      return 0;
  }
}
