import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ipv4FromString as ip } from '../../../src/core/base/address.ts';
import { type Prefix, prefixOf, prefixToString } from '../../../src/node/vmnetd/prefix.ts';
import { chooseSubnets, keepSubnets, readKeptSubnets } from '../../../src/node/vmnetd/subnets.ts';
import { UserError } from '../../../src/shared/errors.ts';

function prefix(text: string): Prefix {
  const [address = '', length = ''] = text.split('/');
  return prefixOf(ip(address), Number(length));
}

const routes = (...texts: string[]) => texts.map((text) => ({ prefix: prefix(text), device: 'eth0' }));
const texts = (subnets: Map<string, Prefix>) =>
  Object.fromEntries([...subnets].map(([name, p]) => [name, prefixToString(p)]));

describe('a choice', () => {
  it('is the same on every free host', () => {
    expect(texts(chooseSubnets(['vmnet1', 'vmnet8'], [], [], new Map()).subnets)).toEqual({
      vmnet1: '192.168.81.0/24',
      vmnet8: '192.168.88.0/24',
    });
  });

  it('goes around routes of the host and configured subnets', () => {
    const { subnets } = chooseSubnets(['vmnet8'], [prefix('192.168.89.0/24')], routes('192.168.88.128/25'), new Map());
    expect(texts(subnets)).toEqual({ vmnet8: '192.168.90.0/24' });
  });

  it('leaves 192.168/16 when all of it is taken, and fails with a code when nothing is left', () => {
    const { subnets } = chooseSubnets(['vmnet8'], [], routes('192.168.0.0/16'), new Map());
    expect(texts(subnets)).toEqual({ vmnet8: '172.31.8.0/24' });
    const all = routes('192.168.0.0/16', '172.16.0.0/12');
    expect(() => chooseSubnets(['vmnet8'], [], all, new Map())).toThrow(UserError);
  });

  it('never is what home routers and libvirt have', () => {
    const names = Array.from({ length: 256 }, (_, i) => `vmnet${i}`);
    const chosen = Object.values(texts(chooseSubnets(names, [], [], new Map()).subnets));
    expect(new Set(chosen).size).toBe(256);
    for (const avoided of ['192.168.0.0/24', '192.168.1.0/24', '192.168.122.0/24'])
      expect(chosen).not.toContain(avoided);
  });

  it('once made is kept, even against a new network that would come first', () => {
    const kept = new Map([['vmnet8', prefix('192.168.81.0/24')]]);
    const { subnets, warnings } = chooseSubnets(['vmnet1', 'vmnet8'], [], [], kept);
    expect(texts(subnets)).toEqual({ vmnet1: '192.168.82.0/24', vmnet8: '192.168.81.0/24' });
    expect(warnings.size).toBe(0);
  });

  it('moves away from a route that has come to lie over it, with a warning', () => {
    const kept = new Map([['vmnet8', prefix('192.168.5.0/24')]]);
    const { subnets, warnings } = chooseSubnets(['vmnet8'], [], routes('192.168.5.0/24'), kept);
    expect(texts(subnets)).toEqual({ vmnet8: '192.168.88.0/24' });
    expect(warnings.get('vmnet8')).toContain('192.168.5.0/24 overlaps a route of this host now');
  });
});

describe('networks.json', () => {
  let stateDir: string;
  beforeEach(() => {
    stateDir = mkdtempSync(join(tmpdir(), 'subnets-'));
  });
  afterEach(() => rmSync(stateDir, { recursive: true }));

  it('gives back what was kept, and keeps what is not configured just now', () => {
    keepSubnets(stateDir, new Map([['vmnet10', prefix('192.168.9.0/24')]]), new Map());
    keepSubnets(stateDir, new Map([['vmnet8', prefix('10.8.0.0/16')]]), readKeptSubnets(stateDir));
    expect(texts(readKeptSubnets(stateDir))).toEqual({ vmnet8: '10.8.0.0/16', vmnet10: '192.168.9.0/24' });
    expect(JSON.parse(readFileSync(join(stateDir, 'networks.json'), 'utf8'))).toEqual({
      vmnet8: { subnet: '10.8.0.0/16' },
      vmnet10: { subnet: '192.168.9.0/24' },
    });
  });

  it('is not written without news', () => {
    const chosen = new Map([['vmnet8', prefix('10.8.0.0/16')]]);
    keepSubnets(stateDir, chosen, new Map());
    const { ino } = statSync(join(stateDir, 'networks.json'));
    keepSubnets(stateDir, chosen, readKeptSubnets(stateDir));
    expect(statSync(join(stateDir, 'networks.json')).ino).toBe(ino);
  });

  it.each(['', '{', '[]', 'null', '{"vmnet8":5}'])('counts as nothing when it makes no sense: %j', (text) => {
    writeFileSync(join(stateDir, 'networks.json'), text);
    expect(readKeptSubnets(stateDir).size).toBe(0);
  });

  it.each([
    'x',
    '10.0.0.0/33',
    '10.0.0.0/8',
    '0.0.0.0/16',
    '127.0.0.0/24',
    '169.254.0.0/16',
    '224.0.0.0/24',
    '255.255.0.0/16',
  ])('is not believed that a network has %s', (subnet) => {
    writeFileSync(join(stateDir, 'networks.json'), JSON.stringify({ vmnet8: { subnet } }));
    expect(readKeptSubnets(stateDir).size).toBe(0);
  });
});
