/** `vmnet flows`: every conversation that a gateway proxies, with both of its sides. */

import type { Command } from 'commander';
import type { Flow } from '../../../shared/api.ts';
import { bytesText, plural, spanText } from '../format.ts';
import { filterOption, jsonOption, prose, wholeNumber } from '../options.ts';
import { type Column, table } from '../table.ts';
import type { Context } from '../world.ts';

const DESCRIPTION = `List the conversations that the gateways proxy.

A NAT network opens every connection of a guest anew, with an ordinary socket of this host. A row
shows both sides: GUEST is the guest's address and what it asked for, HOST SOCKET the socket's own
address and its peer. PID and FD name that socket: \`lsof -p PID\` lists the same descriptor.`;

const EXAMPLES = `
Examples:
  vmnet flows
  vmnet flows --net vmnet8 --limit 20
  vmnet flows --json | jq '.[] | select(.protocol == "tcp") | .host'
      host sockets of all TCP flows
`;

const COLUMNS: readonly Column<Flow>[] = [
  { title: 'NETWORK', value: (flow) => flow.network },
  { title: 'PROTO', value: (flow) => flow.protocol },
  { title: 'STATE', value: (flow) => flow.state },
  {
    title: 'GUEST',
    value: (flow) => `${flow.guest.endpoint} → ${flow.guest.our}`,
    paint: (text, _flow, style) => style.accent(text),
  },
  { title: 'HOST SOCKET', value: (flow) => `${flow.host.our} → ${flow.host.endpoint}` },
  { title: 'PID', value: (flow) => String(flow.host.pid), align: 'right' },
  { title: 'FD', value: (flow) => String(flow.host.fd), align: 'right' },
  { title: 'FROM GUEST', value: (flow) => bytesText(flow.rxBytes), align: 'right' },
  { title: 'TO GUEST', value: (flow) => bytesText(flow.txBytes), align: 'right' },
  { title: 'AGE', value: (flow) => spanText(flow.ageMs), align: 'right' },
  { title: 'IDLE', value: (flow) => spanText(flow.idleMs), align: 'right' },
];

export function define(program: Command, context: Context): void {
  program
    .command('flows')
    .summary('list proxied conversations, both sides')
    .description(prose(DESCRIPTION))
    .addOption(filterOption())
    .option('--limit <count>', 'at most so many of each network', wholeNumber(1, 10_000))
    .addOption(jsonOption())
    .addHelpText('after', EXAMPLES)
    .action(async (options: { net?: string; limit?: number; json?: boolean }) => {
      const { total, flows } = await (await context.client()).flows(options.net, options.limit);
      if (options.json) return context.printJson(flows);
      if (flows.length === 0) return context.print('No flows.\n');
      context.print(table(COLUMNS, flows, context.style));
      if (total > flows.length) context.note(`${flows.length} of ${plural(total, 'flow')}; --limit shows more.\n`);
    });
}
