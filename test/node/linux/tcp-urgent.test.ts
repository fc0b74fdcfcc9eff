import { expect, test } from 'vitest';
import { IO, READY } from '../../../src/core/base/ports.ts';
import { Epoll } from '../../../src/node/linux/epoll.ts';
import { must } from '../../../src/node/linux/errno.ts';
import { send } from '../../../src/node/linux/libc.ts';
import { address, mapRegion } from '../../../src/node/linux/memory.ts';
import { HAS_PEEK_OFFSET, type LinuxTcpSocket, openTcp4 } from '../../../src/node/linux/tcp-socket.ts';
import { drain, Listener, LOOPBACK } from '../../support/loopback.ts';

const MSG_OOB = 1;

test.each([HAS_PEEK_OFFSET, false])(
  'an urgent mark in the middle of the stream loses nothing, and peeks are told not to trust short counts (%s)',
  (usesPeekOffset) => {
    const epoll = new Epoll();
    const listener = new Listener();
    const region = mapRegion(4096);
    let seen = 0;
    const socket = openTcp4(
      epoll,
      LOOPBACK,
      listener.port,
      {
        onReady(readiness) {
          seen |= readiness;
        },
      },
      usesPeekOffset,
    ) as LinuxTcpSocket;
    drain(epoll);
    const peer = listener.accept();
    peer.send('before');
    region.bytes[0] = 0x21;
    must(send(peer.fd, address(region, 0, 1), 1, MSG_OOB), 'send');
    peer.send('behind');
    drain(epoll);

    expect(seen & READY.END).toBe(READY.END);
    let text = '';
    const peekAll = (skip: number) => {
      for (;;) {
        const n = socket.peek(region, 0, 4096, skip);
        if (n === IO.WOULD_BLOCK) return;
        expect(n).toBeGreaterThan(0);
        skip += n;
        text += Buffer.from(region.bytes.subarray(0, n)).toString('latin1');
      }
    };
    peekAll(0);
    if (!usesPeekOffset) {
      // Without SO_PEEK_OFF nothing behind the mark is seen before what lies in front of it was consumed.
      expect(text).toBe('before');
      socket.consume(text.length);
      peekAll(0);
      socket.consume('!behind'.length);
    } else {
      socket.consume(text.length);
    }
    expect(text).toBe('before!behind');
    expect(socket.peek(region, 0, 4096, 0)).toBe(IO.WOULD_BLOCK);
    socket.close();
    listener.close();
  },
);
