/**
 * A frame: Ethernet bytes in a region, and the offload state that travels with them.
 *
 * Theory of operation. A guest whose NIC has offloads hands over segments of up to 64 KiB with an unfinished checksum,
 * and says so in a `virtio_net_hdr` (linux/virtio_net.h). We keep those fields beside the bytes and carry them through
 * the switch unchanged; only an egress port that can't carry them asks `offload.ts` to segment and to finish the sum.
 *
 * Ownership: a frame is *borrowed* for the call that it is an argument of. Whoever wants it longer copies it. Its bytes
 * must not be changed by a port, with one exception: the `headroom` bytes before `offset` are scratch space in which
 * the egress port builds its own header (virtio_net_hdr, length prefix), so that header and frame leave in one write.
 */

import type { Region } from '../base/ports.ts';

/** What is known of the L4 checksum. */
export const CSUM = {
  /** Complete in the packet, not verified by anybody. */
  UNVERIFIED: 0,
  /** Only the pseudo-header's sum is in place; the rest is to be added from `csumStart` on (VIRTIO_NET_HDR_F_NEEDS_CSUM). */
  PARTIAL: 1,
  /** Complete and known to be right (VIRTIO_NET_HDR_F_DATA_VALID). */
  VALID: 2,
} as const;

/** GSO types with the values of linux/virtio_net.h. */
export const GSO = { NONE: 0, TCPV4: 1, UDP: 3, TCPV6: 4, UDP_L4: 5, ECN: 0x80 } as const;

/** Least scratch space before every frame, bytes. Enough for a virtio_net_hdr of 12 bytes and an alignment gap. */
export const HEADROOM = 16;

/** Longest frame that any port accepts: an IP packet of 65,535 bytes behind an Ethernet header with one VLAN tag. */
export const MAX_FRAME = 65535 + 18;

/** Bytes of one frame and what its checksum and segmentation still lack. Reused from frame to frame; never kept. */
export class Frame {
  region: Region;
  /** Index of the Ethernet header in `region.bytes`; at least {@link HEADROOM} bytes of scratch lie before it. */
  offset = 0;
  /** Bytes from the Ethernet header to the end. */
  length = 0;
  /** One of {@link CSUM}. */
  csum: number = CSUM.UNVERIFIED;
  /** Where summing starts and, from there, where the sum is stored: both meaningful for CSUM.PARTIAL. `csumStart` counts from `offset`. */
  csumStart = 0;
  csumOffset = 0;
  /** One of {@link GSO}, perhaps with GSO.ECN. */
  gsoType: number = GSO.NONE;
  /** Payload bytes a segment. */
  gsoSize = 0;
  /** Bytes of all headers, Ethernet to TCP or UDP; counts from `offset`. */
  hdrLen = 0;

  constructor(region: Region) {
    this.region = region;
  }

  /** Points at plain bytes without offload state. */
  setPlain(region: Region, offset: number, length: number): void {
    this.region = region;
    this.offset = offset;
    this.length = length;
    this.csum = CSUM.UNVERIFIED;
    this.csumStart = 0;
    this.csumOffset = 0;
    this.gsoType = GSO.NONE;
    this.gsoSize = 0;
    this.hdrLen = 0;
  }
}
