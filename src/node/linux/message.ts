/**
 * `struct msghdr` in the scratch region: the one message of `recvmsg` and `sendmsg`, its parts and its ancillary data.
 * The addresses written here all come from `address()`; the kernel writes into the buffers only during the call.
 */

import { AT, CONTROL_SIZE, putPointer, scratchAddress, scratchView } from './memory.ts';

/** Address of the message for `recvmsg` and `sendmsg`. */
export const MESSAGE = scratchAddress(AT.MSGHDR, 56);

const PARTS = scratchAddress(AT.IOVEC, 65 * 16);
const CONTROL = scratchAddress(AT.CONTROL, CONTROL_SIZE);
const NAME = scratchAddress(AT.SOCKADDR, 128);

/** Most parts of one message. */
export const MAX_PARTS = 65;

/** Sets part `index` of the message. */
export function putPart(index: number, at: number, length: number): void {
  const entry = AT.IOVEC + index * 16;
  putPointer(entry, at);
  putPointer(entry + 8, length);
}

/** Completes the message: `parts` set by {@link putPart}, room for (or bytes of) a name at AT.SOCKADDR and ancillary data at AT.CONTROL. */
export function putMessage(parts: number, nameLength: number, controlLength: number): void {
  putPointer(AT.MSGHDR, nameLength > 0 ? NAME : 0);
  putPointer(AT.MSGHDR + 8, nameLength);
  putPointer(AT.MSGHDR + 16, PARTS);
  putPointer(AT.MSGHDR + 24, parts);
  putPointer(AT.MSGHDR + 32, controlLength > 0 ? CONTROL : 0);
  putPointer(AT.MSGHDR + 40, controlLength);
  putPointer(AT.MSGHDR + 48, 0);
}

/** Bytes of ancillary data that the kernel filled in. */
export function receivedControlLength(): number {
  return scratchView.getUint32(AT.MSGHDR + 40, true);
}

/** MSG_… flags that the kernel filled in. */
export function receivedFlags(): number {
  return scratchView.getInt32(AT.MSGHDR + 48, true);
}
