/** What every namespace guest of a NAT network sees, whoever runs the daemon: guest-root.test.ts and guest-user.test.ts. */
import { existsSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Guest } from '../../scripts/lib/daemon.ts';
import { PORTS } from '../../scripts/lib/lab-server.ts';
import { INTERNET_ADDRESS } from '../../scripts/lib/namespace-lab.ts';
import { pattern, patternDigest } from '../../scripts/lib/pattern.ts';
import { eventually } from '../../scripts/lib/process.ts';
import { Stage, type Who } from '../support/stage.ts';

const MEGABYTE = 1_000_000;
const HUNDRED = 100 * MEGABYTE;
const HOST = 'host.vmnet.internal';

/** `curl` as the tests use it: silent, loud about errors, bounded. */
const CURL = 'curl -sS --max-time 60';

export function namespaceGuest(who: Who): void {
  let stage: Stage;
  let guest: Guest;

  beforeAll(async () => {
    stage = await Stage.open(who);
    guest = await stage.daemon.guest(['--net', 'vmnet8', '--name', 'ada']);
  });
  afterAll(() => stage?.close());

  describe('its address and names', () => {
    it('has an address of the lease table on eth0, known by name', async () => {
      const lease = (await stage.daemon.leases()).find((entry) => entry.name === 'ada');
      expect(lease).toMatchObject({ network: 'vmnet8', address: expect.stringMatching(/^[\d.]+$/) });
      expect(Date.parse(lease?.expiresAt ?? '')).toBeGreaterThan(Date.now());
      expect(await guest.must('ip -4 -o addr show dev eth0')).toContain(` ${lease?.address}/`);
      expect(await guest.must('cat /sys/class/net/eth0/address')).toContain(lease?.mac);
    });

    it('routes by the gateway and asks it for names', async () => {
      const { gateway } = await stage.daemon.network();
      expect(await guest.must('ip route show default')).toMatch(new RegExp(`^default via ${gateway} dev eth0`));
      const resolvConf = await guest.must('cat /etc/resolv.conf');
      expect(resolvConf).toContain(`nameserver ${gateway}`);
      expect(resolvConf).toMatch(/^search vmnet\.internal$/m);
      expect(resolvConf.match(/nameserver/g)).toHaveLength(1);
    });

    it('leaves the name service of the host alone', async () => {
      expect(await stage.daemon.place.must(['cat', '/etc/resolv.conf'])).toBe(`nameserver ${INTERNET_ADDRESS}\n`);
    });

    it('resolves host, gateway, itself and names of the Internet', async () => {
      const { gateway, host } = await stage.daemon.network();
      const [lease] = (await stage.daemon.leases()).filter((entry) => entry.name === 'ada');
      const resolve = async (name: string): Promise<string> => (await guest.must(`dig +short ${name}`)).trim();
      expect(await resolve(HOST)).toBe(host);
      expect(await resolve('gateway.vmnet.internal')).toBe(gateway);
      expect(await resolve('ada.vmnet.internal')).toBe(lease?.address);
      expect(await resolve('www.example.test')).toBe(INTERNET_ADDRESS);
      expect(await resolve(`-x ${lease?.address}`)).toBe('ada.vmnet.internal.');
      expect(await guest.must('getent ahostsv4 host')).toContain(String(host));
    });

    it('is told that a name does not exist, here or in the Internet', async () => {
      expect(await guest.must('dig nobody.vmnet.internal')).toContain('status: NXDOMAIN');
      expect(await guest.must('dig nobody.invalid')).toContain('status: NXDOMAIN');
    });
  });

  describe('ping', () => {
    for (const target of ['gateway.vmnet.internal', HOST, INTERNET_ADDRESS]) {
      it(`reaches ${target}`, async () => {
        expect(await guest.must(`ping -n -c 3 -i 0.2 -W 2 ${target}`)).toContain('3 received');
      });
    }

    it('carries 1400 bytes', async () => {
      expect(await guest.must(`ping -n -c 2 -i 0.2 -s 1400 -W 2 ${INTERNET_ADDRESS}`)).toContain('2 received');
    });

    it('is not answered for an address where nobody is', async () => {
      expect((await guest.exec('ping -n -c 1 -W 2 203.0.113.99')).code).toBe(1);
    });
  });

  describe('transfers', () => {
    const digest = patternDigest(HUNDRED);

    for (const server of [HOST, 'www.example.test']) {
      it(`fetches 100 MB from ${server} intact`, async () => {
        const url = `http://${server}:${PORTS.http}/bytes/${HUNDRED}`;
        expect(await guest.must(`${CURL} ${url} | sha256sum`)).toContain(digest);
      });

      it(`uploads 100 MB to ${server} intact`, async () => {
        const file = join(stage.lab.folder, 'upload');
        if (!existsSync(file)) writeFileSync(file, Buffer.concat([...pattern(HUNDRED)]));
        const answer = await guest.must(`${CURL} -T ${file} http://${server}:${PORTS.http}/sink`);
        expect(answer.trim()).toBe(`${digest} ${HUNDRED}`);
      });
    }

    it('passes a half-close of the guest on, and hears the answer after it', async () => {
      expect(await stage.client(guest, 'digest', HOST, PORTS.digest, 5 * MEGABYTE)).toEqual({
        answer: patternDigest(5 * MEGABYTE),
      });
    });

    it('passes a half-close of the server on, and still sends after it', async () => {
      const heard = await stage.client(guest, 'early', HOST, PORTS.early, 5 * MEGABYTE);
      expect(heard).toEqual({ heard: 'hello' });
      const server = `http://${HOST}:${PORTS.http}/early`;
      await eventually('the server has all of it', async () =>
        (await guest.must(`${CURL} ${server}`)).includes(patternDigest(5 * MEGABYTE)),
      );
    });

    it('makes 1000 short connections, 50 at a time, and loses none', async () => {
      expect(await stage.client(guest, 'short', HOST, PORTS.echo, 1000, 50)).toEqual({
        ok: 1000,
        failed: 0,
        errors: {},
      });
    });

    it.each([1, 100, 1472])('has datagrams of %d bytes echoed', async (size) => {
      expect(await stage.client(guest, 'udp', INTERNET_ADDRESS, PORTS.echo, 50, size)).toEqual({
        ok: 50,
        lost: 0,
        wrong: 0,
      });
    });
  });

  describe('refusals', () => {
    it('sees a closed port refused at once', async () => {
      for (const server of [HOST, INTERNET_ADDRESS]) {
        const { error, ms } = await stage.client<{ error: string; ms: number }>(guest, 'connect', server, 81);
        expect(error).toBe('ECONNREFUSED');
        expect(ms).toBeLessThan(2000);
      }
    });

    it("sees a server's reset as a reset", async () => {
      const { code, output } = await guest.exec(`${CURL} http://${HOST}:${PORTS.reset}/`);
      expect({ code, output }).toMatchObject({ code: 56, output: expect.stringMatching(/reset/i) });
    });

    it("reaches no service of the host's loopback, and the same service where it is bound to all addresses", async () => {
      const open = `${CURL} http://${HOST}:${PORTS.http}/`;
      const { output } = await guest.exec(open);
      expect(output).toBe('lab\n');
      const loopbackOnly = PORTS.http + 1000;
      await stage.lab.host.must(['curl', '-sS', '--max-time', '5', `http://127.0.0.1:${loopbackOnly}/`]);
      const { gateway } = await stage.daemon.network();
      for (const address of [HOST, String(gateway)]) {
        const { code } = await guest.exec(`curl -sS --max-time 3 http://${address}:${loopbackOnly}/`);
        expect([7, 28]).toContain(code);
      }
    });

    it('reaches no loopback address of the host, even if it routes them to the gateway', async () => {
      const { gateway } = await stage.daemon.network();
      const mallory = await stage.daemon.guest();
      await mallory.must(
        `ip addr flush dev lo; ip link set lo down
         for name in all eth0; do echo 1 >/proc/sys/net/ipv4/conf/$name/route_localnet; done
         ip route add 127.0.0.0/8 via ${gateway} dev eth0`,
      );
      const before = (await stage.daemon.ports()).find((port) => port.kind === 'gateway')?.rxFrames ?? 0;
      for (const port of [PORTS.http, PORTS.http + 1000]) {
        expect((await mallory.exec(`curl -sS --max-time 3 http://127.0.0.1:${port}/`)).code).not.toBe(0);
      }
      // They did leave the guest: what refused them was the gateway.
      const after = (await stage.daemon.ports()).find((port) => port.kind === 'gateway')?.rxFrames ?? 0;
      expect(after - before).toBeGreaterThanOrEqual(2);
      await mallory.stop();
    });

    it("does not reach the host's link-local metadata address", async () => {
      await stage.lab.world.must(['ip', 'addr', 'replace', '169.254.169.254/32', 'dev', 'lo']);
      await stage.lab.host.must(['ip', 'route', 'replace', '169.254.169.254', 'via', '198.51.100.1']);
      const url = `http://169.254.169.254:${PORTS.http}/`;
      expect(await stage.lab.host.must(['curl', '-sS', '--max-time', '5', url])).toBe('lab\n');
      expect((await guest.exec(`curl -sS --max-time 3 ${url}`)).code).not.toBe(0);
    });
  });

  describe('what is shown of it', () => {
    it('shows both sides of a flow, and a descriptor of netd that is that socket', async () => {
      await guest.must(`(sleep 20 | nc ${INTERNET_ADDRESS} ${PORTS.stall} >/dev/null 2>&1 &)`);
      const endpoint = `${INTERNET_ADDRESS}:${PORTS.stall}`;
      const flow = await eventually(
        'the flow is listed',
        async () =>
          (await stage.daemon.flows()).find(({ host }) => (host as { endpoint: string }).endpoint === endpoint) ?? null,
      );
      const netd = await stage.daemon.netdPid();
      expect(flow).toMatchObject({
        network: 'vmnet8',
        protocol: 'tcp',
        guest: { our: endpoint },
        host: { our: expect.stringMatching(/^198\.51\.100\.2:\d+$/), pid: netd },
      });
      const { fd } = flow.host as { fd: number };
      expect(readlinkSync(`/proc/${netd}/fd/${fd}`)).toMatch(/^socket:/);
    });

    it('counts its frames at its port, by pid and interface', async () => {
      const port = (await stage.daemon.ports()).find((entry) => entry.name === 'ada');
      expect(port).toMatchObject({ kind: 'tap', interface: 'eth0', pid: expect.any(Number) });
      expect(port?.rxBytes).toBeGreaterThan(HUNDRED);
      expect(port?.txBytes).toBeGreaterThan(HUNDRED);
      const [address] = (await stage.daemon.leases()).filter((entry) => entry.name === 'ada').map((l) => l.address);
      expect(port?.addresses).toContain(address);
    });
  });

  describe('vmnet ns', () => {
    it("passes the command's exit status, output and input on", async () => {
      const ns = ['ns', '--net', 'vmnet8', '--'];
      expect((await stage.daemon.vmnet([...ns, 'sh', '-c', 'exit 7'])).code).toBe(7);
      expect((await stage.daemon.vmnet([...ns, 'sh', '-c', 'kill -9 $$'])).code).toBe(137);
      expect((await stage.daemon.vmnet([...ns, 'cat'], { input: 'to and fro' })).stdout).toBe('to and fro');
    });

    it('takes the guest off its network when the command has ended', async () => {
      const short = await stage.daemon.guest(['--net', 'vmnet8', '--name', 'bob']);
      expect((await stage.daemon.ports()).map((port) => port.name)).toContain('bob');
      await short.stop();
      await eventually('the port is gone', async () =>
        (await stage.daemon.ports()).every((port) => port.name !== 'bob'),
      );
    });

    it('takes the address that is asked for by --ip, and refuses one that is taken', async () => {
      const { subnet } = await stage.daemon.network();
      const address = String(subnet).replace(/\.0\/24$/, '.77/24');
      const fixed = await stage.daemon.guest(['--net', 'vmnet8', '--name', 'carl', '--ip', address]);
      expect(await fixed.must('ip -4 -o addr show dev eth0')).toContain(` ${address} `);
      expect(await fixed.must(`ping -n -c 1 -W 2 ${HOST}`)).toContain('1 received');
      const taken = await stage.daemon.vmnet(['ns', '--net', 'vmnet8', '--ip', address, '--', 'true']);
      expect(taken.code).not.toBe(0);
      expect(taken.stderr).toContain('GUEST_ADDRESS_TAKEN');
      await fixed.stop();
    });

    it('joins two networks with two interfaces, and sets the MTU', async () => {
      const both = await stage.daemon.guest(['--net', 'vmnet8', '--net', 'vmnet1', '--mtu', '9000']);
      expect(await both.must('cat /sys/class/net/eth0/mtu')).toBe('9000\n');
      expect(await both.must('cat /sys/class/net/eth1/mtu')).toBe('9000\n');
      expect(await both.must(`${CURL} http://${HOST}:${PORTS.http}/bytes/5000000 | sha256sum`)).toContain(
        patternDigest(5_000_000),
      );
      await both.stop();
    });
  });

  describe('two guests', () => {
    let other: Guest;
    beforeAll(async () => {
      other = await stage.daemon.guest(['--net', 'vmnet8', '--name', 'eve']);
    });
    afterAll(() => other?.stop());

    it('find and ping each other by name', async () => {
      expect(await guest.must('ping -n -c 2 -i 0.2 -W 2 eve.vmnet.internal')).toContain('2 received');
      expect(await other.must('ping -n -c 2 -i 0.2 -W 2 ada')).toContain('2 received');
    });

    it('carry 100 MB between them intact', async () => {
      const server = `${process.execPath} ${stage.install.tool('lab-server')}`;
      const log = join(stage.lab.folder, 'eve');
      await other.must(`(sleep 60 | ${server} >${log} 2>&1 &); until grep -q READY ${log}; do sleep 0.1; done`);
      const url = `http://eve.vmnet.internal:${PORTS.http}/bytes/${HUNDRED}`;
      expect(await guest.must(`${CURL} ${url} | sha256sum`)).toContain(patternDigest(HUNDRED));
    });

    it('with one that never reads, the other keeps its speed', async () => {
      // `eve` fetches without ever taking the bytes out of its socket; `ada` is to notice nothing.
      const url = `http://${HOST}:${PORTS.http}/bytes`;
      await other.must(
        `(sleep 30 | nc -w 30 ${HOST} ${PORTS.http} >/dev/null 2>&1 &); (${CURL} ${url}/${HUNDRED} | sleep 20 >/dev/null 2>&1 &)`,
      );
      expect(await guest.must(`${CURL} ${url}/${HUNDRED} | sha256sum`)).toContain(patternDigest(HUNDRED));
    });
  });
}
