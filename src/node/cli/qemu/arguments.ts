/**
 * What is added to a QEMU command line to make the VM a guest: for every NIC one `-netdev stream`, which connects to
 * the network's socket, and one `-device`. Pure.
 *
 * The additions stand at the end: QEMU places devices without an address in order, so those that the user placed keep
 * their slots. A `-netdev` switches QEMU's default NIC off by itself (system/vl.c, `default_net`), so no `-nic none` is
 * added: it would change nothing, and NICs that the user asks for by `-nic` or `-net` stay.
 */

import { createHash, randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import { type QemuVersion, reconnectOption } from './version.ts';

/** A NIC to add. */
export interface Nic {
  /** Path of the network's stream socket. */
  socket: string;
  mac: string;
  mtu: number;
}

/** QEMU's own default; another MTU is told to the guest's driver by `host_mtu` (VIRTIO_NET_F_MTU). */
const ETHERNET_MTU = 1500;

/** The arguments that make these NICs, with ids that the user's arguments don't use. */
export function networkArguments(command: readonly string[], nics: readonly Nic[], version: QemuVersion): string[] {
  const model = nicModel(command);
  const taken = new Set(command.flatMap((word) => [...word.matchAll(/(?:^|,)id=([^,]*)/g)].map((match) => match[1])));
  let next = 0;
  return nics.flatMap((nic) => {
    while (taken.has(`vmnet-nic${next}`)) next++;
    const id = `vmnet-nic${next++}`;
    const path = nic.socket.replaceAll(',', ',,');
    const mtu = nic.mtu === ETHERNET_MTU ? '' : `,host_mtu=${nic.mtu}`;
    return [
      '-netdev',
      `stream,id=${id},server=off,addr.type=unix,addr.path=${path}${reconnectOption(version)}`,
      '-device',
      `${model},netdev=${id},mac=${nic.mac}${mtu}`,
    ];
  });
}

/** The virtio NIC of the machine that is emulated: s390x and microvm have no PCI. */
function nicModel(command: readonly string[]): string {
  if (basename(command[0] ?? '').endsWith('-s390x')) return 'virtio-net-ccw';
  const machine = optionValue(command, ['-M', '-machine', '--machine']) ?? '';
  const parts = machine.split(',').map((part) => part.replace(/^type=/, ''));
  return parts.includes('microvm') && !parts.includes('pcie=on') ? 'virtio-net-device' : 'virtio-net-pci';
}

/** The name that the user gave the VM by QEMU's own `-name`, null without one. */
export function vmNameOf(command: readonly string[]): string | null {
  const value = optionValue(command, ['-name', '--name']);
  if (value === null) return null;
  const named = value.split(',').find((part) => part.startsWith('guest='));
  const name = named === undefined ? (value.split(',')[0] ?? '') : named.slice('guest='.length);
  return name === '' || name.includes('=') ? null : name;
}

/**
 * The MAC of a NIC: of a named VM always the same, so that its lease and address stay; else a random one. QEMU's 52:54,
 * locally administered, and 32 bits. `index` counts a VM's NICs on one network.
 */
export function macOf(network: string, name: string | null, index: number): string {
  const bits =
    name === null ? randomBytes(4) : createHash('sha256').update(`vm\0${network}\0${name}\0${index}`).digest();
  return ['52', '54', ...[0, 1, 2, 3].map((i) => bits[i]!.toString(16).padStart(2, '0'))].join(':');
}

function optionValue(command: readonly string[], names: readonly string[]): string | null {
  const at = command.findLastIndex((word, i) => i > 0 && names.includes(word));
  return at < 0 ? null : (command[at + 1] ?? null);
}
