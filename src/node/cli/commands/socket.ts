/** `vmnet socket`: where QEMU's `-netdev stream` connects to, for command lines that `vmnet run` does not make. */

import type { Command } from 'commander';
import { UserError } from '../../../shared/errors.ts';
import { jsonOption, networkName, prose } from '../options.ts';
import type { Context } from '../world.ts';

const DESCRIPTION = `Print the path of a network's stream socket.

Any number of virtual machines connect to it, each as a guest: a frame is a 4-byte length in
network byte order and the Ethernet frame, which is what QEMU (from 7.2) calls -netdev stream.`;

const EXAMPLES = `
Examples:
  vmnet socket vmnet8
      /run/openvmnet/vmnet8.sock
  qemu-system-x86_64 -m 512 -hda disk.img \\
    -netdev stream,id=n0,server=off,addr.type=unix,addr.path=$(vmnet socket vmnet8) \\
    -device virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56
      what \`vmnet run --net vmnet8\` adds by itself
`;

export function define(program: Command, context: Context): void {
  program
    .command('socket')
    .summary("print the path for QEMU's -netdev stream")
    .description(prose(DESCRIPTION))
    .argument('<network>', 'vmnet8, for example', networkName)
    .addOption(jsonOption())
    .addHelpText('after', EXAMPLES)
    .action(async (network: string, options: { json?: boolean }) => {
      const socket = await streamSocketOf(network, context);
      if (options.json) context.printJson({ network, socket: socket.path });
      else context.print(`${socket.path}\n`);
    });
}

/** The stream socket of a network that runs, and its MTU. */
export async function streamSocketOf(network: string, context: Context): Promise<{ path: string; mtu: number }> {
  const { networks } = await (await context.client()).status();
  const found = networks.find((candidate) => candidate.name === network);
  if (found === undefined) {
    throw new UserError('NETWORK_UNKNOWN', {
      network,
      known: networks.map((known) => known.name).join(', ') || 'none',
    });
  }
  if (found.socket === null) {
    const reason = found.warnings[0] ?? `it is ${found.state} and has no stream socket`;
    throw new UserError('NETWORK_UNAVAILABLE', { network, reason });
  }
  return { path: found.socket, mtu: found.mtu };
}
