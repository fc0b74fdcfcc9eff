/** What a guest is told when the host has no way to where its packet is bound: the words of a router (RFC 1812 §5.2.7.1). */

import { IO } from '../base/ports.ts';
import { ICMPV4_UNREACHABLE } from '../wire/icmpv4.ts';

/** The code of the Destination Unreachable that stands for a socket's error (`IO`); −1 where no ICMP error says it. */
export function unreachableCode(result: number): number {
  if (result === IO.HOST_UNREACHABLE) return ICMPV4_UNREACHABLE.HOST;
  if (result === IO.NET_UNREACHABLE) return ICMPV4_UNREACHABLE.NET;
  if (result === IO.DENIED) return ICMPV4_UNREACHABLE.ADMIN_PROHIBITED;
  return -1;
}
