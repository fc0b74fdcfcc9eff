/**
 * One netd process as vmnetd knows it: its identity, the control connection that tells of events and of its end, and how
 * it is ended. A session begins by a spawn, or by finding a netd that listens already, and is never used again after
 * its end.
 */

import type { NetdEvent, Requests } from '../netd/protocol.ts';
import { NetdClient, NetdError } from './netd-client.ts';
import { lastWords, type NetdPlace, type SpawnedNetd, spawnNetd } from './netd-process.ts';
import { identify, type ProcessIdentity, signal, waitUntilGone } from './process-identity.ts';

/** How long the exit of a netd is awaited whose connection has ended, milliseconds. */
const EXIT_TIMEOUT_MS = 500;

/** Time limits, milliseconds. */
export interface SessionTiming {
  /** For a fresh netd to load and answer. */
  start: number;
  /** For a running one to answer. */
  hello: number;
  /** For netd to end when asked, then when killed. */
  stop: number;
}

/** Where a netd is found, how long it may take, and who hears of it. */
export interface SessionOptions {
  place: NetdPlace;
  timing: SessionTiming;
  onEvent(event: NetdEvent): void;
  /** The connection ended without our doing. */
  onDeath(session: NetdSession): void;
}

export type Hello = Requests['hello']['result'];

/** A netd and the connection to it. */
export class NetdSession {
  readonly client: NetdClient;
  /** Null when it could not be told which process it is. */
  readonly process: ProcessIdentity | null;
  readonly #options: SessionOptions;
  readonly #spawned: SpawnedNetd | null;

  private constructor(
    client: NetdClient,
    process: ProcessIdentity | null,
    options: SessionOptions,
    spawned: SpawnedNetd | null,
  ) {
    this.client = client;
    this.process = process;
    this.#options = options;
    this.#spawned = spawned;
  }

  /** Starts a netd that waits for its configuration. Rejects with why it did not come to that; then it is gone. */
  static async launch(command: readonly string[], options: SessionOptions): Promise<NetdSession> {
    const spawned = await spawnNetd(command, options.place);
    const process = identify(spawned.child.pid ?? 0);
    let session: NetdSession | null = null;
    try {
      session = await connect(options, (client) => new NetdSession(client, process, options, spawned));
      await session.client.request('hello', {}, options.timing.start);
      return session;
    } catch (error) {
      const reason = await explain(error, spawned, options.place);
      session?.client.close();
      await endProcess(process, options.timing.stop);
      throw reason;
    }
  }

  /**
   * Finds the netd that listens at the place and asks who it is; null where none listens. `hello` is null when it does not answer;
   * its identity is then the one that was noted.
   */
  static async discover(
    noted: ProcessIdentity | null,
    options: SessionOptions,
  ): Promise<{ session: NetdSession; hello: Hello | null } | null> {
    const asking = await NetdClient.connect(options.place.controlPath).catch(() => null);
    if (asking === null) return null;
    const hello = await asking.request('hello', {}, options.timing.hello).catch(() => null);
    asking.close();
    const process = identify(hello?.pid ?? 0) ?? noted;
    try {
      const session = await connect(options, (client) => new NetdSession(client, process, options, null));
      return { session, hello };
    } catch {
      await endProcess(process, options.timing.stop);
      return null;
    }
  }

  /** Ends netd, kindly and then not. Never rejects, and the listener hears nothing. */
  async end(): Promise<void> {
    const { stop } = this.#options.timing;
    const agreed = await this.client.request('stop', {}, stop).then(
      () => true,
      () => false,
    );
    this.client.close();
    if (agreed && this.process !== null) await waitUntilGone(this.process, stop);
    await endProcess(this.process, stop);
  }

  /** Lets go of netd, which goes on by itself. */
  leave(): void {
    this.client.close();
  }

  /** What to say of a request that failed: if netd has ended over it, how, and its last words. */
  explain(error: unknown): Promise<Error> {
    return explain(error, this.#spawned, this.#options.place);
  }

  /** What netd said last. */
  lastWords(): string {
    return lastWords(this.#options.place.logPath, this.#spawned?.logOffset ?? 0);
  }
}

/** Kills a process that is still the one it was. */
export async function endProcess(process: ProcessIdentity | null, timeoutMs: number): Promise<void> {
  if (process !== null && signal(process, 'SIGKILL')) await waitUntilGone(process, timeoutMs);
}

async function connect(options: SessionOptions, make: (client: NetdClient) => NetdSession): Promise<NetdSession> {
  let session: NetdSession | null = null;
  const client = await NetdClient.connect(options.place.controlPath, {
    onEvent: (event) => options.onEvent(event),
    onClose: () => {
      if (session !== null) options.onDeath(session);
    },
  });
  session = make(client);
  return session;
}

async function explain(error: unknown, spawned: SpawnedNetd | null, place: NetdPlace): Promise<Error> {
  if (error instanceof NetdError && error.code === 'CLOSED' && spawned !== null) {
    const how = await within(spawned.exited, EXIT_TIMEOUT_MS);
    if (how !== null) return new Error(`${how}: ${lastWords(place.logPath, spawned.logOffset)}`);
  }
  return error instanceof Error ? error : new Error(String(error));
}

async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), timeoutMs);
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}
