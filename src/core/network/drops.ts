/**
 * Which of the counters of proxy and services are drops: packets that came to the gateway as they should and went no
 * further all the same. They are shown among the drops of the gateway's port, under the names that {@link Network.counters}
 * gives them. `docs/counters.md` repeats the list, held equal by `test/house/counters.test.ts`.
 */

/** Reasons by name, as `vmnet ports --json` shows them. */
export const PACKET_DROPS = {
  'tcp.denied': 'a connection to where guests may not go; answered with Administratively Prohibited',
  'tcp.stray': 'a segment of no connection; answered with RST',
  'tcp.pendingLimit': 'a SYN while too many connections were being made',
  'tcp.flowLimit': 'a SYN while there were too many flows',
  'tcp.noResources': 'a SYN for which the host had no socket or memory',
  'tcp.reassemblyLimit': 'a segment out of order, or ahead of a full socket, for which there was no room',

  'udp.denied': 'a datagram to where guests may not go; answered with Administratively Prohibited',
  'udp.unreachable': 'a datagram to where the host has no way; answered with the matching Unreachable',
  'udp.filtered': 'a datagram from a host that the guest did not write to',
  'udp.overMtu': "a datagram for the guest that does not fit the network's MTU",
  'udp.noResources': 'a datagram for which the host had no socket',
  'udp.socketFull': "a datagram for which the host's socket had no room",
  'udp.sendFailed': 'a datagram that the host could not send for another reason',

  'icmp.denied': 'a ping to where guests may not go; answered with Administratively Prohibited',
  'icmp.unavailable':
    'a ping to the outside, for which this process lacks the privilege; answered with Administratively Prohibited',
  'icmp.unreachable': 'a ping to where the host has no way; answered with the matching Unreachable',
  'icmp.overMtu': "a reply for the guest that does not fit the network's MTU",
  'icmp.sendFailed': 'a ping that the host could not send for another reason',

  'dhcp.malformed': 'not a DHCP request',
  'dhcp.relayed': 'by way of a relay, which this network has not',
  'dhcp.clientMac': 'from a client whose MAC no station can have',
  'dhcp.bootp': 'BOOTP without a DHCP message type',
  'dhcp.messageType': 'a message type that clients do not send',
  'dhcp.poolExhausted': 'no address was left to offer',
  'dhcp.otherServer': 'the client chose another server',
  'dhcp.noAddress': 'a REQUEST that asks for no address',
  'dhcp.notItsAddress': "a RELEASE or DECLINE of an address that is not the client's",
  'dhcp.foreignAddress': 'an INFORM from an address outside of the network',

  'dns.malformed': 'not a DNS message',
  'dns.response': 'an answer, from a guest',
  'dns.noReplyPort': 'a query from port 0, which cannot be answered',
  'dns.tooLong': 'a query longer than any is',
  'dns.noMemory': 'there was no memory for it',
  'dns.answerTooLong': 'our own answer to it did not fit',
  'dns.inFlightFull': 'too many queries were on their way',
  'dns.guestInFlightFull': 'too many queries of this guest were on their way',
  'dns.foreignAnswer': 'an answer to a question that was not asked, or from another than was asked',
} as const;

/** Those of the counters that are drops. */
export function dropsAmong(counters: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counters).filter(([name, n]) => n > 0 && Object.hasOwn(PACKET_DROPS, name)));
}
