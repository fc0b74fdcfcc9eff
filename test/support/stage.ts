/**
 * The stage of an end-to-end suite: a lab (host and world in namespaces), an instance of ours in the host, run by root or
 * by an ordinary user, and the servers that its guests talk to.
 */

import { inject } from 'vitest';
import { Daemon, type Guest } from '../../scripts/lib/daemon.ts';
import { type Install, installAt } from '../../scripts/lib/install.ts';
import { type LabOptions, NamespaceLab } from '../../scripts/lib/namespace-lab.ts';
import type { Background } from '../../scripts/lib/process.ts';
import { startServer } from './servers.ts';

export type Who = 'root' | 'user';

export interface StageOptions extends LabOptions {
  /** Arguments of `vmnet up --detach`; null leaves the daemon down. */
  up?: readonly string[] | null;
  /** Start servers on the host (0.0.0.0, and loopback only 1000 ports higher) and in the world; they are by default. */
  servers?: boolean;
}

export class Stage {
  readonly lab: NamespaceLab;
  readonly install: Install;
  readonly daemon: Daemon;
  readonly who: Who;
  #servers: Background[] = [];
  #daemons: Daemon[] = [];

  private constructor(who: Who, lab: NamespaceLab, install: Install) {
    this.who = who;
    this.lab = lab;
    this.install = install;
    this.daemon = this.another();
  }

  static async open(who: Who, options: StageOptions = {}): Promise<Stage> {
    const lab = await NamespaceLab.create({ pingGroups: who === 'user' ? 'all' : 'none', ...options });
    const stage = new Stage(who, lab, installAt(inject('installRoot')));
    try {
      if (options.servers !== false) {
        stage.#servers.push(
          await startServer(lab.host, stage.install, ['--bind', '0.0.0.0']),
          await startServer(lab.host, stage.install, ['--bind', '127.0.0.1', '--offset', '1000']),
          await startServer(lab.world, stage.install, ['--bind', '0.0.0.0', '--dns']),
        );
      }
      if (options.up !== null) await stage.daemon.up(options.up);
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  /** A further instance, with directories of its own or those given, not started. */
  another(directories?: { runDir: string; stateDir: string }): Daemon {
    const place = this.who === 'root' ? this.lab.host : this.lab.user;
    const daemon = new Daemon(place, this.install, directories);
    this.#daemons.push(daemon);
    return daemon;
  }

  /** Runs lab-client.js inside a guest and gives its answer. */
  async client<T>(guest: Guest, ...words: (string | number)[]): Promise<T> {
    const command = [process.execPath, this.install.tool('lab-client'), ...words];
    return JSON.parse(await guest.must(command.join(' '), 120_000)) as T;
  }

  async close(): Promise<void> {
    await Promise.all(this.#daemons.map((daemon) => daemon.stop()));
    await Promise.all(this.#servers.map((server) => server.stop()));
    await this.lab.stop();
  }
}
