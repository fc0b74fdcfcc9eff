import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ipv4FromString,
  ipv4ToString,
  macFromString,
  macIsMulticast,
  macToString,
  prefixMask,
} from '../../../src/core/base/address.ts';

describe('IPv4 text', () => {
  it('is four decimal numbers', () => {
    expect(ipv4ToString(0xc0a85802)).toBe('192.168.88.2');
    expect(ipv4ToString(0xc0a85802 | 0)).toBe('192.168.88.2');
    expect(ipv4FromString('192.168.88.2')).toBe(0xc0a85802);
    expect(ipv4FromString('0.0.0.0')).toBe(0);
    expect(ipv4FromString('255.255.255.255')).toBe(0xffff_ffff);
  });

  it('reads back to the same number', () => {
    fc.assert(fc.property(fc.nat(0xffff_ffff), (address) => ipv4FromString(ipv4ToString(address)) === address));
  });

  it.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '1.2.3.-4',
    '1.2.3.4 ',
    '1..3.4',
    '01.2.3.4',
    '1.2.3.0x4',
    '1.2.3.4\n',
    '١.2.3.4',
  ])('is refused as %j', (text) => expect(ipv4FromString(text)).toBe(-1));
});

describe('MAC text', () => {
  it('is six hexadecimal bytes', () => {
    expect(macToString(0x0200_0000_000a)).toBe('02:00:00:00:00:0a');
    expect(macToString(0)).toBe('00:00:00:00:00:00');
    expect(macFromString('FE:dc:ba:98:76:54')).toBe(0xfedcba987654);
    expect(macFromString('fe-dc-ba-98-76-54')).toBe(0xfedcba987654);
  });

  it('reads back to the same number', () => {
    fc.assert(fc.property(fc.nat(0xffff_ffff_ffff), (mac) => macFromString(macToString(mac)) === mac));
  });

  it.each([
    '',
    '02:00:00:00:00',
    '02:00:00:00:00:00:00',
    '2:0:0:0:0:1',
    '02:00-00:00:00:01',
    '02:00:00:00:00:0g',
    '020000000001',
  ])('is refused as %j', (text) => expect(macFromString(text)).toBe(-1));

  it('tells a group address by the lowest bit of its first byte', () => {
    expect(macIsMulticast(macFromString('ff:ff:ff:ff:ff:ff'))).toBe(true);
    expect(macIsMulticast(macFromString('01:00:5e:00:00:01'))).toBe(true);
    expect(macIsMulticast(macFromString('02:ff:ff:ff:ff:ff'))).toBe(false);
  });
});

describe('prefixMask', () => {
  it('has as many ones as the prefix is long', () => {
    expect([0, 1, 8, 24, 31, 32].map((length) => ipv4ToString(prefixMask(length)))).toEqual([
      '0.0.0.0',
      '128.0.0.0',
      '255.0.0.0',
      '255.255.255.0',
      '255.255.255.254',
      '255.255.255.255',
    ]);
  });
});
