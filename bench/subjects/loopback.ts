import { run } from '../../scripts/lib/process.ts';
import type { Guest, Subject } from './subject.ts';

/** No NAT and no guest: the client beside the server, over `lo`. The ceiling, and the check that the servers keep up. */
export const loopback: Subject = {
  name: 'loopback',
  label: 'loopback (no NAT)',
  obstacle: async () => null,
  version: async () => null,
  async start(): Promise<Guest> {
    return {
      async exec(argv, timeoutMs) {
        const { code, stdout, stderr } = await run(argv, { timeoutMs });
        return { code, output: code === 0 ? stdout : stdout + stderr };
      },
      async stop() {},
    };
  },
};
