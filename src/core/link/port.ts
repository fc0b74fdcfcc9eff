/**
 * What the switch and the cable ends agree on: a port takes frames from the switch (`transmit`) and gives frames to it
 * (`Switch.receive`). Counters are seen from the guest's cable: `rx` came from the guest, `tx` went to it.
 */

import type { DropCounters } from './drops.ts';
import type { Frame } from './frame.ts';

/** Plain counters of a port; bytes are Ethernet bytes without FCS. A superframe counts as one frame. */
export interface PortStats {
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
  /** Frames that went no further, by reason. */
  readonly drops: DropCounters;
}

/** One end of a cable into the switch. */
export interface SwitchPort {
  /** Small integer, unique within its network, given by the network. */
  readonly id: number;
  readonly stats: PortStats;
  /**
   * Sends a frame to the cable. The frame is borrowed for the call: a port that can't send at once copies it into its
   * bounded queue, or drops and counts it. Never throws, never blocks.
   */
  transmit(frame: Frame): void;
  /** Bytes that `transmit` takes now without a drop. A sender with its own flow control (our TCP) stays below it. */
  room(): number;
}
