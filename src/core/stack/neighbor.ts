/**
 * Who has which IPv4 address on the segment, as far as ARP tells: for display now, for connections towards guests later.
 *
 * Learned from the sender fields of every ARP packet that the gateway sees (RFC 826), probes with sender 0.0.0.0
 * excepted (RFC 5227 §1.1). Bounded: at the limit the entry heard longest ago is forgotten.
 */
const LIMIT = 1_024;

export class Neighbors {
  /** Insertion order is age: an entry heard again is put at the end. */
  private readonly macs = new Map<number, number>();

  get size(): number {
    return this.macs.size;
  }

  learn(address: number, mac: number): void {
    if (address === 0) return;
    this.macs.delete(address);
    if (this.macs.size >= LIMIT) {
      for (const oldest of this.macs.keys()) {
        this.macs.delete(oldest);
        break;
      }
    }
    this.macs.set(address, mac);
  }

  /** The station that claimed an address last; −1 when nobody did. */
  macOf(address: number): number {
    return this.macs.get(address) ?? -1;
  }

  /** Addresses that a station claims. */
  addressesOf(mac: number): number[] {
    const found: number[] = [];
    for (const [address, owner] of this.macs) if (owner === mac) found.push(address);
    return found;
  }
}
