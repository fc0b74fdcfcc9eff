/** The command line as such: help, usage errors, colour, and a daemon that isn't there. */
import { describe, expect, it } from 'vitest';
import { guestName, networkName } from '../../src/node/cli/options.ts';
import * as api from '../../src/shared/api.ts';
import { runHere } from './fake-daemon.ts';

const VERBS = ['up', 'down', 'status', 'ns', 'run', 'socket', 'ports', 'leases', 'flows'];

describe('help', () => {
  it('introduces the product when nothing is asked', async () => {
    const alone = await runHere([]);
    expect(alone).toMatchObject({ code: 0, stderr: '' });
    await expect(alone.stdout).toMatchFileSnapshot('golden/help.txt');
    expect((await runHere(['--help'])).stdout).toBe(alone.stdout);
  });

  it.each(VERBS)('of %s has a line, a paragraph, its options and examples', async (verb) => {
    const { code, stdout } = await runHere([verb, '--help']);
    expect(code).toBe(0);
    await expect(stdout).toMatchFileSnapshot(`golden/help-${verb}.txt`);
    expect((await runHere(['help', verb])).stdout).toBe(stdout);
  });

  it('fits into 80 columns, but for commands to copy', async () => {
    for (const verb of VERBS) {
      const { stdout } = await runHere([verb, '--help']);
      const wide = stdout.split('\n').filter((line) => line.length > 80);
      expect(wide.every((line) => /^ +(vmnet|qemu|-netdev|VMNET)/.test(line))).toBe(true);
    }
  });

  it('tells the version', async () => {
    expect((await runHere(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('a wrong command line', () => {
  it.each([
    [['stauts'], "Unknown command 'stauts'", 'Did you mean status?'],
    [['status', '--jsno'], "Unknown option '--jsno'", 'Did you mean --json?'],
    [['socket'], "Missing required argument 'network'", '`vmnet socket --help`'],
    [['leases', '--net'], "Option '--net <network>' argument missing", '`vmnet leases --help`'],
    [['leases', 'more'], 'Too many arguments', '`vmnet leases --help`'],
    [['flows', '--limit', '0'], "argument '0' is invalid", '1 to 10000'],
    [['ns', '--mtu', '68', '--', 'true'], "argument '68' is invalid", '576 to 65520'],
    [['ns', '--ip', '10.0.0.5', '--', 'true'], "argument '10.0.0.5' is invalid", 'A.B.C.D/LEN'],
    [['ns', '--ip', '10.0.0.5/24', '--ip', '10.0.0.6/24', '--', 'true'], '--ip was given 2 times for one NIC', '--net'],
    [['ns', '--name', 'Web', '--', 'true'], "argument 'Web' is invalid", 'a-z, 0-9 and -'],
    [['ns', '--net', 'lan', '--', 'true'], "argument 'lan' is invalid", 'vmnet0 … vmnet255'],
    [['socket', 'vmnet256'], "argument value 'vmnet256' is invalid", 'vmnet0 … vmnet255'],
    [['ns'], "Missing required argument 'command'", '`vmnet ns --help`'],
    [['run', '--mac', '01:00:5e:00:00:01', '--', 'qemu'], 'is invalid', 'one station'],
    [['run', '--mac', '52:54:00', '--', 'qemu'], 'is invalid', 'six hexadecimal bytes'],
  ])('%j is explained', async (argv, problem, hint) => {
    const { code, stdout, stderr } = await runHere(argv, { VMNET_RUN_DIR: '/nowhere' });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error USAGE: .+\nhint: .+\n$/);
    expect(stderr).toContain(problem);
    expect(stderr).toContain(hint);
  });

  it('is JSON with --json, unless that belongs to the command that is run', async () => {
    const { stderr } = await runHere(['leases', '--json', 'more']);
    expect(JSON.parse(stderr).error.code).toBe('USAGE');
    const passed = await runHere(['ns', '--', '', '--json'], { VMNET_RUN_DIR: '/nowhere' });
    expect(passed.stderr).toMatch(/^error COMMAND_NOT_FOUND/);
  });
});

describe('names', () => {
  it.each([
    ['vmnet0', 'vmnet9', 'vmnet10', 'vmnet99', 'vmnet200', 'vmnet249', 'vmnet255', 'vmnet256', 'vmnet300', 'vmnet1000'],
    ['vmnet', 'vmnet00', 'vmnet08', 'VMNET8', ' vmnet8', 'vmnet8 ', 'vmnet8\n', 'vmnet-1', 'eth0', ''],
    ['web', 'a', 'A', 'a-b', '-a', 'a-', 'a_b', 'a.b', '7', 'x'.repeat(63), 'x'.repeat(64), 'é', 'a\n'],
  ])('%s … are judged as the API judges them', (...names) => {
    const takes = (parse: (value: string) => string, value: string): boolean => {
      try {
        return parse(value) === value;
      } catch {
        return false;
      }
    };
    for (const name of names) {
      expect([name, takes(networkName, name)]).toEqual([name, api.networkName.safeParse(name).success]);
      expect([name, takes(guestName, name)]).toEqual([name, api.guestName.safeParse(name).success]);
    }
  });
});

describe('a daemon that does not run', () => {
  it.each([['status'], ['ports'], ['leases'], ['flows'], ['down'], ['socket', 'vmnet8']])(
    'is told by %s',
    async (...argv) => {
      const { code, stdout, stderr } = await runHere(argv, { VMNET_RUN_DIR: '/nowhere' });
      expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
      expect(stderr).toMatch(/^error DAEMON_NOT_RUNNING: No vmnetd runs in \/nowhere\nhint: .*vmnet up/);
    },
  );

  it('is not even asked when its socket could have no address', async () => {
    const { code, stderr } = await runHere(['status'], { VMNET_RUN_DIR: `/${'long/'.repeat(25)}` });
    expect(code).toBe(4);
    expect(stderr).toContain('SOCKET_PATH_TOO_LONG');
  });
});

describe('colour', () => {
  const argv = ['status'];
  const env = { VMNET_RUN_DIR: '/nowhere' };
  const ESCAPE = '\u001b[';

  it('is for terminals only', async () => {
    expect((await runHere(argv, env, true)).stderr).toContain(ESCAPE);
    expect((await runHere(argv, env, false)).stderr).not.toContain(ESCAPE);
  });

  it('is left out with NO_COLOR, on a dumb terminal, and in JSON', async () => {
    expect((await runHere(argv, { ...env, NO_COLOR: '1' }, true)).stderr).not.toContain(ESCAPE);
    expect((await runHere(argv, { ...env, TERM: 'dumb' }, true)).stderr).not.toContain(ESCAPE);
    expect((await runHere([...argv, '--json'], env, true)).stderr).not.toContain(ESCAPE);
  });
});
