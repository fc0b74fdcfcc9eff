/** The broker with a TAP opener of the test's own; namespaces are real where the test may make them. */

import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, readdirSync, readlinkSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ipv4FromString as ip } from '../../../src/core/base/address.ts';
import { NamespaceError } from '../../../src/node/linux/netns.ts';
import { openPidfd } from '../../../src/node/linux/pidfd.ts';
import { Broker, type TapOpener } from '../../../src/node/vmnetd/broker.ts';
import { NetdError } from '../../../src/node/vmnetd/netd-client.ts';
import { Supervisor } from '../../../src/node/vmnetd/supervisor.ts';
import type { GuestRequest } from '../../../src/shared/api.ts';
import { UserError } from '../../../src/shared/errors.ts';
import { Instance, natPlan, until } from './instance.ts';

let instance: Instance;
let supervisor: Supervisor;
const processes: ChildProcess[] = [];

beforeEach(() => {
  instance = new Instance();
});

afterEach(async () => {
  await supervisor?.stop();
  for (const process of processes.splice(0)) process.kill('SIGKILL');
  instance.close();
});

async function start(plan = natPlan(), ...netdArgs: string[]): Promise<void> {
  supervisor = new Supervisor(plan, plan.netd, instance.context(...netdArgs));
  await supervisor.start();
}

/** A process in a network namespace of its own; needs no root where user namespaces are allowed. */
async function namespaced(): Promise<number> {
  const command = process.getuid?.() === 0 ? ['--net'] : ['--user', '--map-root-user', '--net'];
  const child = spawn('unshare', [...command, 'sleep', '60']);
  processes.push(child);
  const pid = child.pid ?? 0;
  const own = readlinkSync('/proc/self/ns/net');
  await until('it has its namespace', () => readlinkSync(`/proc/${pid}/ns/net`) !== own);
  return pid;
}

interface Opened {
  pid: number;
  name: string;
  mac: number;
  mtu: number;
}

function openerOf(opened: Opened[] = []): TapOpener {
  return (pid, name, mac, mtu) => {
    opened.push({ pid, name, mac, mtu });
    return Promise.resolve(openSync('/dev/null', 'r+'));
  };
}

async function errorOf(promise: Promise<unknown>): Promise<UserError> {
  const error = await promise.then(
    () => new Error('this was attached'),
    (reason: unknown) => reason,
  );
  if (error instanceof UserError) return error;
  throw error;
}

function descriptors(): string[] {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return targets.filter((target) => target === '/dev/null' || target.includes('pidfd')).sort();
}

describe('a guest', () => {
  it('gets a TAP in its namespace, a port, and the answer how to configure it', async () => {
    await start();
    const pid = await namespaced();
    const opened: Opened[] = [];
    const guest = await new Broker(openerOf(opened)).attach(supervisor, {
      pid,
      interface: 'eth0',
      name: 'ada',
      mtu: 9000,
    });
    expect(guest).toEqual({
      network: 'vmnet8',
      port: 1,
      interface: 'eth0',
      mac: expect.stringMatching(/^02(:[0-9a-f]{2}){5}$/),
      address: '192.168.88.128/24',
      gateway: '192.168.88.2',
      dns: ['192.168.88.2'],
      domain: 'vmnet.internal',
      mtu: 9000,
    });
    expect(opened).toEqual([{ pid, name: 'eth0', mac: Number.parseInt(guest.mac.replaceAll(':', ''), 16), mtu: 9000 }]);
    expect(instance.requests().at(-1)?.params).toEqual({
      name: 'ada',
      interface: 'eth0',
      mac: opened[0]?.mac,
      address: 0,
      mtu: 9000,
      pid,
    });
    expect(supervisor.guests.size).toBe(1);
  });

  it('with a name has the same MAC from run to run, and another on another network', async () => {
    await start();
    const pid = await namespaced();
    const opened: Opened[] = [];
    const request: GuestRequest = { pid, interface: 'eth0', name: 'ada' };
    const first = await new Broker(openerOf(opened)).attach(supervisor, request);
    await supervisor.detach(first.port);
    await until('the first is gone', () => supervisor.guests.size === 0);
    await new Broker(openerOf(opened)).attach(supervisor, request);
    await supervisor.stop();
    await start({ ...natPlan({ name: 'vmnet9' }), name: 'vmnet9' });
    await new Broker(openerOf(opened)).attach(supervisor, request);
    expect(opened[1]?.mac).toBe(opened[0]?.mac);
    expect(opened[2]?.mac).not.toBe(opened[0]?.mac);
  });

  it('without a name has a random MAC', async () => {
    await start();
    const pid = await namespaced();
    const opened: Opened[] = [];
    for (let i = 0; i < 2; i++) await new Broker(openerOf(opened)).attach(supervisor, { pid, interface: `eth${i}` });
    expect(opened[1]?.mac).not.toBe(opened[0]?.mac);
  });

  it('with the name of a reservation has its MAC', async () => {
    const { dhcp } = natPlan().netd;
    await start(
      natPlan({
        dhcp: { ...dhcp!, reservations: [{ name: 'web', mac: 0x02aabbccddee, address: ip('192.168.88.9') }] },
      }),
    );
    const guest = await new Broker(openerOf()).attach(supervisor, {
      pid: await namespaced(),
      interface: 'eth0',
      name: 'web',
    });
    expect(guest.mac).toBe('02:aa:bb:cc:dd:ee');
  });

  it('with a static address hands that to netd', async () => {
    await start();
    const pid = await namespaced();
    await new Broker(openerOf()).attach(supervisor, { pid, interface: 'eth0', address: '192.168.88.7/24' });
    expect(instance.requests().at(-1)?.params.address).toBe(ip('192.168.88.7'));
  });
});

describe('a request is refused', () => {
  it.each([
    ['10.0.0.5/24', 'lies outside of 192.168.88.0/24'],
    ['192.168.88.2/24', "is the gateway's address"],
    ['192.168.88.1/24', "is the host's address"],
    ['192.168.88.255/24', 'is the broadcast address'],
    ['192.168.88.7/16', 'its prefix length is not 24'],
  ])('for the address %s', async (address, reason) => {
    await start();
    const error = await errorOf(new Broker(openerOf()).attach(supervisor, { pid: 1, interface: 'eth0', address }));
    expect(error.code).toBe('GUEST_ADDRESS_INVALID');
    expect(error.message).toContain(reason);
    expect(instance.ops()).not.toContain('attachTap');
  });

  it('for a process that does not exist', async () => {
    await start();
    const child = spawn('true');
    await new Promise((resolve) => child.once('exit', resolve));
    const error = await errorOf(new Broker(openerOf()).attach(supervisor, { pid: child.pid ?? 0, interface: 'eth0' }));
    expect(error.code).toBe('GUEST_PROCESS_UNKNOWN');
  });

  it("for a process in the daemon's own namespace: the TAP would appear on the host", async () => {
    await start();
    const before = descriptors();
    const error = await errorOf(new Broker(openerOf()).attach(supervisor, { pid: process.pid, interface: 'eth0' }));
    expect(error.code).toBe('GUEST_NAMESPACE_IS_HOST');
    expect(descriptors()).toEqual(before);
  });

  it('for a name that is in use, even if that guest is only being attached', async () => {
    await start();
    const pid = await namespaced();
    const broker = new Broker(openerOf());
    const both = await Promise.allSettled([
      broker.attach(supervisor, { pid, interface: 'eth0', name: 'ada' }),
      broker.attach(supervisor, { pid, interface: 'eth1', name: 'ada' }),
    ]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    const error = await errorOf(broker.attach(supervisor, { pid, interface: 'eth2', name: 'ada' }));
    expect(error.code).toBe('GUEST_NAME_TAKEN');
  });

  it.each([
    ['EBUSY', 'ioctl TUNSETIFF eth0: EBUSY', 'GUEST_INTERFACE_TAKEN'],
    ['EINVAL', 'ioctl TUNSETIFF eth0: EINVAL', 'GUEST_INTERFACE_TAKEN'],
    ['ENOENT', 'open /dev/net/tun: ENOENT', 'TUN_MISSING'],
    ['EACCES', 'open /dev/net/tun: EACCES', 'TUN_MISSING'],
    ['EPERM', 'ioctl TUNSETIFF eth0: EPERM', 'GUEST_NAMESPACE_DENIED'],
    ['NSENTER', 'nsenter: cannot open /proc/1/ns/user', 'GUEST_NAMESPACE_DENIED'],
    ['NSENTER', 'spawn nsenter ENOENT', 'TOOL_MISSING'],
  ])('when opening the TAP fails with %s, %s: %s', async (code, message, expected) => {
    await start();
    const pid = await namespaced();
    const before = descriptors();
    const broker = new Broker(() => Promise.reject(new NamespaceError(code, message)));
    expect((await errorOf(broker.attach(supervisor, { pid, interface: 'eth0' }))).code).toBe(expected);
    expect(descriptors()).toEqual(before);
  });

  it('when netd refuses, and everything is closed again', async () => {
    await start(natPlan(), '--deny', 'attachTap');
    const pid = await namespaced();
    const before = descriptors();
    await expect(new Broker(openerOf()).attach(supervisor, { pid, interface: 'eth0' })).rejects.toThrow(
      'no attachTap today',
    );
    expect(descriptors()).toEqual(before);
    expect(supervisor.guests.size).toBe(0);
  });

  it('when netd ends or hangs meanwhile: it is being replaced, and the request may be made again', async () => {
    await start();
    const pid = await namespaced();
    for (const code of ['CLOSED', 'TIMED_OUT']) {
      vi.spyOn(supervisor, 'attach').mockRejectedValueOnce(new NetdError(code, 'not now'));
      expect((await errorOf(new Broker(openerOf()).attach(supervisor, { pid, interface: 'eth0' }))).code).toBe(
        'NETD_BUSY',
      );
    }
  });

  it('when the process ends while its TAP is being opened', async () => {
    await start();
    const pid = await namespaced();
    const child = processes.at(-1)!;
    const broker = new Broker(async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
      return openSync('/dev/null', 'r+');
    });
    const before = descriptors();
    expect((await errorOf(broker.attach(supervisor, { pid, interface: 'eth0' }))).code).toBe('GUEST_PROCESS_UNKNOWN');
    expect(descriptors()).toEqual(before);
  });

  it('beyond 120 guests of one network', async () => {
    await start();
    const pid = await namespaced();
    for (let i = 0; i < 120; i++) {
      const attach = { name: null, interface: 'eth0', mac: i + 1, address: 0, mtu: 1500, pid };
      supervisor.guests.add(i + 10, { attach, tap: openSync('/dev/null', 'r+'), pidfd: openPidfd(pid) });
    }
    const error = await errorOf(new Broker(openerOf()).attach(supervisor, { pid, interface: 'eth0' }));
    expect(error.code).toBe('PORTS_FULL');
  });
});
