/** What the process that sees the frames is, and what it is not allowed to be. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Guest } from '../../scripts/lib/daemon.ts';
import { PORTS } from '../../scripts/lib/lab-server.ts';
import { cpuMs, rssBytes } from '../../scripts/lib/process.ts';
import { describeWith } from '../support/privileges.ts';
import { Stage } from '../support/stage.ts';

const MEBIBYTE = 1 << 20;
const NOBODY = 65_534;

describeWith(['root', 'namespaces'], 'netd of a root daemon', () => {
  let stage: Stage;
  let guest: Guest;
  let netd: number;
  const status = (): string => readFileSync(`/proc/${netd}/status`, 'utf8');

  beforeAll(async () => {
    stage = await Stage.open('root');
    guest = await stage.daemon.guest(['--net', 'vmnet8', '--name', 'ada']);
    netd = await stage.daemon.netdPid();
  });
  afterAll(() => stage?.close());

  it('is nobody in all four ids, in no group', () => {
    const ids = Array.from({ length: 4 }, () => NOBODY).join('\t');
    expect(status()).toMatch(new RegExp(`^Uid:\t${ids}$`, 'm'));
    expect(status()).toMatch(new RegExp(`^Gid:\t${ids}$`, 'm'));
    expect(status()).toMatch(/^Groups:\s*$/m);
  });

  it('has no capability and can get none, in every thread', () => {
    for (const thread of readdirSync(`/proc/${netd}/task`)) {
      const text = readFileSync(`/proc/${netd}/task/${thread}/status`, 'utf8');
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
        expect(text).toMatch(new RegExp(`^${set}:\t0{16}$`, 'm'));
      expect(text).toMatch(/^NoNewPrivs:\t1$/m);
      expect(text).toMatch(new RegExp(`^Uid:\t${NOBODY}\t`, 'm'));
    }
  });

  it('holds the descriptors that its work takes and no other', async () => {
    const all = readdirSync(`/proc/${netd}/fd`).map((fd) => readlinkSync(`/proc/${netd}/fd/${fd}`));
    const known = [
      /^socket:/,
      /^pipe:/,
      /^anon_inode:\[(eventpoll|eventfd|pidfd|io_uring|timerfd)\]$/,
      /^anon_inode:inotify$/,
      /^(pidfd|anon_inode:\[pidfd\])/,
      /^\/dev\/(null|net\/tun)$/,
      new RegExp(`^${stage.daemon.runDir}/netd-vmnet8\\.log$`),
      new RegExp(`^${stage.daemon.stateDir}/vmnet8\\.leases\\.jsonl$`),
    ];
    expect(all.filter((target) => !known.some((pattern) => pattern.test(target)))).toEqual([]);
    expect(all.filter((target) => target.endsWith('/net/tun'))).toHaveLength(1);
  });

  it('has no terminal and lives in a session of its own', () => {
    const stat = readFileSync(`/proc/${netd}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    expect(fields[3]).toBe(String(netd)); // session
    expect(fields[4]).toBe('0'); // tty
  });

  it('uses no CPU while nothing happens', async () => {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const before = cpuMs(netd);
    await new Promise((resolve) => setTimeout(resolve, 5000));
    // A loop that polls costs 5000 ms; a timer a few ms. Ticks are 10 ms.
    expect(cpuMs(netd) - before).toBeLessThanOrEqual(100);
  });

  it('stays under 150 MB after a gigabyte', async () => {
    const url = `http://host.vmnet.internal:${PORTS.http}/bytes/500000000`;
    for (let i = 0; i < 2; i++) await guest.must(`curl -sS --max-time 60 -o /dev/null ${url}`);
    expect(rssBytes(netd)).toBeLessThan(150 * MEBIBYTE);
  });
});
