/**
 * The two DHCP clients of the field, as distributions run them, in a namespace guest whose address was taken away first:
 * what they hear and do is told by a script of ours in place of theirs.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Guest, LeaseStatus } from '../../scripts/lib/daemon.ts';
import { eventually } from '../../scripts/lib/process.ts';
import { describeWith } from '../support/privileges.ts';
import { Stage } from '../support/stage.ts';

const CONFIG = `networks:
  vmnet8:
    mode: nat
    subnet: 192.168.88.0/24
    mtu: 1400
    dhcp:
      leaseSeconds: 60
      reservations:
        printer: { mac: "02:00:00:00:00:99", address: 192.168.88.33 }
`;

/** Puts each event with its variables on a line of the log, and the address on the interface. */
const UDHCPC_HOOK = `#!/bin/sh
echo "$1 ip=$ip subnet=$subnet router=$router dns=$dns domain=$domain mtu=$mtu lease=$lease serverid=$serverid" >>"$(dirname "$0")/udhcpc.log"
case "$1" in
deconfig) ip -4 addr flush dev "$interface" ;;
bound|renew) ip addr replace "$ip/$mask" dev "$interface"; ip route replace default via "$router" ;;
esac
exit 0
`;

const DHCLIENT_HOOK = `#!/bin/sh
echo "$reason ip=$new_ip_address subnet=$new_subnet_mask router=$new_routers dns=$new_domain_name_servers domain=$new_domain_name mtu=$new_interface_mtu lease=$new_dhcp_lease_time serverid=$new_dhcp_server_identifier" >>"$(dirname "$0")/dhclient.log"
case "$reason" in
BOUND|RENEW|REBIND|REBOOT) ip addr replace "$new_ip_address/24" dev "$interface"; ip route replace default via "$new_routers" ;;
RELEASE|EXPIRE|FAIL|STOP) ip -4 addr flush dev "$interface" ;;
esac
exit 0
`;

describeWith(['root', 'namespaces', 'program:udhcpc', 'program:dhclient'], 'real DHCP clients', () => {
  let stage: Stage;
  let guest: Guest;
  let folder: string;

  const log = (client: string): string => {
    const file = join(folder, `${client}.log`);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  };
  const leaseOf = async (mac: string): Promise<LeaseStatus | undefined> =>
    (await stage.daemon.leases()).find((lease) => lease.mac === mac);

  beforeAll(async () => {
    stage = await Stage.open('root', { up: null, servers: false });
    folder = join(stage.lab.folder, 'dhcp');
    mkdirSync(folder);
    const config = join(stage.lab.folder, 'vmnet.yaml');
    writeFileSync(config, CONFIG);
    for (const [name, text] of [
      ['udhcpc-hook', UDHCPC_HOOK],
      ['dhclient-hook', DHCLIENT_HOOK],
    ] as const) {
      writeFileSync(join(folder, name), text);
      chmodSync(join(folder, name), 0o755);
    }
    await stage.daemon.up(['-f', config]);
    guest = await stage.daemon.guest(['--net', 'vmnet8', '--name', 'shell']);
  });
  afterAll(() => stage?.close());

  // Each test is a new station: another MAC, no address.
  let mac = '';
  let stations = 0;
  beforeEach(async () => {
    mac = `02:00:00:00:01:0${++stations}`;
    await guest.must(
      `ip link set eth0 down; ip link set eth0 address ${mac}; ip -4 addr flush dev eth0; ip link set eth0 up`,
    );
    for (const client of ['udhcpc', 'dhclient']) writeFileSync(join(folder, `${client}.log`), '');
  });

  const udhcpc = (more = ''): string =>
    `udhcpc -f -i eth0 -s ${folder}/udhcpc-hook -p ${folder}/udhcpc.pid -x hostname:ursula ${more}`;
  const dhclient = (more: string): string =>
    `dhclient -1 -4 -sf ${folder}/dhclient-hook -pf ${folder}/dhclient.pid -lf ${folder}/dhclient.leases -cf ${folder}/dhclient.conf ${more} eth0`;

  it('udhcpc is told all that it needs, renews on request and releases', async () => {
    await guest.must(`(${udhcpc('-O mtu -R')} >${folder}/udhcpc.out 2>&1 &)`);
    await eventually('bound', () => log('udhcpc').includes('bound'));
    const [, address] = /bound ip=(\S+)/.exec(log('udhcpc')) ?? [];
    expect(log('udhcpc')).toContain(
      `bound ip=${address} subnet=255.255.255.0 router=192.168.88.2 dns=192.168.88.2 domain=vmnet.internal mtu=1400 lease=60 serverid=192.168.88.254`,
    );
    const lease = await leaseOf(mac);
    expect(lease).toMatchObject({ address, name: 'ursula' });
    expect(await guest.must('ping -n -c 1 -W 2 192.168.88.2')).toContain('1 received');

    await new Promise((resolve) => setTimeout(resolve, 1500));
    await guest.must(`kill -USR1 $(cat ${folder}/udhcpc.pid)`);
    await eventually('renewed', () => log('udhcpc').includes(`renew ip=${address}`));
    const renewed = await leaseOf(mac);
    expect(Date.parse(renewed?.expiresAt ?? '')).toBeGreaterThan(Date.parse(lease?.expiresAt ?? ''));

    await guest.must(`kill -USR2 $(cat ${folder}/udhcpc.pid)`);
    await eventually('released', async () => (await leaseOf(mac)) === undefined);
    await guest.must(`kill $(cat ${folder}/udhcpc.pid)`);
  });

  it('udhcpc renews by itself at half of the lease', async () => {
    await guest.must(`(${udhcpc()} >${folder}/udhcpc.out 2>&1 &)`);
    await eventually('bound', () => log('udhcpc').includes('bound'));
    await eventually('renewed', () => log('udhcpc').includes('renew ip='), 45_000, 500);
    await guest.must(`kill $(cat ${folder}/udhcpc.pid)`);
  });

  it('udhcpc gets the address that is reserved for its MAC, found under the name of the reservation', async () => {
    mac = '02:00:00:00:00:99';
    await guest.must(`ip link set eth0 down; ip link set eth0 address ${mac}; ip link set eth0 up`);
    await guest.must(`${udhcpc('-n -q')}`);
    expect(log('udhcpc')).toContain('bound ip=192.168.88.33 ');
    expect(await guest.must('dig +short printer.vmnet.internal @192.168.88.2')).toBe('192.168.88.33\n');
  });

  it('dhclient binds, comes back to its address after a reboot, and releases', async () => {
    writeFileSync(
      join(folder, 'dhclient.conf'),
      'send host-name "dora";\nrequest subnet-mask, routers, domain-name-servers, domain-name, interface-mtu;\n',
    );
    writeFileSync(join(folder, 'dhclient.leases'), '');
    await guest.must(dhclient('-v'));
    const [, address] = /BOUND ip=(\S+)/.exec(log('dhclient')) ?? [];
    expect(log('dhclient')).toContain(
      `BOUND ip=${address} subnet=255.255.255.0 router=192.168.88.2 dns=192.168.88.2 domain=vmnet.internal mtu=1400 lease=60 serverid=192.168.88.254`,
    );
    expect(await leaseOf(mac)).toMatchObject({ address, name: 'dora' });
    expect(await guest.must('dig +short dora.vmnet.internal @192.168.88.2')).toBe(`${address}\n`);

    // Stopped without a release and started again with its lease file: INIT-REBOOT.
    await guest.must(dhclient('-x'));
    await guest.must('ip -4 addr flush dev eth0');
    await guest.must(dhclient('-v'));
    expect(log('dhclient')).toContain(`REBOOT ip=${address} `);

    await guest.must(dhclient('-r'));
    await eventually('released', async () => (await leaseOf(mac)) === undefined);
  });

  it('dhclient that asks for an address of another network is refused and gets one of ours', async () => {
    writeFileSync(
      join(folder, 'dhclient.leases'),
      `lease {
  interface "eth0";
  fixed-address 10.9.8.7;
  option subnet-mask 255.255.255.0;
  option dhcp-lease-time 86400;
  option dhcp-server-identifier 10.9.8.1;
  renew 5 2037/01/01 00:00:00;
  rebind 5 2037/01/01 00:00:00;
  expire 5 2037/01/01 00:00:00;
}\n`,
    );
    const output = await guest.must(`${dhclient('-v')} 2>&1`);
    expect(output).toContain('DHCPNAK');
    expect(log('dhclient')).toMatch(/BOUND ip=192\.168\.88\./);
    await guest.must(dhclient('-x'));
  });
});
