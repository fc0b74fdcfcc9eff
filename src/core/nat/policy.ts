/**
 * Which destinations guests may reach through the gateway, decided once a flow.
 *
 * What is refused here protects the host: its loopback, its link-local network with the cloud's metadata service
 * (169.254.169.254), addresses that name no single host. `.1` stands for the host and is translated to an address that
 * the host has on a real network, so that services bound to all addresses answer and those bound to loopback stay private.
 */

/** Verdicts. `DENIED` is answered as a firewall would: ICMP administratively prohibited. */
export const VERDICT = { ALLOWED: 0, DENIED: 1, NO_HOST_ADDRESS: 2 } as const;

export class Policy {
  /** The address of `.1`. */
  private readonly host: number;
  /** The network and mask of the guests' own segment. */
  private readonly network: number;
  private readonly mask: number;
  /** The host's own address that stands behind `.1`; 0 when it has none. */
  hostAddress: number;

  constructor(host: number, network: number, mask: number, hostAddress: number) {
    this.host = host;
    this.network = network;
    this.mask = mask;
    this.hostAddress = hostAddress;
  }

  /** May a guest talk to this address? Unsigned 32-bit. */
  verdict(destination: number): number {
    if (destination === this.host) return this.hostAddress === 0 ? VERDICT.NO_HOST_ADDRESS : VERDICT.ALLOWED;
    // The guests' own segment is reached by the switch, never through the host, which may have a network of the same number.
    if ((destination & this.mask) >>> 0 === this.network) return VERDICT.DENIED;
    const first = destination >>> 24;
    if (first === 0 || first === 127 || first >= 224) return VERDICT.DENIED;
    if (destination >>> 16 === 0xa9fe) return VERDICT.DENIED;
    return VERDICT.ALLOWED;
  }

  /** The address that the host's socket talks to. */
  translate(destination: number): number {
    return destination === this.host ? this.hostAddress : destination;
  }

  /** The address that the guest sees for a packet of the host's side. */
  untranslate(source: number): number {
    return source === this.hostAddress ? this.host : source;
  }
}
