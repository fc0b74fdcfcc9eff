#!/usr/bin/env node
/** `vmnet`: the command line. Everything is in program.ts; this file only meets the process. */

import { runCli } from './program.ts';
import { processWorld } from './world.ts';

// `vmnet flows | head` closes the pipe early: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await runCli(process.argv.slice(2), processWorld());
