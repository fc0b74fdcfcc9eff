/**
 * vmnetd put together: plans, supervisors, host watch, broker, and what the API asks of them.
 *
 * Theory of operation. `Daemon.start` brings all networks up side by side. If one fails, those that were started are
 * stopped, those that had been running before go on as they were, and the first error is thrown: never half a daemon.
 * Networks that ran for an earlier vmnetd and are configured no longer are stopped. From then on everything is events:
 * requests, netds that die, the host's name servers. One timer, every 10 s, looks at the sizes of lease journals.
 */

import { readFileSync } from 'node:fs';
import type { Flows, Guest, GuestRequest, Lease, Port, Status } from '../../shared/api.ts';
import { UserError } from '../../shared/errors.ts';
import type { Directories } from '../../shared/paths.ts';
import type { Backend } from '../api/backend.ts';
import { openRawIcmp } from '../linux/raw-icmp.ts';
import { Broker, type TapOpener } from './broker.ts';
import { type HostFacts, HostWatch } from './host-info.ts';
import { endLeftover, leftoverNetworks } from './leftovers.ts';
import type { Log } from './log.ts';
import { NetdError } from './netd-client.ts';
import { NetdRegistry } from './netd-registry.ts';
import { networkStatus } from './network-status.ts';
import type { NetworkPlan } from './plan.ts';
import { presentFlow, presentLease, presentPort } from './present.ts';
import { Supervisor, type SupervisorContext, TIMING } from './supervisor.ts';

const MAINTENANCE_MS = 10_000;
/** The group that netd runs as when root starts it (nobody). */
const NETD_GROUP = 65_534;

/** What a daemon is made from. */
export interface DaemonOptions extends Directories {
  plans: readonly NetworkPlan[];
  configFile: string | null;
  version: string;
  netdCommand: readonly string[];
  log: Log;
  /** For tests: how TAPs are opened. */
  openTap?: TapOpener;
  /** Called once when the API asks for the end. */
  onShutdown(): void;
}

/** The running control plane. */
export class Daemon implements Backend {
  readonly #options: DaemonOptions;
  readonly #supervisors = new Map<string, Supervisor>();
  readonly #registry: NetdRegistry;
  readonly #broker: Broker;
  readonly #startedAt = Date.now();
  readonly #watch: HostWatch;
  #maintenance: NodeJS.Timeout | null = null;
  #stopping = false;

  private constructor(options: DaemonOptions, facts: HostFacts) {
    this.#options = options;
    this.#registry = new NetdRegistry(options.runDir);
    this.#broker = new Broker(options.openTap);
    this.#watch = new HostWatch(facts, (changed) => void this.#hostChanged(changed));
    const context = this.#context();
    for (const plan of options.plans) {
      if (plan.netd !== null) this.#supervisors.set(plan.name, new Supervisor(plan, plan.netd, context));
    }
  }

  /** Brings all networks up. Rejects with the first {@link UserError}, and then nothing is left of the attempt. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const daemon = new Daemon(options, await HostWatch.look());
    await daemon.#startAll();
    return daemon;
  }

  // ---- what the API asks --------------------------------------------------------------------------------------------

  async status(): Promise<Status> {
    const { version, runDir, stateDir, configFile, plans } = this.#options;
    return {
      daemon: {
        pid: process.pid,
        version,
        uptimeSeconds: Math.floor((Date.now() - this.#startedAt) / 1000),
        runDir,
        stateDir,
        configFile,
        rootless: process.geteuid?.() !== 0,
      },
      networks: await Promise.all(
        plans.map((plan) => networkStatus(plan, this.#supervisors.get(plan.name), this.#watch.facts)),
      ),
    };
  }

  ports(network: string | null): Promise<Port[]> {
    return this.#collect(network, async (supervisor) => {
      const ports = await supervisor.request('ports', {});
      return ports.map((port) => presentPort(supervisor.plan.name, port));
    });
  }

  leases(network: string | null): Promise<Lease[]> {
    return this.#collect(network, async (supervisor) => {
      const leases = await supervisor.request('leases', {});
      const sorted = leases.sort((a, b) => a.address - b.address);
      return sorted.map((lease) => presentLease(supervisor.plan.name, lease));
    });
  }

  async flows(network: string | null, limit: number): Promise<Flows> {
    let total = 0;
    const flows = await this.#collect(network, async (supervisor) => {
      const answer = await supervisor.request('flows', { limit });
      total += answer.total;
      return answer.flows.map((flow) => presentFlow(supervisor.plan.name, flow));
    });
    return { total, flows };
  }

  async attach(network: string, request: GuestRequest): Promise<Guest> {
    const guest = await this.#broker.attach(this.#supervisorOf(network), request);
    this.#options.log.info(
      { network, pid: request.pid, port: guest.port, address: guest.address },
      'a guest was attached',
    );
    return guest;
  }

  async detach(network: string, port: number): Promise<void> {
    const supervisor = this.#supervisorOf(network);
    if (supervisor.guests.get(port) === undefined) {
      const ports = await supervisor.request('ports', {});
      const kind = ports.find((other) => other.port === port)?.kind;
      if (kind === undefined) throw new UserError('PORT_UNKNOWN', { network, port });
      if (kind !== 'tap') throw new UserError('PORT_NOT_DETACHABLE', { network, port, kind });
    }
    await busyIfGone(network, supervisor.detach(port));
  }

  shutdown(): void {
    if (!this.#stopping) this.#options.onShutdown();
  }

  /** Stops every netd and removes the networks' sockets. Never rejects. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#stopWatching();
    await Promise.all([...this.#supervisors.values()].map((supervisor) => supervisor.stop()));
  }

  /** Lets go of every netd, as the end of this process would. */
  abandon(): void {
    this.#stopWatching();
    for (const supervisor of this.#supervisors.values()) supervisor.abandon();
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  #context(): SupervisorContext {
    const { runDir, stateDir, version, netdCommand, log } = this.#options;
    return {
      runDir,
      stateDir,
      version,
      netdCommand,
      log,
      timing: TIMING,
      facts: () => this.#watch.facts,
      openEcho,
      noted: (network) => this.#registry.noted(network),
      note: (network, netd) => this.#registry.note(network, netd),
    };
  }

  async #startAll(): Promise<void> {
    const { runDir, log } = this.#options;
    const supervisors = [...this.#supervisors.values()];
    const outcomes = await Promise.allSettled(supervisors.map((supervisor) => supervisor.start()));
    const failure = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failure !== undefined) {
      const started = supervisors.filter((_, i) => outcomes[i]?.status === 'fulfilled');
      await Promise.all(started.map((supervisor) => supervisor.undoStart()));
      throw failure.reason;
    }
    const unwanted = leftoverNetworks(runDir, this.#registry).filter((network) => !this.#supervisors.has(network));
    for (const network of unwanted) {
      const pid = await endLeftover(runDir, network, this.#registry);
      log.info({ network, pid }, 'stopped a network that is configured no longer');
    }
    this.#watch.start();
    this.#maintenance = setInterval(() => void this.#maintain(), MAINTENANCE_MS).unref();
  }

  async #maintain(): Promise<void> {
    for (const supervisor of this.#supervisors.values()) {
      await supervisor.maintain().catch((error: unknown) => {
        this.#options.log.error(
          { network: supervisor.plan.name, error: String(error) },
          'the lease journal was not compacted',
        );
      });
    }
  }

  async #hostChanged(facts: HostFacts): Promise<void> {
    this.#options.log.info({ facts }, "the host's name servers or address changed");
    await Promise.all([...this.#supervisors.values()].map((supervisor) => supervisor.update(facts)));
  }

  #stopWatching(): void {
    this.#watch.stop();
    if (this.#maintenance !== null) clearInterval(this.#maintenance);
    this.#maintenance = null;
  }

  /** A network that can be asked something. Throws NETWORK_UNKNOWN or NETWORK_UNAVAILABLE. */
  #supervisorOf(network: string): Supervisor {
    if (this.#stopping) throw new UserError('DAEMON_STOPPING', {});
    const supervisor = this.#supervisors.get(network);
    if (supervisor !== undefined) return supervisor;
    const plan = this.#options.plans.find(({ name }) => name === network);
    if (plan !== undefined) throw new UserError('NETWORK_UNAVAILABLE', { network, reason: plan.warnings.join('; ') });
    const known = this.#options.plans.map(({ name }) => name).join(', ');
    throw new UserError('NETWORK_UNKNOWN', { network, known });
  }

  /** The rows of one network, whose errors are told, or of all, where those that cannot answer just now are left out. */
  async #collect<T>(network: string | null, rowsOf: (supervisor: Supervisor) => Promise<T[]>): Promise<T[]> {
    if (network !== null) return busyIfGone(network, rowsOf(this.#supervisorOf(network)));
    const running = [...this.#supervisors.values()].filter(({ state }) => state === 'running');
    const rows = await Promise.all(running.map((supervisor) => rowsOf(supervisor).catch(() => [])));
    return rows.flat();
  }
}

/** netd that ends in the middle of an answer is NETD_BUSY for the client: it is being replaced. */
async function busyIfGone<T>(network: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof NetdError) throw new UserError('NETD_BUSY', { network });
    throw error;
  }
}

/** A raw ICMP socket for a netd that may not open ping sockets, if we may open it; else null. */
function openEcho(): number | null {
  if (process.geteuid?.() !== 0 || mayPingAs(NETD_GROUP)) return null;
  try {
    return openRawIcmp();
  } catch {
    return null;
  }
}

/** Whether net.ipv4.ping_group_range lets a group open ping sockets (icmp(7)). */
function mayPingAs(group: number): boolean {
  const [low = 1, high = 0] = readFileSync('/proc/sys/net/ipv4/ping_group_range', 'utf8')
    .trim()
    .split(/\s+/)
    .map(Number);
  return low <= group && group <= high;
}
