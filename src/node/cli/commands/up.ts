/**
 * `vmnet up`: starts vmnetd. In the foreground its log is followed, and Ctrl-C, TERM or HUP is `vmnet down`; when
 * vmnetd ends by itself, so do we.
 */

import { once } from 'node:events';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { UserError } from '../../../shared/errors.ts';
import { RUN_FILES } from '../../../shared/paths.ts';
import type { StartedDaemon } from '../daemon-process.ts';
import { jsonOption, prose } from '../options.ts';
import type { Context } from '../world.ts';
import { statusText } from './status.ts';

const DESCRIPTION = `Start the daemon and its networks.

Without a file there are two networks, each on a subnet that no route of this host has: vmnet1
(hostonly) and vmnet8 (nat). The subnets are kept from then on. With --detach the command returns
when all is ready; otherwise it shows the log, and Ctrl-C stops everything. An ordinary user gets an
instance of his own, as root gets one; VMNET_RUN_DIR and VMNET_STATE_DIR make further ones.`;

const EXAMPLES = `
Examples:
  vmnet up --detach
      start in the background with the default networks
  vmnet up -f lab.yaml
      start in the foreground with the networks of a file; Ctrl-C ends them
  VMNET_RUN_DIR=/tmp/lab/run VMNET_STATE_DIR=/tmp/lab/state vmnet up --detach
      a second instance beside the first
`;

const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

interface UpOptions {
  file?: string;
  detach?: boolean;
  json?: boolean;
}

export function define(program: Command, context: Context): void {
  program
    .command('up')
    .summary('start the daemon and its networks')
    .description(prose(DESCRIPTION))
    .option('-f, --file <file>', 'configuration (vmnet.yaml); not needed for the defaults')
    .option('-d, --detach', 'return when all is ready')
    .addOption(jsonOption())
    .addHelpText('after', EXAMPLES)
    .action((options: UpOptions) => up(options, context));
}

async function up(options: UpOptions, context: Context): Promise<void> {
  const { startDaemon } = await import('../daemon-process.ts');
  const { runDir } = context.directories;
  const args = options.file === undefined ? [] : ['--config', resolve(context.world.cwd, options.file)];
  if (options.detach) {
    const { child } = await startDaemon(args, runDir);
    child.unref();
    return announce(options, context);
  }

  const { followLog, logLineText, sizeOf } = await import('../follow-log.ts');
  const { styleFor } = await import('../style.ts');
  const log = `${runDir}/${RUN_FILES.log}`;
  const { stderr, env } = context.world;
  const style = styleFor(stderr.isTTY === true, env);
  const show = (line: string) => context.note(`${options.json ? line : logLineText(line, style)}\n`);
  const asked = signalled();
  const stopFollowing = followLog(log, sizeOf(log), show);
  try {
    const started = await startDaemon(args, runDir);
    await announce(options, context);
    if (!options.json) context.note('Ctrl-C stops everything.\n');
    await untilEnd(started, asked, context);
  } finally {
    stopFollowing();
  }
}

/** Says what runs now. */
async function announce(options: UpOptions, context: Context): Promise<void> {
  const status = await (await context.client()).status();
  if (options.json) context.printJson(status);
  else context.print(statusText(status, context.style));
}

/** Resolves at the first signal that asks us to end. */
function signalled(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ENDING_SIGNALS) process.on(signal, () => resolve());
  });
}

/** Until vmnetd has ended, by a signal to us or by itself. */
async function untilEnd(daemon: StartedDaemon, asked: Promise<void>, context: Context): Promise<void> {
  const { child } = daemon;
  const ended = child.exitCode !== null || child.signalCode !== null ? Promise.resolve() : once(child, 'exit');
  const first = await Promise.race([asked.then(() => 'asked' as const), ended.then(() => 'ended' as const)]);
  if (first === 'asked') {
    await (await context.client()).shutdown();
    const { waitForEnd } = await import('../daemon-process.ts');
    await waitForEnd(daemon.pid, context.directories.runDir);
    return;
  }
  if (child.exitCode === 0) return;
  const { endingText } = await import('../daemon-process.ts');
  const { runDir } = context.directories;
  throw new UserError('DAEMON_UNREACHABLE', { runDir, reason: endingText(child), log: `${runDir}/${RUN_FILES.log}` });
}
