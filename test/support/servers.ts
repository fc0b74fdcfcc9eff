/** The lab's server (scripts/lib/lab-server.ts) as a process of a place. */

import type { Install } from '../../scripts/lib/install.ts';
import type { Place } from '../../scripts/lib/namespace-lab.ts';
import type { Background } from '../../scripts/lib/process.ts';

/** Starts it and waits until all its ports listen. */
export async function startServer(place: Place, install: Install, args: readonly string[] = []): Promise<Background> {
  const server = place.start([process.execPath, install.tool('lab-server'), ...args]);
  await server.expect(/^READY$/m);
  return server;
}
