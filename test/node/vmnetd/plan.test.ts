import { describe, expect, it } from 'vitest';
import { ipv4FromString as ip } from '../../../src/core/base/address.ts';
import { parseConfig } from '../../../src/node/vmnetd/config-file.ts';
import type { HostRoute } from '../../../src/node/vmnetd/host-info.ts';
import { defaultConfig } from '../../../src/node/vmnetd/loaded-config.ts';
import { planNetworks } from '../../../src/node/vmnetd/plan.ts';
import { prefixOf, prefixToString } from '../../../src/node/vmnetd/prefix.ts';
import { UserError } from '../../../src/shared/errors.ts';

const NONE = new Map();

function route(text: string): HostRoute {
  const [address = '', length = ''] = text.split('/');
  return { prefix: prefixOf(ip(address), Number(length)), device: 'eth0' };
}

function plan(text: string, routes: string[] = []) {
  return planNetworks(parseConfig(text, 'vmnet.yaml'), routes.map(route), NONE).networks;
}

/** The one network vmnet8 with these keys beside its mode. */
function nat(keys: string, routes: string[] = []) {
  return plan(`networks:\n  vmnet8: { mode: nat, ${keys} }\n`, routes)[0]!;
}

function errorOf(make: () => unknown): UserError {
  try {
    make();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error('this was planned');
}

describe('without a file', () => {
  it('plans vmnet1 without a gateway and vmnet8 with one, as VMware has them', () => {
    const { networks, chosen } = planNetworks(defaultConfig(), [route('192.0.2.0/24')], NONE);
    expect(networks.map(({ name, mode, subnet }) => [name, mode, subnet && prefixToString(subnet)])).toEqual([
      ['vmnet1', 'hostonly', '192.168.81.0/24'],
      ['vmnet8', 'nat', '192.168.88.0/24'],
    ]);
    expect([...chosen.keys()]).toEqual(['vmnet1', 'vmnet8']);
    expect(networks[1]?.netd).toEqual({
      name: 'vmnet8',
      mode: 'nat',
      ipv4: {
        network: ip('192.168.88.0'),
        prefixLength: 24,
        host: ip('192.168.88.1'),
        gateway: ip('192.168.88.2'),
        dhcpServer: ip('192.168.88.254'),
      },
      mtu: 1500,
      gatewayMac: 0x02_76_6d_00_00_08,
      dhcp: { rangeStart: ip('192.168.88.128'), rangeEnd: ip('192.168.88.253'), leaseSeconds: 1800, reservations: [] },
      domain: 'vmnet.internal',
      otherNetworks: [{ network: ip('192.168.81.0'), prefixLength: 24 }],
    });
    expect(networks[0]?.netd?.ipv4?.gateway).toBe(0);
  });
});

describe('the address plan', () => {
  it.each([
    ['10.0.0.0/16', '10.0.0.2', '10.0.128.0', '10.0.255.253', '10.0.255.254'],
    ['10.0.0.128/25', '10.0.0.130', '10.0.0.192', '10.0.0.253', '10.0.0.254'],
    ['10.0.0.8/29', '10.0.0.10', '10.0.0.12', '10.0.0.13', '10.0.0.14'],
  ])('of %s', (subnet, gateway, first, last, server) => {
    const { netd } = nat(`subnet: ${subnet}`);
    expect(netd?.ipv4).toMatchObject({ gateway: ip(gateway), dhcpServer: ip(server) });
    expect(netd?.dhcp).toMatchObject({ rangeStart: ip(first), rangeEnd: ip(last) });
  });

  it('has no DHCP where it is switched off', () => {
    expect(nat('subnet: 10.0.0.0/24, dhcp: { enabled: false }').netd?.dhcp).toBeNull();
  });

  it('takes over range, lease time and reservations as numbers', () => {
    const keys =
      'subnet: 10.0.0.0/24, dhcp: { range: [10.0.0.50, 10.0.0.60], leaseSeconds: 600, ' +
      'reservations: { web: { mac: "02-00-00-00-00-0A", address: 10.0.0.9 } } }';
    expect(nat(keys).netd?.dhcp).toEqual({
      rangeStart: ip('10.0.0.50'),
      rangeEnd: ip('10.0.0.60'),
      leaseSeconds: 600,
      reservations: [{ name: 'web', mac: 0x02000000000a, address: ip('10.0.0.9') }],
    });
  });
});

describe('other modes', () => {
  it('a segment has no addresses', () => {
    expect(plan('networks: { vmnet2: { mode: segment } }')[0]).toMatchObject({
      subnet: null,
      netd: { mode: 'segment', ipv4: null, dhcp: null },
    });
  });

  it('a bridged network is left out, and says so', () => {
    const [network] = plan('networks: { vmnet0: { mode: bridged } }');
    expect(network?.netd).toBeNull();
    expect(network?.warnings).toEqual([expect.stringContaining('bridged networks are not supported')]);
  });

  it('networks are planned in the order of their numbers', () => {
    const text = 'networks: { vmnet10: { mode: segment }, vmnet9: { mode: segment }, vmnet0: { mode: segment } }';
    expect(plan(text).map(({ name }) => name)).toEqual(['vmnet0', 'vmnet9', 'vmnet10']);
  });
});

it('takes the name servers of the file', () => {
  expect(nat('dns: { servers: [9.9.9.9, "10.0.0.1:5353"] }').resolvers).toEqual([
    { address: ip('9.9.9.9'), port: 53 },
    { address: ip('10.0.0.1'), port: 5353 },
  ]);
  expect(nat('mtu: 1500').resolvers).toBeNull();
});

describe('a subnet', () => {
  it.each([
    ['10.0.0.0/30', 'a subnet is /16 to /29, not /30'],
    ['10.0.0.0/8', 'a subnet is /16 to /29, not /8'],
    ['127.0.0.0/16', 'not for guests'],
    ['169.254.0.0/16', 'not for guests'],
    ['224.0.0.0/24', 'not for guests'],
    ['0.1.0.0/24', 'not for guests'],
  ])('%s is refused', (subnet, problem) => {
    const error = errorOf(() => nat(`subnet: ${subnet}`));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(`vmnet.yaml:2:32: networks.vmnet8.subnet: `);
    expect(error.message).toContain(problem);
  });

  it('with host bits is answered by the one that is meant', () => {
    expect(errorOf(() => nat('subnet: 192.168.88.5/24')).hint).toBe('Did you mean 192.168.88.0/24?');
  });

  it.each(['10.0.0.0/24', '10.0.0.0/8', '10.0.0.77/32'])(
    'that overlaps the route %s of the host is refused',
    (other) => {
      const error = errorOf(() => nat('subnet: 10.0.0.0/24', [other]));
      expect(error.code).toBe('SUBNET_COLLIDES');
      expect(error.message).toBe(
        `vmnet.yaml:2:32: the subnet 10.0.0.0/24 of vmnet8 overlaps the route ${other} of this host (eth0)`,
      );
    },
  );

  it('beside a route is fine', () => {
    expect(nat('subnet: 10.0.0.0/24', ['10.0.1.0/24', '9.0.0.0/8']).subnet).not.toBeNull();
  });

  it('that overlaps another network is refused', () => {
    const text =
      'networks:\n  vmnet2: { mode: nat, subnet: 10.0.0.0/16 }\n  vmnet3: { mode: hostonly, subnet: 10.0.5.0/24 }\n';
    const error = errorOf(() => plan(text));
    expect(error.message).toBe('vmnet.yaml:3:37: the subnet 10.0.5.0/24 of vmnet3 overlaps 10.0.0.0/16 of vmnet2');
  });

  it('of the file is kept free by those that are chosen', () => {
    const text = 'networks: { vmnet1: { mode: hostonly }, vmnet9: { mode: nat, subnet: 192.168.81.0/24 } }';
    expect(plan(text).map(({ subnet }) => subnet && prefixToString(subnet))).toEqual([
      '192.168.82.0/24',
      '192.168.81.0/24',
    ]);
  });
});

describe('addresses of guests', () => {
  const web = (mac: string, address: string) => `web: { mac: "${mac}", address: ${address} }`;
  it.each([
    ['dhcp: { range: [10.0.0.1, 10.0.0.9] }', "10.0.0.1 is the host's address"],
    ['dhcp: { range: [10.0.0.3, 10.0.0.254] }', "10.0.0.254 is the DHCP server's address"],
    ['dhcp: { range: [10.0.0.3, 10.0.1.9] }', '10.0.1.9 lies outside of 10.0.0.0/24'],
    ['dhcp: { range: [10.0.0.9, 10.0.0.3] }', 'the first address lies behind the last'],
    [`dhcp: { reservations: { ${web('02:00:00:00:00:01', '10.0.0.2')} } }`, "10.0.0.2 is the gateway's address"],
    [`dhcp: { reservations: { ${web('02:00:00:00:00:01', '10.0.0.255')} } }`, '10.0.0.255 is the broadcast address'],
    [`dhcp: { reservations: { ${web('02:00:00:00:00:01', '10.0.0.0')} } }`, 'is the address of the network itself'],
    [`dhcp: { reservations: { ${web('03:00:00:00:00:01', '10.0.0.3')} } }`, 'not the MAC of a network card'],
    [`dhcp: { reservations: { ${web('00:00:00:00:00:00', '10.0.0.3')} } }`, 'not the MAC of a network card'],
    [
      `dhcp: { reservations: { ${web('02:00:00:00:00:01', '10.0.0.3')}, db: { mac: "02:00:00:00:00:01", address: 10.0.0.4 } } }`,
      'web has the same MAC',
    ],
    [
      `dhcp: { reservations: { ${web('02:00:00:00:00:01', '10.0.0.3')}, db: { mac: "02:00:00:00:00:02", address: 10.0.0.3 } } }`,
      'web has the same address',
    ],
  ])('%s', (keys, problem) => {
    const error = errorOf(() => nat(`subnet: 10.0.0.0/24, ${keys}`));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(problem);
    expect(error.message).toMatch(/^vmnet\.yaml:2:\d+: /);
  });

  it('on a host-only network include .2', () => {
    const [network] = plan(
      'networks: { vmnet1: { mode: hostonly, subnet: 10.0.0.0/24, dhcp: { range: [10.0.0.2, 10.0.0.3] } } }',
    );
    expect(network?.netd?.dhcp?.rangeStart).toBe(ip('10.0.0.2'));
  });
});
