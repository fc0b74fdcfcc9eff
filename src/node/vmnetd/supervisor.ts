/**
 * Keeps one network's netd running.
 *
 * Theory of operation. `start` looks whether a netd listens on `<run>/<network>.ctl` already: one of this version and
 * with this configuration is *adopted* (its descriptors come back by SCM_RIGHTS, not a frame is lost); any other is
 * *replaced*, and keeps its guests where the subnet is the same. Otherwise one is spawned. vmnetd holds a duplicate of
 * everything that netd holds (stream listener, raw ICMP socket, TAP and pidfd of every namespace guest), so when netd
 * dies, a new one is started and handed them again.
 *
 * ```
 *            start                  netd died                  5 attempts failed
 *  stopped ────────▶ starting ──▶ running ──▶ restarting ──────────────▶ failed
 *                        │           ▲            │  ▲                     │
 *                        ▼ throws    └────────────┘  └── attempts go on ───┘
 *                     stopped          ready again
 * ```
 *
 * Timers: attempts after 0.1 s, doubling up to 5 s; a netd that has lived for 10 s begins at 0.1 s again. A netd has
 * 10 s to answer after its start and 3 s to stop, then it is killed, after its identity was checked (pid and start time).
 * Who calls it: daemon.ts, one supervisor a network. Nothing here runs once a frame.
 */

import { closeSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../shared/errors.ts';
import { RUN_FILES, STATE_FILES } from '../../shared/paths.ts';
import { closeAll } from '../linux/unix-fd.ts';
import { listenUnix } from '../linux/unix-stream.ts';
import type { AttachResult, AttachTap, NetdConfig, Op, Requests } from '../netd/protocol.ts';
import { type HeldGuest, HeldGuests } from './held-guests.ts';
import type { HostFacts } from './host-info.ts';
import { compactJournal, JOURNAL_COMPACT_BYTES, loadJournal, openJournal } from './lease-journal.ts';
import type { Log } from './log.ts';
import { type HeldByNetd, NetdClient, NetdError } from './netd-client.ts';
import { sameConfig, sameSubnet } from './netd-config.ts';
import { endProcess, NetdSession, type SessionOptions, type SessionTiming } from './netd-session.ts';
import type { NetdPlan, NetworkPlan } from './plan.ts';
import type { ProcessIdentity } from './process-identity.ts';

const ATTEMPTS_UNTIL_FAILED = 5;

/** Milliseconds. Tests have shorter ones. */
export const TIMING: SupervisorTiming = {
  backoffFirst: 100,
  backoffMax: 5000,
  livedLong: 10_000,
  start: 10_000,
  hello: 2000,
  stop: 3000,
};

export interface SupervisorTiming extends SessionTiming {
  /** Wait before the first attempt to restart, and the longest. */
  backoffFirst: number;
  backoffMax: number;
  /** A netd that lived so long begins with the first back-off again. */
  livedLong: number;
}

/** What a supervisor needs of the daemon around it. */
export interface SupervisorContext {
  readonly runDir: string;
  readonly stateDir: string;
  readonly version: string;
  readonly netdCommand: readonly string[];
  readonly log: Log;
  readonly timing: SupervisorTiming;
  facts(): HostFacts;
  /** A raw ICMP socket for the network to own, where one is needed and permitted; else null. */
  openEcho(): number | null;
  /** Which process an earlier vmnetd noted as this network's netd. */
  noted(network: string): ProcessIdentity | null;
  /** The netd of a network is another one now. */
  note(network: string, netd: ProcessIdentity | null): void;
}

export type SupervisorState = 'stopped' | 'starting' | 'running' | 'restarting' | 'failed' | 'stopping';

/** One network and its netd. */
export class Supervisor {
  readonly plan: NetworkPlan;
  readonly guests = new HeldGuests();
  readonly #netdPlan: NetdPlan;
  readonly #context: SupervisorContext;
  readonly #sessionOptions: SessionOptions;
  readonly #controlPath: string;
  readonly #streamPath: string;
  readonly #logPath: string;
  readonly #journalPath: string;
  #state: SupervisorState = 'stopped';
  #session: NetdSession | null = null;
  /** Guests that have lost their netd, to be handed to the next one. */
  #waiting: HeldGuest[] = [];
  #stream: number | null = null;
  #echo: number | null = null;
  #timer: NodeJS.Timeout | null = null;
  #restarting: Promise<void> | null = null;
  #backoffMs: number;
  #attempts = 0;
  #runningSince = 0;
  #adopted = false;
  /** How often netd was replaced because it died. */
  restarts = 0;

  constructor(plan: NetworkPlan, netdPlan: NetdPlan, context: SupervisorContext) {
    this.plan = plan;
    this.#netdPlan = netdPlan;
    this.#context = context;
    this.#backoffMs = context.timing.backoffFirst;
    this.#controlPath = join(context.runDir, RUN_FILES.control(plan.name));
    this.#streamPath = join(context.runDir, RUN_FILES.stream(plan.name));
    this.#logPath = join(context.runDir, RUN_FILES.netdLog(plan.name));
    this.#journalPath = join(context.stateDir, STATE_FILES.leases(plan.name));
    this.#sessionOptions = {
      place: { runDir: context.runDir, controlPath: this.#controlPath, logPath: this.#logPath },
      timing: context.timing,
      onEvent: (event) => {
        if (event.event === 'removed') this.guests.remove(event.port);
      },
      onDeath: (session) => {
        if (session === this.#session) this.#netdDied();
      },
    };
  }

  get state(): SupervisorState {
    return this.#state;
  }

  get pid(): number | null {
    return this.#state === 'running' ? (this.#session?.process?.pid ?? null) : null;
  }

  get streamPath(): string {
    return this.#streamPath;
  }

  /** Adopts or starts the netd; rejects with a {@link UserError}, and then has taken back what it did. */
  async start(): Promise<void> {
    this.#state = 'starting';
    try {
      this.#adopted = await this.#adopt();
      if (!this.#adopted) await this.#launch();
      this.#becomeRunning();
    } catch (error) {
      await this.stop();
      throw error instanceof UserError ? error : this.#startFailed(error);
    }
  }

  /** Stops netd and removes the network's sockets. Never rejects. */
  async stop(): Promise<void> {
    this.#state = 'stopping';
    this.#clearTimer();
    await this.#restarting;
    await this.#endSession();
    this.#release();
    rmSync(this.#controlPath, { force: true });
    rmSync(this.#streamPath, { force: true });
    this.#context.note(this.plan.name, null);
    this.#state = 'stopped';
  }

  /** Undoes `start`: a netd that was adopted goes on as it did before, one that was started is stopped. */
  async undoStart(): Promise<void> {
    if (this.#adopted) this.abandon();
    else await this.stop();
  }

  /** Lets go of the netd, which goes on by itself until another vmnetd adopts it. */
  abandon(): void {
    this.#state = 'stopped';
    this.#clearTimer();
    this.#session?.leave();
    this.#session = null;
    this.#release();
  }

  /** Asks netd; rejects with NETD_BUSY while there is none, or with a {@link NetdError}. */
  request<O extends Op>(op: O, params: Requests[O]['params'], timeoutMs?: number): Promise<Requests[O]['result']> {
    return this.#running().request(op, params, timeoutMs);
  }

  /** Gives netd a guest. From success on the descriptors belong to the supervisor, before that to the caller. */
  async attach(guest: HeldGuest): Promise<AttachResult> {
    this.#running();
    const result = await this.#attachTap(guest);
    this.guests.add(result.port, guest);
    return result;
  }

  /** Takes a guest's cable away: its interface vanishes. Rejects with a {@link NetdError} for a port that netd does not know. */
  async detach(port: number): Promise<void> {
    await this.request('detach', { port });
    this.guests.remove(port);
  }

  /** Tells netd what changed on the host. */
  async update(facts: HostFacts): Promise<void> {
    if (this.#state === 'running') await this.#tell(facts);
  }

  /** Compacts the lease journal if it has grown too large. */
  async maintain(): Promise<void> {
    if (this.#state !== 'running' || statSync(this.#journalPath).size <= JOURNAL_COMPACT_BYTES) return;
    const compaction = compactJournal(this.#journalPath, Date.now());
    try {
      await NetdClient.requestWithDescriptors(this.#controlPath, 'journal', {}, [compaction.fd]);
    } finally {
      compaction.finish();
      closeSync(compaction.fd);
    }
  }

  #running(): NetdClient {
    if (this.#state === 'running' && this.#session !== null) return this.#session.client;
    throw new UserError('NETD_BUSY', { network: this.plan.name });
  }

  #dynamic({ resolvers, hostAddress }: HostFacts): Pick<NetdConfig, 'resolvers' | 'hostAddress'> {
    return { resolvers: this.plan.resolvers ?? resolvers, hostAddress };
  }

  // ---- adoption -----------------------------------------------------------------------------------------------------

  /** Takes over a netd that runs already; false when there is none, or it had to be stopped to be replaced. */
  async #adopt(): Promise<boolean> {
    const { noted, note, log, timing, version, facts } = this.#context;
    const before = noted(this.plan.name);
    const found = await NetdSession.discover(before, this.#sessionOptions);
    if (found === null) {
      // One that runs, but listens no more, would keep what it holds of the host.
      await endProcess(before, timing.stop);
      return false;
    }
    const { session, hello } = found;
    this.#session = session;
    const config = hello?.config ?? null;
    const mayKeep = config !== null && sameSubnet(config, this.#netdPlan);
    const held = mayKeep ? await NetdClient.fetchDescriptors(this.#controlPath).catch(() => null) : null;
    if (held !== null) this.#takeOver(held);
    const isSame = hello?.version === version && config !== null && sameConfig(config, this.#netdPlan);
    const details = { network: this.plan.name, pid: session.process?.pid, version: hello?.version };
    if (held !== null && isSame && (await this.#tell(facts()))) {
      note(this.plan.name, session.process);
      log.info(details, 'adopted a running netd');
      return true;
    }
    log.info({ ...details, keepsGuests: held !== null }, 'replacing a running netd');
    await this.#endSession();
    return false;
  }

  /** Tells netd what holds on the host now; false when it can't be told. */
  async #tell(facts: HostFacts): Promise<boolean> {
    try {
      await this.#session?.client.request('update', this.#dynamic(facts));
      return true;
    } catch (error) {
      this.#context.log.warn({ network: this.plan.name, error: String(error) }, 'netd could not be told of the host');
      return false;
    }
  }

  /** Keeps what a running netd has sent: its guests, its stream listener and its raw socket. */
  #takeOver({ taps, fds, descriptors }: HeldByNetd): void {
    const guests = taps.map(({ port, ...attach }, i) => ({
      port,
      guest: { attach, tap: descriptors[2 * i] ?? -1, pidfd: descriptors[2 * i + 1] ?? -1 },
    }));
    for (const { port, guest } of guests) this.guests.add(port, guest);
    const others = descriptors.slice(2 * taps.length);
    for (const [i, name] of fds.entries()) {
      const fd = others[i];
      if (fd === undefined) continue;
      if (name === 'stream') this.#stream = fd;
      else if (name === 'icmp') this.#echo = fd;
      else closeSync(fd);
    }
    closeAll(others.slice(fds.length));
  }

  // ---- start and restart --------------------------------------------------------------------------------------------

  /** Spawns a netd, configures it, and gives it the guests that are held. */
  async #launch(): Promise<void> {
    const session = await NetdSession.launch(this.#context.netdCommand, this.#sessionOptions);
    this.#session = session;
    this.#context.note(this.plan.name, session.process);
    try {
      await this.#sendStart();
    } catch (error) {
      throw await session.explain(error);
    }
    await this.#handGuestsAgain();
  }

  async #sendStart(): Promise<void> {
    const leases = this.#netdPlan.dhcp === null ? [] : loadJournal(this.#journalPath, Date.now());
    const journal = openJournal(this.#journalPath);
    try {
      this.#stream ??= listenUnix(this.#streamPath);
      this.#echo ??= this.#netdPlan.mode === 'nat' ? this.#context.openEcho() : null;
      const config: NetdConfig = { ...this.#netdPlan, ...this.#dynamic(this.#context.facts()), leases };
      const names: Requests['start']['params']['fds'] =
        this.#echo === null ? ['stream', 'journal'] : ['stream', 'journal', 'icmp'];
      const descriptors = this.#echo === null ? [this.#stream, journal] : [this.#stream, journal, this.#echo];
      await NetdClient.requestWithDescriptors(this.#controlPath, 'start', { config, fds: names }, descriptors);
    } finally {
      closeSync(journal);
    }
  }

  /** Gives a fresh netd the guests of its predecessor. One that it refuses is lost; if it ends meanwhile, the rest waits. */
  async #handGuestsAgain(): Promise<void> {
    this.#waiting.push(...this.guests.takeLiving());
    for (let guest = this.#waiting[0]; guest !== undefined; guest = this.#waiting[0]) {
      try {
        const { port } = await this.#attachTap(guest);
        this.#waiting.shift();
        this.guests.add(port, guest);
      } catch (error) {
        if (!(error instanceof NetdError) || error.code === 'CLOSED' || error.code === 'TIMED_OUT') throw error;
        this.#waiting.shift();
        const details = { network: this.plan.name, guest: guest.attach, error: error.message };
        this.#context.log.error(details, 'a guest could not be attached again');
        closeAll([guest.tap, guest.pidfd]);
      }
    }
  }

  #attachTap({ attach, tap, pidfd }: HeldGuest): Promise<AttachResult> {
    return NetdClient.requestWithDescriptors(this.#controlPath, 'attachTap', attach satisfies AttachTap, [tap, pidfd]);
  }

  #becomeRunning(): void {
    this.#state = 'running';
    this.#attempts = 0;
    this.#runningSince = Date.now();
    // It may have died since it was ready.
    if (this.#session?.client.closed !== false) this.#netdDied();
  }

  /** netd's control connection ended without our doing. */
  #netdDied(): void {
    if (this.#state !== 'running') return;
    const livedMs = Date.now() - this.#runningSince;
    if (livedMs >= this.#context.timing.livedLong) this.#backoffMs = this.#context.timing.backoffFirst;
    const details = { network: this.plan.name, pid: this.#session?.process?.pid, livedMs };
    this.#context.log.error({ ...details, lastWords: this.#session?.lastWords() }, 'netd died');
    this.#state = 'restarting';
    this.#scheduleRestart();
  }

  #scheduleRestart(): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#restarting = this.#restart();
    }, this.#backoffMs);
    this.#backoffMs = Math.min(this.#backoffMs * 2, this.#context.timing.backoffMax);
  }

  async #restart(): Promise<void> {
    try {
      await this.#endSession();
      await this.#launch();
      this.restarts++;
      if (this.#state === 'stopping') return;
      const details = { network: this.plan.name, pid: this.#session?.process?.pid, guests: this.guests.size };
      this.#context.log.info(details, 'netd runs again');
      this.#becomeRunning();
    } catch (error) {
      this.#context.log.error({ network: this.plan.name, error: String(error) }, 'netd could not be restarted');
      if (this.#state === 'stopping') return;
      this.#attempts++;
      this.#state = this.#attempts >= ATTEMPTS_UNTIL_FAILED ? 'failed' : 'restarting';
      this.#scheduleRestart();
    } finally {
      this.#restarting = null;
    }
  }

  // ---- end ----------------------------------------------------------------------------------------------------------

  /** Ends the netd that we know of, if any. */
  async #endSession(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    await session?.end();
  }

  /** Closes everything that is held for netd. */
  #release(): void {
    this.guests.removeAll();
    closeAll(this.#waiting.splice(0).flatMap(({ tap, pidfd }) => [tap, pidfd]));
    closeAll([this.#stream, this.#echo].filter((fd) => fd !== null));
    this.#stream = null;
    this.#echo = null;
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #startFailed(error: unknown): UserError {
    const reason = error instanceof Error ? error.message : String(error);
    return new UserError('NETD_START_FAILED', { network: this.plan.name, reason, log: this.#logPath });
  }
}
