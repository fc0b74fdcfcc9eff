/** Limits and times of TCP towards guests, each with its reason. Stated to users in docs/limits. */

/** Shift of the windows that we announce: units of 128 bytes, at most 8 MiB. */
export const RECEIVE_WINDOW_SHIFT = 7;
/** Largest window offered to a guest, bytes. */
export const MAX_RECEIVE_WINDOW = 4 << 20;
/** `cwnd` at the start. The cable loses nothing by itself, and `room` keeps us below its queue. */
export const INITIAL_CWND = 1 << 20;
export const MAX_CWND = 4 << 20;
/** Bytes that one connection may send in one turn before the others have theirs. */
export const SEND_BUDGET = 4 << 16;
/** Milliseconds after which an unfinished handshake resets the host's side. */
export const HANDSHAKE_LIMIT_MS = 10_000;
/** 2 MSL. A segment's life on a single virtual cable is far below a second. */
export const TIME_WAIT_MS = 2_000;
export const RTO_MIN_MS = 200;
export const RTO_MAX_MS = 60_000;
/** Retransmissions of the same bytes before we give up: more than 100 s with back-off (RFC 9293 MUST-23). */
export const MAX_RETRIES = 12;
/** How long a guest with a closed window may leave probes unanswered. */
export const PROBE_LIMIT_MS = 300_000;
/** Length of the timestamps option with its padding (RFC 7323 appendix A). */
export const TIMESTAMPS_LENGTH = 12;
