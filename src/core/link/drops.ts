/**
 * Why a frame went no further: the one list of reasons that switch and ports count by, and what each means. A reason that is
 * not here doesn't compile, and `docs/counters.md` repeats the list (held equal by `test/house/counters.test.ts`).
 * What proxy and services leave undone with a packet that was well so far is in `network/drops.ts`.
 */

/** Reasons by name, as `vmnet ports --json` shows them. */
export const FRAME_DROPS = {
  // The switch, on the port that the frame came from.
  runt: 'shorter than an Ethernet header',
  giant: 'longer than any cable carries',
  sourceAddress: 'its source is a group address or zero',
  spoofedSource: "its source is the gateway's address, and it did not come from there",
  sameSegment: 'its destination was last heard on the port that it came from',
  detachedPort: 'it came from a port that was just unplugged',

  // A cable's end.
  badOffload: "the guest's virtio_net_hdr contradicts the frame",
  linkDown: "the guest's interface is down",
  queueFull: 'the guest reads more slowly than it is sent to',
  noBuffers: "the guest's kernel had no memory for it",
  rejected: "the guest's kernel refused it for another reason",
  tooLong: "longer than QEMU's socket carries",

  // The gateway, from the outside in.
  otherStation: 'flooded by the switch, and not for the gateway',
  etherType: 'neither IPv4, IPv6 nor ARP',
  ipv6: 'IPv6, which this release does not carry',
  arpMalformed: 'ARP that is cut short, or names a sender that no station can be',
  ipMalformed: 'an IPv4 header that is cut short or contradicts itself',
  ipChecksum: "the IPv4 header's checksum is wrong",
  ipFragment: 'a fragment: fragments are not put together',
  tcpMalformed: 'a TCP header that is cut short or contradicts itself',
  udpMalformed: 'a UDP header that is cut short or contradicts itself',
  icmpMalformed: 'an ICMP header that is cut short',
  l4Checksum: 'the checksum of TCP, UDP or ICMP is wrong',
  offloadMalformed: "the frame's offload state contradicts its headers",
  broadcast: 'broadcast, and not for the DHCP server',
  multicast: 'IPv4 multicast, which ends at the segment',
  linkBroadcast: 'a unicast packet in a broadcast frame',
  foreignSource: "its IPv4 source is not a guest's address of this network",
  noGateway: 'it leads out of a network that leads nowhere',
  icmpType: 'ICMP, but no echo request',
  ttlExceeded: 'its time to live ended here; answered with Time Exceeded',
  ipProtocol: 'neither TCP, UDP nor ICMP; answered with Protocol Unreachable',
  portUnreachable: 'UDP to a port of the gateway on which nothing listens; answered with Port Unreachable',

  // Ports that are no longer there to show it: the gateway does.
  badLength: 'a length on the stream socket that no frame has; the connection was ended',
  refused: 'a connection to the stream socket beyond the bound of ports; it was closed',
} as const;

/** A reason's name. */
export type DropReason = keyof typeof FRAME_DROPS;

/** Frames by the reason that they went no further for; a reason appears when it is first counted. */
export type DropCounters = { [reason in DropReason]?: number };
