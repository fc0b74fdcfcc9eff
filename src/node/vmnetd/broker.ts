/**
 * Makes a network namespace a guest: opens a TAP in it and hands that to netd.
 *
 * Theory of operation. The caller names a process in the namespace. It is pinned by a pidfd before anything is looked
 * at, so a number that is used again cannot lead elsewhere: if the process has ended by the time the TAP is there, all
 * is taken back. A process in vmnetd's own namespace is refused, since the TAP would appear on the host. The TAP is opened by a
 * helper inside of the namespace (linux/netns.ts), netd adds the port and allocates the address, and vmnetd keeps both
 * descriptors for the day that netd has to be replaced. On any failure everything is closed, and the interface is gone.
 *
 * The MAC of a named guest is a hash of network and name, or that of the reservation of this name; so it finds its
 * address again. Without a name it is random. All are locally administered (02:…).
 */

import { createHash, randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { ipv4ToString } from '../../core/base/address.ts';
import type { Guest, GuestRequest } from '../../shared/api.ts';
import { UserError } from '../../shared/errors.ts';
import { SystemCallError } from '../linux/errno.ts';
import { NamespaceError, openTapInNamespace } from '../linux/netns.ts';
import { hasEnded, openPidfd } from '../linux/pidfd.ts';
import { closeAll } from '../linux/unix-fd.ts';
import type { AttachTap } from '../netd/protocol.ts';
import { GUESTS_MAX } from './held-guests.ts';
import { NetdError } from './netd-client.ts';
import { type NetworkPlan, whyNotForGuests } from './plan.ts';
import { parseCidr, prefixToString } from './prefix.ts';
import { presentGuest } from './present.ts';
import type { Supervisor } from './supervisor.ts';

/** Opens a TAP in the namespace of a process; tests put their own in place. */
export type TapOpener = (pid: number, name: string, mac: number, mtu: number) => Promise<number>;

/** Attaches namespace guests to networks. */
export class Broker {
  readonly #openTap: TapOpener;
  /** Names and places that are being taken just now, by network. */
  readonly #pending = new Map<string, Set<AttachTap>>();

  constructor(openTap: TapOpener = openTapInNamespace) {
    this.#openTap = openTap;
  }

  /** Makes the namespace of a process a guest of a running network. Rejects with a {@link UserError}. */
  async attach(supervisor: Supervisor, request: GuestRequest): Promise<Guest> {
    const { plan } = supervisor;
    const attach = attachOf(plan, request);
    const pending = this.#pending.get(plan.name) ?? new Set();
    this.#pending.set(plan.name, pending);
    checkRoom(supervisor, attach, pending);
    pending.add(attach);
    try {
      return await this.#attach(supervisor, attach);
    } finally {
      pending.delete(attach);
    }
  }

  async #attach(supervisor: Supervisor, attach: AttachTap): Promise<Guest> {
    const { pid } = attach;
    const descriptors: number[] = [];
    try {
      const pidfd = pinProcess(pid);
      descriptors.push(pidfd);
      checkNamespace(pid);
      const tap = await this.#openTap(pid, attach.interface, attach.mac, attach.mtu);
      descriptors.push(tap);
      if (hasEnded(pidfd)) throw new UserError('GUEST_PROCESS_UNKNOWN', { pid });
      const result = await supervisor.attach({ attach, tap, pidfd });
      return presentGuest(supervisor.plan.name, attach, result);
    } catch (error) {
      closeAll(descriptors);
      throw explain(error, supervisor.plan, attach);
    }
  }
}

function attachOf(plan: NetworkPlan, request: GuestRequest): AttachTap {
  const name = request.name ?? null;
  return {
    name,
    interface: request.interface,
    mac: macFor(plan, name),
    address: request.address === undefined ? 0 : staticAddress(plan, request.address),
    mtu: request.mtu ?? plan.mtu,
    pid: request.pid,
  };
}

function macFor(plan: NetworkPlan, name: string | null): number {
  const reserved = plan.netd?.dhcp?.reservations.find((reservation) => reservation.name === name);
  if (reserved !== undefined) return reserved.mac;
  const bytes = name === null ? randomBytes(5) : createHash('sha256').update(`${plan.name}\0${name}`).digest();
  return 0x02_00_00_00_00_00 + bytes.readUIntBE(0, 5);
}

/** The address of an `a.b.c.d/n` that may be a guest's here. */
function staticAddress(plan: NetworkPlan, text: string): number {
  const { subnet } = plan;
  const ipv4 = plan.netd?.ipv4 ?? null;
  const refuse = (reason: string) =>
    new UserError('GUEST_ADDRESS_INVALID', {
      address: text,
      network: plan.name,
      reason,
      subnet: subnet === null ? 'without addresses' : prefixToString(subnet),
    });
  const cidr = parseCidr(text);
  if (cidr === null) throw refuse('it is not written a.b.c.d/n');
  if (subnet === null || ipv4 === null) throw refuse('the network has no addresses of its own');
  const problem = whyNotForGuests(cidr.address, subnet, ipv4);
  if (problem !== null) throw refuse(`it ${problem}`);
  if (cidr.length !== subnet.length) throw refuse(`its prefix length is not ${subnet.length}`);
  return cidr.address;
}

function checkRoom({ plan, guests }: Supervisor, attach: AttachTap, pending: ReadonlySet<AttachTap>): void {
  const network = plan.name;
  if (guests.size + pending.size >= GUESTS_MAX) throw new UserError('PORTS_FULL', { network, limit: GUESTS_MAX });
  const { name } = attach;
  if (name !== null && (guests.isNameTaken(name) || [...pending].some((other) => other.name === name))) {
    throw new UserError('GUEST_NAME_TAKEN', { network, name });
  }
}

/** A pidfd of the process, the caller's to close. */
function pinProcess(pid: number): number {
  try {
    return openPidfd(pid);
  } catch (error) {
    // ESRCH: none; EINVAL: a thread, not a process.
    if (error instanceof SystemCallError && error.code !== 'EMFILE')
      throw new UserError('GUEST_PROCESS_UNKNOWN', { pid });
    throw error;
  }
}

function checkNamespace(pid: number): void {
  let namespace: string;
  try {
    namespace = readlinkSync(`/proc/${pid}/ns/net`);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') throw new UserError('GUEST_PROCESS_UNKNOWN', { pid });
    throw new UserError('GUEST_NAMESPACE_DENIED', { pid, reason: 'the process belongs to another user' });
  }
  if (namespace === readlinkSync('/proc/self/ns/net')) throw new UserError('GUEST_NAMESPACE_IS_HOST', { pid });
}

/** Puts what went wrong into the operator's words. */
function explain(error: unknown, plan: NetworkPlan, attach: AttachTap): unknown {
  if (error instanceof NamespaceError) return explainNamespace(error, attach);
  if (error instanceof NetdError) {
    const network = plan.name;
    if (error.code === 'POOL_EMPTY') return new UserError('POOL_EMPTY', { network });
    if (error.code === 'PORTS_FULL') return new UserError('PORTS_FULL', { network, limit: GUESTS_MAX });
    if (error.code === 'ADDRESS_TAKEN') {
      return new UserError('GUEST_ADDRESS_TAKEN', { network, address: ipv4ToString(attach.address) });
    }
    if (error.code === 'CLOSED' || error.code === 'TIMED_OUT') return new UserError('NETD_BUSY', { network });
  }
  return error;
}

function explainNamespace({ code, message }: NamespaceError, { pid, interface: name }: AttachTap): UserError {
  if (message.includes('/dev/net/tun')) return new UserError('TUN_MISSING', { reason: message });
  if (message.includes('spawn nsenter ENOENT'))
    return new UserError('TOOL_MISSING', { tool: 'nsenter', package: 'util-linux' });
  // EBUSY: another TAP of this name is open; EINVAL: an interface of another kind has the name.
  if (code === 'EBUSY' || code === 'EINVAL') return new UserError('GUEST_INTERFACE_TAKEN', { pid, interface: name });
  return new UserError('GUEST_NAMESPACE_DENIED', { pid, reason: message });
}
