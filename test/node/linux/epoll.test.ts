/** Registrations, stale events and the bound of a turn. */

import { afterEach, expect, test } from 'vitest';
import { EPOLLIN, EPOLLOUT, SOCK_STREAM } from '../../../src/node/linux/constants.ts';
import { BATCH, Epoll } from '../../../src/node/linux/epoll.ts';
import { close, write } from '../../../src/node/linux/libc.ts';
import { address, mapRegion } from '../../../src/node/linux/memory.ts';
import { pair } from '../../support/port-host.ts';

const byte = address(mapRegion(1), 0, 1);
const open: number[] = [];

afterEach(() => {
  for (const fd of open.splice(0)) close(fd);
});

/** A descriptor that is readable. */
function readable(): number {
  const [near, far] = pair(SOCK_STREAM);
  write(far, byte, 1);
  open.push(near, far);
  return near;
}

function turn(epoll: Epoll): number {
  const count = epoll.wait(0);
  epoll.dispatch(count);
  return count;
}

test('calls the handler of the descriptor that is ready, with what is ready', () => {
  const epoll = new Epoll();
  const heard: number[] = [];
  epoll.add(readable(), EPOLLIN, { onEvents: (events) => heard.push(events) });
  const [idle, far] = pair(SOCK_STREAM);
  open.push(idle, far);
  epoll.add(idle, EPOLLIN, { onEvents: () => heard.push(-1) });
  expect(turn(epoll)).toBe(1);
  expect(heard).toEqual([EPOLLIN]);
});

test('an event fetched before its descriptor was removed meets nobody, not even the next owner of its entry', () => {
  const epoll = new Epoll();
  const heard: string[] = [];
  const fds = [readable(), readable()];
  const entries: number[] = [];
  const successor = readable();
  const first = (name: string, other: number) => ({
    onEvents() {
      heard.push(name);
      epoll.remove(entries[other]!, fds[other]!);
      expect(epoll.add(successor, EPOLLIN, { onEvents: () => heard.push('successor') })).toBe(entries[other]);
    },
  });
  entries.push(epoll.add(fds[0]!, EPOLLIN, first('a', 1)), epoll.add(fds[1]!, EPOLLIN, first('b', 0)));
  expect(turn(epoll)).toBe(2);
  expect(heard.length).toBe(1);
  epoll.remove(entries[heard[0] === 'a' ? 0 : 1]!, fds[heard[0] === 'a' ? 0 : 1]!);
  turn(epoll);
  expect(heard[1]).toBe('successor');
});

test('a handler may remove itself', () => {
  const epoll = new Epoll();
  const fd = readable();
  let heard = 0;
  const entry = epoll.add(fd, EPOLLIN, {
    onEvents() {
      heard += 1;
      epoll.remove(entry, fd);
    },
  });
  turn(epoll);
  turn(epoll);
  expect(heard).toBe(1);
  expect(epoll.size).toBe(0);
});

test('entries are used again', () => {
  const epoll = new Epoll();
  const fd = readable();
  const first = epoll.add(fd, EPOLLIN, { onEvents() {} });
  epoll.remove(first, fd);
  expect(epoll.add(fd, EPOLLIN, { onEvents() {} })).toBe(first);
  expect(epoll.size).toBe(1);
});

test('modify changes what is reported', () => {
  const epoll = new Epoll();
  const fd = readable();
  const heard: number[] = [];
  const entry = epoll.add(fd, EPOLLIN, { onEvents: (events) => heard.push(events) });
  epoll.modify(entry, fd, EPOLLOUT);
  turn(epoll);
  expect(heard).toEqual([EPOLLOUT]);
});

test('a descriptor that can’t be watched is refused, and takes no entry', () => {
  const epoll = new Epoll();
  expect(epoll.add(12_345, EPOLLIN, { onEvents() {} })).toBe(-1);
  expect(epoll.size).toBe(0);
});

test('one turn handles a bounded number of events, and the next one the rest', () => {
  const epoll = new Epoll();
  let heard = 0;
  for (let i = 0; i < BATCH + 10; i += 1) {
    const fd = readable();
    const entry = epoll.add(fd, EPOLLIN, {
      onEvents() {
        heard += 1;
        epoll.remove(entry, fd);
      },
    });
  }
  expect(turn(epoll)).toBe(BATCH);
  expect(turn(epoll)).toBe(10);
  expect(heard).toBe(BATCH + 10);
});

test('sleeps until the timeout when nothing happens', () => {
  const epoll = new Epoll();
  const from = performance.now();
  expect(epoll.wait(30)).toBe(0);
  expect(performance.now() - from).toBeGreaterThan(25);
});
