#!/usr/bin/env node
/** `vmnet`: the command line. Everything is in program.ts; this file only meets the process. */

import { runCli } from './program.ts';
import { processWorld } from './world.ts';

// `vmnet flows | head` closes the pipe early: that is no error. A terminal that is gone (EIO) must not keep `vmnet up`
// from stopping its daemon.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
});
process.stderr.on('error', () => undefined);

process.exitCode = await runCli(process.argv.slice(2), processWorld());
