/** The socket of a network on which guests' cables are plugged in (`<run dir>/<network>.sock`): each connection is a port. */

import { IO } from '../../../core/base/ports.ts';
import { Acceptor } from '../../linux/acceptor.ts';
import { EPOLLIN } from '../../linux/constants.ts';
import type { Epoll, EpollHandler } from '../../linux/epoll.ts';

/** Most connections taken in one turn. */
const BUDGET = 16;

/** Makes ports of connections. `plug` takes over the descriptor. */
export class StreamListener implements EpollHandler {
  readonly fd: number;
  private readonly epoll: Epoll;
  private readonly acceptor: Acceptor;
  private readonly entry: number;
  private readonly plug: (fd: number) => void;

  /** Takes over a listening descriptor. */
  constructor(fd: number, epoll: Epoll, plug: (fd: number) => void) {
    this.fd = fd;
    this.epoll = epoll;
    this.plug = plug;
    this.acceptor = new Acceptor(fd);
    this.entry = epoll.add(fd, EPOLLIN, this);
    if (this.entry < 0) throw new Error('the stream listener cannot be watched');
  }

  onEvents(): void {
    for (let i = 0; i < BUDGET; i += 1) {
      const fd = this.acceptor.accept();
      if (fd >= 0) this.plug(fd);
      else if (fd === IO.WOULD_BLOCK) return;
    }
  }

  close(): void {
    this.epoll.remove(this.entry, this.fd);
    this.acceptor.close();
  }
}
