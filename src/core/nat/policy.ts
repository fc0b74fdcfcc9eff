/**
 * Which destinations guests may reach through the gateway, decided once a flow.
 *
 * What is refused here protects the host: its loopback, its link-local network with the cloud's metadata service
 * (169.254.169.254), addresses that name no single host, and its other virtual networks. `.1` stands for the host and is
 * translated to an address that the host has on a real network, so that services bound to all addresses answer and those
 * bound to loopback stay private.
 */

import { prefixMask } from '../base/address.ts';

/** Verdicts. `DENIED` is answered as a firewall would: ICMP administratively prohibited. */
export const VERDICT = { ALLOWED: 0, DENIED: 1, NO_HOST_ADDRESS: 2 } as const;

export class Policy {
  /** The address of `.1`. */
  private readonly host: number;
  /** Networks and masks that lead nowhere from here: the guests' own segment, and the host's other networks. */
  private readonly networks: readonly number[];
  private readonly masks: readonly number[];
  /** The host's own address that stands behind `.1`; 0 when it has none. */
  hostAddress: number;

  constructor(host: number, denied: readonly { network: number; prefixLength: number }[], hostAddress: number) {
    this.host = host;
    this.networks = denied.map((subnet) => subnet.network);
    this.masks = denied.map((subnet) => prefixMask(subnet.prefixLength));
    this.hostAddress = hostAddress;
  }

  /** May a guest talk to this address? Unsigned 32-bit. */
  verdict(destination: number): number {
    if (destination === this.host) return this.hostAddress === 0 ? VERDICT.NO_HOST_ADDRESS : VERDICT.ALLOWED;
    // Stations of the own segment are reached by the switch, those of other networks not at all; the host's routes may
    // lead such addresses to strangers.
    for (let i = 0; i < this.networks.length; i++) {
      if ((destination & this.masks[i]!) >>> 0 === this.networks[i]) return VERDICT.DENIED;
    }
    const first = destination >>> 24;
    if (first === 0 || first === 127 || first >= 224) return VERDICT.DENIED;
    if (destination >>> 16 === 0xa9fe) return VERDICT.DENIED;
    return VERDICT.ALLOWED;
  }

  /** The address that the host's socket talks to. */
  translate(destination: number): number {
    return destination === this.host ? this.hostAddress : destination;
  }
}
