/** `vmnet leases`: which guest has which address. */

import type { Command } from 'commander';
import type { Lease } from '../../../shared/api.ts';
import { spanText } from '../format.ts';
import { filterOption, jsonOption, prose } from '../options.ts';
import { type Column, table } from '../table.ts';
import type { Context } from '../world.ts';

const DESCRIPTION = `List the addresses that guests have been given.

Every address from a network's lease table, to whom it belongs and until when: guests that asked
by DHCP, and namespaces started by \`vmnet ns\`. Leases are kept on disk over restarts.`;

const EXAMPLES = `
Examples:
  vmnet leases
  vmnet leases --net vmnet8
  vmnet leases --json | jq -r '.[] | select(.name == "web").address'
      the address of the guest web
`;

export function define(program: Command, context: Context): void {
  program
    .command('leases')
    .summary('list addresses given to guests')
    .description(prose(DESCRIPTION))
    .addOption(filterOption())
    .addOption(jsonOption())
    .addHelpText('after', EXAMPLES)
    .action(async (options: { net?: string; json?: boolean }) => {
      const leases = await (await context.client()).leases(options.net);
      if (options.json) context.printJson(leases);
      else if (leases.length === 0) context.print('No leases.\n');
      else context.print(table(columns(Date.now()), leases, context.style));
    });
}

function columns(now: number): Column<Lease>[] {
  return [
    { title: 'NETWORK', value: (lease) => lease.network },
    { title: 'ADDRESS', value: (lease) => lease.address, paint: (text, _lease, style) => style.accent(text) },
    { title: 'MAC', value: (lease) => lease.mac },
    { title: 'NAME', value: (lease) => lease.name ?? '-' },
    { title: 'EXPIRES IN', value: (lease) => remainingText(Date.parse(lease.expiresAt) - now), align: 'right' },
  ];
}

function remainingText(milliseconds: number): string {
  if (!Number.isFinite(milliseconds)) return 'never';
  return milliseconds <= 0 ? 'expired' : spanText(milliseconds);
}
