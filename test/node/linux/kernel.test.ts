/**
 * What node/linux believes of the kernel, proven without node/linux in between: each test is one assumption, and says
 * where it is relied upon. A kernel that fails one of them needs another way, not another test.
 */

import { afterEach, describe, expect, test } from 'vitest';
import { IO } from '../../../src/core/base/ports.ts';
import {
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  SK_MEMINFO_SNDBUF,
  SK_MEMINFO_VARS,
  SK_MEMINFO_WMEM_QUEUED,
  SO_MEMINFO,
  SO_PEEK_OFF,
  SOL_SOCKET,
} from '../../../src/node/linux/constants.ts';
import { Epoll } from '../../../src/node/linux/epoll.ts';
import { lastIo, must } from '../../../src/node/linux/errno.ts';
import { recv, send } from '../../../src/node/linux/libc.ts';
import { address, mapRegion } from '../../../src/node/linux/memory.ts';
import { getOption, optionWord, setOption } from '../../../src/node/linux/socket-option.ts';
import { HAS_PEEK_OFFSET, openTcp4 } from '../../../src/node/linux/tcp-socket.ts';
import { Listener, LOOPBACK, type Peer, settle } from '../../support/loopback.ts';

const region = mapRegion(4 << 20);
const toClose: { close(): void }[] = [];

afterEach(() => {
  for (const closable of toClose.splice(0)) closable.close();
});

/** Two ends of one connection over loopback, as bare descriptors. */
function connection(): { near: number; far: Peer; epoll: Epoll } {
  const epoll = new Epoll();
  const listener = new Listener();
  const tcp = openTcp4(epoll, LOOPBACK, listener.port, { onReady() {} }, true);
  if (typeof tcp === 'number') throw new Error(`connect: ${tcp}`);
  settle(epoll, () => tcp.result() === 0);
  const far = listener.accept();
  toClose.push(tcp, far, listener);
  return { near: tcp.fd, far, epoll };
}

function text(length: number): string {
  return Buffer.from(region.bytes.subarray(0, length)).toString();
}

function peek(fd: number, length: number): number {
  const n = recv(fd, address(region, 0, length), length, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 ? lastIo() : n;
}

function peekOffset(fd: number): number {
  must(getOption(fd, SOL_SOCKET, SO_PEEK_OFF, 1), 'getsockopt');
  return optionWord(0);
}

describe.skipIf(!HAS_PEEK_OFFSET)('SO_PEEK_OFF for TCP (Linux ≥ 6.9), used by TcpSocket.peek', () => {
  test('a peek begins at the offset and moves it forward by what it copied', () => {
    const { near, far } = connection();
    far.send('abcdefgh');
    setOption(near, SOL_SOCKET, SO_PEEK_OFF, 2);
    expect(peek(near, 3)).toBe(3);
    expect(text(3)).toBe('cde');
    expect(peekOffset(near)).toBe(5);
    expect(peek(near, 10)).toBe(3);
    expect(text(3)).toBe('fgh');
    expect(peekOffset(near)).toBe(8);
  });

  test('a peek at the end of what has come would block, and moves nothing', () => {
    const { near, far } = connection();
    far.send('abc');
    setOption(near, SOL_SOCKET, SO_PEEK_OFF, 3);
    expect(peek(near, 10)).toBe(IO.WOULD_BLOCK);
    expect(peekOffset(near)).toBe(3);
  });

  test('a discarding read (MSG_TRUNC into nowhere) consumes and moves the offset back by as much', () => {
    const { near, far } = connection();
    far.send('abcdefgh');
    setOption(near, SOL_SOCKET, SO_PEEK_OFF, 0);
    expect(peek(near, 6)).toBe(6);
    expect(recv(near, 0, 4, MSG_TRUNC | MSG_DONTWAIT)).toBe(4);
    expect(peekOffset(near)).toBe(2);
    expect(peek(near, 10)).toBe(2);
    expect(text(2)).toBe('gh');
  });

  test('discarding more than was peeked leaves the offset at 0, not below', () => {
    const { near, far } = connection();
    far.send('abcdefgh');
    setOption(near, SOL_SOCKET, SO_PEEK_OFF, 0);
    peek(near, 2);
    expect(recv(near, 0, 5, MSG_TRUNC | MSG_DONTWAIT)).toBe(5);
    expect(peekOffset(near)).toBe(0);
    expect(peek(near, 10)).toBe(3);
    expect(text(3)).toBe('fgh');
  });

  test('behind the last byte, with FIN received, a peek says 0 again and again', () => {
    const { near, far, epoll } = connection();
    far.send('abc');
    far.end();
    setOption(near, SOL_SOCKET, SO_PEEK_OFF, 3);
    settle(epoll, () => peek(near, 10) !== IO.WOULD_BLOCK);
    expect(peek(near, 10)).toBe(0);
    expect(peek(near, 10)).toBe(0);
    expect(peekOffset(near)).toBe(3);
    setOption(near, SOL_SOCKET, SO_PEEK_OFF, 0);
    expect(peek(near, 10)).toBe(3);
  });

  test('one peek crosses the borders of the segments that bytes came in', () => {
    const { near, far } = connection();
    for (const piece of ['ab', 'cd', 'ef']) far.send(piece);
    setOption(near, SOL_SOCKET, SO_PEEK_OFF, 1);
    expect(peek(near, 10)).toBe(5);
    expect(text(5)).toBe('bcdef');
  });
});

describe('discarding', () => {
  test('MSG_TRUNC with a null buffer discards megabytes without copying them', () => {
    const { near, far, epoll } = connection();
    const chunk = new Uint8Array(64 * 1024).fill(7);
    let queued = 0;
    settle(epoll, () => {
      for (;;) {
        region.bytes.set(chunk);
        const n = send(far.fd, address(region, 0, chunk.length), chunk.length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) return queued >= 1 << 18;
        queued += n;
        if (queued >= 1 << 18) return true;
      }
    });
    let discarded = 0;
    settle(epoll, () => {
      const n = recv(near, 0, queued - discarded, MSG_TRUNC | MSG_DONTWAIT);
      if (n > 0) discarded += n;
      return discarded === queued;
    });
    expect(discarded).toBe(queued);
  });
});

/** Free bytes of the send buffer by the kernel's own account, which counts true sizes. */
function free(fd: number): number {
  must(getOption(fd, SOL_SOCKET, SO_MEMINFO, SK_MEMINFO_VARS), 'getsockopt');
  return optionWord(SK_MEMINFO_SNDBUF) - optionWord(SK_MEMINFO_WMEM_QUEUED);
}

function write(fd: number, length: number): number {
  return send(fd, address(region, 0, length), length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

describe('SO_MEMINFO, used by TcpSocket.sendSpace', () => {
  test.each([100, 1448, 65_536])(
    'by writes of %i bytes the kernel takes at least three quarters of what was free',
    (size) => {
      const { near } = connection();
      const before = free(near);
      let taken = 0;
      for (let n = write(near, size); n > 0; n = write(near, size)) taken += n;
      expect(before).toBeGreaterThan(0);
      expect(taken).toBeGreaterThanOrEqual(before * 0.75);
      expect(free(near)).toBeLessThan(before / 4);
    },
  );
});

describe('epoll, edge-triggered', () => {
  const EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

  /** Records the events of one more registration of a descriptor. */
  function watch(fd: number) {
    const epoll = new Epoll();
    const seen: number[] = [];
    const entry = epoll.add(fd, EVENTS, { onEvents: (events) => seen.push(events) });
    const turn = () => epoll.dispatch(epoll.wait(0));
    return { epoll, entry, seen, turn };
  }

  /** Fills the send buffer almost, by writes of which none is refused or cut: SOCK_NOSPACE stays clear. */
  function fillWithoutRefusal(fd: number): void {
    for (const size of [65_536, 2048]) {
      while (free(fd) > 2 * size) expect(write(fd, size)).toBe(size);
    }
  }

  test('readiness is told once, and again when more bytes arrive', () => {
    const { near, far } = connection();
    const { seen, turn } = watch(near);
    turn();
    far.send('a');
    turn();
    turn();
    expect(seen.map((events) => (events & EPOLLIN) !== 0)).toEqual([false, true]);
    far.send('b');
    turn();
    expect(seen.length).toBe(3);
  });

  test('a full send buffer that no write ran against gives no event when it drains: SOCK_NOSPACE is not set', () => {
    const { near, far } = connection();
    const { seen, turn } = watch(near);
    turn();
    fillWithoutRefusal(near);
    seen.length = 0;
    while (typeof far.receive() !== 'number');
    turn();
    expect(seen).toEqual([]);
  });

  test('EPOLL_CTL_MOD re-arms it: the event comes when the buffer has drained', () => {
    const { near, far } = connection();
    const { epoll, entry, seen, turn } = watch(near);
    turn();
    fillWithoutRefusal(near);
    epoll.modify(entry, near, EVENTS);
    seen.length = 0;
    turn();
    expect(seen).toEqual([]);
    settle(epoll, () => {
      while (typeof far.receive() !== 'number');
      return seen.length > 0;
    });
    expect((seen[0] as number) & EPOLLOUT).toBe(EPOLLOUT);
  });

  test('EPOLL_CTL_MOD of a socket that is writable tells so in the next turn', () => {
    const { near } = connection();
    const { epoll, entry, seen, turn } = watch(near);
    turn();
    seen.length = 0;
    turn();
    expect(seen).toEqual([]);
    epoll.modify(entry, near, EVENTS);
    turn();
    expect(seen).toEqual([EPOLLOUT]);
  });

  test('the peer’s FIN is told by EPOLLRDHUP', () => {
    const { near, far } = connection();
    const { epoll, seen, turn } = watch(near);
    turn();
    seen.length = 0;
    far.end();
    settle(epoll, () => seen.length > 0);
    turn();
    expect((seen.at(-1) as number) & (EPOLLIN | EPOLLRDHUP)).toBe(EPOLLIN | EPOLLRDHUP);
  });
});
