/** `vmnet run`: what is added to a QEMU command line, and that the rest is left alone. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { macOf, networkArguments, vmNameOf } from '../../src/node/cli/qemu/arguments.ts';
import { parseQemuVersion, reconnectOption } from '../../src/node/cli/qemu/version.ts';
import { FakeDaemon, networkStatus, statusOf, VMNET1 } from './fake-daemon.ts';

const QEMU_7 = { major: 7, minor: 2 };
const NIC = { socket: '/run/openvmnet/vmnet8.sock', mac: '52:54:00:12:34:56', mtu: 1500 };

describe('the arguments for a NIC', () => {
  it('are a stream netdev and a virtio device', () => {
    expect(networkArguments(['qemu-system-x86_64'], [NIC], QEMU_7)).toEqual([
      '-netdev',
      'stream,id=vmnet-nic0,server=off,addr.type=unix,addr.path=/run/openvmnet/vmnet8.sock',
      '-device',
      'virtio-net-pci,netdev=vmnet-nic0,mac=52:54:00:12:34:56',
    ]);
  });

  it('use ids that the user does not', () => {
    const command = ['qemu', '-netdev', 'user,id=vmnet-nic0', '-device', 'virtio-rng-pci,id=vmnet-nic2'];
    const ids = networkArguments(command, [NIC, NIC], QEMU_7).filter((word) => word.startsWith('stream'));
    expect(ids.map((word) => /id=([^,]+)/.exec(word)?.[1])).toEqual(['vmnet-nic1', 'vmnet-nic3']);
  });

  it('double a comma in a path, as QEMU wants it', () => {
    expect(networkArguments(['qemu'], [{ ...NIC, socket: '/a,b/s' }], QEMU_7)[1]).toContain('addr.path=/a,,b/s');
  });

  it('tell the guest’s driver of an MTU that is not Ethernet’s', () => {
    expect(networkArguments(['qemu'], [{ ...NIC, mtu: 9000 }], QEMU_7)[3]).toMatch(/,host_mtu=9000$/);
  });

  it.each([
    [['/usr/bin/qemu-system-s390x'], 'virtio-net-ccw'],
    [['qemu-system-x86_64', '-M', 'microvm'], 'virtio-net-device'],
    [['qemu-system-x86_64', '-machine', 'type=microvm,pcie=on'], 'virtio-net-pci'],
    [['qemu-system-x86_64', '-M', 'microvm', '-M', 'q35'], 'virtio-net-pci'],
    [['qemu-system-aarch64', '-M', 'virt'], 'virtio-net-pci'],
  ])('of %j have the device %s', (command, device) => {
    expect(networkArguments(command, [NIC], QEMU_7)[3]!.split(',')[0]).toBe(device);
  });

  it.each([
    [7, 2, ''],
    [7, 9, ''],
    [8, 0, ',reconnect=1'],
    [9, 1, ',reconnect=1'],
    [9, 2, ',reconnect-ms=1000'],
    [10, 0, ',reconnect-ms=1000'],
  ])('of QEMU %i.%i end with %j', (major, minor, option) => expect(reconnectOption({ major, minor })).toBe(option));
});

describe('the version of QEMU', () => {
  it('is read from what it prints, warnings before it included', () => {
    expect(parseQemuVersion('QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright')).toEqual(QEMU_7);
    expect(parseQemuVersion('warning: x\nQEMU emulator version 10.1.0\n')).toEqual({ major: 10, minor: 1 });
    expect(parseQemuVersion('bash, version 5.2')).toBeNull();
    expect(parseQemuVersion('')).toBeNull();
  });
});

describe('the MAC of a VM', () => {
  it('is the same for a name on a network, another for every other', () => {
    expect(macOf('vmnet8', 'web', 0)).toBe(macOf('vmnet8', 'web', 0));
    expect(
      new Set([
        macOf('vmnet8', 'web', 0),
        macOf('vmnet8', 'web', 1),
        macOf('vmnet1', 'web', 0),
        macOf('vmnet8', 'db', 0),
      ]).size,
    ).toBe(4);
    expect(macOf('vmnet8', 'web', 0)).toMatch(/^52:54(:[0-9a-f]{2}){4}$/);
  });

  it('is random without a name', () => expect(macOf('vmnet8', null, 0)).not.toBe(macOf('vmnet8', null, 0)));

  it.each([
    [['qemu', '-name', 'web'], 'web'],
    [['qemu', '-name', 'web,debug-threads=on'], 'web'],
    [['qemu', '-name', 'debug-threads=on,guest=web'], 'web'],
    [['qemu', '-name', 'debug-threads=on'], null],
    [['qemu', '-name'], null],
    [['qemu'], null],
  ])('takes its name from %j', (command, name) => expect(vmNameOf(command)).toBe(name));
});

describe('vmnet run', () => {
  let daemon: FakeDaemon;
  let folder: string;
  let qemu: string;

  const program = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
    return path;
  };

  beforeAll(async () => {
    daemon = await FakeDaemon.start();
    daemon.get('/v1/status', statusOf(VMNET1, networkStatus()));
    folder = mkdtempSync(join(tmpdir(), 'vmnet-qemu-'));
    qemu = program(
      'qemu-system-x86_64',
      `[ "$1" = --version ] && echo 'QEMU emulator version 8.2.0' && exit\nprintf '%s\\n' "$@" >${folder}/arguments; exit 9`,
    );
  });
  afterAll(async () => {
    await daemon.stop();
    rmSync(folder, { recursive: true });
  });

  it('runs the command with the NICs added, and passes its exit code on', async () => {
    const run = ['run', '--net', 'vmnet8', '--net', 'vmnet1', '--mac', '52:54:00:AB:CD:EF', '--', qemu, '-m', '512'];
    expect(await daemon.vmnet(...run)).toEqual({ code: 9, stdout: '', stderr: '' });
    const words = readFileSync(join(folder, 'arguments'), 'utf8').trim().split('\n');
    expect(words.slice(0, 2)).toEqual(['-m', '512']);
    expect(words[3]).toBe(
      'stream,id=vmnet-nic0,server=off,addr.type=unix,addr.path=/run/openvmnet/vmnet8.sock,reconnect=1',
    );
    expect(words[5]).toBe('virtio-net-pci,netdev=vmnet-nic0,mac=52:54:00:ab:cd:ef');
    expect(words[7]).toContain('addr.path=/run/openvmnet/vmnet1.sock');
    expect(words).toHaveLength(10);
  });

  it('prints the line with --dry-run, ready for a shell or as JSON', async () => {
    const { stdout } = await daemon.vmnet('run', '--name', 'web', '--dry-run', '--', qemu, '-append', 'a b');
    const mac = macOf('vmnet8', 'web', 0);
    expect(stdout).toBe(
      `${qemu} -append 'a b' -netdev stream,id=vmnet-nic0,server=off,addr.type=unix,addr.path=/run/openvmnet/vmnet8.sock,reconnect=1 -device virtio-net-pci,netdev=vmnet-nic0,mac=${mac}\n`,
    );
    const json = await daemon.vmnet('run', '--json', '--dry-run', '--', qemu, '-m', '1');
    expect(JSON.parse(json.stdout).command.slice(0, 3)).toEqual([qemu, '-m', '1']);
  });

  it.each([
    ['what is no QEMU', 'echo something else', 'does not say that it is a QEMU'],
    ['a QEMU that is too old', 'echo QEMU emulator version 6.2.0', '-netdev stream came with 7.2'],
  ])('refuses %s', async (_title, text, words) => {
    const { code, stderr } = await daemon.vmnet('run', '--', program('other', text));
    expect(code).toBe(4);
    expect(stderr).toContain('QEMU_UNSUITABLE');
    expect(stderr).toContain(words);
  });

  it('refuses a network that is not there and a command that is not there', async () => {
    expect((await daemon.vmnet('run', '--net', 'vmnet9', '--', qemu)).stderr).toContain('NETWORK_UNKNOWN');
    expect((await daemon.vmnet('run', '--', join(folder, 'absent'))).code).toBe(127);
  });
});
