/** `vmnet run`: QEMU as a guest, by adding the network to its command line. */

import { spawn } from 'node:child_process';
import type { Command } from 'commander';
import { checkCommand, endingOf, exitCodeFrom } from '../child.ts';
import { appendedMac, jsonOption, networksOption, prose, requireFewer } from '../options.ts';
import type { Context } from '../world.ts';
import { streamSocketOf } from './socket.ts';

const DESCRIPTION = `Run a QEMU virtual machine as a guest of a network.

The command is your QEMU command line; -netdev stream and -device virtio-net-pci are added for each
--net, and nothing else is changed. Inside, the VM configures itself by DHCP. Neither root nor a TAP
is needed. QEMU must be 7.2 or newer; from 8.0 on it connects again after the daemon was restarted.
QEMU's exit code is passed on.`;

const EXAMPLES = `
Examples:
  vmnet run --net vmnet8 -- qemu-system-x86_64 -m 512 -hda disk.img
      a VM on the NAT network
  vmnet run --net vmnet8 --name web -- qemu-system-x86_64 -m 512 -hda web.img
      the same MAC at every start, hence the same address
  vmnet run --net vmnet8 --net vmnet1 --dry-run -- qemu-system-x86_64 -m 512
      print the command line for a VM with two NICs
`;

interface RunOptions {
  net?: string[];
  name?: string;
  mac?: string[];
  dryRun?: boolean;
  json?: boolean;
}

export function define(program: Command, context: Context): void {
  program
    .command('run')
    .summary('run a QEMU virtual machine as a guest')
    .description(prose(DESCRIPTION))
    .usage('[options] -- qemu-system-… [ARGUMENTS…]')
    .argument('<command...>', 'the QEMU command line')
    .addOption(networksOption())
    .option('--name <name>', "stable MAC from this name; without it QEMU's own -name, or a random MAC")
    .option('--mac <mac>', 'MAC of a NIC; repeat it in the order of --net', appendedMac)
    .option('--dry-run', 'print the command line instead of running it')
    .addOption(jsonOption())
    .passThroughOptions()
    .addHelpText('after', EXAMPLES)
    .action(async (command: string[], options: RunOptions) => {
      context.exitCode = await runMachine(command, options, context);
    });
}

async function runMachine(command: string[], options: RunOptions, context: Context): Promise<number> {
  const networks = options.net ?? ['vmnet8'];
  requireFewer('--mac', options.mac, networks);
  const program = command[0] ?? '';
  checkCommand(program, context.world.env.PATH, context.world.cwd);
  const { macOf, networkArguments, vmNameOf } = await import('../qemu/arguments.ts');
  const { qemuVersionOf } = await import('../qemu/version.ts');
  const [version, sockets] = await Promise.all([
    qemuVersionOf(program),
    Promise.all(networks.map((network) => streamSocketOf(network, context))),
  ]);
  const name = options.name ?? vmNameOf(command);
  const nics = networks.map((network, i) => {
    const index = networks.slice(0, i).filter((earlier) => earlier === network).length;
    const mac = options.mac?.[i] ?? macOf(network, name, index);
    return { socket: sockets[i]!.path, mtu: sockets[i]!.mtu, mac };
  });
  const line = [...command, ...networkArguments(command, nics, version)];
  if (options.dryRun) {
    const { quoted } = await import('../guest/prologue.ts');
    if (options.json) context.printJson({ command: line });
    else context.print(`${line.map(quoted).join(' ')}\n`);
    return 0;
  }
  return exitCodeFrom(await endingOf(spawn(program, line.slice(1), { stdio: 'inherit' })));
}
