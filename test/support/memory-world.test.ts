import { describe, expect, test } from 'vitest';
import { IO, READY, type TcpSocket } from '../../src/core/base/ports.ts';
import { HeapPool, type MemoryTcpSocket, MemoryWorld, region } from './memory-world.ts';

function connected() {
  const world = new MemoryWorld();
  const told: number[] = [];
  const socket = world.connectTcp4(1, 80, { onReady: (bits) => told.push(bits) }) as TcpSocket;
  const { peer } = socket as MemoryTcpSocket;
  const memory = region(100_000);
  const put = (text: string) => {
    memory.bytes.set(Buffer.from(text, 'latin1'));
    return socket.write(memory, 0, text.length);
  };
  return { world, socket, peer, told, memory, put };
}

describe('MemoryWorld: TCP', () => {
  test('tells of the connection in the next turn, and of nothing before', () => {
    const { world, socket, peer, told, put } = connected();
    expect([socket.result(), put('x'), world.deliver()]).toEqual([IO.WOULD_BLOCK, 0, 0]);
    peer.accept();
    expect([socket.result(), told]).toEqual([0, []]);
    world.deliver();
    expect([put('hello'), peer.text(), told]).toEqual([5, 'hello', [READY.WRITABLE]]);
  });

  test('reports why a connection could not be made', () => {
    const { world, socket, peer, told } = connected();
    peer.fail(IO.REFUSED);
    world.deliver();
    expect(socket.result()).toBe(IO.REFUSED);
    expect(told[0]! & READY.ERROR).toBe(READY.ERROR);
  });

  test('keeps bytes that were only peeked at, and ends the stream after the last', () => {
    const { world, socket, peer, memory } = connected();
    peer.accept();
    peer.send('abcdef');
    peer.end();
    world.deliver();
    expect([socket.peek(memory, 0, 4, 0), socket.peek(memory, 4, 10, 4), socket.peek(memory, 9, 10, 6)]).toEqual([
      4, 2, 0,
    ]);
    socket.consume(4);
    expect(socket.peek(memory, 0, 10, 0)).toBe(2);
    expect(() => socket.consume(3)).toThrow();
  });

  test('takes no more than the send buffer, and tells once when a third of it is free', () => {
    const { world, socket, peer, told, put } = connected();
    peer.accept();
    peer.autoRead = false;
    peer.sendBuffer = 9;
    world.deliver();
    told.length = 0;
    expect([put('0123456789'), put('x'), socket.sendSpace()]).toEqual([9, 0, 0]);
    peer.read(2);
    expect(world.deliver()).toBe(0);
    peer.read(1);
    peer.read(1);
    world.settle();
    expect([told, socket.sendSpace(), peer.text()]).toEqual([[READY.WRITABLE], 4, '0123']);
    socket.notifyWritable();
    world.deliver();
    expect(told).toHaveLength(2);
  });

  test('lets what came before an RST be read, then reports it once', () => {
    const { world, socket, peer, memory, put } = connected();
    peer.accept();
    peer.send('abc');
    peer.reset();
    world.deliver();
    expect(socket.peek(memory, 0, 10, 0)).toBe(3);
    socket.consume(3);
    expect(socket.peek(memory, 0, 10, 0)).toBe(IO.RESET);
    expect([socket.peek(memory, 0, 10, 0), put('x')]).toEqual([0, IO.BROKEN]);
  });

  test('shuts, closes and resets as the peer sees it, tells a closed socket nothing, and allows no other call on it', () => {
    const { world, socket, peer, told, put } = connected();
    peer.accept();
    socket.shutdown();
    expect([peer.gotFin, put('x')]).toEqual([true, IO.BROKEN]);
    peer.send('unread');
    socket.close();
    socket.close();
    world.deliver();
    expect([peer.gotReset, told, world.openSockets]).toEqual([true, [], 0]);
    expect(() => put('x')).toThrow('closed');
  });
});

describe('MemoryWorld: datagrams and resources', () => {
  test('carries datagrams both ways, truncates, loses beyond the queue, reports errors once', () => {
    const world = new MemoryWorld();
    let told = 0;
    const socket = world.openUdp4({ onReady: () => told++ });
    if (typeof socket === 'number') throw new Error('not opened');
    world.onDatagram = (to, { address, port, bytes }) => to.arrive(address, port, bytes);
    const memory = region(100);
    expect(socket.sendTo4(memory, 0, 10, 7, 53)).toBe(10);
    world.udp[0]!.arrive(8, 54, '');
    world.deliver();
    expect([told, socket.receive(memory, 0, 4), socket.fromAddress4, socket.fromPort]).toEqual([1, 4, 7, 53]);
    expect([socket.receive(memory, 0, 4), socket.fromAddress4, socket.receive(memory, 0, 4)]).toEqual([
      0,
      8,
      IO.WOULD_BLOCK,
    ]);
    world.udp[0]!.queueLimit = 1;
    world.udp[0]!.arrive(8, 54, 'a');
    world.udp[0]!.arrive(8, 54, 'b');
    world.udp[0]!.fail(IO.REFUSED);
    expect([socket.receive(memory, 0, 4), socket.receive(memory, 0, 4), world.udp[0]!.lost]).toEqual([
      IO.REFUSED,
      1,
      1,
    ]);
  });

  test('runs out of sockets and slots when told to', () => {
    const world = new MemoryWorld();
    world.maxSockets = 1;
    const listener = { onReady: () => {} };
    expect(typeof world.openEcho4(listener)).toBe('object');
    expect(world.openUdp4(listener)).toBe(IO.NO_RESOURCES);
    const pool = new HeapPool(1);
    const slot = pool.take(2049)!;
    expect([slot.size, pool.take(1), pool.taken]).toEqual([66_048, null, 1]);
    pool.give(slot);
    expect(() => pool.give(slot)).toThrow();
  });
});
