/** vmnetd's command line. People use `vmnet up`; this is what it starts. */

import { parseArgs } from 'node:util';
import { UserError } from '../../shared/errors.ts';

export const USAGE = `vmnetd: the control plane of openvmnet. \`vmnet up\` starts it, \`vmnet down\` ends it.

  vmnetd [--config FILE] [--ready-fd N]   run in the foreground until SIGTERM or SIGINT
  vmnetd --stop                           end the networks that a killed vmnetd has left running

  --config FILE   networks from this file (vmnet.yaml); without one: vmnet1 (hostonly) and vmnet8 (nat)
  --ready-fd N    write one line of JSON to descriptor N: {"ready":true,"pid":…} or {"error":{code,message,hint}}

  VMNET_RUN_DIR, VMNET_STATE_DIR   directories for sockets and logs, and for leases: separate instances
`;

const DESCRIPTOR = /^[1-9]\d{0,5}$/;

export interface Arguments {
  command: 'run' | 'stop' | 'help' | 'version';
  configFile: string | null;
  readyFd: number | null;
}

/** Reads the command line. Throws USAGE. */
export function parseArguments(args: readonly string[]): Arguments {
  const { values } = parse(args);
  return {
    command: values.help ? 'help' : values.version ? 'version' : values.stop ? 'stop' : 'run',
    configFile: values.config ?? null,
    readyFd: values['ready-fd'] === undefined ? null : descriptorOf(values['ready-fd']),
  };
}

/** The ready descriptor of a command line that may be wrong otherwise: whoever started us wants to hear that, too. */
export function findReadyFd(args: readonly string[]): number | null {
  const text = args[args.indexOf('--ready-fd') + 1];
  return args.includes('--ready-fd') && text !== undefined && DESCRIPTOR.test(text) ? Number(text) : null;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        config: { type: 'string', short: 'f' },
        'ready-fd': { type: 'string' },
        stop: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new UserError('USAGE', {
      problem: error instanceof Error ? error.message : String(error),
      hint: 'See vmnetd --help.',
    });
  }
}

function descriptorOf(text: string): number {
  if (DESCRIPTOR.test(text)) return Number(text);
  throw new UserError('USAGE', { problem: `--ready-fd ${text} is not a descriptor`, hint: 'See vmnetd --help.' });
}
