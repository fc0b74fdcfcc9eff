/**
 * The states of a connection towards the guest, seen from our end (RFC 9293 §3.3.2). The guest opens, so LISTEN is the
 * gateway itself and SYN-SENT doesn't occur until forwards open connections towards guests. CONNECTING is ours: the
 * guest's SYN is held unanswered while the host's connection is being made (DESIGN §6).
 */
export const TCP_STATE = {
  CLOSED: 0,
  CONNECTING: 1,
  SYN_RECEIVED: 2,
  ESTABLISHED: 3,
  /** We have sent FIN, the guest hasn't. */
  FIN_WAIT_1: 4,
  /** Our FIN is acknowledged, the guest may go on sending: half-closed by the host. */
  FIN_WAIT_2: 5,
  /** The guest has sent FIN, we haven't: half-closed by the guest. */
  CLOSE_WAIT: 6,
  /** Both have sent FIN, ours is not acknowledged, ours went first or crossed. */
  CLOSING: 7,
  /** Both have sent FIN, the guest first; ours is not acknowledged. */
  LAST_ACK: 8,
  TIME_WAIT: 9,
} as const;

export type TcpState = (typeof TCP_STATE)[keyof typeof TCP_STATE];

const NAMES: Record<TcpState, string> = {
  [TCP_STATE.CLOSED]: 'CLOSED',
  [TCP_STATE.CONNECTING]: 'CONNECTING',
  [TCP_STATE.SYN_RECEIVED]: 'SYN-RECEIVED',
  [TCP_STATE.ESTABLISHED]: 'ESTABLISHED',
  [TCP_STATE.FIN_WAIT_1]: 'FIN-WAIT-1',
  [TCP_STATE.FIN_WAIT_2]: 'FIN-WAIT-2',
  [TCP_STATE.CLOSE_WAIT]: 'CLOSE-WAIT',
  [TCP_STATE.CLOSING]: 'CLOSING',
  [TCP_STATE.LAST_ACK]: 'LAST-ACK',
  [TCP_STATE.TIME_WAIT]: 'TIME-WAIT',
};

/** The name that RFC 9293 prints. */
export function tcpStateName(state: TcpState): string {
  return NAMES[state];
}
