/**
 * The namespace guests of one network, with the descriptors that vmnetd keeps of each (TAP and pidfd): a netd that has to
 * be replaced is handed them again, and the guests notice a pause.
 *
 * Bound: {@link GUESTS_MAX} guests a network, so that all their descriptors fit into one SCM_RIGHTS message.
 */

import { hasEnded } from '../linux/pidfd.ts';
import { closeAll } from '../linux/unix-fd.ts';
import type { AttachTap } from '../netd/protocol.ts';

/** Most namespace guests of one network: 2 descriptors each, beside 3 others, within the kernel's 253 a message. */
export const GUESTS_MAX = 120;

/** One guest; the descriptors belong to the table. */
export interface HeldGuest {
  readonly attach: AttachTap;
  readonly tap: number;
  readonly pidfd: number;
}

/** Guests by port number. */
export class HeldGuests {
  readonly #byPort = new Map<number, HeldGuest>();

  get size(): number {
    return this.#byPort.size;
  }

  get(port: number): HeldGuest | undefined {
    return this.#byPort.get(port);
  }

  isNameTaken(name: string): boolean {
    return [...this.#byPort.values()].some(({ attach, pidfd }) => attach.name === name && !hasEnded(pidfd));
  }

  /** Takes over a guest's descriptors. One whose process has ended meanwhile is not kept. */
  add(port: number, guest: HeldGuest): void {
    this.remove(port);
    if (hasEnded(guest.pidfd)) closeAll([guest.tap, guest.pidfd]);
    else this.#byPort.set(port, guest);
  }

  /** Closes a guest's descriptors; no matter if there is none at the port. */
  remove(port: number): void {
    const guest = this.#byPort.get(port);
    if (guest === undefined) return;
    this.#byPort.delete(port);
    closeAll([guest.tap, guest.pidfd]);
  }

  /** Empties the table and returns the living guests, in order of their ports; their descriptors are the caller's now. */
  takeLiving(): HeldGuest[] {
    const ports = [...this.#byPort.keys()].sort((a, b) => a - b);
    for (const port of ports) if (hasEnded(this.#byPort.get(port)!.pidfd)) this.remove(port);
    const living = [...this.#byPort.entries()].sort(([a], [b]) => a - b).map(([, guest]) => guest);
    this.#byPort.clear();
    return living;
  }

  removeAll(): void {
    for (const port of [...this.#byPort.keys()]) this.remove(port);
  }
}
