/**
 * errno as typed results. The data plane turns it into the {@link IO} codes of the core; the control plane throws a
 * {@link SystemCallError}, which names the call and the errno for people.
 */

import { getSystemErrorName } from 'node:util';
import { IO } from '../../core/base/ports.ts';
import { errno } from './libc.ts';

// asm-generic/errno-base.h and errno.h: the same on x86-64 and arm64.
export const EPERM = 1;
export const EINTR = 4;
export const EIO = 5;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const EPIPE = 32;
export const EBADFD = 77;
export const EMSGSIZE = 90;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ECONNABORTED = 103;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EHOSTDOWN = 112;
export const EHOSTUNREACH = 113;
export const EINPROGRESS = 115;

/** The {@link IO} code of an errno. EINPROGRESS and EINTR are "not now", too. */
export function errnoToIo(code: number): number {
  switch (code) {
    case EAGAIN:
    case EINTR:
    case EINPROGRESS:
      return IO.WOULD_BLOCK;
    case ECONNRESET:
    case ECONNABORTED:
      return IO.RESET;
    case ECONNREFUSED:
      return IO.REFUSED;
    case EHOSTUNREACH:
    case EHOSTDOWN:
      return IO.HOST_UNREACHABLE;
    case ENETUNREACH:
    case ENETDOWN:
      return IO.NET_UNREACHABLE;
    case ETIMEDOUT:
      return IO.TIMED_OUT;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:
      return IO.NO_RESOURCES;
    case EACCES:
    case EPERM:
      return IO.DENIED;
    case EMSGSIZE:
      return IO.TOO_LONG;
    case EPIPE:
      return IO.BROKEN;
    default:
      return IO.OTHER;
  }
}

/** The {@link IO} code of the call that failed just now. */
export function lastIo(): number {
  return errnoToIo(errno());
}

/** A system call of the control plane failed: which one, and why. */
export class SystemCallError extends Error {
  /** The call, with what it was about: `ioctl TUNSETIFF tap0`. */
  readonly call: string;
  readonly errno: number;
  /** `EPERM`, `EBUSY`, …. */
  readonly code: string;

  constructor(call: string, code: number) {
    const name = code > 0 ? getSystemErrorName(-code) : 'unknown';
    super(`${call}: ${name}`);
    this.name = 'SystemCallError';
    this.call = call;
    this.errno = code;
    this.code = name;
  }
}

/** Passes a call's result through, or throws {@link SystemCallError} if it is below zero. */
export function must(result: number, call: string): number {
  if (result < 0) throw new SystemCallError(call, errno());
  return result;
}
