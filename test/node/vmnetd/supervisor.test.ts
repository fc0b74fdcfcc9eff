/** The supervisor against netds that are real processes and move no frames. Descriptors are covered by the real netd's tests. */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, openSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openPidfd } from '../../../src/node/linux/pidfd.ts';
import type { HeldGuest } from '../../../src/node/vmnetd/held-guests.ts';
import { NetdRegistry } from '../../../src/node/vmnetd/netd-registry.ts';
import { identify, isAlive } from '../../../src/node/vmnetd/process-identity.ts';
import { Supervisor } from '../../../src/node/vmnetd/supervisor.ts';
import { UserError } from '../../../src/shared/errors.ts';
import { Instance, natPlan, until } from './instance.ts';

let instance: Instance;
let open: Supervisor[];
let guests: ChildProcess[];

beforeEach(() => {
  instance = new Instance();
  open = [];
  guests = [];
});

afterEach(async () => {
  for (const guest of guests) guest.kill('SIGKILL');
  for (const supervisor of open) await supervisor.stop();
  instance.close();
});

function supervisorOf(plan = natPlan(), ...netdArgs: string[]): Supervisor {
  const supervisor = new Supervisor(plan, plan.netd, instance.context(...netdArgs));
  open.push(supervisor);
  return supervisor;
}

/** What a killed vmnetd leaves behind is what one that never stops leaves: its connection ends. */
function abandon(supervisor: Supervisor): void {
  open = open.filter((other) => other !== supervisor);
  supervisor.abandon();
}

/** A process to stand for a guest's, and descriptors as the broker would bring them. */
function guestOf(name: string): HeldGuest & { process: ChildProcess } {
  const process = spawn('sleep', ['60']);
  guests.push(process);
  const pid = process.pid ?? 0;
  const attach = { name, interface: 'eth0', mac: 0x020000000000 + pid, address: 0, mtu: 1500, pid };
  return { attach, tap: openSync('/dev/null', 'r+'), pidfd: openPidfd(pid), process };
}

function kill(supervisor: Supervisor): number {
  const pid = supervisor.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  return pid;
}

function openDescriptors(): string[] {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return targets.filter((target) => target === '/dev/null' || target.includes('pidfd')).sort();
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  return error instanceof UserError ? error.code : String(error);
}

describe('a start', () => {
  it('spawns a netd, greets it and starts it with the plan, the facts of the host and the leases on disk', async () => {
    const valid = { address: 0xc0a85890, mac: 1, clientId: null, name: null, expiresAt: Date.now() + 60_000 };
    writeFileSync(
      join(instance.stateDir, 'vmnet8.leases.jsonl'),
      `${JSON.stringify({ ...valid, mac: 2, expiresAt: 5 })}\n${JSON.stringify(valid)}\n`,
    );
    const supervisor = supervisorOf();
    await supervisor.start();
    expect(supervisor.state).toBe('running');
    expect(instance.ops()).toEqual(['hello', 'start']);
    expect(instance.requests()[1]?.params).toEqual({
      config: {
        ...natPlan().netd,
        resolvers: [{ address: 0x01020304, port: 53 }],
        otherNetworks: [],
        hostAddress: 0x0a000001,
        leases: [valid],
      },
      fds: ['stream', 'journal'],
    });
  });

  it('says how a netd ended that never got ready, with its last words, and leaves nothing behind', async () => {
    const supervisor = supervisorOf(natPlan(), '--die-at', 'start');
    const error = await supervisor.start().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect(error).toMatchObject({ code: 'NETD_START_FAILED' });
    expect(String(error)).toContain('exit code 7: fake netd dies at start');
    expect(readdirSync(instance.runDir).filter((name) => /\.(ctl|sock)$/.test(name))).toEqual([]);
  });

  it('stops a netd that refuses its configuration', async () => {
    const supervisor = supervisorOf(natPlan(), '--deny', 'start');
    expect(await codeOf(supervisor.start())).toBe('NETD_START_FAILED');
    expect(instance.ops().at(-1)).toBe('stop');
  });

  it('names the package of a program that is missing', async () => {
    const plan = natPlan();
    const supervisor = new Supervisor(plan, plan.netd, { ...instance.context(), netdCommand: ['no-such-setpriv'] });
    expect(await codeOf(supervisor.start())).toBe('TOOL_MISSING');
  });

  it('takes the names of the configuration for name servers before those of the host', async () => {
    const own = [{ address: 0x09090909, port: 5353 }];
    await supervisorOf({ ...natPlan(), resolvers: own }).start();
    expect(instance.requests()[1]?.params.config).toMatchObject({ resolvers: own });
  });
});

describe('a netd that dies', () => {
  it('is restarted and handed its guests again', async () => {
    const supervisor = supervisorOf();
    await supervisor.start();
    const [ada, bob] = [guestOf('ada'), guestOf('bob')];
    await supervisor.attach(ada);
    await supervisor.attach(bob);
    instance.forget();
    const before = kill(supervisor);
    await until('it runs again', () => supervisor.restarts === 1 && supervisor.state === 'running');
    expect(supervisor.pid).not.toBe(before);
    expect(instance.ops()).toEqual(['hello', 'start', 'attachTap', 'attachTap']);
    expect(
      instance
        .requests()
        .slice(2)
        .map(({ params }) => params),
    ).toEqual([ada.attach, bob.attach]);
    expect(supervisor.guests.size).toBe(2);
  });

  it('is not handed guests whose process has ended', async () => {
    const supervisor = supervisorOf();
    await supervisor.start();
    const [ada, bob] = [guestOf('ada'), guestOf('bob')];
    await supervisor.attach(ada);
    await supervisor.attach(bob);
    const ended = new Promise((resolve) => ada.process.once('exit', resolve));
    ada.process.kill('SIGKILL');
    await ended;
    instance.forget();
    kill(supervisor);
    await until('it runs again', () => supervisor.restarts === 1 && supervisor.state === 'running');
    expect(
      instance
        .requests()
        .slice(2)
        .map(({ params }) => params.name),
    ).toEqual(['bob']);
    expect(supervisor.guests.size).toBe(1);
  });

  it('refuses requests as NETD_BUSY until it runs again', async () => {
    const supervisor = supervisorOf();
    await supervisor.start();
    kill(supervisor);
    await until('it is restarting', () => supervisor.state === 'restarting');
    expect(() => supervisor.request('status', {})).toThrow(UserError);
    expect(supervisor.pid).toBeNull();
    await until('it runs again', () => supervisor.state === 'running');
    await expect(supervisor.request('status', {})).resolves.toMatchObject({ pid: supervisor.pid });
  });

  it('while it is handed its guests again leaves them to the next one', async () => {
    const plan = natPlan();
    let broken = false;
    const context = instance.context();
    const supervisor = new Supervisor(plan, plan.netd, {
      ...context,
      get netdCommand() {
        return broken ? instance.netdCommand('--die-at', 'attachTap') : context.netdCommand;
      },
    });
    open.push(supervisor);
    await supervisor.start();
    const [ada, bob] = [guestOf('ada'), guestOf('bob')];
    await supervisor.attach(ada);
    await supervisor.attach(bob);
    broken = true;
    kill(supervisor);
    await until(
      'a guest was handed over in vain',
      () => instance.ops().filter((op) => op === 'attachTap').length === 3,
    );
    broken = false;
    await until('it runs again', () => supervisor.state === 'running');
    expect(supervisor.guests.size).toBe(2);
    expect(supervisor.guests.isNameTaken('ada') && supervisor.guests.isNameTaken('bob')).toBe(true);
  });

  it('and comes back without mercy for one guest keeps the others', async () => {
    const plan = natPlan();
    let broken = false;
    const context = instance.context();
    const supervisor = new Supervisor(plan, plan.netd, {
      ...context,
      get netdCommand() {
        return broken ? instance.netdCommand('--refuse-guest', 'ada') : context.netdCommand;
      },
    });
    open.push(supervisor);
    await supervisor.start();
    await supervisor.attach(guestOf('ada'));
    await supervisor.attach(guestOf('bob'));
    const before = openDescriptors().length;
    broken = true;
    kill(supervisor);
    await until('it runs again', () => supervisor.restarts === 1 && supervisor.state === 'running');
    expect([supervisor.guests.isNameTaken('ada'), supervisor.guests.isNameTaken('bob')]).toEqual([false, true]);
    expect(openDescriptors().length).toBe(before - 2);
  });

  it('again and again is tried again ever more rarely, and reported as failed', async () => {
    const plan = natPlan();
    let broken = false;
    const context = instance.context();
    const supervisor = new Supervisor(plan, plan.netd, {
      ...context,
      get netdCommand() {
        return broken ? instance.netdCommand('--die-at', 'hello') : context.netdCommand;
      },
    });
    open.push(supervisor);
    await supervisor.start();
    instance.forget();
    broken = true;
    kill(supervisor);
    await until('it has failed', () => supervisor.state === 'failed');
    expect(instance.ops().filter((op) => op === 'hello')).toHaveLength(5);
    broken = false;
    await until('it runs again', () => supervisor.state === 'running');
  });

  it('is not restarted when it ends while it is being stopped', async () => {
    const supervisor = supervisorOf();
    await supervisor.start();
    kill(supervisor);
    await supervisor.stop();
    expect(supervisor.state).toBe('stopped');
    instance.forget();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(instance.ops()).toEqual([]);
  });
});

describe('a netd that runs already', () => {
  it('is adopted when version and configuration are the same, and told of the host as it is now', async () => {
    const first = supervisorOf();
    await first.start();
    const { pid } = first;
    abandon(first);
    instance.forget();
    const second = supervisorOf();
    await second.start();
    expect(second.pid).toBe(pid);
    expect(instance.ops()).toEqual(['hello', 'descriptors', 'update']);
  });

  it('is replaced when it is of another version', async () => {
    const first = supervisorOf(natPlan(), '--version', '0.9');
    await first.start();
    const { pid } = first;
    abandon(first);
    const second = supervisorOf();
    await second.start();
    expect(second.pid).not.toBe(pid);
    expect(identify(pid ?? 0)).toBeNull();
  });

  it('is replaced when its configuration has changed', async () => {
    const first = supervisorOf();
    await first.start();
    const { pid } = first;
    abandon(first);
    const second = supervisorOf(natPlan({ mtu: 9000 }));
    await second.start();
    expect(second.pid).not.toBe(pid);
    expect(instance.requests().at(-1)).toMatchObject({ op: 'start', params: { config: { mtu: 9000 } } });
  });

  it('is restarted like any other when it dies after its adoption', async () => {
    const first = supervisorOf();
    await first.start();
    abandon(first);
    const second = supervisorOf();
    await second.start();
    kill(second);
    await until('it runs again', () => second.restarts === 1 && second.state === 'running');
  });

  it('goes on when the start of another network failed and this one is undone', async () => {
    const first = supervisorOf();
    await first.start();
    const { pid } = first;
    abandon(first);
    const second = supervisorOf();
    await second.start();
    await second.undoStart();
    expect(isAlive(identify(pid ?? 0) ?? { pid: 0, startTime: 0 })).toBe(true);
    const third = supervisorOf();
    await third.start();
    expect(third.pid).toBe(pid);
  });

  it('is killed when it listens no more, but only if it still is the process that was noted', async () => {
    const lost = spawn('sleep', ['60']);
    const other = spawn('sleep', ['60']);
    guests.push(lost, other);
    const noted = identify(lost.pid ?? 0)!;
    new NetdRegistry(instance.runDir).note('vmnet8', noted);
    await supervisorOf().start();
    expect(isAlive(noted)).toBe(false);
    await open[0]!.stop();
    const recycled = { ...identify(other.pid ?? 0)!, startTime: 1 };
    new NetdRegistry(instance.runDir).note('vmnet8', recycled);
    await supervisorOf().start();
    expect(identify(other.pid ?? 0)).not.toBeNull();
  });
});

describe('a stop', () => {
  it('ends netd and removes its sockets', async () => {
    const supervisor = supervisorOf();
    await supervisor.start();
    const netd = identify(supervisor.pid ?? 0)!;
    expect(existsSync(join(instance.runDir, 'vmnet8.ctl'))).toBe(true);
    await supervisor.stop();
    expect(isAlive(netd)).toBe(false);
    expect(readdirSync(instance.runDir).filter((name) => /\.(ctl|sock)$/.test(name))).toEqual([]);
    expect(JSON.parse(readFileSync(join(instance.runDir, 'netds.json'), 'utf8'))).toEqual({});
  });

  it('closes what is held of the guests', async () => {
    const before = openDescriptors();
    const supervisor = supervisorOf();
    await supervisor.start();
    await supervisor.attach(guestOf('ada'));
    expect(openDescriptors().length).toBeGreaterThan(before.length);
    await supervisor.stop();
    expect(openDescriptors()).toEqual(before);
  });

  it('kills a netd that does not end', async () => {
    const supervisor = supervisorOf(natPlan(), '--stubborn');
    await supervisor.start();
    const netd = identify(supervisor.pid ?? 0)!;
    await supervisor.stop();
    expect(isAlive(netd)).toBe(false);
  });
});

it("closes a guest's descriptors when netd says that it is gone", async () => {
  const supervisor = supervisorOf();
  await supervisor.start();
  const { port } = await supervisor.attach(guestOf('ada'));
  await supervisor.detach(port);
  await until('it is forgotten', () => supervisor.guests.size === 0);
});

it('compacts a lease journal that has grown, and hands netd the new one', async () => {
  const journal = join(instance.stateDir, 'vmnet8.leases.jsonl');
  const supervisor = supervisorOf();
  await supervisor.start();
  instance.forget();
  const record = { address: 0xc0a85890, mac: 1, clientId: null, name: null, expiresAt: Date.now() + 60_000 };
  writeFileSync(journal, `${JSON.stringify(record)}\n`.repeat(20_000));
  await supervisor.maintain();
  expect(instance.ops()).toEqual(['journal']);
  expect(readFileSync(journal, 'utf8')).toBe(`${JSON.stringify(record)}\n`);
  instance.forget();
  await supervisor.maintain();
  expect(instance.ops()).toEqual([]);
});
