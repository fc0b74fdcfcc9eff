/** An instance on this very machine, by whoever runs us, from this very checkout: for the demo and the bench. */
import { Daemon } from './daemon.ts';
import { installAt, REPOSITORY } from './install.ts';
import { Place } from './namespace-lab.ts';

export function daemonHere(): Daemon {
  const user = process.getuid?.() ?? 0;
  return new Daemon(new Place([], process.env, user === 0, user), installAt(REPOSITORY));
}
