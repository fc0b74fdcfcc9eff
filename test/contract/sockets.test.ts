/**
 * What the core may rely on of every socket, held against each implementation: the world in memory that its own tests
 * run on, and Linux over loopback, with and without SO_PEEK_OFF for TCP.
 */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type EchoSocket,
  IO,
  READY,
  type Region,
  type SocketListener,
  type TcpSocket,
  type UdpSocket,
  type World,
} from '../../src/core/base/ports.ts';
import { Epoll } from '../../src/node/linux/epoll.ts';
import { mapRegion } from '../../src/node/linux/memory.ts';
import { HAS_PEEK_OFFSET } from '../../src/node/linux/tcp-socket.ts';
import { LinuxWorld } from '../../src/node/linux/world.ts';
import { deadPort, Listener, LOOPBACK, type Peer, UdpPeer } from '../support/loopback.ts';
import { region as heapRegion, MemoryWorld } from '../support/memory-world.ts';

/** The far end of a TCP connection, whatever it is made of. */
interface Far {
  send(text: string): void;
  /** All that came so far and was not returned before. */
  read(): string;
  end(): void;
  reset(): void;
  /** Stops or resumes reading. */
  reads(on: boolean): void;
  /** Whether our FIN, or our RST, was seen. */
  sawEnd(): boolean;
  sawReset(): boolean;
}

interface Outside {
  readonly world: World;
  /** Memory that the world can use. */
  readonly region: Region;
  /** Runs turns until nothing more happens. */
  settle(): void;
  /** Connects to something that listens; both ends stand when it returns. */
  connect(listener: SocketListener): { socket: TcpSocket; far: Far };
  /** Connects to a port where nobody listens. */
  connectRefused(listener: SocketListener): TcpSocket | number;
  /** A UDP responder: what was sent to it, and a way to send to whoever spoke last. */
  udp(): { address: number; port: number; received(): string[]; reply(text: string): void };
  /** Somewhere that answers every datagram with ICMP port unreachable, if that can be had. */
  deadUdp(socket: UdpSocket): { address: number; port: number } | null;
  close(): void;
}

function memory(): Outside {
  const world = new MemoryWorld();
  const udpPort = 5353;
  return {
    world,
    region: heapRegion(1 << 22),
    settle: () => world.settle(),
    connect(listener) {
      const socket = world.connectTcp4(LOOPBACK, 80, listener);
      if (typeof socket === 'number') throw new Error(`connect: ${socket}`);
      const peer = world.tcp.at(-1)!.peer;
      peer.accept();
      world.settle();
      let returned = 0;
      const far: Far = {
        send: (text) => peer.send(text),
        read: () => {
          const text = peer.text().slice(returned);
          returned += text.length;
          return text;
        },
        end: () => peer.end(),
        reset: () => peer.reset(),
        reads(on) {
          peer.autoRead = on;
          if (on) peer.read();
        },
        sawEnd: () => peer.gotFin,
        sawReset: () => peer.gotReset,
      };
      return { socket, far };
    },
    connectRefused(listener) {
      const socket = world.connectTcp4(LOOPBACK, 9, listener);
      world.tcp.at(-1)!.peer.fail(IO.REFUSED);
      return socket;
    },
    udp: () => ({
      address: LOOPBACK,
      port: udpPort,
      received: () => world.udp.flatMap((socket) => socket.sent.map(({ bytes }) => Buffer.from(bytes).toString())),
      reply: (text) => world.udp.at(-1)!.arrive(LOOPBACK, udpPort, text),
    }),
    deadUdp: () => null,
    close() {},
  };
}

/** Loopback, and a far end that reads in each turn unless told otherwise. */
function linux(usesPeekOffset: boolean): Outside {
  const epoll = new Epoll();
  const listener = new Listener();
  const closables: { close(): void }[] = [listener];
  const readers: (() => void)[] = [];
  const settle = () => {
    for (let quiet = 0; quiet < 2; ) {
      for (const read of readers) read();
      const count = epoll.wait(quiet === 0 ? 5 : 20);
      epoll.dispatch(count);
      quiet = count === 0 ? quiet + 1 : 0;
    }
  };
  const world = new LinuxWorld(epoll, usesPeekOffset);
  return {
    world,
    region: mapRegion(1 << 22),
    settle,
    connect(socketListener) {
      const socket = world.connectTcp4(LOOPBACK, listener.port, socketListener);
      if (typeof socket === 'number') throw new Error(`connect: ${socket}`);
      settle();
      const peer: Peer = listener.accept();
      closables.push(peer, socket);
      let reading = true;
      let ended = false;
      let wasReset = false;
      let text = '';
      readers.push(() => {
        while (reading && !ended && !wasReset) {
          const piece = peer.receive();
          if (piece === IO.WOULD_BLOCK) return;
          if (typeof piece === 'number') wasReset = true;
          else if (piece.length === 0) ended = true;
          else text += Buffer.from(piece).toString('latin1');
        }
      });
      const far: Far = {
        send: (what) => peer.send(what),
        read() {
          const was = text;
          text = '';
          return was;
        },
        end: () => peer.end(),
        reset() {
          reading = false;
          peer.reset();
        },
        reads(on) {
          reading = on;
        },
        sawEnd: () => ended,
        sawReset: () => wasReset,
      };
      return { socket, far };
    },
    connectRefused: (socketListener) => world.connectTcp4(LOOPBACK, deadPort(), socketListener),
    udp() {
      const peer = new UdpPeer();
      closables.push(peer);
      const received: string[] = [];
      const drain = () => {
        for (let text = peer.receive(); typeof text === 'string'; text = peer.receive()) received.push(text);
      };
      return {
        address: LOOPBACK,
        port: peer.port,
        received() {
          drain();
          return received;
        },
        reply(text) {
          drain();
          peer.send(text, peer.fromPort);
        },
      };
    },
    deadUdp() {
      const peer = new UdpPeer();
      peer.close();
      return { address: LOOPBACK, port: peer.port };
    },
    close() {
      for (const closable of closables) closable.close();
    },
  };
}

const IMPLEMENTATIONS: [string, () => Outside][] = [
  ['the world in memory', memory],
  ['Linux, peeking behind a waste buffer', () => linux(false)],
];
if (HAS_PEEK_OFFSET) IMPLEMENTATIONS.push(['Linux, peeking by SO_PEEK_OFF', () => linux(true)]);

/** Records readiness. */
class Ears implements SocketListener {
  heard: number[] = [];
  onReady(readiness: number): void {
    this.heard.push(readiness);
  }
  /** Everything heard since the last question, in one. */
  take(): number {
    const all = this.heard.reduce((a, b) => a | b, 0);
    this.heard = [];
    return all;
  }
}

describe.each(IMPLEMENTATIONS)('%s', (_name, make) => {
  let outside: Outside;
  let ears: Ears;
  beforeEach(() => {
    outside = make();
    ears = new Ears();
  });
  afterEach(() => outside.close());

  function put(text: string, offset = 0): number {
    outside.region.bytes.set(Buffer.from(text), offset);
    return text.length;
  }
  function write(socket: TcpSocket, text: string): number {
    return socket.write(outside.region, 0, put(text));
  }
  function peek(socket: TcpSocket, length: number, skip: number): string | number {
    const copied = socket.peek(outside.region, 4096, length, skip);
    return copied < 0 ? copied : Buffer.from(outside.region.bytes.subarray(4096, 4096 + copied)).toString();
  }

  describe('TCP', () => {
    test('tells of a connection that stands by readiness, and its result is 0', () => {
      const { socket } = outside.connect(ears);
      expect(ears.take() & READY.WRITABLE).toBe(READY.WRITABLE);
      expect(socket.result()).toBe(0);
    });

    test('tells of a refused connection by readiness, and its result is REFUSED', () => {
      const socket = outside.connectRefused(ears);
      if (typeof socket === 'number') throw new Error('refused at once');
      outside.settle();
      expect(ears.take()).not.toBe(0);
      expect(socket.result()).toBe(IO.REFUSED);
      socket.close();
    });

    test('shows a descriptor, and a local address and port while it is open', () => {
      const { socket } = outside.connect(ears);
      expect(socket.fd).toBeGreaterThan(2);
      expect(socket.localAddress4()).toBeGreaterThan(0);
      expect(socket.localPort()).toBeGreaterThan(0);
    });

    test('hands over what was written', () => {
      const { socket, far } = outside.connect(ears);
      expect(write(socket, 'GET / ')).toBe(6);
      expect(write(socket, 'HTTP/1.1')).toBe(8);
      outside.settle();
      expect(far.read()).toBe('GET / HTTP/1.1');
    });

    test('says WOULD_BLOCK to a peek when nothing has come', () => {
      const { socket } = outside.connect(ears);
      expect(peek(socket, 100, 0)).toBe(IO.WOULD_BLOCK);
    });

    test('tells READABLE when bytes come, and peeks at them again and again', () => {
      const { socket, far } = outside.connect(ears);
      ears.take();
      far.send('abcdef');
      outside.settle();
      expect(ears.take() & READY.READABLE).toBe(READY.READABLE);
      expect(peek(socket, 100, 0)).toBe('abcdef');
      expect(peek(socket, 100, 0)).toBe('abcdef');
      expect(peek(socket, 3, 0)).toBe('abc');
    });

    test('peeks behind bytes that are in flight, forwards and after a step back', () => {
      const { socket, far } = outside.connect(ears);
      far.send('abcdefghij');
      outside.settle();
      expect(peek(socket, 4, 0)).toBe('abcd');
      expect(peek(socket, 4, 4)).toBe('efgh');
      expect(peek(socket, 4, 8)).toBe('ij');
      expect(peek(socket, 4, 10)).toBe(IO.WOULD_BLOCK);
      expect(peek(socket, 2, 4)).toBe('ef');
      expect(peek(socket, 10, 0)).toBe('abcdefghij');
    });

    test('consumes from the front, whatever was peeked', () => {
      const { socket, far } = outside.connect(ears);
      far.send('abcdefghij');
      outside.settle();
      peek(socket, 10, 0);
      socket.consume(4);
      expect(peek(socket, 10, 0)).toBe('efghij');
      expect(peek(socket, 10, 5)).toBe('j');
      socket.consume(5);
      expect(peek(socket, 10, 0)).toBe('j');
      socket.consume(1);
      expect(peek(socket, 10, 0)).toBe(IO.WOULD_BLOCK);
      far.send('kl');
      outside.settle();
      expect(peek(socket, 10, 1)).toBe('l');
    });

    test('after consuming, a skip counts from the first byte that is left', () => {
      const { socket, far } = outside.connect(ears);
      far.send('abcdefghij');
      outside.settle();
      expect(peek(socket, 10, 0)).toBe('abcdefghij');
      expect(peek(socket, 10, 10)).toBe(IO.WOULD_BLOCK);
      socket.consume(4);
      far.send('klmnopqrst');
      outside.settle();
      expect(peek(socket, 10, 10)).toBe('opqrst');
      expect(peek(socket, 2, 6)).toBe('kl');
    });

    test('survives a window of acknowledged and unacknowledged bytes that moves over a megabyte', () => {
      const { socket, far } = outside.connect(ears);
      const sent: string[] = [];
      let got = '';
      let acknowledged = 0;
      const take = () => {
        outside.settle();
        for (;;) {
          const copied = socket.peek(outside.region, 0, 10_000, got.length - acknowledged);
          if (copied <= 0) return;
          got += Buffer.from(outside.region.bytes.subarray(0, copied)).toString('latin1');
        }
      };
      const acknowledge = (share: number) => {
        const length = Math.floor((got.length - acknowledged) * share);
        socket.consume(length);
        acknowledged += length;
      };
      for (let i = 0; i < 64; i += 1) {
        sent.push(String.fromCharCode(97 + (i % 26)).repeat(16_384 - i));
        far.send(sent.at(-1)!);
        take();
        if (i % 3 === 2) acknowledge(0.7);
      }
      const total = sent.join('');
      // What the receive buffer had no room for follows as it is emptied.
      for (let i = 0; i < 20 && got.length < total.length; i += 1) {
        acknowledge(1);
        take();
      }
      expect(got === total).toBe(true);
    });

    test('tells END with the FIN of the peer, and peeks 0 behind the last byte, more than once', () => {
      const { socket, far } = outside.connect(ears);
      far.send('bye');
      far.end();
      outside.settle();
      expect(ears.take() & (READY.READABLE | READY.END)).toBe(READY.READABLE | READY.END);
      expect(peek(socket, 10, 0)).toBe('bye');
      expect(peek(socket, 10, 3)).toBe('');
      expect(peek(socket, 10, 3)).toBe('');
      socket.consume(3);
      expect(peek(socket, 10, 0)).toBe('');
    });

    test('still writes after the peer’s FIN, until its own', () => {
      const { socket, far } = outside.connect(ears);
      far.end();
      outside.settle();
      expect(write(socket, 'answer')).toBe(6);
      socket.shutdown();
      outside.settle();
      expect(far.read()).toBe('answer');
      expect(far.sawEnd()).toBe(true);
      expect(write(socket, 'more')).toBe(IO.BROKEN);
    });

    test('still reads after its own FIN', () => {
      const { socket, far } = outside.connect(ears);
      socket.shutdown();
      outside.settle();
      far.send('late');
      outside.settle();
      expect(peek(socket, 10, 0)).toBe('late');
    });

    test('tells ERROR when the peer resets, and its result is RESET, once', () => {
      const { socket, far } = outside.connect(ears);
      ears.take();
      far.reset();
      outside.settle();
      expect(ears.take() & READY.ERROR).toBe(READY.ERROR);
      expect(socket.result()).toBe(IO.RESET);
      expect(socket.result()).toBe(0);
    });

    test('a peek tells of the reset behind the bytes that came before it', () => {
      const { socket, far } = outside.connect(ears);
      far.send('abc');
      outside.settle();
      far.reset();
      outside.settle();
      expect(peek(socket, 10, 0)).toBe('abc');
      expect(peek(socket, 10, 3)).toBe(IO.RESET);
    });

    test('takes no more than the send buffer holds, says how much, and tells WRITABLE when it has drained', () => {
      const { socket, far } = outside.connect(ears);
      far.reads(false);
      const space = socket.sendSpace();
      expect(space).toBeGreaterThan(16_000);
      let taken = 0;
      for (let i = 0; i < 4000; i += 1) {
        const n = socket.write(outside.region, 0, 65_536);
        expect(n).toBeGreaterThanOrEqual(0);
        taken += n;
        if (n < 65_536) break;
      }
      expect(taken).toBeGreaterThanOrEqual(space);
      expect(socket.write(outside.region, 0, 65_536)).toBe(0);
      expect(socket.sendSpace()).toBeLessThan(space);
      outside.settle();
      ears.take();
      far.reads(true);
      outside.settle();
      expect(ears.take() & READY.WRITABLE).toBe(READY.WRITABLE);
      expect(far.read().length).toBe(taken);
    });

    test('notifyWritable tells WRITABLE at once when there is room', () => {
      const { socket } = outside.connect(ears);
      outside.settle();
      ears.take();
      outside.settle();
      expect(ears.take()).toBe(0);
      socket.notifyWritable();
      outside.settle();
      expect(ears.take() & READY.WRITABLE).toBe(READY.WRITABLE);
    });

    test('tells nothing of its own accord while nothing happens', () => {
      outside.connect(ears);
      outside.settle();
      ears.take();
      outside.settle();
      expect(ears.heard).toEqual([]);
    });

    test('close sends FIN, may be repeated, and silences the socket', () => {
      const { socket, far } = outside.connect(ears);
      outside.settle();
      ears.take();
      socket.close();
      socket.close();
      far.send('too late');
      outside.settle();
      expect(ears.heard).toEqual([]);
      expect(far.sawEnd() || far.sawReset()).toBe(true);
    });

    test('reset sends RST', () => {
      const { socket, far } = outside.connect(ears);
      socket.reset();
      socket.reset();
      outside.settle();
      expect(far.sawReset()).toBe(true);
      expect(far.sawEnd()).toBe(false);
    });

    test('a socket that is closed within a turn is not told of what that turn brought for it', () => {
      const told: string[] = [];
      const sockets: TcpSocket[] = [];
      // Both become ready in one turn; whoever is told first closes the other and opens a new one in its place.
      const closer = (name: string, other: number): SocketListener => ({
        onReady() {
          if (sockets.length < 2) return;
          told.push(name);
          sockets[other]!.close();
          outside.connectRefused(ears);
        },
      });
      const a = outside.connect(closer('a', 1));
      const b = outside.connect(closer('b', 0));
      sockets.push(a.socket, b.socket);
      a.far.send('x');
      b.far.send('x');
      outside.settle();
      expect(told.length).toBe(1);
    });
  });

  describe('UDP', () => {
    function open(): UdpSocket {
      const socket = outside.world.openUdp4(ears);
      if (typeof socket === 'number') throw new Error(`open: ${socket}`);
      return socket;
    }
    function receive(socket: UdpSocket): string | number {
      const length = socket.receive(outside.region, 8192, 2048);
      return length < 0 ? length : Buffer.from(outside.region.bytes.subarray(8192, 8192 + length)).toString();
    }

    test('sends a datagram and hears the answer, with its source', () => {
      const socket = open();
      const far = outside.udp();
      expect(socket.sendTo4(outside.region, 0, put('question'), far.address, far.port)).toBe(8);
      expect(far.received()).toEqual(['question']);
      ears.take();
      far.reply('answer');
      outside.settle();
      expect(ears.take() & READY.READABLE).toBe(READY.READABLE);
      expect(receive(socket)).toBe('answer');
      expect([socket.fromAddress4, socket.fromPort]).toEqual([far.address, far.port]);
      expect(receive(socket)).toBe(IO.WOULD_BLOCK);
      socket.close();
    });

    test('keeps datagrams apart, empty ones among them, in order', () => {
      const socket = open();
      const far = outside.udp();
      socket.sendTo4(outside.region, 0, put('hello'), far.address, far.port);
      for (const text of ['one', '', 'three']) far.reply(text);
      outside.settle();
      expect([receive(socket), receive(socket), receive(socket), receive(socket)]).toEqual([
        'one',
        '',
        'three',
        IO.WOULD_BLOCK,
      ]);
      socket.close();
    });

    test('has one local port for all destinations', () => {
      const socket = open();
      const [a, b] = [outside.udp(), outside.udp()];
      socket.sendTo4(outside.region, 0, put('a'), a.address, a.port);
      const port = socket.localPort();
      socket.sendTo4(outside.region, 0, put('b'), b.address, b.port);
      expect(port).toBeGreaterThan(0);
      expect(socket.localPort()).toBe(port);
      socket.close();
    });

    test('reports an ICMP error with the destination that caused it, and goes on sending to others', ({ skip }) => {
      const socket = open();
      const dead = outside.deadUdp(socket);
      if (dead === null) return skip('this world has no ICMP');
      const far = outside.udp();
      socket.sendTo4(outside.region, 0, put('anyone?'), dead.address, dead.port);
      expect(socket.sendTo4(outside.region, 0, put('you?'), far.address, far.port)).toBe(4);
      outside.settle();
      expect(ears.take() & READY.READABLE).toBe(READY.READABLE);
      expect(receive(socket)).toBe(IO.REFUSED);
      expect([socket.fromAddress4, socket.fromPort]).toEqual([dead.address, dead.port]);
      expect(receive(socket)).toBe(IO.WOULD_BLOCK);
      expect(far.received()).toEqual(['you?']);
      socket.close();
    });

    test('says TOO_LONG to what fits no datagram', ({ skip }) => {
      if (outside.world instanceof MemoryWorld) return skip('memory has no such limit');
      const socket = open();
      const far = outside.udp();
      expect(socket.sendTo4(outside.region, 0, 65_530, far.address, far.port)).toBe(IO.TOO_LONG);
      socket.close();
    });

    test('tells nothing after close', () => {
      const socket = open();
      const far = outside.udp();
      socket.sendTo4(outside.region, 0, put('hello'), far.address, far.port);
      outside.settle();
      ears.take();
      socket.close();
      socket.close();
      far.reply('anyone there?');
      outside.settle();
      expect(ears.heard).toEqual([]);
    });
  });

  describe('the rest of the world', () => {
    test('random words are unsigned 32-bit numbers that differ', () => {
      const words = Array.from({ length: 3000 }, () => outside.world.random32());
      expect(words.every((word) => Number.isInteger(word) && word >= 0 && word <= 0xffff_ffff)).toBe(true);
      expect(new Set(words).size).toBeGreaterThan(2990);
    });

    test('the wall clock counts milliseconds since 1970', () => {
      expect(outside.world.wallClock()).toBeGreaterThan(1_600_000_000_000);
    });

    test('echo is opened, or refused with DENIED', () => {
      const echo: EchoSocket | number = outside.world.openEcho4(ears);
      if (typeof echo === 'number') expect(echo).toBe(IO.DENIED);
      else echo.close();
    });
  });
});
