/**
 * The words of the DHCP server: what it is configured with, and a lease as it is kept on disk and shown.
 * Addresses are unsigned 32-bit numbers, MACs 48-bit numbers.
 */

/** A lease as it lies on disk (a JSON line each in the lease journal), and in answers. Times in ms since 1970. */
export interface LeaseRecord {
  address: number;
  mac: number;
  /** Client identifier (option 61) as hex, null without one. */
  clientId: string | null;
  /** Host name that the guest gave, lower case, valid as a DNS label; null without one. */
  name: string | null;
  /** A record whose time has come is void: so is a lease ended that was released. */
  expiresAt: number;
}

/** An address that only one guest gets. It may lie outside of the range. */
export interface Reservation {
  mac: number;
  address: number;
  name: string | null;
}

/** All that the server tells and gives away. */
export interface DhcpServerPlan {
  network: number;
  prefixLength: number;
  /** Server identifier (option 54), the address that guests renew at. */
  serverId: number;
  /** Option 3; 0 on a network that leads nowhere. */
  router: number;
  /** Option 6, perhaps empty. */
  dns: readonly number[];
  /** Option 15. */
  domain: string;
  /** Option 26. */
  mtu: number;
  /** First and last address given away. */
  rangeStart: number;
  rangeEnd: number;
  leaseSeconds: number;
  reservations: readonly Reservation[];
  /** Addresses that are somebody's already (host adapter, gateway): never given away, though they lie in the range. */
  taken: readonly number[];
  /** Names that guests can't have, because the network itself goes by them. */
  ownNames: readonly string[];
  /** What an earlier process gave away, oldest first. */
  leases: readonly LeaseRecord[];
}

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** The first label of a guest's host name in lower case; null when it is no valid DNS label (RFC 1123 §2.1). */
export function hostLabel(name: string | null): string | null {
  if (name === null) return null;
  const label = name.split('.', 1)[0]!.toLowerCase();
  return LABEL.test(label) ? label : null;
}
