/** Processes that are killed, instances side by side, and what is left when all is over. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Guest } from '../../scripts/lib/daemon.ts';
import { PORTS } from '../../scripts/lib/lab-server.ts';
import { INTERNET_ADDRESS } from '../../scripts/lib/namespace-lab.ts';
import { patternDigest } from '../../scripts/lib/pattern.ts';
import { eventually, isAlive } from '../../scripts/lib/process.ts';
import { describeWith } from '../support/privileges.ts';
import { Stage, type Who } from '../support/stage.ts';

const HOST = 'host.vmnet.internal';
const LENGTH = 100_000_000;
const FETCH = `curl -sS --max-time 5 http://${HOST}:${PORTS.http}/`;

/** Every process whose environment or command line has this run directory: nothing of an instance hides from that. */
function processesOf(runDir: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/environ`, 'latin1') + readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        return isAlive(pid) && words.includes(runDir);
      } catch {
        return false;
      }
    });
}

function survives(who: Who): void {
  let stage: Stage;
  let guest: Guest;

  beforeEach(async () => {
    stage = await Stage.open(who);
    guest = await stage.daemon.guest(['--net', 'vmnet8', '--name', 'ada']);
  });
  afterEach(() => stage?.close());

  it('restarts a killed netd, and the namespace guest goes on', async () => {
    const before = await stage.daemon.network();
    const address = await guest.must('ip -4 -o addr show dev eth0');
    expect(await guest.must(FETCH)).toBe('lab\n');
    process.kill(before.pid ?? 0, 'SIGKILL');
    await eventually('the guest reaches the host again', async () => (await guest.must(FETCH)) === 'lab\n', 10_000);
    expect(await guest.must(`ping -n -c 2 -i 0.2 -W 2 ${INTERNET_ADDRESS}`)).toContain('2 received');
    expect(await guest.must('ip -4 -o addr show dev eth0')).toBe(address);
    const after = await stage.daemon.network();
    expect(after.pid).not.toBe(before.pid);
    expect(after).toMatchObject({ state: 'running', restarts: before.restarts + 1 });
    expect((await stage.daemon.leases()).find((lease) => lease.name === 'ada')).toBeDefined();
    // New guests are welcome, too, and find the old one.
    const late = await stage.daemon.guest(['--net', 'vmnet8']);
    expect(await late.must('ping -n -c 1 -W 2 ada.vmnet.internal')).toContain('1 received');
  });

  it('finishes a transfer while vmnetd is killed, and the next vmnetd adopts the netd', async () => {
    const { daemon } = await stage.daemon.status();
    const netd = await stage.daemon.netdPid();
    const url = `http://${HOST}:${PORTS.http}/bytes/${LENGTH}`;
    const transfer = guest.must(`curl -sS --max-time 60 --limit-rate 40M ${url} | sha256sum`);
    await new Promise((resolve) => setTimeout(resolve, 700));
    process.kill(daemon.pid, 'SIGKILL');
    await eventually('vmnetd is gone', () => !isAlive(daemon.pid));
    expect(await transfer).toContain(patternDigest(LENGTH));
    expect(await guest.must(FETCH)).toBe('lab\n');

    await stage.daemon.up();
    expect(await stage.daemon.netdPid()).toBe(netd);
    expect((await stage.daemon.status()).daemon.pid).not.toBe(daemon.pid);
    expect((await stage.daemon.ports()).map((port) => port.name)).toContain('ada');
    expect(await guest.must(FETCH)).toBe('lab\n');
    // What was adopted is as good as new: it is restarted with the guests it had.
    process.kill(netd, 'SIGKILL');
    await eventually('the guest reaches the host again', async () => (await guest.must(FETCH)) === 'lab\n', 10_000);
  });

  it('leaves no process, no socket and no interface after down', async () => {
    const address = await guest.must('cat /sys/class/net/eth0/address');
    expect(address).not.toBe('');
    const interfaces = await stage.lab.host.must(['ls', '/sys/class/net']);
    const pids = (await stage.daemon.status()).networks.map((network) => network.pid ?? 0);
    for (const pid of pids) expect(processesOf(stage.daemon.runDir)).toContain(pid);
    await stage.daemon.down();
    for (const pid of pids) expect(isAlive(pid)).toBe(false);
    await eventually(
      "the guest's interface is gone",
      async () => !(await guest.must('ls /sys/class/net')).includes('eth0'),
    );
    await guest.stop();
    expect(processesOf(stage.daemon.runDir)).toEqual([]);
    const left = existsSync(stage.daemon.runDir) ? readdirSync(stage.daemon.runDir) : [];
    expect(left.filter((name) => /\.(sock|ctl)$/.test(name))).toEqual([]);
    expect(await stage.lab.host.must(['ls', '/sys/class/net'])).toBe(interfaces);
    const status = await stage.daemon.vmnet(['status']);
    expect(status.stderr).toContain('DAEMON_NOT_RUNNING');
  });

  it('brings down what a killed vmnetd left running', async () => {
    const { daemon, networks } = await stage.daemon.status();
    process.kill(daemon.pid, 'SIGKILL');
    await eventually('vmnetd is gone', () => !isAlive(daemon.pid));
    for (const { pid } of networks) expect(isAlive(pid ?? 0)).toBe(true);
    await stage.daemon.down();
    await guest.stop();
    expect(processesOf(stage.daemon.runDir)).toEqual([]);
  });

  it('keeps leases and subnets over down and up', async () => {
    const mac = '02:00:00:00:02:01';
    await guest.must(`ip link set eth0 down; ip link set eth0 address ${mac}; ip link set eth0 up`);
    await guest.must('udhcpc -i eth0 -n -q -s /bin/true');
    const { subnet } = await stage.daemon.network();
    const lease = (await stage.daemon.leases()).find((entry) => entry.mac === mac);
    // It did not release its lease; the one that we gave it ends with it.
    await guest.stop();
    await stage.daemon.down();

    await stage.daemon.up();
    expect((await stage.daemon.network()).subnet).toBe(subnet);
    const [kept, ...others] = await stage.daemon.leases();
    expect(others).toEqual([]);
    expect(kept).toMatchObject({ network: 'vmnet8', mac, address: lease?.address });
    // netd counts by a monotonic clock, which each start relates to the wall's anew.
    expect(Math.abs(Date.parse(kept?.expiresAt ?? '') - Date.parse(lease?.expiresAt ?? ''))).toBeLessThan(1000);
  });

  it('gives a named guest its MAC and its address again when it comes back', async () => {
    const eve = await stage.daemon.guest(['--net', 'vmnet8', '--name', 'eve']);
    const identity = 'ip -4 -o addr show dev eth0; cat /sys/class/net/eth0/address';
    const before = await eve.must(identity);
    await Promise.all([eve.stop(), guest.stop()]);
    const again = await stage.daemon.guest(['--net', 'vmnet8', '--name', 'eve']);
    expect(await again.must(identity)).toBe(before);
  });

  it('refuses a second daemon in the same run directory, and the first goes on', async () => {
    const second = await stage.daemon.vmnet(['up', '--detach']);
    expect(second.code).toBe(3);
    expect(second.stderr).toContain('DAEMON_RUNS');
    expect(await guest.must(FETCH)).toBe('lab\n');
  });

  it('runs beside another instance with directories of its own', async () => {
    const other = stage.another();
    await other.up();
    const subnets = [(await stage.daemon.network()).subnet, (await other.network()).subnet];
    const theirs = await other.guest(['--net', 'vmnet8', '--name', 'ada']);
    expect(await theirs.must(FETCH)).toBe('lab\n');
    expect(await guest.must(FETCH)).toBe('lab\n');
    expect((await other.leases()).length).toBe(1);
    await other.down();
    expect(await guest.must(FETCH)).toBe('lab\n');
    expect(subnets.every((subnet) => subnet !== null)).toBe(true);
  });

  it('reads no lease out of a journal line that a crash cut short', async () => {
    await guest.must('ip link set eth0 down; ip link set eth0 address 02:00:00:00:02:02; ip link set eth0 up');
    await guest.must('udhcpc -i eth0 -n -q -s /bin/true');
    await guest.stop();
    await eventually('the attached lease is given back', async () => (await stage.daemon.leases()).length === 1);
    const addresses = async (): Promise<string[]> => (await stage.daemon.leases()).map((lease) => lease.address);
    const before = await addresses();
    await stage.daemon.down();
    const journal = join(stage.daemon.stateDir, 'vmnet8.leases.jsonl');
    writeFileSync(journal, `${readFileSync(journal, 'utf8')}{"address":3232258`);
    await stage.daemon.up();
    expect(await addresses()).toEqual(before);
  });
}

describeWith(['root', 'namespaces'], 'an instance run by root', () => survives('root'));
describeWith(['namespaces'], 'an instance run by an ordinary user', () => survives('user'));
