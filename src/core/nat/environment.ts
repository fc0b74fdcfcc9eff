/** What the proxies of one network share. */

import type { HalfSipHash } from '../base/half-sip-hash.ts';
import type { Clock, World } from '../base/ports.ts';
import type { TimerTable } from '../base/timer-table.ts';
import type { IcmpSender } from '../stack/icmp-sender.ts';
import type { PacketOutput } from '../stack/packet-output.ts';
import type { Policy } from './policy.ts';

export interface ProxyEnvironment {
  readonly world: World;
  readonly clock: Clock;
  readonly timers: TimerTable;
  /** Keyed hash for tables of flows and initial sequence numbers. */
  readonly hash: HalfSipHash;
  readonly out: PacketOutput;
  readonly icmp: IcmpSender;
  readonly policy: Policy;
  /** Largest IP packet on the cable, bytes. */
  readonly mtu: number;
}
