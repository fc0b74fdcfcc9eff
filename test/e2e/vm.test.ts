/** A real Linux kernel as a guest: QEMU under emulation on the network's stream socket. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Guest } from '../../scripts/lib/daemon.ts';
import { PORTS } from '../../scripts/lib/lab-server.ts';
import { INTERNET_ADDRESS } from '../../scripts/lib/namespace-lab.ts';
import { patternDigest } from '../../scripts/lib/pattern.ts';
import { eventually } from '../../scripts/lib/process.ts';
import { bootVm, streamNetdev, type Vm } from '../../scripts/lib/qemu-vm.ts';
import { describeWith } from '../support/privileges.ts';
import { Stage, type Who } from '../support/stage.ts';

const LENGTH = 20_000_000;
const HOST = 'host.vmnet.internal';
const MAC = '52:54:00:11:22:33';

function linuxVm(who: Who): void {
  let stage: Stage;
  let vm: Vm;
  let other: Vm;
  let guest: Guest;

  beforeAll(async () => {
    stage = await Stage.open(who);
    guest = await stage.daemon.guest(['--net', 'vmnet8', '--name', 'ada']);
    const place = stage.daemon.place;
    // One through `vmnet run`, as users do; the other by hand with the path that `vmnet socket` prints.
    [vm, other] = await Promise.all([
      bootVm({
        wrap: place.argv(stage.daemon.argv(['run', '--net', 'vmnet8', '--'])),
        env: { ...place.env, ...stage.daemon.env },
      }),
      bootVm({ wrap: place.argv([]), netdevs: [streamNetdev(await stage.daemon.socket(), MAC)], env: place.env }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([vm?.stop(), other?.stop()]);
    await stage?.close();
  });

  it('gets a lease by udhcpc, listed with its MAC and host name', async () => {
    await Promise.all([
      vm.must('udhcpc -i eth0 -n -q -x hostname:vera'),
      other.must('udhcpc -i eth0 -n -q -x hostname:otto'),
    ]);
    const leases = await stage.daemon.leases();
    const otto = leases.find((lease) => lease.name === 'otto');
    expect(otto).toMatchObject({ network: 'vmnet8', mac: MAC });
    expect(await other.must('ip -4 -o addr show dev eth0')).toContain(` ${otto?.address}/`);
    const vera = leases.find((lease) => lease.name === 'vera');
    expect(await vm.must('cat /sys/class/net/eth0/address')).toContain(vera?.mac);
  });

  it('resolves names and pings gateway, host and Internet', async () => {
    const { gateway, host } = await stage.daemon.network();
    expect(await vm.must(`nslookup ${HOST}`)).toContain(`Address: ${host}`);
    expect(await vm.must('nslookup gateway.vmnet.internal')).toContain(`Address: ${gateway}`);
    expect(await vm.must('nslookup www.example.test')).toContain(`Address: ${INTERNET_ADDRESS}`);
    for (const target of ['gateway.vmnet.internal', HOST, INTERNET_ADDRESS]) {
      expect(await vm.must(`ping -c 2 -W 2 ${target}`)).toContain('2 packets received');
    }
  });

  it('fetches 20 MB intact, from the host and from the Internet', async () => {
    for (const server of [HOST, 'www.example.test']) {
      const url = `http://${server}:${PORTS.http}/bytes/${LENGTH}`;
      expect(await vm.must(`wget -q -O - ${url} | sha256sum`, 120_000)).toContain(patternDigest(LENGTH));
    }
  });

  it('uploads 20 MB intact', async () => {
    const url = `http://${HOST}:${PORTS.http}/bytes/${LENGTH}`;
    await vm.must(`wget -q -O /tmp/file ${url}`, 120_000);
    expect(await vm.must(`nc ${HOST} ${PORTS.digest} </tmp/file`, 120_000)).toContain(patternDigest(LENGTH));
  });

  it('and a namespace guest reach each other by name, and move 20 MB intact', async () => {
    expect(await vm.must('ping -c 2 -W 2 ada.vmnet.internal')).toContain('2 packets received');
    expect(await guest.must('ping -n -c 2 -W 2 vera.vmnet.internal')).toContain('2 received');
    const log = `${stage.lab.folder}/guest-server`;
    const server = `${process.execPath} ${stage.install.tool('lab-server')}`;
    await guest.must(`(sleep 120 | ${server} >${log} 2>&1 &); until grep -q READY ${log}; do sleep 0.1; done`);
    const url = `http://ada.vmnet.internal:${PORTS.http}/bytes/${LENGTH}`;
    expect(await vm.must(`wget -q -O - ${url} | sha256sum`, 120_000)).toContain(patternDigest(LENGTH));
    expect(await vm.must(`nc ada.vmnet.internal ${PORTS.digest} </tmp/file`, 120_000)).toContain(patternDigest(LENGTH));
  });

  it('and another VM on the same socket reach each other', async () => {
    expect(await vm.must('ping -c 2 -W 2 otto.vmnet.internal')).toContain('2 packets received');
    // busybox's nc ends at its peer's FIN: the receiver must not send one before it has all.
    await other.must('(sleep 120 | nc -l -p 9 >/tmp/got) >/dev/null 2>&1 & sleep 0.3');
    await vm.must('nc otto.vmnet.internal 9 </tmp/file', 120_000);
    await other.must(`until [ "$(wc -c </tmp/got)" -ge ${LENGTH} ]; do sleep 0.1; done`, 30_000);
    expect(await other.must('sha256sum /tmp/got')).toContain(patternDigest(LENGTH));
  });

  it('keeps its lease and its traffic when its neighbour is killed', async () => {
    const ports = (): Promise<number> =>
      stage.daemon.ports().then((all) => all.filter((port) => port.kind === 'stream').length);
    expect(await ports()).toBe(2);
    await other.stop();
    await eventually("the neighbour's port is gone", async () => (await ports()) === 1);
    expect(await vm.must(`ping -c 2 -W 2 ${HOST}`)).toContain('2 packets received');
  });
}

describeWith(['root', 'namespaces', 'vm'], 'a Linux VM, the daemon run by root', () => linuxVm('root'));
describeWith(['namespaces', 'vm'], 'a Linux VM, the daemon run by an ordinary user', () => linuxVm('user'));
