/** Directories, the lock, the command line, process identities, logs and spelling. */

import { spawn } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseArguments } from '../../../src/node/vmnetd/arguments.ts';
import { checkSocketPaths, makeDirectories } from '../../../src/node/vmnetd/directories.ts';
import { lockInstance } from '../../../src/node/vmnetd/instance-lock.ts';
import { editDistance, nearest } from '../../../src/node/vmnetd/nearest.ts';
import { lastWords, openLog } from '../../../src/node/vmnetd/netd-process.ts';
import { NetdRegistry } from '../../../src/node/vmnetd/netd-registry.ts';
import { contains, overlap, parseCidr, prefixOf } from '../../../src/node/vmnetd/prefix.ts';
import { identify, isAlive, signal, waitUntilGone } from '../../../src/node/vmnetd/process-identity.ts';
import { UserError } from '../../../src/shared/errors.ts';

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'vmnetd-parts-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

function errorOf(make: () => unknown): UserError {
  try {
    make();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error('this was accepted');
}

describe('directories', () => {
  it('are made for the owner alone, with what leads to them', () => {
    const directories = { runDir: join(base, 'a', 'run'), stateDir: join(base, 'b') };
    makeDirectories(directories);
    makeDirectories(directories);
    expect(statSync(directories.runDir).mode & 0o777).toBe(0o700);
    expect(statSync(directories.stateDir).mode & 0o777).toBe(0o700);
  });

  it('that others may write to are refused', () => {
    const runDir = join(base, 'open');
    mkdirSync(runDir);
    chmodSync(runDir, 0o777);
    const error = errorOf(() => makeDirectories({ runDir, stateDir: base }));
    expect(error.code).toBe('DIRECTORY_UNUSABLE');
    expect(error.message).toContain('others may write to it');
    expect(error.hint).toContain('VMNET_RUN_DIR');
  });

  it('that are files are refused', () => {
    writeFileSync(join(base, 'file'), '');
    for (const stateDir of [join(base, 'file'), join(base, 'file', 'below')]) {
      const error = errorOf(() => makeDirectories({ runDir: base, stateDir }));
      expect([error.code, error.hint]).toEqual(['DIRECTORY_UNUSABLE', expect.stringContaining('VMNET_STATE_DIR')]);
    }
  });

  it('behind a dangling link are refused', () => {
    symlinkSync(join(base, 'nowhere', 'at', 'all'), join(base, 'link'));
    expect(errorOf(() => makeDirectories({ runDir: join(base, 'link'), stateDir: base })).code).toBe(
      'DIRECTORY_UNUSABLE',
    );
  });

  it('too long for a socket are refused before anything is made', () => {
    const longest = `/${'r'.repeat(107 - '/'.length - '/vmnet255.sock'.length)}`;
    expect(() => checkSocketPaths(longest, ['vmnet255'])).not.toThrow();
    const error = errorOf(() => checkSocketPaths(`${longest}x`, ['vmnet255']));
    expect(error.code).toBe('SOCKET_PATH_TOO_LONG');
    expect(error.message).toContain('has 108 bytes');
    // What counts is bytes, not letters.
    expect(errorOf(() => checkSocketPaths(`/${'ü'.repeat(50)}`, ['vmnet8'])).code).toBe('SOCKET_PATH_TOO_LONG');
  });
});

describe('the lock', () => {
  const unlock = (fds: number[]) => {
    for (const fd of fds) closeSync(fd);
  };

  it('is held by one, who is named to the next', () => {
    const directories = { runDir: base, stateDir: base };
    const held = lockInstance(directories);
    const error = errorOf(() => lockInstance(directories));
    expect(error.code).toBe('DAEMON_RUNS');
    expect(error.message).toBe(`vmnetd runs already in ${base} (pid ${process.pid})`);
    unlock(held);
    unlock(lockInstance(directories));
  });

  it('keeps two instances from sharing leases', () => {
    const [one, two] = [join(base, 'one'), join(base, 'two')];
    for (const directory of [one, two]) mkdirSync(directory);
    const held = lockInstance({ runDir: one, stateDir: base });
    expect(errorOf(() => lockInstance({ runDir: two, stateDir: base })).code).toBe('STATE_IN_USE');
    // The lock of the run directory was given back.
    unlock(held);
    unlock(lockInstance({ runDir: two, stateDir: base }));
  });

  it('forgets the pid of who held it before', () => {
    writeFileSync(join(base, 'lock'), '99999999999\n');
    const held = lockInstance({ runDir: base, stateDir: base });
    expect(readFileSync(join(base, 'lock'), 'utf8')).toBe(`${process.pid}\n`);
    unlock(held);
  });
});

describe('the command line', () => {
  it('is understood', () => {
    expect(parseArguments([])).toEqual({ command: 'run', configFile: null, readyFd: null });
    expect(parseArguments(['--config', 'a.yaml', '--ready-fd', '3'])).toEqual({
      command: 'run',
      configFile: 'a.yaml',
      readyFd: 3,
    });
    expect(parseArguments(['--stop']).command).toBe('stop');
    expect(parseArguments(['--stop', '--help']).command).toBe('help');
  });

  it.each([
    [['--nope']],
    [['vmnet8']],
    [['--config']],
    [['--ready-fd', 'x']],
    [['--ready-fd', '0']],
    [['--ready-fd=-1']],
  ])('%j is USAGE', (args) => {
    expect(errorOf(() => parseArguments(args)).code).toBe('USAGE');
  });
});

describe('the identity of a process', () => {
  it('is that of the process, not of the number', async () => {
    const child = spawn('sleep', ['60']);
    const target = identify(child.pid ?? 0)!;
    expect(isAlive(target)).toBe(true);
    const other = { ...target, startTime: target.startTime - 1 };
    expect(isAlive(other)).toBe(false);
    expect(signal(other, 'SIGKILL')).toBe(false);
    expect(await waitUntilGone(target, 10)).toBe(false);
    expect(signal(target, 'SIGKILL')).toBe(true);
    expect(await waitUntilGone(target, 2000)).toBe(true);
  });

  it('is none for a process that does not exist', () => {
    for (const pid of [0, -1, 2 ** 30]) expect(identify(pid)).toBeNull();
  });

  it('is kept in a file, from which nonsense is left out', () => {
    new NetdRegistry(base).note('vmnet8', { pid: 5, startTime: 6 });
    expect(new NetdRegistry(base).noted('vmnet8')).toEqual({ pid: 5, startTime: 6 });
    writeFileSync(join(base, 'netds.json'), '{"vmnet1":{"pid":"5"},"vmnet2":7,"vmnet3":{"pid":1,"startTime":2}}');
    expect(new NetdRegistry(base).networks()).toEqual(['vmnet3']);
    for (const text of ['', '[', '"x"', 'null']) {
      writeFileSync(join(base, 'netds.json'), text);
      expect(new NetdRegistry(base).networks()).toEqual([]);
    }
  });
});

describe('logs', () => {
  it('are set aside when they have grown', () => {
    const path = join(base, 'log');
    writeFileSync(path, 'x'.repeat(1024 * 1024 + 1));
    closeSync(openLog(path));
    expect(statSync(path).size).toBe(0);
    expect(statSync(`${path}.1`).size).toBe(1024 * 1024 + 1);
  });

  it('tell why a process ended: by its exception, else by its last line', () => {
    const path = join(base, 'log');
    const before = 'TypeError: of an earlier process\n';
    const crash = '2026 ready\n/x.js:1\nthrow\n^\n\nRangeError: too far\n    at x (x.js:1)\n\nNode.js v20.20.2\n';
    writeFileSync(path, before + crash);
    expect(lastWords(path, before.length)).toBe('RangeError: too far');
    writeFileSync(path, `${before}last line\n\n`);
    expect(lastWords(path, before.length)).toBe('last line');
    writeFileSync(path, before);
    expect(lastWords(path, before.length)).toBe('');
    expect(lastWords(join(base, 'none'), 0)).toBe('');
  });
});

describe('did you mean', () => {
  it.each([
    ['subnett', 'subnet'],
    ['Subnet', 'subnet'],
    ['sunbet', 'subnet'],
    ['res', 'reservations'],
    ['mut', 'mtu'],
    ['xyzzy', null],
    ['a', null],
  ])('%s: %s', (word, expected) => {
    expect(nearest(word, ['mode', 'subnet', 'mtu', 'dhcp', 'dns', 'reservations'])).toBe(expected);
  });

  it('counts edits', () => {
    expect(editDistance('', 'abc')).toBe(3);
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(editDistance('same', 'same')).toBe(0);
    expect(editDistance('dchp', 'dhcp')).toBe(1);
    expect(editDistance('mut', 'mtu')).toBe(1);
  });
});

describe('prefixes', () => {
  const prefix = (text: string) => {
    const { address, length } = parseCidr(text)!;
    return prefixOf(address, length);
  };
  it.each([
    ['10.0.0.0/24', '10.0.0.128/25', true],
    ['10.0.0.0/24', '10.0.1.0/24', false],
    ['0.0.0.0/0', '255.255.255.255/32', true],
    ['192.168.0.0/16', '192.169.0.0/16', false],
    ['255.255.255.0/24', '255.255.255.255/32', true],
  ])('%s and %s overlap: %s', (a, b, expected) => {
    expect([overlap(prefix(a), prefix(b)), overlap(prefix(b), prefix(a))]).toEqual([expected, expected]);
  });

  it('contain their addresses', () => {
    expect(contains(prefix('192.168.88.0/24'), 0xc0a858ff)).toBe(true);
    expect(contains(prefix('192.168.88.0/24'), 0xc0a85900)).toBe(false);
  });

  it.each(['', '1.2.3.4', '1.2.3.4/', '1.2.3.4/33', '1.2.3/24', '1.2.3.4/-1', 'a/24', '1.2.3.256/24', '1.2.3.4/024'])(
    '%j is none',
    (text) => expect(parseCidr(text)).toBeNull(),
  );
});
