import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { configSchema, knownKeys } from '../../src/shared/config.ts';
import { DEFAULT_CONFIG } from '../../src/shared/defaults.ts';

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');

it('the defaults are what the schema makes of their modes', () => {
  const written = { networks: { vmnet1: { mode: 'hostonly' }, vmnet8: { mode: 'nat' } } };
  expect(configSchema.parse(written)).toEqual(DEFAULT_CONFIG);
});

it('takes the shape that the documentation shows', () => {
  const examples = [...page.matchAll(/```yaml\n(.*?)```/gs)].map((match) => match[1] ?? '');
  expect(examples.length).toBeGreaterThan(0);
  for (const example of examples) expect(configSchema.safeParse(parse(example)).error).toBeUndefined();
});

it('has every key in the documentation', () => {
  const sections = ['nat', 'hostonly', 'segment', 'bridged'].flatMap((mode) => knownKeys(['networks', 'vmnet8'], mode));
  const keys = [
    ...sections.filter((key) => key !== 'dhcp' && key !== 'dns'),
    ...knownKeys(['networks', 'vmnet8', 'dhcp'], 'nat').map((key) => `dhcp.${key}`),
    ...knownKeys(['networks', 'vmnet8', 'dns'], 'nat').map((key) => `dns.${key}`),
  ];
  for (const key of keys) expect(page).toContain(`| \`${key}\` |`);
});

describe('names of networks', () => {
  it.each(['vmnet0', 'vmnet8', 'vmnet99', 'vmnet255'])('%s is one', (name) => {
    expect(configSchema.safeParse({ networks: { [name]: { mode: 'nat' } } }).success).toBe(true);
  });
  it.each(['vmnet256', 'vmnet08', 'vmnet', 'VMnet8', 'br0', '__proto__x'])('%s is none', (name) => {
    expect(configSchema.safeParse({ networks: { [name]: { mode: 'nat' } } }).success).toBe(false);
  });
});

describe('name servers', () => {
  const servers = (...list: string[]) =>
    configSchema.safeParse({ networks: { vmnet8: { mode: 'nat', dns: { servers: list } } } }).success;
  it.each(['1.1.1.1', '255.255.255.255', '10.0.0.1:5353'])('%s is one', (server) => expect(servers(server)).toBe(true));
  it.each(['1.1.1', '1.1.1.1.', '256.1.1.1', '1.1.1.1:', 'one.example', '::1'])('%s is none', (server) =>
    expect(servers(server)).toBe(false),
  );
});
