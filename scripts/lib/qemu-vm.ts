/**
 * A real Linux kernel as a guest: QEMU under emulation (no KVM needed) with one or more virtio NICs, booted from an
 * initramfs that `initramfs.ts` builds; about 3 seconds to the first command. Used by the e2e tests, the demo and the bench.
 *
 *     const vm = await bootVm({ netdevs: [streamNetdev('/run/…/vmnet8.sock', '52:54:00:00:00:01')] });
 *     const { code, output } = await vm.exec('udhcpc -i eth0 -n -q');
 *     await vm.stop();
 *
 * Commands travel over the second serial port; the kernel's console goes to a file, whose end is quoted in errors.
 * `wrap` puts other commands in front of QEMU, such as `vmnet run --net vmnet8 --` or `nsenter …`.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { CommandChannel, type CommandResult } from './command-channel.ts';
import { buildInitramfs, findBusybox, findGuestKernel } from './initramfs.ts';
import { Background } from './process.ts';

export { programWithLibraries } from './initramfs.ts';

export interface VmOptions {
  /** QEMU arguments, one list a NIC: see `streamNetdev`, `userNetdev`, `tapNetdev`. Empty where `wrap` adds the NIC. */
  netdevs?: readonly (readonly string[])[];
  /** Put before `qemu-system-x86_64`. */
  wrap?: readonly string[];
  /** Further files of this machine to have in the guest (programs with `programWithLibraries`). */
  extraFiles?: readonly string[];
  memoryMb?: number;
  /** Limit for the way to the first prompt. */
  bootTimeoutMs?: number;
  env?: NodeJS.ProcessEnv;
}

export interface Vm {
  /** Of QEMU itself, or of the outermost wrapper. */
  readonly pid: number;
  /** Time from start of QEMU to the guest's first prompt. */
  readonly bootMs: number;
  /** Runs a shell script in the guest; rejects on time-out or when the VM is gone. */
  exec(script: string, timeoutMs?: number): Promise<CommandResult>;
  /** Like `exec`, gives the output, and rejects unless the exit status is 0. */
  must(script: string, timeoutMs?: number): Promise<string>;
  /** What the guest's kernel printed. */
  consoleText(): string;
  stop(): Promise<void>;
}

/** Why no VM can be booted here, or null when one can. */
export function vmObstacle(): string | null {
  const qemu = (process.env.PATH ?? '').split(delimiter).some((dir) => existsSync(join(dir, 'qemu-system-x86_64')));
  if (!qemu) return 'qemu-system-x86_64 is not installed (package qemu-system-x86)';
  const kernel = findGuestKernel();
  if (kernel === null) return 'no /boot/vmlinuz-*-cloud-amd64 (package linux-image-cloud-amd64)';
  if (findBusybox() === null) return 'no static busybox (package busybox-static)';
  return null;
}

const nic = (id: string, mac: string): string[] => ['-device', `virtio-net-pci,netdev=${id},mac=${mac}`];

/** A NIC on a network's unix stream socket. */
export function streamNetdev(socketPath: string, mac: string, id = 'n0'): string[] {
  return ['-netdev', `stream,id=${id},server=off,addr.type=unix,addr.path=${socketPath}`, ...nic(id, mac)];
}

/** A NIC on QEMU's own user-mode NAT (libslirp), for comparison. */
export function userNetdev(mac: string, id = 'n0'): string[] {
  return ['-netdev', `user,id=${id}`, ...nic(id, mac)];
}

/** A NIC on a kernel TAP that exists already, for comparison. */
export function tapNetdev(ifname: string, mac: string, id = 'n0'): string[] {
  return ['-netdev', `tap,id=${id},ifname=${ifname},script=no,downscript=no`, ...nic(id, mac)];
}

/** Boots the VM and resolves at its first prompt. */
export async function bootVm(options: VmOptions = {}): Promise<Vm> {
  const kernel = findGuestKernel();
  const busybox = findBusybox();
  if (kernel === null || busybox === null) throw new Error(`no VM: ${vmObstacle()}`);
  const folder = mkdtempSync(join(tmpdir(), 'vmnet-vm-'));
  const initrd = join(folder, 'initrd');
  const consoleFile = join(folder, 'console');
  writeFileSync(initrd, buildInitramfs(kernel, busybox, options.extraFiles));
  // `wrap` may make another user of QEMU.
  chmodSync(folder, 0o755);
  writeFileSync(consoleFile, '');
  chmodSync(consoleFile, 0o666);
  const argv = [
    ...(options.wrap ?? []),
    'qemu-system-x86_64',
    ...['-M', 'pc', '-cpu', 'max', '-accel', 'tcg', '-m', String(options.memoryMb ?? 256)],
    ...['-nodefaults', '-nographic', '-no-reboot', '-monitor', 'none'],
    ...['-serial', `file:${consoleFile}`, '-serial', 'stdio'],
    ...['-kernel', kernel.image, '-initrd', initrd],
    ...['-append', 'console=ttyS0 edd=off panic=-1 quiet loglevel=4 random.trust_cpu=on'],
    ...(options.netdevs ?? []).flat(),
  ];
  const startedAt = process.hrtime.bigint();
  const qemu = new Background(argv, { env: options.env ?? process.env });
  let consoleAtEnd = '';
  const consoleText = (): string => (existsSync(consoleFile) ? readFileSync(consoleFile, 'utf8') : consoleAtEnd);
  const channel = new CommandChannel(qemu, consoleText);
  const stop = async (): Promise<void> => {
    await qemu.stop();
    consoleAtEnd = consoleText();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await channel.ready(options.bootTimeoutMs ?? 60_000);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    pid: qemu.pid,
    bootMs: Number((process.hrtime.bigint() - startedAt) / 1_000_000n),
    exec: (script, timeoutMs) => channel.exec(script, timeoutMs),
    must: (script, timeoutMs) => channel.must(script, timeoutMs),
    consoleText,
    stop,
  };
}
