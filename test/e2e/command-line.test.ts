/** The command line with a real daemon: shapes, signals, the foreground, and what a guest's settings leave behind. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { z } from 'zod';
import type { Guest } from '../../scripts/lib/daemon.ts';
import { REPOSITORY } from '../../scripts/lib/install.ts';
import { PORTS } from '../../scripts/lib/lab-server.ts';
import { type Background, eventually, isAlive } from '../../scripts/lib/process.ts';
import * as api from '../../src/shared/api.ts';
import { describeWith } from '../support/privileges.ts';
import { Stage, type Who } from '../support/stage.ts';

function commandLine(who: Who): void {
  let stage: Stage;
  let guest: Guest;

  beforeAll(async () => {
    stage = await Stage.open(who);
    guest = await stage.daemon.guest(['--net', 'vmnet8', '--name', 'ada']);
  });
  afterAll(() => stage?.close());

  const ns = (...args: string[]): Background =>
    stage.daemon.place.start(stage.daemon.argv(['ns', ...args]), stage.daemon.env);

  it('prints with --json what the contract of the API says, and something', async () => {
    // More than the guest's kernel buffers at once, so that the flow lasts for seconds.
    const url = `http://host.vmnet.internal:${PORTS.http}/bytes/30000000`;
    const holding = guest.exec(`curl -sS --limit-rate 6M ${url} | wc -c`);
    await eventually('there is a flow', async () => (await stage.daemon.flows()).length > 0);
    const shapes: [string, z.ZodType][] = [
      ['status', api.status.strict()],
      ['ports', api.port.strict().array().min(3)],
      ['leases', api.lease.strict().array().min(1)],
      ['flows', api.flow.strict().array().min(1)],
    ];
    for (const [verb, shape] of shapes) {
      const value: unknown = JSON.parse(await stage.daemon.must([verb, '--json']));
      expect(shape.safeParse(value).error?.issues ?? []).toEqual([]);
    }
    expect((await holding).output.trim()).toBe('30000000');
  });

  it('draws the guest into the picture', async () => {
    const picture = await stage.daemon.must(['status']);
    expect(picture).toMatch(/╭─ ada ─+╮/);
    expect(picture).toMatch(/namespace, pid \d+ +├───┨/);
  });

  it('passes SIGTERM on to the command, and ends as it does', async () => {
    const process = ns('--', 'sh', '-c', 'trap "echo told; exit 5" TERM; echo ready; while :; do sleep 0.05; done');
    await process.expect(/ready/);
    process.child.kill('SIGTERM');
    expect(await process.end()).toBe(5);
    expect(process.stdout).toContain('told');
    const plain = ns('--', 'sh', '-c', 'echo ready; exec sleep 60');
    await plain.expect(/ready/);
    plain.child.kill('SIGINT');
    expect(await plain.end()).toBe(130);
  });

  it('never runs the command of a guest whose command line was killed before', async () => {
    const marker = join(stage.lab.folder, `ran-${who}`);
    for (const delayMs of [60, 90, 120, 150]) {
      const killed = ns('--', 'sh', '-c', `ip -4 route show default >${marker}`);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      killed.child.kill('SIGKILL');
      await killed.end();
    }
    await eventually(
      'they have left',
      async () => (await stage.daemon.ports()).filter((port) => port.kind === 'tap').length === 1,
    );
    // Either it was never run, or its network was whole.
    const seen = await stage.lab.host.run(['cat', marker]);
    if (seen.code === 0) expect(seen.stdout).toMatch(/^default via/);
  });

  it('gives the command the descriptors it would have had, and no variable of ours', async () => {
    const list = 'ls /proc/self/fd | wc -l; env | grep -c vmnet_';
    const bare = await stage.daemon.place.run(['sh', '-c', list], { env: stage.daemon.env });
    const inside = await stage.daemon.vmnet(['ns', '--', 'sh', '-c', list]);
    expect(inside.stdout).toBe(bare.stdout);
  });

  it('sets resolv.conf for the guest alone, and leaves no mount and no file behind', async () => {
    const before = readFileSync('/etc/resolv.conf', 'utf8');
    const mounts = readFileSync('/proc/self/mounts', 'utf8');
    const files = await stage.lab.host.must(['ls', '-A', stage.daemon.runDir]);
    const { gateway } = await stage.daemon.network();
    const { stdout } = await stage.daemon.vmnet(['ns', '--', 'sh', '-c', 'cat /etc/resolv.conf; ls /sys/class/net']);
    expect(stdout).toMatch(new RegExp(`^search vmnet.internal\nnameserver ${gateway}\n`, 'm'));
    expect(stdout).toMatch(/^eth0$/m);
    expect(readFileSync('/etc/resolv.conf', 'utf8')).toBe(before);
    expect(readFileSync('/proc/self/mounts', 'utf8')).toBe(mounts);
    expect(await stage.lab.host.must(['ls', '-A', stage.daemon.runDir])).toBe(files);
  });

  it('tells which tool failed when a guest cannot be set up, and takes its port away', async () => {
    const tools = join(stage.lab.folder, `tools-${who}`);
    await stage.daemon.place.must(['mkdir', tools]);
    await stage.daemon.place.must([
      'sh',
      '-c',
      `printf '#!/bin/sh\\necho RTNETLINK says no >&2; exit 2' >${tools}/ip; chmod 755 ${tools}/ip`,
    ]);
    const { code, stderr } = await stage.daemon.vmnet(['ns', '--', 'true'], {
      env: { PATH: `${tools}:${process.env.PATH}` },
    });
    expect(code).toBe(4);
    expect(stderr).toMatch(/^error GUEST_SETUP_FAILED: .*RTNETLINK says no\nhint: /);
    await eventually(
      'its port is gone',
      async () => (await stage.daemon.ports()).filter((port) => port.kind === 'tap').length === 1,
    );
  });
}

describeWith(['root', 'namespaces'], 'the command line of root', () => commandLine('root'));
describeWith(['namespaces'], 'the command line of an ordinary user', () => commandLine('user'));

describeWith(['namespaces'], 'the examples', () => {
  it('keep what they promise', async () => {
    const stage = await Stage.open(process.getuid?.() === 0 ? 'root' : 'user', { up: null, servers: false });
    try {
      const shown = await stage.daemon.place.must(['sh', join(REPOSITORY, 'examples/three-tier.sh')]);
      expect(shown).toContain('the application says: hello from the database');
      expect(shown).toContain('there is no way from vmnet8 to vmnet2');
      expect(shown).toContain('╭─ database ─');
    } finally {
      await stage.close();
    }
  });
});

describeWith(['namespaces'], 'vmnet up in the foreground', () => {
  let stage: Stage;
  let up: Background;

  beforeEach(async () => {
    stage = await Stage.open(process.getuid?.() === 0 ? 'root' : 'user', { up: null, servers: false });
    up = stage.daemon.place.start(stage.daemon.argv(['up']), stage.daemon.env);
    await up.expect(/vmnet8 .*running/);
  });
  afterEach(async () => {
    await up?.stop();
    await stage?.close();
  });

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('shows the log, and is down on %s', async (signal) => {
    const { networks, daemon } = await stage.daemon.status();
    up.child.kill(signal);
    expect(await up.end()).toBe(0);
    expect(up.stderr).toMatch(/^\d\d:\d\d:\d\d info {2}vmnetd is ready/m);
    for (const pid of [daemon.pid, ...networks.map((network) => network.pid ?? 0)]) expect(isAlive(pid)).toBe(false);
    expect((await stage.daemon.vmnet(['status'])).stderr).toContain('DAEMON_NOT_RUNNING');
  });

  it('ends when another command takes the networks down', async () => {
    await stage.daemon.down();
    expect(await up.end()).toBe(0);
  });

  it('says so when vmnetd is killed', async () => {
    const { daemon } = await stage.daemon.status();
    process.kill(daemon.pid, 'SIGKILL');
    expect(await up.end()).toBe(3);
    expect(up.stderr).toMatch(/^error DAEMON_UNREACHABLE: .*SIGKILL/m);
    await stage.daemon.down();
  });
});

describeWith(['namespaces'], 'vmnet down', () => {
  it('replaces a vmnetd that hangs', async () => {
    const stage = await Stage.open(process.getuid?.() === 0 ? 'root' : 'user', { servers: false });
    try {
      const { daemon, networks } = await stage.daemon.status();
      process.kill(daemon.pid, 'SIGSTOP');
      await stage.daemon.down();
      for (const pid of [daemon.pid, ...networks.map((network) => network.pid ?? 0)]) expect(isAlive(pid)).toBe(false);
      expect((await stage.daemon.vmnet(['down'])).code).toBe(3);
    } finally {
      await stage.close();
    }
  });
});
