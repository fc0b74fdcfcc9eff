/** Real TAP devices, in a network namespace of this file's own. */

import { execFileSync } from 'node:child_process';
import { beforeAll, describe, expect, test } from 'vitest';
import { CSUM } from '../../../src/core/link/frame.ts';
import { close } from '../../../src/node/linux/libc.ts';
import { adoptTap, configureInterface, openTap, readInterface, setCarrier } from '../../../src/node/linux/tap.ts';
import { pairUnix } from '../../../src/node/linux/unix-stream.ts';
import { TapPort, takeReceiveSlot } from '../../../src/node/netd/ports/tap.ts';
import { ethernet, FakeHost, frameOf } from '../../support/port-host.ts';
import { enterPrivateNetwork } from '../../support/private-network.ts';
import { describeWith } from '../../support/privileges.ts';

const MAC = 0x02_00_00_00_00_09;

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

describeWith(['root'], 'a TAP device', () => {
  beforeAll(enterPrivateNetwork);

  function plug(name: string) {
    const host = new FakeHost();
    const fd = openTap(name);
    configureInterface(name, { mac: MAC, mtu: 1500 });
    adoptTap(fd);
    const port = new TapPort(1, fd, host, takeReceiveSlot(host.arena));
    return { host, port, fd };
  }

  test('has the name, MAC, MTU and queue length that it was given', () => {
    const fd = openTap('tap0');
    configureInterface('tap0', { mac: MAC, mtu: 9000, queueLength: 777 });
    expect(readInterface('tap0')).toEqual({ mac: MAC, mtu: 9000 });
    expect(ip('link', 'show', 'tap0')).toContain('qlen 777');
    close(fd);
  });

  test('is adopted by what its descriptor says; other descriptors are refused', () => {
    const fd = openTap('tap1');
    expect(adoptTap(fd)).toMatchObject({ name: 'tap1' });
    close(fd);
    const [a, b] = pairUnix();
    expect(() => adoptTap(a)).toThrow();
    close(a);
    close(b);
  });

  test('is there as long as its descriptor is open', () => {
    const fd = openTap('tap2');
    expect(() => openTap('tap2')).toThrow(/EBUSY/);
    close(fd);
    expect(() => readInterface('tap2')).toThrow(/ENODEV/);
  });

  test('a name that is none is refused before the kernel is asked', () => {
    expect(() => openTap('')).toThrow(RangeError);
    expect(() => openTap('sixteen-letters!')).toThrow(RangeError);
  });

  test('shows its cable as carrier', () => {
    const fd = openTap('tap3');
    ip('link', 'set', 'tap3', 'up');
    expect(ip('link', 'show', 'tap3')).toContain('LOWER_UP');
    setCarrier(fd, false);
    expect(ip('link', 'show', 'tap3')).toContain('NO-CARRIER');
    close(fd);
  });

  describe('as a port', () => {
    test('carries what the kernel sends, and what is sent to the kernel', () => {
      const { host, port } = plug('tapa');
      ip('address', 'add', '10.5.0.1/24', 'dev', 'tapa');
      ip('link', 'set', 'tapa', 'up');
      // An ARP request for the kernel's address: it answers by itself.
      const request = Buffer.from(
        `ffffffffffff0200000000aa0806000108000604000102000000 00aa0a050002 000000000000 0a050001`.replaceAll(' ', ''),
        'hex',
      );
      port.transmit(frameOf(request));
      for (let i = 0; i < 50 && !host.received.some(({ bytes }) => bytes[12] === 8 && bytes[13] === 6); i += 1) {
        host.epoll.dispatch(host.epoll.wait(20));
      }
      const reply = host.received.find(({ bytes }) => bytes[12] === 8 && bytes[13] === 6 && bytes[21] === 2)!;
      expect(Buffer.from(reply.bytes.subarray(0, 12)).toString('hex')).toBe('0200000000aa020000000009');
      expect(port.stats.drops).toEqual({});
      port.close();
    });

    test('takes what the kernel leaves to us: an unfinished checksum', () => {
      const { host, port } = plug('tapb');
      ip('address', 'add', '10.6.0.1/24', 'dev', 'tapb');
      ip('link', 'set', 'tapb', 'up');
      ip('neighbour', 'add', '10.6.0.2', 'lladdr', '02:00:00:00:00:08', 'dev', 'tapb');
      // UDP needs no peer that answers.
      execFileSync('bash', ['-c', 'echo hello > /dev/udp/10.6.0.2/9']);
      for (let i = 0; i < 50 && !host.received.some(({ bytes }) => bytes[23] === 17); i += 1) {
        host.epoll.dispatch(host.epoll.wait(20));
      }
      const datagram = host.received.find(({ bytes }) => bytes[23] === 17)!;
      expect(datagram).toMatchObject({ csum: CSUM.PARTIAL, csumStart: 34, csumOffset: 6 });
      port.close();
    });

    test('drops and counts what is sent while the interface is down', () => {
      const { host, port } = plug('tapc');
      port.transmit(frameOf(ethernet(60)));
      expect(port.stats).toMatchObject({ txFrames: 0, drops: { linkDown: 1 } });
      ip('link', 'set', 'tapc', 'up');
      port.transmit(frameOf(ethernet(60)));
      expect(port.stats).toMatchObject({ txFrames: 1, drops: { linkDown: 1 } });
      expect(host.ended.length).toBe(0);
      port.close();
    });

    test('ends once when the interface is deleted', () => {
      const { host, port } = plug('tapd');
      ip('link', 'set', 'tapd', 'up');
      host.settle();
      ip('link', 'delete', 'tapd');
      host.settle();
      expect(host.ended.map(({ reason }) => reason)).toEqual(['tapGone']);
      expect(host.ended[0]?.port === port).toBe(true);
    });

    test('has no bound while the kernel takes everything', () => {
      const { port } = plug('tape');
      ip('link', 'set', 'tape', 'up');
      const frame = frameOf(ethernet(1514));
      for (let i = 0; i < 5000; i += 1) port.transmit(frame);
      expect(port.stats).toMatchObject({ txFrames: 5000, drops: {} });
      expect(port.room()).toBeGreaterThan(1 << 24);
      port.close();
    });
  });
});
