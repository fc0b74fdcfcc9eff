import { userNetdev } from '../../scripts/lib/qemu-vm.ts';
import { staticAddress, vmSubject } from './vm.ts';

/** A VM on QEMU's own `-netdev user`: libslirp inside of the QEMU process. */
export const vmOnUserNetdev = vmSubject('vm-user', 'VM, -netdev user', async () => ({
  netdev: userNetdev('52:54:00:62:65:02'),
  configure: staticAddress('10.0.2.15/24', '10.0.2.2'),
}));
