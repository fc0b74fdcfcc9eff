/**
 * Accepting on a listener that lives on a level-triggered loop, also when this process has no descriptor left.
 *
 * Then `accept` fails and the connection keeps waiting, so the loop would spin. Therefore one descriptor is held in
 * reserve: it is given up for a moment to accept and close the connection that can't be served (the customary remedy,
 * e.g. libev's manual, "the special problem of accept()ing when you can't").
 */

import { IO } from '../../core/base/ports.ts';
import { O_CLOEXEC, O_RDONLY } from './constants.ts';
import { close, open } from './libc.ts';
import { putText } from './memory.ts';
import { acceptUnix } from './unix-stream.ts';

/** A listening descriptor, taken over for good. */
export class Acceptor {
  readonly fd: number;
  private reserve: number;

  constructor(fd: number) {
    this.fd = fd;
    this.reserve = openReserve();
  }

  /** Takes one connection; returns its descriptor, or an IO code: WOULD_BLOCK, or NO_RESOURCES after turning one away. */
  accept(): number {
    const accepted = acceptUnix(this.fd);
    if (accepted !== IO.NO_RESOURCES || this.reserve < 0) return accepted;
    close(this.reserve);
    const surplus = acceptUnix(this.fd);
    if (surplus >= 0) close(surplus);
    this.reserve = openReserve();
    return IO.NO_RESOURCES;
  }

  /** Closes the listener and the reserve. */
  close(): void {
    close(this.fd);
    if (this.reserve >= 0) close(this.reserve);
  }
}

function openReserve(): number {
  return open(putText('/dev/null'), O_RDONLY | O_CLOEXEC, 0);
}
