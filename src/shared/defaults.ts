/** What holds where `vmnet.yaml` says nothing. Apart from the schema, so that a start without a file loads no parser. */

/** MTU of a network, that of Ethernet. */
export const MTU_DEFAULT = 1500;

/** Shortest, usual (VMware's) and longest time a lease is given for, seconds. */
export const LEASE_SECONDS = { MIN: 60, DEFAULT: 1800, MAX: 604_800 } as const;

/** Most reservations a network takes. */
export const RESERVATIONS_MAX = 1024;

/** The domain in which guests find each other, `host.` and `gateway.`. */
export const DOMAIN = 'vmnet.internal';

/** What runs without a file, a `Config`: vmnet1 and vmnet8 as VMware Workstation users know them. */
export const DEFAULT_CONFIG = {
  networks: {
    vmnet1: { mode: 'hostonly', mtu: MTU_DEFAULT },
    vmnet8: { mode: 'nat', mtu: MTU_DEFAULT },
  },
} as const;
