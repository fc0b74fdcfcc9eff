/**
 * The command line as a whole: which verbs there are, how a verb's file is found, what is printed when it fails. One
 * file a verb in commands/, loaded only when it is the one asked for; its heavier parts are imported by its action.
 */

import { Command, CommanderError } from 'commander';
import { UserError } from '../../shared/errors.ts';
import { failureOf, failureText } from './failure.ts';
import { prose } from './options.ts';
import { PLAIN, styleFor } from './style.ts';
import type { Context, World } from './world.ts';
import { contextOf } from './world.ts';

/** What each file of commands/ exports. */
export interface CommandModule {
  define(program: Command, context: Context): void;
}

/** The verbs in the order of the help text. */
const VERBS: Readonly<Record<string, () => Promise<CommandModule>>> = {
  up: () => import('./commands/up.ts'),
  down: () => import('./commands/down.ts'),
  status: () => import('./commands/status.ts'),
  ns: () => import('./commands/ns.ts'),
  run: () => import('./commands/run.ts'),
  socket: () => import('./commands/socket.ts'),
  ports: () => import('./commands/ports.ts'),
  leases: () => import('./commands/leases.ts'),
  flows: () => import('./commands/flows.ts'),
};

const INTRODUCTION = `Virtual networks for virtual machines, containers and namespaces.

A network is a virtual Ethernet switch named vmnet0, vmnet1, …; its mode says what is behind
the switch: nat (the Internet, through ordinary sockets of this host), hostonly, or a LAN.
Two exist without any configuration: vmnet1 (hostonly) and vmnet8 (nat).`;

const FIRST_STEPS = `
First steps:
  vmnet up --detach                      start the networks
  vmnet ns --net vmnet8 -- bash          a shell as a guest of the NAT network
  vmnet run --net vmnet8 -- qemu-system-x86_64 -m 512 -hda disk.img
                                         a virtual machine as a guest
  vmnet status                           what is running, as a picture
  vmnet down                             stop everything

Environment:
  VMNET_RUN_DIR, VMNET_STATE_DIR         where an instance lives; set both to run several
  NO_COLOR                               no colour on a terminal
`;

/** Runs one command line; resolves to the exit code. Never rejects. */
export async function runCli(argv: readonly string[], world: World): Promise<number> {
  const context = contextOf(world, styleFor(world.stdout.isTTY === true, world.env));
  try {
    const program = await buildProgram(argv, context);
    if (argv.length === 0) {
      program.outputHelp();
      return 0;
    }
    await program.parseAsync(argv, { from: 'user' });
    return context.exitCode;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    const failure = failureOf(
      thrown instanceof CommanderError ? usageError(thrown, argv) : thrown,
      context.directories.runDir,
    );
    const json = jsonWanted(argv);
    world.stderr.write(failureText(failure, json, json ? PLAIN : styleFor(world.stderr.isTTY === true, world.env)));
    if (failure.error.code === 'INTERNAL' && world.env.VMNET_DEBUG && thrown instanceof Error) {
      world.stderr.write(`${thrown.stack}\n`);
    }
    return failure.exitCode;
  }
}

async function buildProgram(argv: readonly string[], context: Context): Promise<Command> {
  const program = new Command('vmnet');
  const { world } = context;
  const outputWidth = (output: World['stdout']) => (output.isTTY ? Math.min(output.columns ?? 80, 100) : 80);
  program
    .description(prose(INTRODUCTION))
    .usage('<command> [options]')
    .enablePositionalOptions()
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show the help of a command, with examples')
    .exitOverride()
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({
      writeOut: (text) => void world.stdout.write(text),
      writeErr: (text) => void world.stderr.write(text),
      outputError: () => undefined,
      getOutHelpWidth: () => outputWidth(world.stdout),
      getErrHelpWidth: () => outputWidth(world.stderr),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .addHelpText('after', FIRST_STEPS);
  const asked = argv.find((word) => !word.startsWith('-'));
  const wanted = asked !== undefined && Object.hasOwn(VERBS, asked) ? [asked] : Object.keys(VERBS);
  if (wanted.length > 1) program.version((await import('../version.ts')).VERSION, '-V, --version', 'show the version');
  const modules = await Promise.all(wanted.map((verb) => VERBS[verb]!()));
  for (const module of modules) module.define(program, context);
  return program;
}

/** Whether errors are to be JSON: `--json` before the program to run begins. */
function jsonWanted(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? undefined : end).includes('--json');
}

/** What commander found wrong, in our terms. */
function usageError(error: CommanderError, argv: readonly string[]): UserError {
  const [problem = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = rest.map((line) => line.trim()).find((line) => line !== '');
  const verb = argv.find((word) => Object.hasOwn(VERBS, word));
  const help = `\`vmnet ${verb === undefined ? '' : `${verb} `}--help\` shows how it is meant.`;
  return new UserError('USAGE', {
    problem: problem.charAt(0).toUpperCase() + problem.slice(1),
    hint: suggestion === undefined ? help : `${suggestion.replace(/^\((.*)\)$/, '$1')} ${help}`,
  });
}
