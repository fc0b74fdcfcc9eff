/**
 * Ourselves: one daemon for the whole run with a network for each MTU, guests by `vmnet ns` and QEMU on the network's
 * stream socket.
 */
import type { Daemon } from '../../scripts/lib/daemon.ts';
import { HOLD, Namespace } from '../namespace.ts';
import type { Guest, Subject } from './subject.ts';

/** Which network carries which MTU. */
export const NETWORK_BY_MTU: Record<number, string> = { 1500: 'vmnet8', 65520: 'vmnet9' };

export const BENCH_CONFIG = `networks:
  vmnet8: { mode: nat, subnet: 10.98.8.0/24 }
  vmnet9: { mode: nat, subnet: 10.98.9.0/24, mtu: 65520 }
`;

export function openvmnet(daemon: Daemon): Subject {
  return {
    name: 'openvmnet',
    label: 'openvmnet',
    obstacle: async () => null,
    version: async () => (await daemon.must(['--version'])).trim(),
    async start(mtu): Promise<Guest> {
      const words = ['ns', '--net', NETWORK_BY_MTU[mtu] ?? 'vmnet8', '--mtu', String(mtu), '--', ...HOLD];
      const holder = daemon.place.start(daemon.argv(words), daemon.env);
      try {
        const [, pid] = await holder.expect(/^pid (\d+)$/m);
        const guest = new Namespace(Number(pid));
        await guest.tuneForConnections();
        return {
          exec: guest.exec.bind(guest),
          async stop() {
            process.kill(guest.pid, 'SIGTERM');
            await holder.end(10_000);
          },
        };
      } catch (error) {
        await holder.stop();
        throw error;
      }
    },
  };
}
