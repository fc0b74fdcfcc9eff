import { describe, expect, test } from 'vitest';
import { ipv4FromString as ip } from '../../../src/core/base/address.ts';
import { Policy, VERDICT } from '../../../src/core/nat/policy.ts';

const HOST = ip('192.168.88.1');
const LAN = ip('198.51.100.7');
const OWN = { network: ip('192.168.88.0'), prefixLength: 24 };
const OTHER = { network: ip('10.77.0.0'), prefixLength: 20 };
const policy = () => new Policy(HOST, [OWN, OTHER], LAN);

describe('Policy', () => {
  test.each(['10.77.0.0', '10.77.0.1', '10.77.15.255'])(
    'denies %s, which is in another network of this host',
    (address) => expect(policy().verdict(ip(address))).toBe(VERDICT.DENIED),
  );

  test.each(['10.76.255.255', '10.77.16.0'])('allows %s beside another network of this host', (address) =>
    expect(policy().verdict(ip(address))).toBe(VERDICT.ALLOWED),
  );

  test.each(['1.0.0.0', '8.8.8.8', '10.0.0.1', '192.168.87.255', '192.168.89.0', '126.255.255.255', '128.0.0.0'])(
    'allows %s',
    (address) => expect(policy().verdict(ip(address))).toBe(VERDICT.ALLOWED),
  );

  test.each([
    '0.0.0.0',
    '0.255.255.255',
    '127.0.0.0',
    '127.255.255.255',
    '169.254.0.0',
    '169.254.255.255',
    '192.168.88.0',
    '192.168.88.2',
    '192.168.88.255',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
  ])('denies %s', (address) => expect(policy().verdict(ip(address))).toBe(VERDICT.DENIED));

  test("allows the addresses around the link-local network's", () => {
    expect(policy().verdict(ip('169.253.255.255'))).toBe(VERDICT.ALLOWED);
    expect(policy().verdict(ip('169.255.0.0'))).toBe(VERDICT.ALLOWED);
  });

  test("translates .1 to the host's own address, and nothing else", () => {
    expect(policy().translate(HOST)).toBe(LAN);
    expect(policy().translate(LAN)).toBe(LAN);
    expect(policy().translate(ip('1.2.3.4'))).toBe(ip('1.2.3.4'));
  });

  test('tells when the host has no address that .1 could stand for', () => {
    const without = policy();
    without.hostAddress = 0;
    expect(without.verdict(HOST)).toBe(VERDICT.NO_HOST_ADDRESS);
  });
});
