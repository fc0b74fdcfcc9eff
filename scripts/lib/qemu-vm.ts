/**
 * A real Linux kernel as a guest: QEMU under emulation (no KVM needed) with one or more virtio NICs, booted from an
 * initramfs that `initramfs.ts` builds; about 3 seconds to the first command. Used by the e2e tests, the demo and the bench.
 *
 *     const vm = await bootVm({ netdevs: [streamNetdev('/run/…/vmnet8.sock', '52:54:00:00:00:01')] });
 *     const lease = await vm.exec('udhcpc -i eth0 -n -q');       // → { code, output }
 *     await vm.stop();
 *
 * Commands travel over the second serial port, one at a time; their output comes back whole (both streams, at most
 * 16 MiB). The kernel's console goes to a file, whose end is quoted in errors. The process is a child of ours and dies
 * with `stop()`; `wrap` puts other commands in front of QEMU, such as `vmnet run --net vmnet8 --` or `nsenter …`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { buildInitramfs, findBusybox, findGuestKernel } from './initramfs.ts';

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

export interface VmResult {
  code: number;
  output: string;
}

export interface Vm {
  /** Of QEMU itself, or of the outermost wrapper. */
  readonly pid: number;
  /** Time from start of QEMU to the guest's first prompt. */
  readonly bootMs: number;
  /** Runs a shell script in the guest; rejects on time-out or when the VM is gone. */
  exec(script: string, timeoutMs?: number): Promise<VmResult>;
  /** Like `exec`, and rejects unless the exit status is 0. */
  must(script: string, timeoutMs?: number): Promise<string>;
  /** What the guest's kernel printed. */
  consoleText(): string;
  stop(): Promise<void>;
}

const OUTPUT_LIMIT = 16 << 20;

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
  const obstacle = vmObstacle();
  const kernel = findGuestKernel();
  const busybox = findBusybox();
  if (obstacle !== null || kernel === null || busybox === null) throw new Error(`no VM: ${obstacle}`);
  const folder = mkdtempSync(join(tmpdir(), 'vmnet-vm-'));
  const initrd = join(folder, 'initrd');
  const consoleFile = join(folder, 'console');
  writeFileSync(initrd, buildInitramfs(kernel, busybox, options.extraFiles));
  writeFileSync(consoleFile, '', { mode: 0o666 });
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
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['pipe', 'pipe', 'pipe'], env: options.env ?? process.env });
  const vm = new RunningVm(child, consoleFile, folder);
  try {
    await vm.prompt(options.bootTimeoutMs ?? 60_000);
  } catch (error) {
    await vm.stop();
    throw error;
  }
  vm.bootMs = Number((process.hrtime.bigint() - startedAt) / 1_000_000n);
  return vm;
}

class RunningVm implements Vm {
  bootMs = 0;
  readonly #child: ChildProcess;
  readonly #consoleFile: string;
  readonly #folder: string;
  #chunks: Buffer[] = [];
  #length = 0;
  #commands = 0;
  #stderr = '';
  #gone: string | null = null;
  #consoleAtEnd = '';
  #wake: (() => void) | null = null;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(child: ChildProcess, consoleFile: string, folder: string) {
    this.#child = child;
    this.#consoleFile = consoleFile;
    this.#folder = folder;
    child.stdout?.on('data', (chunk: Buffer) => this.#take(chunk));
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString('utf8')).slice(-4096);
    });
    child.stdin?.on('error', () => {});
    child.on('error', (error) => this.#end(error.message));
    child.on('close', (code, signal) => this.#end(`QEMU ended (${signal ?? code})`));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Waits for init to say that it takes commands. */
  async prompt(timeoutMs: number): Promise<void> {
    await this.#until(/@@READY\r?\n/, timeoutMs, 'the boot');
  }

  exec(script: string, timeoutMs = 60_000): Promise<VmResult> {
    const run = async (): Promise<VmResult> => {
      if (this.#gone !== null) throw this.#failure(this.#gone);
      const id = ++this.#commands;
      this.#child.stdin?.write(`${id} ${Buffer.from(script, 'utf8').toString('base64')}\n`);
      // The number finds our answer even after an earlier command that ran into its time limit and answered late.
      const end = new RegExp(`\n@@END ${id} (\\d+)\r?\n`);
      const match = await this.#until(end, timeoutMs, JSON.stringify(script.slice(0, 120)));
      return { code: Number(match.value[1]), output: match.before };
    };
    const result = this.#queue.then(run, run);
    this.#queue = result.catch(() => {});
    return result;
  }

  async must(script: string, timeoutMs?: number): Promise<string> {
    const { code, output } = await this.exec(script, timeoutMs);
    if (code !== 0) throw new Error(`exit status ${code} in the VM from: ${script}\n${output.slice(-2000)}`);
    return output;
  }

  consoleText(): string {
    if (this.#gone !== null) return this.#consoleAtEnd;
    return readFileSync(this.#consoleFile, 'utf8');
  }

  async stop(): Promise<void> {
    if (this.#gone === null) {
      this.#child.stdin?.end();
      this.#child.kill('SIGTERM');
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), 3000);
      await new Promise<void>((resolve) =>
        this.#gone === null ? this.#child.once('close', () => resolve()) : resolve(),
      );
      clearTimeout(timer);
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length > OUTPUT_LIMIT) {
      this.#child.kill('SIGKILL');
      this.#end(`a command printed more than ${OUTPUT_LIMIT} bytes`);
    }
    if (chunk.includes('\n')) this.#wake?.();
  }

  #end(reason: string): void {
    if (this.#gone !== null) return;
    try {
      this.#consoleAtEnd = readFileSync(this.#consoleFile, 'utf8');
    } catch {
      this.#consoleAtEnd = '';
    }
    this.#gone = reason;
    this.#wake?.();
  }

  #failure(reason: string): Error {
    const parts = [reason, this.#stderr.trim(), this.consoleText().slice(-1500).trim()].filter((part) => part !== '');
    return new Error(`VM: ${parts.join('\n')}`);
  }

  async #until(pattern: RegExp, timeoutMs: number, what: string): Promise<{ value: RegExpExecArray; before: string }> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const text = Buffer.concat(this.#chunks).toString('utf8');
      const value = pattern.exec(text);
      if (value !== null) {
        const rest = Buffer.from(text.slice(value.index + value[0].length), 'utf8');
        this.#chunks = [rest];
        this.#length = rest.length;
        return { value, before: text.slice(0, value.index) };
      }
      if (this.#gone !== null) throw this.#failure(this.#gone);
      const left = deadline - Date.now();
      if (left <= 0)
        throw this.#failure(`timed out after ${timeoutMs} ms waiting for ${what}; so far: ${text.slice(-500)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
  }
}
