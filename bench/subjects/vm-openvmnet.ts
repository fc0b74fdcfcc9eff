import type { Daemon } from '../../scripts/lib/daemon.ts';
import { streamNetdev } from '../../scripts/lib/qemu-vm.ts';
import { NETWORK_BY_MTU } from './openvmnet.ts';
import type { Subject } from './subject.ts';
import { vmSubject } from './vm.ts';

/** A VM on ours: `-netdev stream` to the network's socket, address and MTU by DHCP. */
export function vmOnOpenvmnet(daemon: Daemon): Subject {
  return onNetwork(daemon, 'vm-openvmnet', 'VM, openvmnet (stream socket)', 1500);
}

/** The same on a network whose guests are told a large MTU (DHCP option 26), which the stream socket carries as it is. */
export function vmOnOpenvmnetJumbo(daemon: Daemon): Subject {
  return onNetwork(daemon, 'vm-openvmnet-65520', 'VM, openvmnet, network with MTU 65520', 65520);
}

function onNetwork(daemon: Daemon, name: string, label: string, mtu: number): Subject {
  return vmSubject(name, label, async () => ({
    netdev: streamNetdev(await daemon.socket(NETWORK_BY_MTU[mtu] ?? 'vmnet8'), '52:54:00:62:65:01'),
    configure: 'udhcpc -i eth0 -n -q -t 10 -O mtu',
  }));
}
