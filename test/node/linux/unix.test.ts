/** Unix sockets, descriptors over them, pidfds, locks, errno. */

import { spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { IO } from '../../../src/core/base/ports.ts';
import { Acceptor } from '../../../src/node/linux/acceptor.ts';
import { F_GETFD, FD_CLOEXEC, RLIMIT_NOFILE } from '../../../src/node/linux/constants.ts';
import { ECONNREFUSED, errnoToIo, must, SystemCallError } from '../../../src/node/linux/errno.ts';
import { tryLock } from '../../../src/node/linux/file-lock.ts';
import { close, fcntl, getrlimit, setrlimit } from '../../../src/node/linux/libc.ts';
import { AT, address, mapRegion, scratchAddress, scratchView } from '../../../src/node/linux/memory.ts';
import { hasEnded, openPidfd } from '../../../src/node/linux/pidfd.ts';
import {
  closeAll,
  duplicate,
  MAX_DESCRIPTORS,
  receiveDescriptors,
  sendDescriptors,
} from '../../../src/node/linux/unix-fd.ts';
import {
  acceptUnix,
  connectUnix,
  listenUnix,
  pairUnix,
  peerPid,
  receiveUnix,
  SOCKET_PATH_MAX,
  sendUnix,
} from '../../../src/node/linux/unix-stream.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'openvmnet-unix-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('unix streams', () => {
  const region = mapRegion(4096);
  const at = address(region, 0, 4096);

  test('listen, connect, accept, and bytes both ways', () => {
    const path = join(dir, 'a.sock');
    const listener = listenUnix(path);
    expect(acceptUnix(listener)).toBe(IO.WOULD_BLOCK);
    const client = connectUnix(path);
    const server = acceptUnix(listener);
    expect(peerPid(server)).toBe(process.pid);
    region.bytes.set(Buffer.from('hello'));
    expect(sendUnix(client, at, 5)).toBe(5);
    expect(receiveUnix(server, at, 100)).toBe(5);
    expect(receiveUnix(server, at, 100)).toBe(IO.WOULD_BLOCK);
    close(client);
    expect(receiveUnix(server, at, 100)).toBe(0);
    expect(sendUnix(server, at, 5)).toBe(IO.BROKEN);
    closeAll([server, listener]);
  });

  test('a socket is for its owner alone unless told otherwise', () => {
    const path = join(dir, 'a.sock');
    close(listenUnix(path));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    close(listenUnix(path, 0o660));
    expect(statSync(path).mode & 0o777).toBe(0o660);
  });

  test('replaces a socket that an earlier process left, but not a file', () => {
    const path = join(dir, 'a.sock');
    close(listenUnix(path));
    close(listenUnix(path));
    const file = join(dir, 'precious');
    writeFileSync(file, 'data');
    expect(() => listenUnix(file)).toThrow(/EADDRINUSE/);
  });

  test('says which call failed, and why', () => {
    try {
      connectUnix(join(dir, 'nobody.sock'));
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(SystemCallError);
      expect(error).toMatchObject({ code: 'ENOENT', call: `connect ${join(dir, 'nobody.sock')}` });
    }
  });

  test('a path takes up to 107 bytes', () => {
    const longest = join(dir, 'x'.repeat(SOCKET_PATH_MAX - dir.length - 1));
    close(listenUnix(longest));
    expect(statSync(longest).isSocket()).toBe(true);
    expect(() => listenUnix(`${longest}x`)).toThrow(RangeError);
    expect(() => connectUnix('')).toThrow(RangeError);
  });

  test('an acceptor without descriptors turns the connection away instead of leaving it in the queue', () => {
    const path = join(dir, 'a.sock');
    const acceptor = new Acceptor(listenUnix(path));
    const clients = [connectUnix(path), connectUnix(path)];
    const limit = scratchAddress(AT.PAIR, 16);
    must(getrlimit(RLIMIT_NOFILE, limit), 'getrlimit');
    const soft = scratchView.getUint32(AT.PAIR, true);
    scratchView.setUint32(AT.PAIR, 3, true);
    must(setrlimit(RLIMIT_NOFILE, limit), 'setrlimit');
    const denied = acceptor.accept();
    must(getrlimit(RLIMIT_NOFILE, limit), 'getrlimit');
    scratchView.setUint32(AT.PAIR, soft, true);
    must(setrlimit(RLIMIT_NOFILE, limit), 'setrlimit');
    expect(denied).toBe(IO.NO_RESOURCES);
    acceptor.close();
    closeAll(clients);
  });
});

describe('descriptors over a unix socket', () => {
  test('arrive as duplicates, close-on-exec, in order', () => {
    const [a, b] = pairUnix();
    const files = ['one', 'two'].map((name) => openSync(join(dir, name), 'w'));
    expect(sendDescriptors(a, Buffer.from('hi'), 0, files)).toBe(2);
    const got: number[] = [];
    expect(Buffer.from(receiveDescriptors(b, got) as Uint8Array).toString()).toBe('hi');
    expect(got.map((fd) => fstatSync(fd).ino)).toEqual(files.map((fd) => fstatSync(fd).ino));
    expect(got.every((fd) => (fcntl(fd, F_GETFD, 0) & FD_CLOEXEC) !== 0)).toBe(true);
    expect(receiveDescriptors(b, got)).toBe(IO.WOULD_BLOCK);
    closeAll([a, b, ...files, ...got]);
  });

  test('as many as one message can carry', () => {
    const [a, b] = pairUnix();
    const many = Array.from({ length: MAX_DESCRIPTORS }, () => duplicate(1));
    expect(sendDescriptors(a, Buffer.from('x'), 0, many)).toBe(1);
    const got: number[] = [];
    receiveDescriptors(b, got);
    expect(got.length).toBe(MAX_DESCRIPTORS);
    closeAll([a, b, ...many, ...got]);
  });

  test('bytes without descriptors stay apart from those with', () => {
    const [a, b] = pairUnix();
    sendDescriptors(a, Buffer.from('plain '), 0, []);
    sendDescriptors(a, Buffer.from('first '), 0, [1]);
    sendDescriptors(a, Buffer.from('second'), 0, [2]);
    const seen: [string, number][] = [];
    for (;;) {
      const got: number[] = [];
      const bytes = receiveDescriptors(b, got);
      if (typeof bytes === 'number') break;
      seen.push([Buffer.from(bytes).toString(), got.length]);
      closeAll(got);
    }
    // The kernel may join bytes in front of a descriptor to its read, never those behind it.
    expect(seen.map(([text]) => text).join('')).toBe('plain first second');
    expect(seen.map(([, count]) => count).filter((count) => count > 0)).toEqual([1, 1]);
    expect(seen.at(-1)).toEqual(['second', 1]);
    closeAll([a, b]);
  });

  test('the end of the stream is empty', () => {
    const [a, b] = pairUnix();
    close(a);
    expect(receiveDescriptors(b, [])).toEqual(new Uint8Array(0));
    close(b);
  });
});

describe('processes', () => {
  test('a pidfd tells when its process has ended', async () => {
    const child = spawn('sleep', ['60']);
    const pidfd = openPidfd(child.pid!);
    expect(hasEnded(pidfd)).toBe(false);
    const gone = new Promise((resolve) => child.on('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    expect(hasEnded(pidfd)).toBe(true);
    close(pidfd);
  });

  test('there is no pidfd for a process that is not there', () => {
    expect(() => openPidfd(0x3fff_ffff)).toThrow(/ESRCH/);
  });

  test('a lock is held by one opener of the file', () => {
    const path = join(dir, 'lock');
    const [a, b] = [openSync(path, 'w'), openSync(path, 'w')];
    expect(tryLock(a)).toBe(true);
    expect(tryLock(b)).toBe(false);
    closeSync(a);
    expect(tryLock(b)).toBe(true);
    closeSync(b);
  });
});

describe('errno', () => {
  test('becomes the codes that the core knows', () => {
    expect(errnoToIo(ECONNREFUSED)).toBe(IO.REFUSED);
    expect([11, 4, 115].map(errnoToIo)).toEqual([IO.WOULD_BLOCK, IO.WOULD_BLOCK, IO.WOULD_BLOCK]);
    expect([23, 24, 12, 105, 99].every((code) => errnoToIo(code) === IO.NO_RESOURCES)).toBe(true);
    expect([1, 13].map(errnoToIo)).toEqual([IO.DENIED, IO.DENIED]);
    expect(errnoToIo(4242)).toBe(IO.OTHER);
  });

  test('names itself in an error', () => {
    expect(new SystemCallError('ioctl TUNSETIFF tap0', 16).message).toBe('ioctl TUNSETIFF tap0: EBUSY');
  });
});
