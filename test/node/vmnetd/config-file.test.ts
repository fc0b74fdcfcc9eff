import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfigFile, parseConfig } from '../../../src/node/vmnetd/config-file.ts';
import { DEFAULT_CONFIG } from '../../../src/shared/defaults.ts';
import { UserError } from '../../../src/shared/errors.ts';

function errorOf(text: string): UserError {
  try {
    parseConfig(text, 'vmnet.yaml');
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error('this was taken for valid');
}

/** Code, message and hint on one line. */
function told(text: string): string {
  const { code, message, hint } = errorOf(text);
  return `${code} ${message} | ${hint}`;
}

describe('a valid file', () => {
  it('gets the defaults of what it leaves out', () => {
    const { config } = parseConfig('networks: { vmnet8: { mode: nat } }', 'vmnet.yaml');
    expect(config).toEqual({ networks: { vmnet8: { mode: 'nat', mtu: 1500 } } });
  });

  it('can point at any of its values', () => {
    const { at } = parseConfig('networks:\n  vmnet8:\n    mode: nat\n    mtu: 9000\n', 'vmnet.yaml');
    expect(at(['networks', 'vmnet8', 'mtu'])).toBe('vmnet.yaml:4:10');
    expect(at(['networks', 'vmnet8', 'subnet'])).toBe('vmnet.yaml:2:3');
  });

  it.each(['', '# nothing yet\n', '---\n'])('stands for the defaults when it is empty: %j', (text) => {
    expect(parseConfig(text, 'vmnet.yaml')).toMatchObject({ config: DEFAULT_CONFIG, file: 'vmnet.yaml' });
  });
});

describe('an unknown key', () => {
  it('is answered by the known one that it resembles, at its place', () => {
    expect(told('networks:\n  vmnet8:\n    mode: nat\n    subnett: 10.1.1.0/24\n')).toBe(
      'CONFIG_UNKNOWN_KEY vmnet.yaml:4:5: unknown key `subnett` in networks.vmnet8 | Did you mean `subnet`?',
    );
  });

  it('is answered by all known ones when it resembles none', () => {
    expect(told('networks: { vmnet0: { mode: bridged, bandwidth: 5 } }')).toContain('Known here: mode, uplink, mtu.');
  });

  it.each([
    ['netwoks: {}', 'Did you mean `networks`?'],
    ['vmnet8: { mode: nat }', 'Networks stand under `networks:`'],
    ['networks: { vmnet8: { mode: nat, dhcp: { ranges: [] } } }', 'Did you mean `range`?'],
    ['networks: { vmnet8: { mode: nat, dns: { server: [] } } }', 'Did you mean `servers`?'],
    [
      'networks: { vmnet8: { mode: nat, dhcp: { reservations: { a: { ip: 1.2.3.4 } } } } }',
      'Known here: mac, address.',
    ],
    ['networks: { vmnet8: { mode: nat, lease: 5 } }', 'Known here: mode, subnet, mtu, dhcp, dns.'],
  ])('%s', (text, hint) => {
    const known = errorOf(text);
    expect(`${known.message} ${known.hint}`).toContain(hint);
    expect(known.code).toBe('CONFIG_UNKNOWN_KEY');
  });
});

describe('a wrong value', () => {
  it.each([
    [
      'networks:\n  vmnet8: { mode: ant }\n',
      'vmnet.yaml:2:19: networks.vmnet8.mode: `mode` is one of nat, hostonly, segment, bridged',
    ],
    ['networks:\n  vmnet8: {}\n', 'vmnet.yaml:2:3: networks.vmnet8.mode: `mode` is one of'],
    [
      'networks:\n  vmnet256: { mode: nat }\n',
      'vmnet.yaml:2:3: networks.vmnet256: a network is named vmnet0 … vmnet255',
    ],
    ['networks:\n  vmnet8: { mode: nat, mtu: 100 }', 'vmnet.yaml:2:29: networks.vmnet8.mtu: an MTU is at least 576'],
    ['networks:\n  vmnet8: { mode: nat, mtu: 65521 }', 'an MTU is at most 65520'],
    ['networks:\n  vmnet8: { mode: nat, mtu: big }', 'networks.vmnet8.mtu: expected number, received string'],
    ['networks:\n  vmnet8: { mode: nat, subnet: 10.1.1 }', 'a subnet is written a.b.c.d/n'],
    ['networks:\n  vmnet8: { mode: nat, dhcp: { range: [10.0.0.1] } }', 'a range has two addresses'],
    [
      'networks:\n  vmnet8: { mode: nat, dhcp: { reservations: { Web: { mac: "02:00:00:00:00:01", address: 10.0.0.1 } } } }',
      'a name has 1 to 63 of a-z',
    ],
    [
      'networks:\n  vmnet8: { mode: nat, dhcp: { reservations: { web: { mac: "02:00" , address: 10.0.0.1 } } } }',
      'a MAC address is written',
    ],
    [
      'networks:\n  vmnet8: { mode: nat, dhcp: { reservations: { web: { address: 10.0.0.1 } } } }',
      'reservations.web.mac: this is missing',
    ],
    ['networks: {}', 'name at least one network'],
    ['networks:', 'vmnet.yaml:1:'],
    ['- vmnet8\n', 'vmnet.yaml:1:1: the file: expected map of keys, received array'],
    ['just text', 'expected map of keys, received string'],
  ])('%j', (text, message) => {
    const error = errorOf(text);
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(message);
    expect(error.hint.length).toBeGreaterThan(10);
  });

  it('that stands first in the file is told, whatever the order of the checks', () => {
    const text = 'networks:\n  vmnet8: { mode: nat, mtu: 1 }\n  vmnet1: { mode: hostonly, colour: red }\nextra: 1\n';
    expect(errorOf(text).message).toContain('vmnet.yaml:2:29');
  });
});

describe('what is not YAML', () => {
  it.each([
    ['networks:\n\tvmnet8: {}', /vmnet\.yaml:2:\d+/],
    ['networks: { vmnet8: { mode: nat }', /vmnet\.yaml:1:\d+/],
    ['networks:\n  vmnet8: { mode: nat }\n  vmnet8: { mode: nat }\n', /vmnet\.yaml:3:3.*unique/],
    ['a: 1\n---\nb: 2\n', /vmnet\.yaml:\d+:\d+.*documents/],
  ])('is told with its place: %j', (text, pattern) => {
    const error = errorOf(text);
    expect(error.code).toBe('CONFIG_SYNTAX');
    expect(error.message).toMatch(pattern);
  });

  it('does not let aliases grow without a bound', () => {
    const level = (n: number) =>
      `a${n}: &a${n} [${Array(9)
        .fill(`*a${n - 1}`)
        .join(',')}]\n`;
    const bomb = `a0: &a0 [x,x,x,x,x,x,x,x,x]\n${[1, 2, 3, 4, 5, 6, 7, 8, 9].map(level).join('')}`;
    expect(errorOf(bomb).code).toBe('CONFIG_SYNTAX');
  });

  it('never escapes as anything but a coded error', () => {
    for (const text of ['\0', '{', '[', '*a', '!!binary x', '? [a]\n: b', 'networks: {1: {2: 3}}', '"\\x"']) {
      expect(errorOf(text)).toBeInstanceOf(UserError);
    }
  });
});

describe('a file that cannot be read', () => {
  const base = mkdtempSync(join(tmpdir(), 'config-file-'));
  const big = join(base, 'big.yaml');
  writeFileSync(big, '#'.repeat(300_000));

  it.each([
    [join(base, 'absent.yaml'), 'there is no such file'],
    [base, 'it is a directory'],
    [big, 'more than'],
    ['/dev/zero', 'more than'],
  ])('%s', (path, reason) => {
    expect(() => loadConfigFile(path)).toThrow(reason);
  });

  it('leaves nothing behind', () => rmSync(base, { recursive: true }));
});
