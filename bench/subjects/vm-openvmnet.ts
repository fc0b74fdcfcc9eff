import type { Daemon } from '../../scripts/lib/daemon.ts';
import { streamNetdev } from '../../scripts/lib/qemu-vm.ts';
import type { Subject } from './subject.ts';
import { vmSubject } from './vm.ts';

/** A VM on ours: `-netdev stream` to the network's socket, address by DHCP. */
export function vmOnOpenvmnet(daemon: Daemon): Subject {
  return vmSubject('vm-openvmnet', 'VM, openvmnet (stream socket)', async () => ({
    netdev: streamNetdev(await daemon.socket('vmnet8'), '52:54:00:62:65:01'),
    configure: 'udhcpc -i eth0 -n -q -t 10',
  }));
}
