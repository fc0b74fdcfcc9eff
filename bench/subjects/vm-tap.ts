import { must, run } from '../../scripts/lib/process.ts';
import { tapNetdev } from '../../scripts/lib/qemu-vm.ts';
import { staticAddress, vmSubject } from './vm.ts';

/** A VM on a kernel TAP with all of virtio's offloads, the host one hop away: no NAT, the ceiling for a VM. */
export const vmOnTap = vmSubject('vm-tap', 'VM, kernel TAP', async () => {
  await must(['ip', 'tuntap', 'add', 'tap0', 'mode', 'tap']);
  await must(['ip', 'addr', 'add', '10.96.0.1/24', 'dev', 'tap0']);
  await must(['ip', 'link', 'set', 'tap0', 'up']);
  return {
    netdev: tapNetdev('tap0', '52:54:00:62:65:03'),
    configure: staticAddress('10.96.0.2/24', '10.96.0.1'),
    undo: async () => {
      await run(['ip', 'link', 'del', 'tap0']);
    },
  };
});
