import { describe, expect, it } from 'vitest';
import { ipv4FromString as ip } from '../../../src/core/base/address.ts';
import { parseResolvConf, parseRoutes, readHostAddress, readHostRoutes } from '../../../src/node/vmnetd/host-info.ts';
import { prefixToString } from '../../../src/node/vmnetd/prefix.ts';

it('reads the routes of /proc/net/route', () => {
  const text = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
wg0\t0558A8C0\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0
`;
  expect(parseRoutes(text).map(({ prefix, device }) => `${prefixToString(prefix)} ${device}`)).toEqual([
    '0.0.0.0/0 eth0',
    '192.0.2.0/24 eth0',
    '10.0.0.0/8 tun0',
    '192.168.88.5/32 wg0',
  ]);
});

it('counts the loopback among the prefixes of the host, and no default route', () => {
  const routes = readHostRoutes().map(({ prefix }) => prefixToString(prefix));
  expect(routes).toContain('127.0.0.0/8');
  expect(routes).not.toContain('0.0.0.0/0');
});

describe('resolv.conf', () => {
  it('gives its name servers in order', () => {
    const text =
      '# local\nsearch lan\nnameserver 10.0.0.53\nnameserver\t127.0.0.53 # stub\n  nameserver 10.0.0.54\noptions edns0\n';
    expect(parseResolvConf(text)).toEqual(
      ['10.0.0.53', '127.0.0.53', '10.0.0.54'].map((address) => ({ address: ip(address), port: 53 })),
    );
  });

  it('gives none for IPv6 and for what is no address', () => {
    expect(
      parseResolvConf('nameserver fe80::1%eth0\nnameserver 1.2.3\nnameserver\n;nameserver 1.2.3.4\nnameserver 0.0.0.0'),
    ).toEqual([]);
  });

  it('gives at most eight', () => {
    expect(parseResolvConf('nameserver 10.0.0.1\n'.repeat(20))).toHaveLength(8);
  });
});

it("finds no loopback as the host's own address", async () => {
  const address = await readHostAddress();
  expect(address >>> 24).not.toBe(127);
});
