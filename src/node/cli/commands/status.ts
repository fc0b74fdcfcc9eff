/** `vmnet status`: what runs, as a table and as a picture. */

import type { Command } from 'commander';
import type { NetworkStatus, Status } from '../../../shared/api.ts';
import { bytesText, countText, spanText } from '../format.ts';
import { jsonOption, prose } from '../options.ts';
import type { Style } from '../style.ts';
import { type Column, table } from '../table.ts';
import { topologyText } from '../topology.ts';
import type { Context } from '../world.ts';

const DESCRIPTION = `Show the daemon, its networks, and the topology as a picture.

Each network has a data plane of its own, netd, whose pid is shown. The picture has the guests on the
left of their switch, and on the right what is behind it: the gateway and this host, or nothing.`;

const EXAMPLES = `
Examples:
  vmnet status
  vmnet status --json | jq '.networks[] | {name, subnet, pid}'
  watch -n1 vmnet status
      live
`;

const COLUMNS: readonly Column<NetworkStatus>[] = [
  { title: 'NETWORK', value: (network) => network.name, paint: (text, _network, style) => style.bold(text) },
  { title: 'MODE', value: (network) => network.mode },
  { title: 'SUBNET', value: (network) => network.subnet ?? '-' },
  { title: 'STATE', value: (network) => network.state, paint: paintState },
  { title: 'NETD', value: (network) => (network.pid === null ? '-' : String(network.pid)), align: 'right' },
  { title: 'PORTS', value: (network) => countText(network.ports), align: 'right' },
  { title: 'LEASES', value: (network) => countText(network.leases), align: 'right' },
  { title: 'FLOWS', value: (network) => countText(network.flows), align: 'right' },
  { title: 'RESTARTS', value: (network) => countText(network.restarts), align: 'right' },
  { title: 'MEMORY', value: (network) => (network.pid === null ? '-' : bytesText(network.rssBytes)), align: 'right' },
];

export function define(program: Command, context: Context): void {
  program
    .command('status')
    .summary('show what is running, as a table and a picture')
    .description(prose(DESCRIPTION))
    .addOption(jsonOption())
    .addHelpText('after', EXAMPLES)
    .action(async (options: { json?: boolean }) => {
      const client = await context.client();
      if (options.json) return context.printJson(await client.status());
      const [status, ports, leases] = await Promise.all([client.status(), client.ports(), client.leases()]);
      context.print(statusText(status, context.style));
      context.print(`\n${topologyText(status, ports, leases)}\n`);
    });
}

/** The daemon in a line, the networks as a table, their warnings. */
export function statusText(status: Status, style: Style): string {
  const { daemon } = status;
  const facts = [
    `pid ${daemon.pid}`,
    `up ${spanText(daemon.uptimeSeconds * 1000)}`,
    daemon.runDir,
    daemon.configFile ?? 'no configuration file',
    ...(daemon.rootless ? ['rootless'] : []),
  ];
  const warnings = status.networks.flatMap((network) =>
    network.warnings.map((text) => `${style.warn('warning')} ${network.name}: ${text}\n`),
  );
  const head = `${style.bold(`vmnetd ${daemon.version}`)} · ${facts.join(' · ')}\n\n`;
  return head + table(COLUMNS, status.networks, style) + warnings.join('');
}

function paintState(text: string, network: NetworkStatus, style: Style): string {
  if (network.state === 'running') return style.good(text);
  return network.state === 'restarting' ? style.warn(text) : style.bad(text);
}
