/**
 * Memory whose address is known, and the one function that turns a place in it into an address for the kernel.
 *
 * Theory of operation. FFI is the one unsafe place of openvmnet: a wrong address or length makes the kernel write over
 * this process. So no other file computes an address. {@link address} takes a region, an offset and a length, checks
 * that they lie inside of it, and only then adds `region.base`. A number that a guest supplied can reach it as offset
 * or length at worst, never as an address; out of bounds is a bug of ours and stops the process.
 *
 * {@link scratch} is one small region per process for the structs of system calls (sockaddr, msghdr, iovec, options),
 * each at a fixed place. System calls are synchronous and made from one thread, so no two ever use a place at once.
 */

import type { Region } from '../../core/base/ports.ts';
import { MAP_ANONYMOUS, MAP_NORESERVE, MAP_PRIVATE, PROT_READ_WRITE } from './constants.ts';
import { must } from './errno.ts';
import { mmap, viewOf } from './libc.ts';

/** Bytes of a page; mappings are a multiple of it. */
export const PAGE = 4096;

/** Maps zeroed memory that takes up room only as far as it is touched. It is never unmapped: V8 may hold its view for ever. */
export function mapRegion(size: number): Region {
  const length = Math.ceil(size / PAGE) * PAGE;
  const base = mmap(0, length, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  // MAP_FAILED is (void *)-1: no safe integer, so koffi gives a BigInt or a huge number.
  must(Number.isSafeInteger(base) ? 0 : -1, 'mmap');
  return { bytes: new Uint8Array(viewOf(base, length)), base };
}

/** The address of `length` bytes at `offset` of a region: checked here, computed nowhere else. Throws when out of bounds. */
export function address(region: Region, offset: number, length: number): number {
  // Said positively: a NaN is in no bounds.
  if (!(offset >= 0 && length >= 0 && offset + length <= region.bytes.length && region.base > 0)) {
    throw new RangeError(`address outside of its region: offset ${offset}, length ${length}`);
  }
  return region.base + offset;
}

/** Scratch for the structs of system calls, at the offsets of {@link AT}. */
export const scratch: Region = mapRegion(2 * PAGE);
/** The same memory for multi-byte fields; little-endian fields want `true` as the last argument. */
export const scratchView = new DataView(scratch.bytes.buffer);
/** The same memory as 32-bit words. */
export const scratchWords = new Int32Array(scratch.bytes.buffer);

/** Places in the scratch region, in bytes. */
export const AT = {
  /** sockaddr_in or sockaddr_un, 128 bytes. */
  SOCKADDR: 0,
  /** socklen_t that the kernel reads and writes. */
  SOCKLEN: 128,
  /** Value of a socket option, up to 64 bytes. */
  OPTION: 192,
  /** struct msghdr, 56 bytes. */
  MSGHDR: 256,
  /** struct ifreq, 40 bytes. */
  IFREQ: 320,
  /** struct pollfd, 8 bytes. */
  POLLFD: 384,
  /** struct epoll_event of epoll_ctl, 16 bytes. */
  EPOLL_EVENT: 400,
  /** Two descriptors (socketpair), or a struct rlimit. */
  PAIR: 416,
  /** 65 struct iovec of 16 bytes. */
  IOVEC: 512,
  /** Ancillary data, up to {@link CONTROL_SIZE} bytes. */
  CONTROL: 2048,
  /** Text: a path, a name. 1 KiB. */
  TEXT: 4096,
  /** Bytes that nobody reads: 2 KiB. */
  WASTE: 5120,
} as const;

export const CONTROL_SIZE = 2048;

/** Address of a place in the scratch region. */
export function scratchAddress(offset: number, length: number): number {
  return address(scratch, offset, length);
}

/** Writes an address into a struct in the scratch region, as 64 little-endian bits and without a BigInt. */
export function putPointer(offset: number, value: number): void {
  scratchView.setUint32(offset, value % 0x1_0000_0000, true);
  scratchView.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}

/** Writes a zero-terminated text of less than 1 KiB, as paths and names are, at AT.TEXT and returns its address. */
export function putText(text: string): number {
  const bytes = Buffer.from(`${text}\0`);
  if (bytes.length > AT.WASTE - AT.TEXT) throw new RangeError(`text too long for a system call: ${text.slice(0, 40)}…`);
  scratch.bytes.set(bytes, AT.TEXT);
  return scratchAddress(AT.TEXT, bytes.length);
}
