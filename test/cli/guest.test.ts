/** What `vmnet ns` makes of its answers: the settings of a guest, and the checks before one is made. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkCommand, exitCodeFrom, findTool } from '../../src/node/cli/child.ts';
import { userNamespaceHint } from '../../src/node/cli/guest/namespace.ts';
import { PROLOGUE, quoted, resolvConfText, settingsText } from '../../src/node/cli/guest/prologue.ts';
import type { Guest } from '../../src/shared/api.ts';
import type { ErrorCode } from '../../src/shared/errors.ts';

const NAT: Guest = {
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
const SEGMENT: Guest = { ...NAT, network: 'vmnet1', interface: 'eth1', address: null, gateway: null, dns: [] };
const TOOLS = { ip: '/usr/sbin/ip', mount: '/bin/mount', umount: '/bin/umount', stage: "/run/it's here" };

describe('the settings of a guest', () => {
  it('are one shell program', async () => {
    await expect(settingsText([NAT, SEGMENT], TOOLS)).toMatchFileSnapshot('golden/settings.sh');
  });

  it('take the default route from the first NIC that has a gateway', () => {
    const first = { ...SEGMENT, interface: 'eth0' };
    const text = settingsText(
      [first, { ...NAT, interface: 'eth1' }, { ...NAT, interface: 'eth2', gateway: '10.0.0.2' }],
      TOOLS,
    );
    expect(text.match(/^route .*$/gm)).toEqual(['route add default via 192.168.88.2 dev eth1']);
  });

  it('end with the line without which the command is not run', () => {
    expect(settingsText([NAT], TOOLS)).toMatch(/\nvmnet_settings_made=1\n$/);
  });

  it('name each name server and domain once, three servers at most', () => {
    const more = { ...NAT, dns: ['192.168.88.2', '10.0.0.2', '10.0.0.3', '10.0.0.4'], domain: 'lab.internal' };
    expect(resolvConfText([NAT, NAT, more])).toBe(
      '# Made by vmnet ns for this guest.\nsearch vmnet.internal lab.internal\nnameserver 192.168.88.2\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n',
    );
    expect(resolvConfText([SEGMENT])).toBe('');
  });
});

describe('the prologue', () => {
  /** Runs it outside of any namespace, with settings that only a test has. */
  async function prologue(
    settings: string,
    ...command: string[]
  ): Promise<{ code: number | null; reports: string; stdout: string }> {
    const child = spawn('/bin/sh', ['-c', PROLOGUE, 'vmnet', ...command], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 2],
    });
    const channel = child.stdio[3] as Socket;
    let reports = '';
    let stdout = '';
    channel.on('data', (part) => {
      reports += part.toString();
    });
    child.stdout?.on('data', (part) => {
      stdout += part.toString();
    });
    channel.end(settings);
    const [code] = await once(child, 'close');
    return { code, reports, stdout };
  }

  it('runs the command with its words as they are, once the settings are made', async () => {
    const words = ['a b', "it's", '$HOME', '*', ''];
    const { code, reports, stdout } = await prologue('vmnet_settings_made=1\n', 'printf', '%s|', ...words);
    expect({ code, reports }).toEqual({ code: 0, reports: 'ready\ndone\n' });
    expect(stdout).toBe(`${words.join('|')}|`);
  });

  it.each([
    ['none come', ''],
    ['they are cut off', 'true\n: vmnet_settings_ma'],
    ['one of them fails', 'false || exit 125\nvmnet_settings_made=1\n'],
    ['they are not shell', "echo 'half\n"],
  ])('never runs the command when %s', async (_title, settings) => {
    const { code, reports, stdout } = await prologue(settings, 'echo', 'ran');
    expect({ reports, stdout }).toEqual({ reports: 'ready\n', stdout: '' });
    expect(code).toBeGreaterThan(0);
  });

  it('leaves the command neither descriptors nor variables', async () => {
    const list = 'ls /proc/self/fd | wc -l; set | grep -c ^vmnet_';
    const bare = spawnSync('/bin/sh', ['-c', list], { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' }).stdout;
    expect((await prologue('vmnet_settings_made=1\n', 'sh', '-c', list)).stdout).toBe(bare);
  });
});

describe('a word for the shell', () => {
  it.each([
    ['plain-Word_1.2/3:4,5=6@7%8+', 'plain-Word_1.2/3:4,5=6@7%8+'],
    ['', "''"],
    ['a b', "'a b'"],
    ["it's", "'it'\\''s'"],
    ['$(reboot)', "'$(reboot)'"],
    ['a\nb', "'a\nb'"],
  ])('%j is %s', (word, text) => expect(quoted(word)).toBe(text));
});

describe('a command', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmnet-command-'));
    writeFileSync(join(folder, 'plain'), '');
    writeFileSync(join(folder, 'tool'), '#!/bin/sh\n');
    chmodSync(join(folder, 'tool'), 0o755);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const codeOf = (command: string, path = `/nowhere:${folder}`): ErrorCode | undefined => {
    try {
      checkCommand(command, path, folder);
      return undefined;
    } catch (error) {
      return (error as { code: ErrorCode }).code;
    }
  };

  it('is looked for as execvp would', () => {
    expect(codeOf('tool')).toBeUndefined();
    expect(codeOf('./tool', '')).toBeUndefined();
    expect(codeOf(join(folder, 'tool'), '')).toBeUndefined();
    expect(codeOf('sh', undefined)).toBe('COMMAND_NOT_FOUND');
    expect(codeOf('tool', '.')).toBeUndefined();
  });

  it('that is not there is told from one that cannot be executed', () => {
    expect(codeOf('absent')).toBe('COMMAND_NOT_FOUND');
    expect(codeOf('./absent')).toBe('COMMAND_NOT_FOUND');
    expect(codeOf('')).toBe('COMMAND_NOT_FOUND');
    expect(codeOf('plain')).toBe('COMMAND_NOT_EXECUTABLE');
    expect(codeOf('./plain')).toBe('COMMAND_NOT_EXECUTABLE');
    expect(codeOf(folder)).toBe('COMMAND_NOT_EXECUTABLE');
  });

  it('that we need ourselves is found beyond a user’s PATH, or named with its package', () => {
    expect(findTool('sh', 'dash', '/nowhere')).toMatch(/^(\/usr)?\/bin\/sh$/);
    expect(() => findTool('no-such-tool', 'some-package', '/nowhere')).toThrow('no-such-tool is not installed');
  });

  it('passes on its code, or 128 and its signal', () => {
    expect(exitCodeFrom({ code: 7, signal: null })).toBe(7);
    expect(exitCodeFrom({ code: null, signal: 'SIGKILL' })).toBe(137);
    expect(exitCodeFrom({ code: null, signal: 'SIGTERM' })).toBe(143);
  });
});

describe('refused user namespaces', () => {
  it.each([
    ['/proc/sys/kernel/unprivileged_userns_clone', '0', 'kernel.unprivileged_userns_clone=1'],
    ['/proc/sys/kernel/apparmor_restrict_unprivileged_userns', '1', 'apparmor_restrict_unprivileged_userns=0'],
    ['/proc/sys/user/max_user_namespaces', '0', 'user.max_user_namespaces='],
    ['/proc/none', '', 'seccomp'],
  ])('because of %s = %s are explained', (path, value, words) => {
    expect(userNamespaceHint((asked) => (asked === path ? value : null))).toContain(words);
  });
});
