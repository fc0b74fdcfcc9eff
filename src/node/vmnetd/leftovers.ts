/**
 * Ends netds that no vmnetd looks after: those of networks that are no longer configured, and, for `vmnetd --stop`, all
 * that a killed vmnetd has left running. They are found by their control sockets and by the registry.
 */

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { RUN_FILES } from '../../shared/paths.ts';
import { NetdClient } from './netd-client.ts';
import type { NetdRegistry } from './netd-registry.ts';
import { identify, signal, waitUntilGone } from './process-identity.ts';

const HELLO_TIMEOUT_MS = 2000;
const STOP_TIMEOUT_MS = 3000;

/** Names of networks whose netds were left behind in a run directory, or at least their sockets. */
export function leftoverNetworks(runDir: string, registry: NetdRegistry): string[] {
  const suffix = RUN_FILES.control('');
  const names = readdirSync(runDir)
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length));
  return [...new Set([...names, ...registry.networks()])];
}

/** Ends the netd of a network, kindly and then not, and removes its sockets. Returns its pid; null when none ran. */
export async function endLeftover(runDir: string, network: string, registry: NetdRegistry): Promise<number | null> {
  const control = join(runDir, RUN_FILES.control(network));
  let netd = registry.noted(network);
  const client = await NetdClient.connect(control).catch(() => null);
  if (client !== null) {
    const hello = await client.request('hello', {}, HELLO_TIMEOUT_MS).catch(() => null);
    netd = identify(hello?.pid ?? 0) ?? netd;
    await client.request('stop', {}, STOP_TIMEOUT_MS).catch(() => null);
    client.close();
  }
  let ended: number | null = null;
  if (netd !== null) {
    const gone = client !== null && (await waitUntilGone(netd, STOP_TIMEOUT_MS));
    if (gone || signal(netd, 'SIGKILL')) ended = netd.pid;
    await waitUntilGone(netd, STOP_TIMEOUT_MS);
  }
  rmSync(control, { force: true });
  rmSync(join(runDir, RUN_FILES.stream(network)), { force: true });
  registry.note(network, null);
  return ended;
}
