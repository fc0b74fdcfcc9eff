/**
 * vmnetd, the control plane (DESIGN §3): one process an instance, for all networks.
 *
 * Theory of operation. Order matters for what a failure leaves behind: what only reads comes first (configuration, plan,
 * socket paths), then the lock, then what changes something (subnets kept, netds started, API). Whoever started us hears
 * on `--ready-fd` of readiness or of the one error. Fastify and the schemas load while the netds start.
 *
 * End: SIGTERM, SIGINT, SIGHUP or POST /v1/shutdown stop the netds, remove the sockets, and exit with 0. An end without
 * warning (SIGKILL, a bug) leaves the netds running: the next vmnetd adopts them, or `vmnetd --stop` ends them.
 */

import { closeSync, rmSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { EXIT, UserError } from '../../shared/errors.ts';
import { type Directories, RUN_FILES } from '../../shared/paths.ts';
import { VERSION } from '../version.ts';
import { findReadyFd, parseArguments, USAGE } from './arguments.ts';
import { Daemon } from './daemon.ts';
import { checkSocketPaths, makeDirectories, ownDirectories } from './directories.ts';
import { readHostRoutes } from './host-info.ts';
import { lockInstance } from './instance-lock.ts';
import { endLeftover, leftoverNetworks } from './leftovers.ts';
import { defaultConfig } from './loaded-config.ts';
import { defaultNetdCommand, openLog } from './netd-process.ts';
import { NetdRegistry } from './netd-registry.ts';
import { type NetworkPlan, planNetworks } from './plan.ts';
import { keepSubnets, readKeptSubnets } from './subnets.ts';

/** What the host has run out of: no bug of ours, wherever it is met. */
const HOST_LACKS: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EROFS', 'EMFILE', 'ENFILE'];

// Sockets, logs and leases are for the owner alone.
process.umask(0o077);

let readyFd = findReadyFd(process.argv.slice(2));
try {
  const args = parseArguments(process.argv.slice(2));
  readyFd = args.readyFd;
  if (args.command === 'help') process.stdout.write(USAGE);
  else if (args.command === 'version') process.stdout.write(`${VERSION}\n`);
  else if (args.command === 'stop') await stopLeftovers(ownDirectories());
  else await run(ownDirectories(), args.configFile);
} catch (error) {
  fail(error);
}

async function run(directories: Directories, configFile: string | null): Promise<void> {
  const file = configFile === null ? null : resolve(configFile);
  const loaded = file === null ? defaultConfig() : (await import('./config-file.ts')).loadConfigFile(file);
  const kept = readKeptSubnets(directories.stateDir);
  const plan = planNetworks(loaded, readHostRoutes(), kept);
  checkSocketPaths(
    directories.runDir,
    plan.networks.map(({ name }) => name),
  );
  makeDirectories(directories);
  lockInstance(directories);
  process.chdir('/');
  keepSubnets(directories.stateDir, plan.chosen, kept);
  await serve(directories, file, plan.networks);
}

async function serve(directories: Directories, configFile: string | null, plans: NetworkPlan[]): Promise<void> {
  const { runDir } = directories;
  const loading = Promise.all([import('../api/server.ts'), import('pino')]);
  // A failure is met where it is awaited, when there is something to stop.
  loading.catch(() => undefined);
  const { pino } = await import('pino');
  const log = pino({ base: null }, pino.destination({ fd: openLog(join(runDir, RUN_FILES.log)), sync: true }));
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'vmnetd ends by a bug; its netds go on');
    fail(error);
  });
  let stop: () => void = () => {};
  const asked = new Promise<string>((resolve) => {
    stop = () => resolve('the API');
    for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => resolve(name));
  });
  const daemon = await Daemon.start({
    ...directories,
    plans,
    configFile,
    version: VERSION,
    netdCommand: defaultNetdCommand(),
    log,
    onShutdown: () => stop(),
  });
  const socket = join(runDir, RUN_FILES.api);
  let server: FastifyInstance;
  try {
    const [{ buildServer }] = await loading;
    server = buildServer({ backend: daemon, runDir, logger: log });
    rmSync(socket, { force: true });
    await server.listen({ path: socket });
  } catch (error) {
    await daemon.stop();
    throw error;
  }
  log.info({ pid: process.pid, version: VERSION, ...directories, configFile }, 'vmnetd is ready');
  tell({ ready: true, pid: process.pid });
  log.info({ by: await asked }, 'vmnetd stops');
  await daemon.stop();
  await server.close();
  rmSync(socket, { force: true });
  process.exit(EXIT.OK);
}

/** Ends what a killed vmnetd has left running. With a living one, DAEMON_RUNS: that one is asked over its API. */
async function stopLeftovers(directories: Directories): Promise<void> {
  const { runDir } = directories;
  makeDirectories(directories);
  lockInstance(directories);
  const registry = new NetdRegistry(runDir);
  await Promise.all(leftoverNetworks(runDir, registry).map((network) => endLeftover(runDir, network, registry)));
  rmSync(join(runDir, RUN_FILES.api), { force: true });
  tell({ ready: true, pid: process.pid });
  process.exit(EXIT.OK);
}

/** Says one thing to whoever started us. */
function tell(message: object): void {
  if (readyFd === null) return;
  try {
    writeSync(readyFd, `${JSON.stringify(message)}\n`);
    closeSync(readyFd);
  } catch {
    // Whoever wanted to know is gone.
  }
  readyFd = null;
}

function explain(error: unknown): UserError {
  const { runDir } = ownDirectories();
  if (error instanceof Error && 'code' in error && HOST_LACKS.includes(error.code)) {
    return new UserError('DAEMON_START_FAILED', { reason: error.message, log: join(runDir, RUN_FILES.log) });
  }
  return new UserError('INTERNAL', { reason: String(error), runDir });
}

function fail(error: unknown): never {
  const known = error instanceof UserError ? error : explain(error);
  process.stderr.write(`vmnetd: ${known.message} [${known.code}]\n  ${known.hint}\n`);
  if (!(error instanceof UserError) && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  tell(known.toBody());
  process.exit(known.exitCode);
}
