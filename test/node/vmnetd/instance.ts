/** A place for one test's daemon parts: directories, a fake netd's command, a network's plan, and what came of it. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SILENT_LOG } from '../../../src/node/vmnetd/log.ts';
import { NetdRegistry } from '../../../src/node/vmnetd/netd-registry.ts';
import type { NetdPlan, NetworkPlan } from '../../../src/node/vmnetd/plan.ts';
import { type SupervisorContext, TIMING } from '../../../src/node/vmnetd/supervisor.ts';

const FAKE_NETD = fileURLToPath(new URL('./fake-netd.mjs', import.meta.url));

export const VERSION = '1.2.3';

/** vmnet8 as 192.168.88.0/24. */
export function natPlan(changes: Partial<NetdPlan> = {}): NetworkPlan & { netd: NetdPlan } {
  const network = 0xc0a8_5800;
  const netd: NetdPlan = {
    name: 'vmnet8',
    mode: 'nat',
    ipv4: { network, prefixLength: 24, host: network + 1, gateway: network + 2, dhcpServer: network + 254 },
    mtu: 1500,
    gatewayMac: 0x02766d000008,
    dhcp: { rangeStart: network + 128, rangeEnd: network + 253, leaseSeconds: 1800, reservations: [] },
    domain: 'vmnet.internal',
    otherNetworks: [],
    ...changes,
  };
  return {
    name: netd.name,
    mode: netd.mode,
    mtu: netd.mtu,
    subnet: { network, length: 24 },
    netd,
    resolvers: null,
    warnings: [],
  };
}

export interface Recorded {
  op: string;
  params: Record<string, unknown>;
}

export class Instance {
  readonly base = mkdtempSync(join(tmpdir(), 'vmnetd-test-'));
  readonly runDir = this.base;
  readonly stateDir = this.base;
  readonly record = join(this.base, 'record');

  netdCommand(...args: string[]): string[] {
    return [process.execPath, FAKE_NETD, '--record', this.record, '--version', VERSION, ...args];
  }

  /** Each call stands for a vmnetd that has just started: what it knows of its netds is what lies in the run directory. */
  context(...args: string[]): SupervisorContext {
    const registry = new NetdRegistry(this.runDir);
    return {
      runDir: this.runDir,
      stateDir: this.stateDir,
      version: VERSION,
      netdCommand: this.netdCommand(...args),
      log: SILENT_LOG,
      timing: { ...TIMING, backoffFirst: 20, backoffMax: 80, stop: 400 },
      facts: () => ({ resolvers: [{ address: 0x01020304, port: 53 }], hostAddress: 0x0a000001 }),
      openEcho: () => null,
      noted: (network) => registry.noted(network),
      note: (network, netd) => registry.note(network, netd),
    };
  }

  /** What the fake netds of this place were asked, in order. */
  requests(): Recorded[] {
    if (!existsSync(this.record)) return [];
    const lines = readFileSync(this.record, 'utf8').trim().split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Recorded);
  }

  ops(): string[] {
    return this.requests().map(({ op }) => op);
  }

  forget(): void {
    rmSync(this.record, { force: true });
  }

  close(): void {
    rmSync(this.base, { recursive: true, force: true });
  }
}

/** Waits until something holds; rejects after 8 s. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 8000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
