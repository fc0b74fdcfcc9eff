/** The API by inject, over a backend that answers from a table and notes what it was asked. */

import type { FastifyInstance, InjectOptions } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/node/api/backend.ts';
import { buildServer } from '../../src/node/api/server.ts';
import type { Guest, Status } from '../../src/shared/api.ts';
import { UserError } from '../../src/shared/errors.ts';

const GUEST: Guest = {
  network: 'vmnet8',
  port: 3,
  interface: 'eth0',
  mac: '02:00:00:00:00:01',
  address: '192.168.88.128/24',
  gateway: '192.168.88.2',
  dns: ['192.168.88.2'],
  domain: 'vmnet.internal',
  mtu: 1500,
};

let asked: unknown[][];
let failure: unknown;
let server: FastifyInstance;

function note<T>(answer: T, ...what: unknown[]): Promise<T> {
  asked.push(what);
  return failure === null ? Promise.resolve(answer) : Promise.reject(failure);
}

const backend: Backend = {
  status: () => note({ daemon: { pid: 1 }, networks: [] } as unknown as Status, 'status'),
  ports: (network) => note([], 'ports', network),
  leases: (network) => note([], 'leases', network),
  flows: (network, limit) => note({ total: 0, flows: [] }, 'flows', network, limit),
  attach: (network, request) => note(GUEST, 'attach', network, request),
  detach: (network, port) => note(undefined, 'detach', network, port),
  shutdown: () => asked.push(['shutdown']),
};

beforeEach(() => {
  asked = [];
  failure = null;
  server = buildServer({ backend, runDir: '/run/openvmnet' });
});

afterEach(() => server.close());

async function ask(options: InjectOptions): Promise<{ status: number; body: unknown }> {
  const response = await server.inject(options);
  return { status: response.statusCode, body: response.body === '' ? null : response.json() };
}

const post = (payload: unknown, network = 'vmnet8') =>
  ask({ method: 'POST', url: `/v1/networks/${network}/guests`, payload: payload as object });

describe('what is asked reaches the daemon', () => {
  it.each<[string, unknown[]]>([
    ['/v1/status', ['status']],
    ['/v1/ports', ['ports', null]],
    ['/v1/ports?network=vmnet8', ['ports', 'vmnet8']],
    ['/v1/leases?network=vmnet1', ['leases', 'vmnet1']],
    ['/v1/flows', ['flows', null, 256]],
    ['/v1/flows?network=vmnet8&limit=5', ['flows', 'vmnet8', 5]],
  ])('GET %s', async (url, expected) => {
    expect((await ask({ method: 'GET', url })).status).toBe(200);
    expect(asked).toEqual([expected]);
  });

  it('POST of a guest answers 201 and how to configure it', async () => {
    const request = { pid: 42, interface: 'eth0', name: 'ada', mtu: 9000, address: '192.168.88.9/24' };
    expect(await post(request)).toEqual({ status: 201, body: GUEST });
    expect(asked).toEqual([['attach', 'vmnet8', request]]);
  });

  it('DELETE of a guest answers 204', async () => {
    expect(await ask({ method: 'DELETE', url: '/v1/networks/vmnet8/guests/3' })).toEqual({ status: 204, body: null });
    expect(asked).toEqual([['detach', 'vmnet8', 3]]);
  });

  it('POST of a shutdown is answered before it begins', async () => {
    expect(await ask({ method: 'POST', url: '/v1/shutdown' })).toEqual({ status: 202, body: {} });
    expect(asked).toEqual([['shutdown']]);
  });
});

describe('a guest request is refused', () => {
  const good = { pid: 42, interface: 'eth0' };
  it.each<[string, unknown, string]>([
    ['pid 0', { ...good, pid: 0 }, 'pid: a pid is at least 1'],
    ['a negative pid', { ...good, pid: -1 }, 'pid: a pid is at least 1'],
    ['a pid as text', { ...good, pid: '42' }, 'pid: '],
    ['no pid', { interface: 'eth0' }, 'pid: '],
    ['a fraction', { ...good, pid: 4.2 }, 'pid: '],
    ['an interface with a slash', { ...good, interface: 'a/b' }, 'interface: an interface name has'],
    ['an interface of 16 letters', { ...good, interface: 'abcdefghijklmnop' }, 'interface: '],
    ['the interface ..', { ...good, interface: '..' }, 'interface: '],
    ['an empty interface', { ...good, interface: '' }, 'interface: '],
    ['a name in capitals', { ...good, name: 'Ada' }, 'name: a name has 1 to 63'],
    ['a name of 64 letters', { ...good, name: 'a'.repeat(64) }, 'name: '],
    ['an MTU of 575', { ...good, mtu: 575 }, 'mtu: an MTU is at least 576'],
    ['an MTU of 65521', { ...good, mtu: 65521 }, 'mtu: an MTU is at most 65520'],
    ['an address without a length', { ...good, address: '1.2.3.4' }, 'address: an address is written'],
    ['an unknown field', { ...good, command: 'rm' }, 'Unrecognized key: "command"'],
    ['a list', [good], 'expected object'],
  ])('%s', async (_what, payload, problem) => {
    const { status, body } = await post(payload);
    expect(status).toBe(400);
    expect(body).toMatchObject({ error: { code: 'REQUEST_INVALID', message: expect.stringContaining(problem) } });
    expect(asked).toEqual([]);
  });

  it('without a body', async () => {
    const { status, body } = await ask({ method: 'POST', url: '/v1/networks/vmnet8/guests' });
    expect([status, body]).toMatchObject([400, { error: { code: 'REQUEST_INVALID' } }]);
  });

  it.each(['vmnet999', 'br0', '..%2f..', '%00'])('for a network that cannot be: %s', async (network) => {
    expect((await post(good, network)).status).toBeGreaterThanOrEqual(400);
    expect(asked).toEqual([]);
  });
});

describe('a failure', () => {
  it('of the operator has its code, hint and status', async () => {
    failure = new UserError('GUEST_NAME_TAKEN', { network: 'vmnet8', name: 'ada' });
    const { status, body } = await post({ pid: 42, interface: 'eth0', name: 'ada' });
    expect([status, body]).toEqual([409, (failure as UserError).toBody()]);
  });

  it('of our own is INTERNAL, without a stack', async () => {
    failure = new TypeError('x is undefined');
    const { status, body } = await ask({ method: 'GET', url: '/v1/status' });
    expect(status).toBe(500);
    expect(body).toMatchObject({ error: { code: 'INTERNAL', message: 'A bug in openvmnet: x is undefined' } });
    expect(JSON.stringify(body)).not.toContain('.ts:');
  });

  it.each<[string, InjectOptions]>([
    ['an unknown path', { method: 'GET', url: '/v2/status?x=1' }],
    ['an unknown method', { method: 'PUT', url: '/v1/status' }],
  ])('for %s is ROUTE_UNKNOWN', async (_what, options) => {
    const { status, body } = await ask(options);
    expect([status, body]).toMatchObject([404, { error: { code: 'ROUTE_UNKNOWN' } }]);
  });

  it.each<[string, InjectOptions]>([
    ['a body that is no JSON', { headers: { 'content-type': 'application/json' }, payload: '{"pid":' }],
    ['a path that cannot be decoded', { url: '/%00%ff' }],
    ['a body of another type', { headers: { 'content-type': 'text/xml' }, payload: '<pid/>' }],
    ['a body of 65 KiB', { payload: { pid: 1, interface: 'x'.repeat(65 * 1024) } }],
    [
      'a body that reaches for the prototype',
      { headers: { 'content-type': 'application/json' }, payload: '{"__proto__":{"a":1},"pid":1}' },
    ],
  ])('for %s is REQUEST_INVALID', async (_what, options) => {
    const { status, body } = await ask({ method: 'POST', url: '/v1/networks/vmnet8/guests', ...options });
    expect([status, body]).toMatchObject([400, { error: { code: 'REQUEST_INVALID' } }]);
    expect(asked).toEqual([]);
  });

  it.each(['limit=0', 'limit=10001', 'limit=x', 'limit=1.5', 'network=', 'netwrok=vmnet8', 'limit=1&limit=2'])(
    'for the query %s is REQUEST_INVALID',
    async (query) => {
      const { status, body } = await ask({ method: 'GET', url: `/v1/flows?${query}` });
      expect([status, body]).toMatchObject([400, { error: { code: 'REQUEST_INVALID' } }]);
    },
  );
});
