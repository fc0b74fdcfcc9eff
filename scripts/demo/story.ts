/** What every guest of the demo is asked to do, whatever kind it is; each step rejects with the reason when it fails. */
import type { Daemon, LeaseStatus, NetworkStatus } from '../lib/daemon.ts';
import type { FileServer } from './file-server.ts';
import type { DemoGuest } from './guests.ts';
import type { Finding } from './narrator.ts';

export const HOST = 'host.vmnet.internal';

/** The guest's own idea of its address has to be in the lease table, under its name. */
export async function lease(daemon: Daemon, guest: DemoGuest): Promise<Finding> {
  const shown = await guest.must('ip -4 -o addr show dev eth0');
  const address = /inet ([\d.]+)\//.exec(shown)?.[1];
  if (address === undefined) throw new Error('eth0 has no address');
  const found = (await daemon.leases()).find((entry: LeaseStatus) => entry.address === address);
  if (found === undefined) throw new Error(`${address} is not in the lease table`);
  if (found.name !== guest.name) throw new Error(`${address} is leased to ${found.name}, not to ${guest.name}`);
  const until = new Date(found.expiresAt).toTimeString().slice(0, 5);
  return { text: `${address} until ${until}`, figures: { address, mac: found.mac, expiresAt: found.expiresAt } };
}

export async function resolves(guest: DemoGuest, network: NetworkStatus): Promise<Finding> {
  const [address, ms] = (await guest.must(guest.tools.resolve(HOST))).trim().split(' ');
  if (address !== network.host) throw new Error(`${HOST} is ${address || 'unknown'} instead of ${network.host}`);
  const figures = { name: HOST, address: address ?? '', ...(ms === undefined ? {} : { ms: Number(ms) }) };
  return { text: `${HOST} → ${address}`, figures };
}

/** Three echo requests, all of which have to come back. */
export async function pings(guest: DemoGuest, target: string): Promise<Finding> {
  const output = await guest.must(guest.tools.ping(target, 3), 20_000);
  const received = Number(/(\d+) (?:packets )?received/.exec(output)?.[1] ?? 0);
  if (received !== 3) throw new Error(`${received} of 3 replies`);
  const mean = Number(/= [\d.]+\/([\d.]+)\//.exec(output)?.[1] ?? Number.NaN);
  return { text: `3 of 3 replies, ${mean} ms in the mean`, figures: { target, received, rttMs: mean } };
}

export async function fetches(guest: DemoGuest, server: FileServer, bytes: number): Promise<Finding> {
  const url = `http://${HOST}:${server.port}/`;
  const before = performance.now();
  await guest.must(guest.tools.fetch(url, guest.file), 180_000);
  const seconds = (performance.now() - before) / 1000;
  const digest = (await guest.must(`sha256sum ${guest.file}; rm -f ${guest.file}`, 60_000)).slice(0, 64);
  if (digest !== server.digest)
    throw new Error(`sha256 ${digest.slice(0, 12)}… instead of ${server.digest.slice(0, 12)}…`);
  const gbits = (bytes * 8) / seconds / 1e9;
  const figures = { bytes, seconds: round(seconds, 3), gbitPerSecond: round(gbits, 2), sha256: digest };
  return { text: `${gbits.toFixed(2)} Gbit/s by ${guest.tools.fetcher}, sha256 ${digest.slice(0, 8)}… right`, figures };
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits));
