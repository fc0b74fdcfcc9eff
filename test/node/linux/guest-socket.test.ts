import { openSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { IO } from '../../../src/core/base/ports.ts';
import { SOCK_DGRAM } from '../../../src/node/linux/constants.ts';
import { guestSocket4, reserveDescriptors } from '../../../src/node/linux/guest-socket.ts';
import { close } from '../../../src/node/linux/libc.ts';

const opened: number[] = [];

afterEach(() => {
  reserveDescriptors(Number.POSITIVE_INFINITY);
  for (const fd of opened.splice(0)) close(fd);
});

/** Opens sockets until one is refused; returns how many there are. */
function openAll(most: number): number {
  let count = 0;
  for (let fd = guestSocket4(SOCK_DGRAM); count < most; fd = guestSocket4(SOCK_DGRAM)) {
    if (fd < 0) {
      expect(fd).toBe(IO.NO_RESOURCES);
      return count;
    }
    opened.push(fd);
    count += 1;
  }
  return count;
}

test('guests leave half of few descriptors to the process, and what is closed is theirs again', () => {
  reserveDescriptors(400);
  const count = openAll(400);
  expect(count).toBeGreaterThan(0);
  expect(Math.max(...opened)).toBeLessThan(200);
  opened.push(openSync('/dev/null', 'r'));
  close(opened.shift() as number);
  expect(openAll(400)).toBe(1);
});

test('of many descriptors 640 are kept', () => {
  reserveDescriptors(1400);
  expect(openAll(1400)).toBeGreaterThan(0);
  expect(Math.max(...opened)).toBe(1400 - 640 - 1);
});
