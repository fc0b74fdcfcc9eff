/** Operators' mistakes: one coded error with a hint each, and nothing half-done. */
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Daemon } from '../../scripts/lib/daemon.ts';
import type { RunResult } from '../../scripts/lib/process.ts';
import { describeWith } from '../support/privileges.ts';
import { Stage } from '../support/stage.ts';

describeWith(['namespaces'], 'a mistake of the operator', () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await Stage.open(process.getuid?.() === 0 ? 'root' : 'user', { up: null, servers: false });
  });
  afterAll(() => stage?.close());

  const file = (name: string, text: string): string => {
    const path = join(stage.lab.folder, name);
    writeFileSync(path, text);
    return path;
  };

  /** One code, one hint, no stack, and the same as JSON. */
  function expectError(result: RunResult, code: string, words: (string | RegExp)[] = []): void {
    expect(result.code).toBeGreaterThan(0);
    expect(result.stderr.match(/\b[A-Z][A-Z]+(_[A-Z]+)+\b/g)?.[0]).toBe(code);
    expect(result.stderr).not.toMatch(/^\s+at .*:\d+:\d+/m);
    for (const word of words) expect(result.stderr).toMatch(word);
  }

  /** No daemon, no socket, no netd. */
  async function expectNothingLeft(daemon: Daemon): Promise<void> {
    const names = existsSync(daemon.runDir) ? readdirSync(daemon.runDir) : [];
    expect(names.filter((name) => /\.(sock|ctl)$/.test(name))).toEqual([]);
    expectError(await daemon.vmnet(['status']), 'DAEMON_NOT_RUNNING');
  }

  it('to ask a daemon that does not run', async () => {
    const daemon = stage.another();
    for (const args of [['status'], ['ports'], ['leases'], ['flows'], ['ns', '--net', 'vmnet8', '--', 'true']]) {
      const result = await daemon.vmnet(args);
      expectError(result, 'DAEMON_NOT_RUNNING', [/vmnet up/]);
      expect(result.code).toBe(3);
    }
    const json = await daemon.vmnet(['status', '--json']);
    expect(JSON.parse(json.stdout || json.stderr)).toMatchObject({
      error: { code: 'DAEMON_NOT_RUNNING', hint: expect.stringContaining('vmnet up') },
    });
  });

  it('to name a configuration that is not there', async () => {
    const daemon = stage.another();
    expectError(await daemon.vmnet(['up', '--detach', '-f', '/nowhere/vmnet.yaml']), 'CONFIG_UNREADABLE', [/nowhere/]);
    await expectNothingLeft(daemon);
  });

  it('to write a configuration that is not YAML, told by file and line', async () => {
    const daemon = stage.another();
    const path = file('broken.yaml', 'networks:\n  vmnet8:\n\tmode: nat\n');
    expectError(await daemon.vmnet(['up', '--detach', '-f', path]), 'CONFIG_SYNTAX', [/broken\.yaml:3/]);
    await expectNothingLeft(daemon);
  });

  it('to misspell a key, told by file and line, with what was meant', async () => {
    const daemon = stage.another();
    const path = file('key.yaml', 'networks:\n  vmnet8:\n    mode: nat\n    subent: 192.168.88.0/24\n');
    expectError(await daemon.vmnet(['up', '--detach', '-f', path]), 'CONFIG_UNKNOWN_KEY', [/key\.yaml:4/, /subnet/]);
    await expectNothingLeft(daemon);
  });

  it.each([
    ['a mode', 'mode: natt'],
    ['a subnet', 'mode: nat\n    subnet: 192.168.300.0/24'],
    ['an MTU', 'mode: nat\n    mtu: 100'],
    ['a DHCP range', 'mode: nat\n    subnet: 192.168.88.0/24\n    dhcp: { range: [192.168.89.1, 192.168.89.9] }'],
  ])('to write %s that cannot be, told by file and line', async (what, text) => {
    const daemon = stage.another();
    const path = file('value.yaml', `networks:\n  vmnet8:\n    ${text}\n`);
    expectError(await daemon.vmnet(['up', '--detach', '-f', path]), 'CONFIG_INVALID', [/value\.yaml:[345]/]);
    await expectNothingLeft(daemon);
    expect(what).not.toBe('');
  });

  it('to choose a subnet that a route of the host has, or two networks with one subnet', async () => {
    const daemon = stage.another();
    const route = file('route.yaml', 'networks:\n  vmnet8:\n    mode: nat\n    subnet: 198.51.100.0/24\n');
    expectError(await daemon.vmnet(['up', '--detach', '-f', route]), 'SUBNET_COLLIDES', [/198\.51\.100\.0\/24/]);
    const twice = file(
      'twice.yaml',
      'networks:\n  vmnet7: { mode: nat, subnet: 10.77.0.0/24 }\n  vmnet8: { mode: nat, subnet: 10.77.0.0/16 }\n',
    );
    expectError(await daemon.vmnet(['up', '--detach', '-f', twice]), 'SUBNET_COLLIDES', [/vmnet7|vmnet8/]);
    await expectNothingLeft(daemon);
  });

  it('to have a run directory whose sockets would have too long a path', async () => {
    const runDir = join(stage.lab.folder, 'a'.repeat(60), 'b'.repeat(60));
    const daemon = stage.another({ runDir, stateDir: join(stage.lab.folder, 'state-long') });
    expectError(await daemon.vmnet(['up', '--detach']), 'SOCKET_PATH_TOO_LONG', [/VMNET_RUN_DIR/, /107/]);
  });

  it('to have a run directory that is a file', async () => {
    const runDir = file('not-a-folder', '');
    const daemon = stage.another({ runDir, stateDir: join(stage.lab.folder, 'state-file') });
    expectError(await daemon.vmnet(['up', '--detach']), 'DIRECTORY_UNUSABLE', [/VMNET_RUN_DIR/]);
  });

  it('to ask for what no daemon offers: a command, a network, a program', async () => {
    const daemon = stage.another();
    await daemon.up();
    expect((await daemon.vmnet(['ups'])).code).toBe(2);
    expectError(await daemon.vmnet(['ns', '--net', 'vmnet99', '--', 'true']), 'NETWORK_UNKNOWN', [/vmnet8/]);
    expectError(await daemon.vmnet(['socket', 'vmnet99']), 'NETWORK_UNKNOWN', [/vmnet8/]);
    const missing = await daemon.vmnet(['ns', '--net', 'vmnet8', '--', 'no-such-program']);
    expectError(missing, 'COMMAND_NOT_FOUND', [/no-such-program/]);
    expect(missing.code).toBe(127);
    const outside = await daemon.vmnet(['ns', '--net', 'vmnet8', '--ip', '10.1.2.3/24', '--', 'true']);
    expectError(outside, 'GUEST_ADDRESS_INVALID', [/10\.1\.2\.3/]);
    expect((await daemon.ports()).filter((port) => port.kind === 'tap')).toEqual([]);
    await daemon.down();
    await expectNothingLeft(daemon);
  });
});

describeWith(['root', 'namespaces'], 'a user without the privilege', () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await Stage.open('user', { pingGroups: 'none', up: null });
  });
  afterAll(() => stage?.close());

  it('who may not write the run directory is told so', async () => {
    const base = join(stage.lab.folder, 'closed');
    mkdirSync(base);
    chmodSync(base, 0o700);
    const daemon = stage.another({ runDir: join(base, 'run'), stateDir: join(base, 'state') });
    const result = await daemon.vmnet(['up', '--detach']);
    expect(result.code).toBe(4);
    expect(result.stderr).toContain('DIRECTORY_UNUSABLE');
  });

  it('whose kernel allows no ping socket sees pings refused, never a forged reply', async () => {
    await stage.daemon.up();
    const guest = await stage.daemon.guest(['--net', 'vmnet8']);
    expect(await guest.must('ping -n -c 1 -W 2 gateway.vmnet.internal')).toContain('1 received');
    const { code, output } = await guest.exec('ping -n -c 2 -i 0.2 -W 2 203.0.113.10');
    expect(code).toBe(1);
    expect(output).toMatch(/0 received/);
    expect(output).toMatch(/filtered|prohibited|unreachable/i);
    expect((await stage.daemon.status()).networks.find((network) => network.name === 'vmnet8')).toMatchObject({
      echo: 'unavailable',
    });
  });
});
