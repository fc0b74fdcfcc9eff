/** An instance on this very machine, by whoever runs us, from this very checkout: for the demo and the bench. */
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { REPOSITORY } from './install.ts';
import { Place } from './namespace-lab.ts';

export function daemonHere(): Daemon {
  const user = process.getuid?.() ?? 0;
  return new Daemon(new Place([], process.env, user === 0, user), {
    root: REPOSITORY,
    cli: join(REPOSITORY, 'dist/node/cli/main.js'),
    tool: (name) => join(REPOSITORY, `dist/tools/scripts/lib/${name}.js`),
    remove() {},
  });
}
