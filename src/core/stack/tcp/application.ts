/**
 * What stands behind a guest's connection: in the product the host's socket, in tests a buffer. All calls return at
 * once; results below zero are `IO` codes.
 *
 * The contract that keeps every byte in one place only: `accept` takes bytes from the guest for good, and what it
 * doesn't take isn't acknowledged; `peek` shows bytes for the guest, and they stay where they are until `consume` says
 * that the guest has acknowledged them.
 */

import type { Region } from '../../base/ports.ts';

export interface TcpApplication {
  /** In-order bytes from the guest. Returns how many were taken (≥ 0; fewer than `length` when full), or an error. */
  accept(region: Region, offset: number, length: number): number;
  /** Bytes that `accept` would take now; asked at most once a turn. */
  space(): number;
  /** `TcpStack.spaceAvailable` is wanted as soon as `space` has grown considerably. */
  notifySpace(): void;
  /** The guest has sent FIN, and all before it was accepted. Left out when `lingering` follows at once, which implies it. */
  endOfInput(): void;
  /** Copies bytes for the guest, from `skip` bytes after the first unconsumed one on; > 0, 0 at the end, WOULD_BLOCK, or an error. */
  peek(region: Region, offset: number, length: number, skip: number): number;
  consume(length: number): void;
  /** Both directions ended in order; only TIME-WAIT runs on, which needs nothing of the application. Release everything. */
  lingering(): void;
  /** Both directions ended in order and are acknowledged: release everything, nothing more will be asked. */
  finished(): void;
  /** The connection broke: reset the other side and release everything. */
  aborted(reason: AbortReason): void;
}

/** Why a connection broke; each is a counter. */
export const ABORT = {
  /** The guest sent RST. */
  GUEST_RESET: 'guestReset',
  /** The host's side was reset; the guest got RST. */
  HOST_RESET: 'hostReset',
  /** The guest stopped acknowledging (RFC 9293 §3.8.3, R2). */
  GUEST_TIMEOUT: 'guestTimeout',
  /** The guest never completed the handshake. */
  HANDSHAKE: 'handshakeAbandoned',
  /** The guest's port went away, or the table needed room. */
  EVICTED: 'evicted',
} as const;

export type AbortReason = (typeof ABORT)[keyof typeof ABORT];
