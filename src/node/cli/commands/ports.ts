/** `vmnet ports`: the cables into the switches, with counters and drops. */

import type { Command } from 'commander';
import type { Port } from '../../../shared/api.ts';
import { bytesText, dropsText } from '../format.ts';
import { filterOption, jsonOption, prose } from '../options.ts';
import { type Column, table } from '../table.ts';
import type { Context } from '../world.ts';

const DESCRIPTION = `List the switch ports of the networks.

A port is one cable into a switch: a guest's NIC (tap: a namespace, stream: a VM), the gateway, the
host adapter, the uplink. FROM GUEST and TO GUEST count Ethernet bytes as the other end of the cable
sees them. DROPS says for every frame that went no further why it did not.`;

const EXAMPLES = `
Examples:
  vmnet ports
  vmnet ports --net vmnet8
  vmnet ports --json | jq '.[] | {name, drops}'
      counted drops by reason
`;

const COLUMNS: readonly Column<Port>[] = [
  { title: 'NETWORK', value: (port) => port.network },
  { title: 'PORT', value: (port) => String(port.port), align: 'right' },
  { title: 'KIND', value: (port) => port.kind },
  { title: 'NAME', value: (port) => port.name ?? '-' },
  { title: 'INTERFACE', value: (port) => port.interface ?? '-' },
  { title: 'PID', value: (port) => (port.pid === null ? '-' : String(port.pid)), align: 'right' },
  { title: 'MAC', value: (port) => several(port.macs) },
  { title: 'ADDRESS', value: (port) => several(port.addresses), paint: (text, _port, style) => style.accent(text) },
  { title: 'FROM GUEST', value: (port) => bytesText(port.rxBytes), align: 'right' },
  { title: 'TO GUEST', value: (port) => bytesText(port.txBytes), align: 'right' },
  {
    title: 'DROPS',
    value: (port) => dropsText(port.drops),
    paint: (text, _port, style) => (text === '-' ? text : style.warn(text)),
  },
];

export function define(program: Command, context: Context): void {
  program
    .command('ports')
    .summary('list switch ports, their traffic and drops')
    .description(prose(DESCRIPTION))
    .addOption(filterOption())
    .addOption(jsonOption())
    .addHelpText('after', EXAMPLES)
    .action(async (options: { net?: string; json?: boolean }) => {
      const ports = await (await context.client()).ports(options.net);
      if (options.json) context.printJson(ports);
      else if (ports.length === 0) context.print('No ports.\n');
      else context.print(table(COLUMNS, ports, context.style));
    });
}

/** The first of several, and how many more. */
function several(texts: readonly string[]): string {
  if (texts.length === 0) return '-';
  return texts.length === 1 ? texts[0]! : `${texts[0]} +${texts.length - 1}`;
}
