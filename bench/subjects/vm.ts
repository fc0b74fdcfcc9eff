/** A Linux VM as a guest: QEMU without KVM, so that figures compare NICs' back ends under a guest of constant speed. */
import { bootVm, programWithLibraries, type Vm, vmObstacle } from '../../scripts/lib/qemu-vm.ts';
import { missingProgram, packageVersion } from '../programs.ts';
import type { Guest, Subject } from './subject.ts';

export interface Wiring {
  netdev: readonly string[];
  /** A shell script that gives eth0 its address and the default route. */
  configure: string;
  /** Takes back what was made for the NIC. */
  undo?(): Promise<void>;
}

/** Builds a subject from what differs between back ends. Its MTU is 1500, since only some can do otherwise. */
export function vmSubject(name: string, label: string, wire: () => Promise<Wiring>): Subject {
  return {
    name,
    label,
    obstacle: async () => vmObstacle() ?? missingProgram('iperf3', 'iperf3'),
    version: () => packageVersion('qemu-system-x86'),
    async start(): Promise<Guest> {
      const wiring = await wire();
      let vm: Vm | null = null;
      const stop = async (): Promise<void> => {
        await vm?.stop();
        await wiring.undo?.();
      };
      try {
        const booted = await bootVm({ netdevs: [wiring.netdev], extraFiles: programWithLibraries('/usr/bin/iperf3') });
        vm = booted;
        await booted.must(wiring.configure);
        return { exec: (argv, timeoutMs) => booted.exec(argv.join(' '), timeoutMs), stop };
      } catch (error) {
        await stop();
        throw error;
      }
    },
  };
}

/** The script for a static address. */
export function staticAddress(address: string, gateway: string): string {
  return `ip addr add ${address} dev eth0 && ip link set eth0 up && ip route add default via ${gateway}`;
}
