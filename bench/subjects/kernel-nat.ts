/**
 * The kernel's own NAT, as containers have it: guest ── veth ── router with nftables' masquerade ── veth ── server. Every
 * offload that veth has stays on. `mtu` holds for both cables.
 */
import { must } from '../../scripts/lib/process.ts';
import { Namespace } from '../namespace.ts';
import { missingProgram } from '../programs.ts';
import type { World } from '../world.ts';
import type { Guest, Subject } from './subject.ts';

const RULES = 'add table ip nat\nadd chain ip nat post { type nat hook postrouting priority 100; }\n';
const MASQUERADE = 'add rule ip nat post oifname "lan0" masquerade\n';

export function kernelNat(world: World): Subject {
  return {
    name: 'kernel',
    label: 'kernel NAT (veth)',
    obstacle: async () => missingProgram('nft', 'nftables'),
    version: async () => null,
    async start(mtu): Promise<Guest> {
      const { router } = world;
      const guest = await Namespace.create();
      const stop = async (): Promise<void> => {
        await guest.stop();
        await router.exec(['nft', 'flush', 'ruleset'], 5000);
        await router.exec(['ip', 'link', 'del', 'inside0'], 5000);
        await setLanMtu(world, 1500);
      };
      try {
        await setLanMtu(world, mtu);
        await router.must(
          'ip',
          'link',
          'add',
          'inside0',
          'type',
          'veth',
          'peer',
          'name',
          'eth0',
          'netns',
          `/proc/${guest.pid}/ns/net`,
        );
        await router.must('ip', 'addr', 'add', '10.97.0.1/24', 'dev', 'inside0');
        await router.must('ip', 'link', 'set', 'inside0', 'mtu', String(mtu), 'up');
        await router.must('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward');
        await must(router.wrap(['nft', '-f', '-']), { input: RULES + MASQUERADE });
        await guest.must('ip', 'addr', 'add', '10.97.0.2/24', 'dev', 'eth0');
        await guest.must('ip', 'link', 'set', 'eth0', 'mtu', String(mtu), 'up');
        await guest.must('ip', 'route', 'add', 'default', 'via', '10.97.0.1');
        await guest.tuneForConnections();
        return { exec: guest.exec.bind(guest), stop };
      } catch (error) {
        await stop();
        throw error;
      }
    },
  };
}

async function setLanMtu(world: World, mtu: number): Promise<void> {
  await must(['ip', 'link', 'set', 'eth0', 'mtu', String(mtu)]);
  await world.router.must('ip', 'link', 'set', 'lan0', 'mtu', String(mtu));
}
