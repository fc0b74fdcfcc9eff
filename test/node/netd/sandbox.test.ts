/** Reading back what a thread may still do, and the shape of requests. */

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { F_GETFD, F_SETFD } from '../../../src/node/linux/constants.ts';
import { fcntl } from '../../../src/node/linux/libc.ts';
import { duplicate } from '../../../src/node/linux/unix-fd.ts';
import { Journal } from '../../../src/node/netd/journal.ts';
import { logTo } from '../../../src/node/netd/log.ts';
import type { Request } from '../../../src/node/netd/protocol.ts';
import { descriptorCount } from '../../../src/node/netd/request-shape.ts';
import { closeInherited, powerLeft, raiseDescriptorLimit } from '../../../src/node/netd/sandbox.ts';

/** The status of a thread of a netd that root started and that has dropped everything. */
const DROPPED = `Name:\tnode
Uid:\t65534\t65534\t65534\t65534
Gid:\t65534\t65534\t65534\t65534
Groups:\t 
CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t0000000000000000
CapBnd:\t000001ffffffffff
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t0
`;

describe('the sandbox', () => {
  test('is content with a thread that is nobody and can do nothing', () => {
    expect(powerLeft(DROPPED, true)).toBeNull();
  });

  test.each([
    ['Uid:\t65534\t65534', 'Uid:\t65534\t0', 'Uid'],
    ['Gid:\t65534', 'Gid:\t0', 'Gid'],
    ['Groups:\t ', 'Groups:\t0 27', 'Groups'],
    ['CapInh:\t0000000000000000', 'CapInh:\t0000000000000400', 'CapInh'],
    ['CapPrm:\t0000000000000000', 'CapPrm:\t0000000000001000', 'CapPrm'],
    ['CapEff:\t0000000000000000', 'CapEff:\t000001ffffffffff', 'CapEff'],
    ['CapAmb:\t0000000000000000', 'CapAmb:\t0000000000001000', 'CapAmb'],
    ['NoNewPrivs:\t1', 'NoNewPrivs:\t0', 'NoNewPrivs'],
    ['CapEff:\t0000000000000000\n', '', 'CapEff missing'],
  ])('names what is left: %j → %j', (from, to, named) => {
    expect(powerLeft(DROPPED.replace(from, to), true)).toContain(named);
  });

  test('asks of an ordinary user only that no privilege can be gained', () => {
    const ordinary = DROPPED.replaceAll('65534', '1001').replace('Groups:\t ', 'Groups:\t1001');
    expect(powerLeft(ordinary, false)).toBeNull();
    expect(powerLeft(ordinary.replace('NoNewPrivs:\t1', 'NoNewPrivs:\t0'), false)).toContain('NoNewPrivs');
  });

  test('reads what this kernel really writes', () => {
    const status = readFileSync('/proc/self/status', 'utf8');
    expect(powerLeft(status, true)).toMatch(/^(NoNewPrivs|Uid|Gid|Groups|Cap)/);
  });

  test('closes inherited descriptors, but for those that are ours', () => {
    const inherited = duplicate(1);
    const kept = duplicate(1);
    const ours = duplicate(1);
    for (const fd of [inherited, kept]) fcntl(fd, F_SETFD, 0);
    // What the test runner itself inherited must survive.
    const before = Array.from({ length: 256 }, (_, fd) => fd).filter(
      (fd) => fd !== inherited && fcntl(fd, F_GETFD, 0) === 0,
    );
    closeInherited([kept, ...before]);
    expect(fcntl(inherited, F_GETFD, 0)).toBe(-1);
    expect(fcntl(kept, F_GETFD, 0)).toBe(0);
    expect(fcntl(ours, F_GETFD, 0)).toBe(1);
    closeSync(kept);
    closeSync(ours);
  });

  test('raises the limit of descriptors to what the hard limit allows', () => {
    const limit = raiseDescriptorLimit();
    const [, soft, hard] = /Max open files\s+(\d+)\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))!;
    expect([soft, hard]).toEqual([String(limit), String(limit)]);
  });
});

describe('the shape of requests', () => {
  const config = {
    name: 'vmnet8',
    mode: 'nat',
    ipv4: { network: 1, prefixLength: 24, host: 2, gateway: 3, dhcpServer: 4 },
    mtu: 1500,
    gatewayMac: 5,
    dhcp: { rangeStart: 1, rangeEnd: 2, leaseSeconds: 3, reservations: [{ mac: 1, address: 2, name: null }] },
    domain: 'vmnet.internal',
    resolvers: [{ address: 1, port: 53 }],
    otherNetworks: [],
    hostAddress: 0,
    leases: [{ address: 1, mac: 2, clientId: null, name: 'a', expiresAt: 3 }],
  };
  const attach = { name: null, interface: 'eth0', mac: 1, address: 0, mtu: 1500, pid: 7 };
  const countOf = (op: string, params: object) => descriptorCount({ id: 1, op, params } as unknown as Request);

  test('tells how many descriptors each brings', () => {
    expect(countOf('start', { config, fds: ['stream', 'journal'] })).toBe(2);
    expect(countOf('start', { config: { ...config, ipv4: null, dhcp: null }, fds: [] })).toBe(0);
    expect(countOf('attachTap', attach)).toBe(2);
    expect(countOf('journal', {})).toBe(1);
    for (const op of ['hello', 'descriptors', 'status', 'ports', 'leases', 'stop', 'update'])
      expect(countOf(op, {})).toBe(0);
    expect(countOf('flows', { limit: 10 })).toBe(0);
    expect(countOf('detach', { port: 1 })).toBe(0);
  });

  test.each([
    ['start', {}],
    ['start', { config, fds: ['stream', 'stream'] }],
    ['start', { config, fds: ['shell'] }],
    ['start', { config: { ...config, mode: 'magic' }, fds: [] }],
    ['start', { config: { ...config, mtu: '1500' }, fds: [] }],
    ['start', { config: { ...config, ipv4: { ...config.ipv4, host: null } }, fds: [] }],
    ['start', { config: { ...config, resolvers: [null] }, fds: [] }],
    ['start', { config: { ...config, leases: [{ ...config.leases[0], mac: -1 }] }, fds: [] }],
    ['attachTap', { ...attach, mac: Number.NaN }],
    ['attachTap', { ...attach, interface: 5 }],
    ['update', { resolvers: {} }],
    ['flows', {}],
    ['detach', { port: '1' }],
    ['toString', {}],
    ['constructor', {}],
  ])('refuses %s with %j', (op, params) => {
    expect(countOf(op, params)).toBe(-1);
  });
});

describe('the lease journal', () => {
  const record = { address: 1, mac: 2, clientId: null, name: 'a', expiresAt: 3 };

  test('appends a line a lease', () => {
    const dir = mkdtempSync(join(tmpdir(), 'openvmnet-journal-'));
    const path = join(dir, 'leases.jsonl');
    const journal = new Journal(openSync(path, 'a'));
    journal.append(record);
    journal.append({ ...record, mac: 3 });
    journal.close();
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([record, { ...record, mac: 3 }]);
    rmSync(dir, { recursive: true });
  });

  test('goes on when the disk is full', () => {
    const lines: string[] = [];
    logTo((line) => lines.push(line));
    const journal = new Journal(openSync('/dev/full', 'a'));
    expect(() => journal.append(record)).not.toThrow();
    journal.close();
    expect(lines.join()).toContain('ENOSPC');
  });

  test('ends a line that was cut before it writes the next', () => {
    const dir = mkdtempSync(join(tmpdir(), 'openvmnet-journal-'));
    const path = join(dir, 'leases.jsonl');
    const fd = openSync(path, 'a');
    writeSync(fd, '{"cut');
    const journal = new Journal(fd);
    (journal as unknown as { broken: boolean }).broken = true;
    journal.append(record);
    journal.close();
    expect(readFileSync(path, 'utf8')).toBe(`{"cut\n${JSON.stringify(record)}\n`);
    rmSync(dir, { recursive: true });
  });
});
