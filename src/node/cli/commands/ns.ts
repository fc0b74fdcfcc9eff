/**
 * `vmnet ns`: a command as a guest in a fresh namespace. The daemon is asked for the NICs once the namespace is there
 * (a TAP is made inside of it); whatever fails before the command starts ends the namespace and leaves nothing.
 */

import type { Command } from 'commander';
import type { Guest, GuestRequest } from '../../../shared/api.ts';
import { checkCommand, exitCodeFrom, findTool } from '../child.ts';
import type { Client } from '../client.ts';
import { appendedPrefix, guestName, jsonOption, networksOption, prose, requireFewer, wholeNumber } from '../options.ts';
import type { Context } from '../world.ts';

const DESCRIPTION = `Run a command as a guest of a network.

The command gets a network namespace of its own with NICs eth0, eth1, …, one for each --net, an
address from the network's lease table, a default route and a resolv.conf. Everything else is
this host's: files, users, processes. It works for root and for ordinary users (there the command
sees itself as root, in a user namespace). Its exit code is passed on; the guest ends with it.`;

const EXAMPLES = `
Examples:
  vmnet ns --net vmnet8 -- curl http://example.com/
      one request through NAT
  vmnet ns --net vmnet8 --name web -- python3 -m http.server
      a server that other guests find as web.vmnet.internal
  vmnet ns --net vmnet8 --net vmnet1 --ip 192.168.88.10/24 -- bash
      a shell with two NICs, the first with a static address
`;

interface NsOptions {
  net?: string[];
  name?: string;
  mtu?: number;
  ip?: string[];
}

/** Time for the daemon to forget a guest that has ended: it notices by itself as well. */
const FAREWELL_MS = 1000;

export function define(program: Command, context: Context): void {
  program
    .command('ns')
    .summary('run a command as a guest, in a network namespace')
    .description(prose(DESCRIPTION))
    .usage('[options] -- COMMAND [ARGUMENTS…]')
    .argument('<command...>', 'what to run')
    .addOption(networksOption())
    .option(
      '--name <name>',
      'name for DNS and leases; its MAC stays the same, its address while the network runs',
      guestName,
    )
    .option('--mtu <bytes>', "MTU of the NICs instead of the network's", wholeNumber(576, 65520))
    .option('--ip <address/len>', 'static address of a NIC; repeat it in the order of --net', appendedPrefix)
    .addOption(jsonOption().hideHelp())
    .passThroughOptions()
    .addHelpText('after', EXAMPLES)
    .action(async (command: string[], options: NsOptions) => {
      context.exitCode = await runGuest(command, options, context);
    });
}

async function runGuest(command: string[], options: NsOptions, context: Context): Promise<number> {
  const { world, directories } = context;
  const networks = options.net ?? ['vmnet8'];
  requireFewer('--ip', options.ip, networks);
  const path = world.env.PATH;
  checkCommand(command[0] ?? '', path, world.cwd);
  const tools = {
    ip: findTool('ip', 'iproute2', path),
    mount: findTool('mount', 'mount', path),
    umount: findTool('umount', 'mount', path),
    stage: directories.runDir,
  };
  const { holdGuest } = await import('../guest/namespace.ts');
  const { settingsText } = await import('../guest/prologue.ts');
  const guest = holdGuest(command, world.uid === 0, path);
  const client = await context.client();
  try {
    await guest.ready();
    const nics: Guest[] = [];
    for (const [i, network] of networks.entries()) {
      nics.push(await client.addGuest(network, requestFor(guest.pid, i, options)));
    }
    await guest.start(settingsText(nics, tools));
  } catch (error) {
    const before = await guest.abandon();
    if (before !== null && before.signal !== null) return exitCodeFrom(before);
    throw error;
  }
  const ending = await guest.ending;
  await Promise.all([...new Set(networks)].map((network) => forget(context, network, guest.pid)));
  return exitCodeFrom(ending);
}

function requestFor(pid: number, index: number, options: NsOptions): GuestRequest {
  const request: GuestRequest = { pid, interface: `eth${index}` };
  if (options.name !== undefined) request.name = options.name;
  if (options.mtu !== undefined) request.mtu = options.mtu;
  const address = options.ip?.[index];
  if (address !== undefined) request.address = address;
  return request;
}

/**
 * Takes the guest's ports away now, if the daemon has not noticed its end yet. They are found by pid: after a restart
 * of netd the number of a port may be another guest's. A daemon that is gone is no error of ours.
 */
async function forget(context: Context, network: string, pid: number): Promise<void> {
  try {
    const client: Client = await context.client(FAREWELL_MS);
    const ports = await client.ports(network);
    const ours = ports.filter((port) => port.kind === 'tap' && port.pid === pid);
    await Promise.all(ours.map((port) => client.removeGuest(network, port.port)));
  } catch {
    // The daemon sees the end of the process by itself.
  }
}
