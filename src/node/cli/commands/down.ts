/**
 * `vmnet down`: stops vmnetd and every netd. A vmnetd that was killed leaves netds running, by design; `vmnetd --stop`
 * takes them over and ends them. One that hangs is killed first.
 */

import type { Command } from 'commander';
import { UserError } from '../../../shared/errors.ts';
import { jsonOption, prose } from '../options.ts';
import type { Context } from '../world.ts';

const DESCRIPTION = `Stop the daemon and all its networks.

Guests lose their network; leases and chosen subnets are kept for the next \`vmnet up\`. It returns
when every process has ended and the sockets are gone. Networks that a killed daemon has left
running are stopped as well.`;

const EXAMPLES = `
Examples:
  vmnet down
  vmnet down && vmnet up --detach -f lab.yaml
      a new configuration
`;

/** A daemon that takes longer to answer hangs. */
const ANSWER_TIMEOUT_MS = 5000;

export function define(program: Command, context: Context): void {
  program
    .command('down')
    .summary('stop the daemon and all its networks')
    .description(prose(DESCRIPTION))
    .addOption(jsonOption())
    .addHelpText('after', EXAMPLES)
    .action(async (options: { json?: boolean }) => {
      const stopped = await down(context);
      if (options.json) context.printJson(stopped);
      else if (stopped.pid !== null) context.print(`Stopped vmnetd (pid ${stopped.pid}) and its networks.\n`);
      else context.print('Stopped the networks that a killed vmnetd had left running.\n');
    });
}

/** Stops all; resolves to the pid of the vmnetd that ran, null when only netds were left. */
async function down(context: Context): Promise<{ pid: number | null }> {
  const { runDir } = context.directories;
  const processes = await import('../daemon-process.ts');
  const client = await context.client(ANSWER_TIMEOUT_MS);
  try {
    const { daemon } = await client.status();
    await client.shutdown();
    await processes.waitForEnd(daemon.pid, runDir);
    return { pid: daemon.pid };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    if (error.code === 'DAEMON_UNREACHABLE') {
      const hanging = processes.lockedPid(runDir);
      if (hanging === null) throw error;
      process.kill(hanging, 'SIGKILL');
      await processes.waitForEnd(hanging, runDir);
      await processes.stopLeftovers(runDir);
      return { pid: hanging };
    }
    if (error.code !== 'DAEMON_NOT_RUNNING' || !processes.hasLeftovers(runDir)) throw error;
    await processes.stopLeftovers(runDir);
    return { pid: null };
  }
}
