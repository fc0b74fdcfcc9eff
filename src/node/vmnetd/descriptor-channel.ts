/**
 * Descriptors to and from a netd: the part of the control channel that Node's sockets cannot do, made of short
 * non-blocking calls. A connection of its own carries each such request, so it never meets bytes that Node has queued.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { IO } from '../../core/base/ports.ts';
import { closeAll, receiveDescriptors, sendDescriptors } from '../linux/unix-fd.ts';
import { connectUnix } from '../linux/unix-stream.ts';

const NEWLINE = 10;

/** A connection on which the first bytes of a request went out, with all of its descriptors on them. */
export interface Sent {
  /** The caller's to close. */
  fd: number;
  /** What did not fit into the first write. */
  rest: Uint8Array;
}

/** Connects to a control socket and sends the beginning of `text` with descriptors on its first byte. Throws when nobody listens. */
export function sendWithDescriptors(path: string, text: string, descriptors: readonly number[]): Sent {
  const bytes = Buffer.from(text);
  const fd = connectUnix(path);
  const sent = sendDescriptors(fd, bytes, 0, descriptors);
  if (sent > 0) return { fd, rest: bytes.subarray(sent) };
  closeAll([fd]);
  throw new Error(`sending descriptors to ${path} failed (${sent})`);
}

/** One line of text and the descriptors that came with it; the caller owns them. */
export interface Received {
  line: string;
  descriptors: number[];
}

/**
 * Sends one line and collects one line, with descriptors, in answer. Looks again every millisecond: this is done once
 * for a netd that is adopted. Rejects after `timeoutMs`, at the end of the stream, or beyond `bound` bytes; what had
 * come by then is closed.
 */
export async function exchangeDescriptors(
  path: string,
  text: string,
  bound: number,
  timeoutMs: number,
): Promise<Received> {
  const { fd } = sendWithDescriptors(path, text, []);
  const descriptors: number[] = [];
  try {
    const line = await receiveLine(fd, descriptors, bound, timeoutMs);
    return { line, descriptors };
  } catch (error) {
    closeAll(descriptors);
    throw error;
  } finally {
    closeAll([fd]);
  }
}

async function receiveLine(fd: number, descriptors: number[], bound: number, timeoutMs: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  const deadline = Date.now() + timeoutMs;
  for (let length = 0; length <= bound; ) {
    const piece = receiveDescriptors(fd, descriptors);
    if (piece === IO.WOULD_BLOCK) {
      if (Date.now() >= deadline) throw new Error('netd did not send its descriptors in time');
      await delay(1);
      continue;
    }
    if (typeof piece === 'number' || piece.length === 0) throw new Error('netd closed the connection');
    pieces.push(piece);
    length += piece.length;
    // Events may share the connection: the answer is the first line that has an id.
    const text = Buffer.concat(pieces).toString('utf8');
    const answer = piece.includes(NEWLINE) ? completeLines(text).find((line) => line.includes('"id"')) : undefined;
    if (answer !== undefined) return answer;
  }
  throw new Error('netd sent a line without an end');
}

function completeLines(text: string): string[] {
  return text.split('\n').slice(0, -1);
}
