/**
 * Descriptors over unix sockets (SCM_RIGHTS, unix(7)), and the lines of JSON that they ride on.
 *
 * Theory of operation. A descriptor travels with a byte: the kernel hands it out when that byte is read, and never
 * joins bytes behind such a place to the read (bytes before it, it may). Which line a descriptor belongs to is
 * therefore told by order alone: each line says, by its contents, how many descriptors it needs, and takes them from the
 * front of the queue.
 *
 * Bounds: 253 descriptors a message (SCM_MAX_FD); netd has at most 243 to pass on (120 TAPs with a pidfd each, and 3).
 */

import {
  F_DUPFD_CLOEXEC,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SCM_RIGHTS,
  SOL_SOCKET,
} from './constants.ts';
import { lastIo, must } from './errno.ts';
import { close, fcntl, recvmsg, sendmsg } from './libc.ts';
import { AT, address, CONTROL_SIZE, mapRegion, putPointer, scratchView } from './memory.ts';
import { MESSAGE, putMessage, putPart, receivedControlLength, receivedFlags } from './message.ts';

/** Most descriptors of one message (linux/net.h SCM_MAX_FD). */
export const MAX_DESCRIPTORS = 253;

/** Most bytes of one read or write here. */
export const CHUNK = 65_536;

const CMSG_HEADER = 16;
const buffer = mapRegion(CHUNK);
const BUFFER = address(buffer, 0, CHUNK);

/**
 * Sends up to {@link CHUNK} bytes of `bytes` from `offset` on, with up to {@link MAX_DESCRIPTORS} descriptors on the
 * first of them. Returns how many bytes were taken (then all descriptors were, too), or an IO code. The caller keeps
 * its descriptors open: the receiver gets duplicates.
 */
export function sendDescriptors(fd: number, bytes: Uint8Array, offset: number, descriptors: readonly number[]): number {
  const length = Math.min(CHUNK, bytes.length - offset);
  buffer.bytes.set(bytes.subarray(offset, offset + length));
  putPart(0, BUFFER, length);
  let controlLength = 0;
  if (descriptors.length > 0) {
    controlLength = CMSG_HEADER + 4 * descriptors.length;
    putPointer(AT.CONTROL, controlLength);
    scratchView.setInt32(AT.CONTROL + 8, SOL_SOCKET, true);
    scratchView.setInt32(AT.CONTROL + 12, SCM_RIGHTS, true);
    descriptors.forEach((descriptor, i) => {
      scratchView.setInt32(AT.CONTROL + CMSG_HEADER + 4 * i, descriptor, true);
    });
  }
  putMessage(1, 0, controlLength);
  const sent = sendmsg(fd, MESSAGE, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 ? lastIo() : sent;
}

/**
 * Receives up to {@link CHUNK} bytes and the descriptors that ride on them, which are appended to `descriptors`
 * (close-on-exec; the caller owns them). Returns the bytes (a copy; empty at the end of the stream), or an IO code.
 */
export function receiveDescriptors(fd: number, descriptors: number[]): Uint8Array | number {
  putPart(0, BUFFER, CHUNK);
  putMessage(1, 0, CONTROL_SIZE);
  const received = recvmsg(fd, MESSAGE, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) return lastIo();
  takeDescriptors(descriptors);
  // More than SCM_MAX_FD can't be sent, so truncation means that this process has no descriptors left.
  if ((receivedFlags() & MSG_CTRUNC) !== 0) console.error('openvmnet: descriptors were lost, too many are open');
  return buffer.bytes.slice(0, received);
}

/** Collects the descriptors of every SCM_RIGHTS message in the ancillary data. */
function takeDescriptors(descriptors: number[]): void {
  const end = receivedControlLength();
  let at = 0;
  while (at + CMSG_HEADER <= end) {
    const length = scratchView.getUint32(AT.CONTROL + at, true);
    if (length < CMSG_HEADER || at + length > end) return;
    const level = scratchView.getInt32(AT.CONTROL + at + 8, true);
    const type = scratchView.getInt32(AT.CONTROL + at + 12, true);
    if (level === SOL_SOCKET && type === SCM_RIGHTS) {
      for (let i = at + CMSG_HEADER; i + 4 <= at + length; i += 4) {
        descriptors.push(scratchView.getInt32(AT.CONTROL + i, true));
      }
    }
    at += Math.ceil(length / 8) * 8;
  }
}

/** A duplicate of a descriptor, close-on-exec. Throws {@link SystemCallError}. */
export function duplicate(fd: number): number {
  return must(fcntl(fd, F_DUPFD_CLOEXEC, 0), 'fcntl F_DUPFD_CLOEXEC');
}

/** Closes descriptors, those that are closed already among them. */
export function closeAll(descriptors: readonly number[]): void {
  for (const descriptor of descriptors) close(descriptor);
}
