/**
 * The root file system of the Linux VM that tests, demo and bench boot: busybox, the virtio modules of Debian's cloud
 * kernel, and an init that takes commands from the second serial port. Nothing is downloaded: everything comes from the
 * packages `linux-image-cloud-amd64` and `busybox-static`, and further programs with their libraries from this machine.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { CHANNEL_LOOP } from './command-channel.ts';
import { type CpioEntry, cpioArchive } from './cpio.ts';

/** A bootable kernel of this machine. */
export interface GuestKernel {
  image: string;
  version: string;
}

/** The newest cloud kernel in /boot, or null where the package is not installed. */
export function findGuestKernel(): GuestKernel | null {
  const versions = (existsSync('/boot') ? readdirSync('/boot') : [])
    .filter((name) => /^vmlinuz-.*-cloud-amd64$/.test(name))
    .map((name) => name.slice('vmlinuz-'.length))
    .filter((version) => existsSync(`/lib/modules/${version}/modules.dep`))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const version = versions.at(-1);
  return version === undefined ? null : { image: `/boot/vmlinuz-${version}`, version };
}

/** The statically linked busybox, or null where it is not installed. */
export function findBusybox(): string | null {
  const path = ['/bin/busybox', '/usr/bin/busybox'].find((candidate) => existsSync(candidate));
  if (path === undefined) return null;
  // A dynamically linked program names its interpreter (PT_INTERP) in its first page.
  return readFileSync(path).subarray(0, 4096).includes('/ld-linux') ? null : path;
}

/**
 * The modules that give the guest a virtio NIC on PCI, in the order to load them: modules.dep lists a module's needs so
 * that they have to be loaded from right to left.
 */
function moduleFiles(version: string): string[] {
  const needs = new Map<string, string[]>();
  for (const line of readFileSync(`/lib/modules/${version}/modules.dep`, 'utf8').split('\n')) {
    const [file, rest] = line.split(':');
    if (file !== undefined && rest !== undefined) needs.set(file, rest.split(' ').filter(Boolean));
  }
  const ordered = new Set<string>();
  for (const wanted of ['virtio_pci', 'virtio_net']) {
    const file = [...needs.keys()].find((path) => path.replace(/\.ko(\.\w+)?$/, '').endsWith(`/${wanted}`));
    if (file === undefined) continue; // built into this kernel
    for (const need of [...(needs.get(file) ?? [])].reverse()) ordered.add(need);
    ordered.add(file);
  }
  return [...ordered].map((file) => `/lib/modules/${version}/${file}`);
}

function moduleBytes(path: string): Buffer {
  const decompress: Record<string, string> = { xz: 'xz', zst: 'zstd', gz: 'gzip' };
  const tool = decompress[path.slice(path.lastIndexOf('.') + 1)];
  return tool === undefined ? readFileSync(path) : execFileSync(tool, ['-dc', path], { maxBuffer: 64 << 20 });
}

/** A program of this machine and the shared libraries that it needs, to be put at the same paths in the guest. */
export function programWithLibraries(program: string): string[] {
  const libraries = execFileSync('ldd', [program], { encoding: 'utf8' })
    .split('\n')
    .map((line) => /(\/\S+) \(0x/.exec(line)?.[1])
    .filter((path) => path !== undefined);
  return [program, ...libraries];
}

/** udhcpc's hook: what a distribution's own script does, no more. */
const UDHCPC_SCRIPT = `#!/bin/sh
case "$1" in
deconfig)
  ip addr flush dev "$interface"
  ip link set "$interface" up
  ;;
bound | renew)
  [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
  ip addr flush dev "$interface"
  ip addr add "$ip/$mask" broadcast "\${broadcast:-+}" dev "$interface"
  for gateway in $router; do ip route add default via "$gateway" dev "$interface"; break; done
  {
    [ -n "$domain" ] && echo "search $domain"
    for server in $dns; do echo "nameserver $server"; done
  } >/etc/resolv.conf
  ;;
esac
exit 0
`;

/**
 * Init: mounts, loads the modules, then serves commands on ttyS1 (see command-channel.ts).
 * The kernel's own messages go to ttyS0.
 */
function initScript(modules: readonly string[]): string {
  return `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /etc /root /sbin /usr/bin /usr/sbin /var/run
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
${modules.map((file) => `insmod ${file}`).join('\n')}
ip link set lo up
hostname guest
exec </dev/ttyS1 >/dev/ttyS1 2>/dev/null
stty raw -echo
channel_file=/tmp/.command
${CHANNEL_LOOP}
reboot -f
`;
}

/** Builds the initramfs for `kernel`; `extraFiles` are copied from this machine to the same paths, symlinks followed. */
export function buildInitramfs(kernel: GuestKernel, busybox: string, extraFiles: readonly string[] = []): Buffer {
  const entries: CpioEntry[] = [];
  const folders = new Set<string>(['.', '/']);
  const addFolder = (path: string): void => {
    if (folders.has(path)) return;
    addFolder(dirname(path));
    folders.add(path);
    entries.push({ path: path.replace(/^\//, ''), mode: 0o755, content: null });
  };
  const addFile = (path: string, content: Uint8Array, mode = 0o755): void => {
    addFolder(dirname(path));
    entries.push({ path: path.replace(/^\//, ''), mode, content });
  };
  addFile('/bin/busybox', readFileSync(busybox));
  const modules = moduleFiles(kernel.version).map((file) => {
    const inside = `/modules/${file.slice(file.lastIndexOf('/') + 1).replace(/\.ko\.\w+$/, '.ko')}`;
    addFile(inside, moduleBytes(file), 0o644);
    return inside;
  });
  addFile('/etc/udhcpc/default.script', Buffer.from(UDHCPC_SCRIPT));
  addFile('/init', Buffer.from(initScript(modules)));
  for (const file of new Set(extraFiles)) addFile(file, readFileSync(realpathSync(file)));
  return cpioArchive(entries);
}
