/**
 * `<run>/netds.json`: which process is which network's netd, as pid and start time. It is what a new vmnetd knows of
 * the netds that an earlier one left behind, should they not answer: only a process that is still the same is ended.
 */

import { join } from 'node:path';
import { RUN_FILES } from '../../shared/paths.ts';
import { readJsonFile, writeFileAtomically } from './json-file.ts';
import type { ProcessIdentity } from './process-identity.ts';

/** The file, read once and written at every change. */
export class NetdRegistry {
  readonly #path: string;
  readonly #netds = new Map<string, ProcessIdentity>();

  constructor(runDir: string) {
    this.#path = join(runDir, RUN_FILES.netds);
    const value = readJsonFile(this.#path);
    if (typeof value !== 'object' || value === null) return;
    for (const [network, entry] of Object.entries(value)) {
      const { pid, startTime }: Partial<Record<string, unknown>> = { ...entry };
      if (Number.isSafeInteger(pid) && Number.isSafeInteger(startTime)) {
        this.#netds.set(network, { pid: Number(pid), startTime: Number(startTime) });
      }
    }
  }

  /** Networks that have a netd noted. */
  networks(): string[] {
    return [...this.#netds.keys()];
  }

  noted(network: string): ProcessIdentity | null {
    return this.#netds.get(network) ?? null;
  }

  note(network: string, netd: ProcessIdentity | null): void {
    if (netd === null ? !this.#netds.delete(network) : !this.#changes(network, netd)) return;
    if (netd !== null) this.#netds.set(network, netd);
    writeFileAtomically(this.#path, `${JSON.stringify(Object.fromEntries(this.#netds))}\n`, { durable: false });
  }

  #changes(network: string, { pid, startTime }: ProcessIdentity): boolean {
    const before = this.#netds.get(network);
    return before?.pid !== pid || before.startTime !== startTime;
  }
}
