import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { put16 } from '../../../src/core/base/bytes.ts';
import {
  DHCPV4_HEADER,
  DHCPV4_MESSAGE,
  DHCPV4_MIN_LENGTH,
  DHCPV4_OP,
  DHCPV4_OPTION,
  type Dhcpv4Header,
  Dhcpv4Options,
  Dhcpv4Writer,
  dhcpv4Emit,
  dhcpv4IsValid,
  dhcpv4MessageType,
  dhcpv4Option16,
  dhcpv4Option32,
  dhcpv4OptionAt,
  dhcpv4OptionText,
  dhcpv4Parse,
  dhcpv4ToString,
} from '../../../src/core/wire/dhcpv4.ts';
import { bytesOf, emitted, hexOf, surrounded, validPrefixes } from '../../support/bytes.ts';
import { DHCLIENT_DISCOVER, UDHCPC_DISCOVER } from '../../support/captures.ts';

const SNAME = 44;
const FILE = 108;

const HEADER: Dhcpv4Header = {
  op: DHCPV4_OP.REQUEST,
  xid: 0xd0a00175,
  secs: 0,
  broadcast: false,
  ciaddr: 0,
  yiaddr: 0,
  siaddr: 0,
  giaddr: 0,
  chaddr: 0x0200_0000_000a,
};

/** A message with the hexadecimal option bytes, and bytes in `sname` and `file` where they are given. */
function message(options: string, fields: { sname?: string; file?: string } = {}): Uint8Array {
  const tail = bytesOf(options);
  const b = new Uint8Array(DHCPV4_HEADER + tail.length);
  dhcpv4Emit(b, 0, HEADER);
  b.set(tail, DHCPV4_HEADER);
  b.set(bytesOf(fields.sname ?? ''), SNAME);
  b.set(bytesOf(fields.file ?? ''), FILE);
  return b;
}

const isValid = (b: Uint8Array): boolean => dhcpv4IsValid(b, 0, b.length);

/** All options as `[code, hexadecimal value]`, in the order of the iterator. */
function optionsOf(packet: Uint8Array, iterator = new Dhcpv4Options()): [number, string][] {
  const b = surrounded(packet, 3);
  const found: [number, string][] = [];
  iterator.start(b, 3, 3 + packet.length);
  while (iterator.next()) found.push([iterator.code, hexOf(b, iterator.at, iterator.at + iterator.length)]);
  return found;
}

describe('dhcpv4', () => {
  it("reads udhcpc's DISCOVER", () => {
    const b = surrounded(UDHCPC_DISCOVER, 5);
    const end = 5 + UDHCPC_DISCOVER.length;
    expect(dhcpv4IsValid(b, 5, end)).toBe(true);
    expect(dhcpv4Parse(b, 5)).toEqual(HEADER);
    expect(dhcpv4MessageType(b, 5, end)).toBe(DHCPV4_MESSAGE.DISCOVER);
    expect(dhcpv4Option16(b, 5, end, DHCPV4_OPTION.MAX_MESSAGE_SIZE)).toBe(576);
    expect(dhcpv4OptionText(b, 5, end, DHCPV4_OPTION.HOST_NAME)).toBe('alice');
    expect(dhcpv4Option32(b, 5, end, DHCPV4_OPTION.REQUESTED_ADDRESS)).toBe(-1);
    expect(dhcpv4ToString(b, 5, end)).toBe('DHCP Discover, xid 0xd0a00175, 02:00:00:00:00:0a');
  });

  it("walks the options of udhcpc's and dhclient's DISCOVER in order", () => {
    expect(optionsOf(UDHCPC_DISCOVER)).toEqual([
      [53, '01'],
      [57, '0240'],
      [55, '0103060c0f1c2a'],
      [12, '616c696365'],
      [60, '756468637020312e33352e30'],
      [61, '0102000000000a'],
    ]);
    expect(optionsOf(DHCLIENT_DISCOVER)).toEqual([
      [53, '01'],
      [12, '766d'],
      [55, '011c02030f06770c2c2f1a792a'],
    ]);
  });

  it("writes udhcpc's DISCOVER", () => {
    const written = emitted((b, off) => {
      const writer = new Dhcpv4Writer();
      writer.start(b, off + dhcpv4Emit(b, off, HEADER), off + 576);
      writer.put8(DHCPV4_OPTION.MESSAGE_TYPE, DHCPV4_MESSAGE.DISCOVER);
      writer.put16(DHCPV4_OPTION.MAX_MESSAGE_SIZE, 576);
      writer.putBytes(DHCPV4_OPTION.PARAMETER_LIST, Uint8Array.of(1, 3, 6, 12, 15, 28, 42), 0, 7);
      writer.putText(DHCPV4_OPTION.HOST_NAME, 'alice');
      writer.putText(DHCPV4_OPTION.VENDOR_CLASS, 'udhcp 1.35.0');
      writer.putBytes(DHCPV4_OPTION.CLIENT_ID, bytesOf('0102000000000a'), 0, 7);
      return writer.finish(off);
    });
    expect(hexOf(written)).toBe(hexOf(UDHCPC_DISCOVER));
  });

  it('takes a message cut between options, and none that is cut inside of one or before', () => {
    const END = UDHCPC_DISCOVER.indexOf(DHCPV4_OPTION.END, DHCPV4_HEADER);
    const boundaries = [240, 243, 247, 256, 263, 277, 286];
    const behindEnd = Array.from({ length: UDHCPC_DISCOVER.length - END - 1 }, (_, i) => END + 1 + i);
    expect(validPrefixes(UDHCPC_DISCOVER, dhcpv4IsValid)).toEqual([...boundaries, ...behindEnd]);
  });

  it.each([
    ['op 3', 0, 3],
    ['another hardware type', 1, 6],
    ['another address length', 2, 16],
    ['another cookie', 239, 0],
  ])('takes no message with %s', (_name, index, value) => {
    const other = Uint8Array.from(UDHCPC_DISCOVER);
    other[index] = value;
    expect(isValid(other)).toBe(false);
    expect(dhcpv4ToString(other, 0, other.length)).toBe('[dhcp: malformed]');
  });

  it.each([
    ['an option whose length is missing', '350101 0c'],
    ['an option that leaves the message', '350101 0c05 6162'],
  ])('takes no message with %s', (_name, options) => expect(isValid(message(options))).toBe(false));

  it('skips padding, stops at END, and does not miss END', () => {
    expect(optionsOf(message('00 350101 0000 0c0161 00 ff 0c0162'))).toEqual([
      [53, '01'],
      [12, '61'],
    ]);
    expect(optionsOf(message('350103 0c00'))).toEqual([
      [53, '03'],
      [12, ''],
    ]);
    expect(isValid(message('ff 0c'))).toBe(true);
  });

  it('finds the first of two equal options', () => {
    const b = message('0c0161 0c0162 ff');
    expect(dhcpv4OptionText(b, 0, b.length, DHCPV4_OPTION.HOST_NAME)).toBe('a');
  });

  it('takes an option of another length than its type for absent', () => {
    const b = message('35020101 3303000001 390104 ff');
    expect(dhcpv4MessageType(b, 0, b.length)).toBe(0);
    expect(dhcpv4Option32(b, 0, b.length, DHCPV4_OPTION.LEASE_TIME)).toBe(-1);
    expect(dhcpv4Option16(b, 0, b.length, DHCPV4_OPTION.MAX_MESSAGE_SIZE)).toBe(-1);
  });

  it('reads text without trailing NULs, and only printable ASCII', () => {
    const text = (options: string) => {
      const b = message(options);
      return dhcpv4OptionText(b, 0, b.length, DHCPV4_OPTION.HOST_NAME);
    };
    expect(text('0c0461620000 ff')).toBe('ab');
    expect(text('0c020000 ff')).toBe(null);
    expect(text('0c00 ff')).toBe(null);
    expect(text('0c03610062 ff')).toBe(null);
    expect(text('0c02611b ff')).toBe(null);
    expect(text('0c02c3a9 ff')).toBe(null);
    expect(text('ff')).toBe(null);
  });
});

describe('dhcpv4 option overload', () => {
  const SPARE = { file: '0c0366696c ff', sname: '3d02aabb ff' };

  it.each([
    ['no overload', '350101 ff', ['53']],
    ['file', '340101 350101 ff', ['52', '53', '12']],
    ['sname', '340102 350101 ff', ['52', '53', '61']],
    ['both, file first', '340103 350101 ff', ['52', '53', '12', '61']],
    ['a length of 2: not an overload', '34020303 350101 ff', ['52', '53']],
  ])('reads options from the fields it names: %s', (_name, options, codes) => {
    const b = message(options, SPARE);
    expect(isValid(b)).toBe(true);
    expect(optionsOf(b).map(([code]) => String(code))).toEqual(codes);
    for (const code of ['12', '61']) {
      expect(dhcpv4OptionAt(b, 0, b.length, Number(code)) >= 0).toBe(codes.includes(code));
    }
  });

  it('prefers the options field, then file, then sname', () => {
    const fields = { file: '0c0162 ff', sname: '0c0163 ff' };
    const name = (options: string, spare = fields) => {
      const b = message(options, spare);
      return dhcpv4OptionText(b, 0, b.length, DHCPV4_OPTION.HOST_NAME);
    };
    expect(name('340103 0c0161 ff')).toBe('a');
    expect(name('340103 ff')).toBe('b');
    expect(name('340103 ff', { file: 'ff', sname: '0c0163 ff' })).toBe('c');
  });

  it('takes no message with an option that leaves the overloaded field', () => {
    // 0c7f would reach behind the 128 bytes of file, 0c3f behind the 64 of sname.
    expect(isValid(message('340101 ff', { file: '0c7f' }))).toBe(false);
    expect(isValid(message('340102 ff', { sname: '0c3f' }))).toBe(false);
    expect(isValid(message('340101 ff', { file: '0c7e' }))).toBe(true);
    expect(isValid(message('340102 ff', { sname: '0c3e' }))).toBe(true);
    expect(isValid(message('ff', { file: '0cff', sname: '0cff' }))).toBe(true);
  });

  it('does not follow a second overload option inside of an overloaded field', () => {
    expect(optionsOf(message('340101 ff', { file: '340102 ff', sname: '0c0163 ff' })).map(([code]) => code)).toEqual([
      52, 52,
    ]);
  });

  it('lets the iterator be used again', () => {
    const iterator = new Dhcpv4Options();
    expect(optionsOf(message('340103 ff', SPARE), iterator)).toHaveLength(3);
    expect(optionsOf(message('350101 ff', SPARE), iterator)).toHaveLength(1);
    expect(iterator.next()).toBe(false);
  });
});

describe('dhcpv4 writer', () => {
  it('pads a message to 300 bytes, as far as there is room', () => {
    const finished = (room: number) =>
      emitted((b, off) => {
        const writer = new Dhcpv4Writer();
        writer.start(b, off + dhcpv4Emit(b, off, HEADER), off + room);
        writer.put8(DHCPV4_OPTION.MESSAGE_TYPE, 2);
        return writer.finish(off);
      });
    expect(finished(576)).toHaveLength(DHCPV4_MIN_LENGTH);
    expect(finished(260)).toHaveLength(260);
    expect(finished(244)).toHaveLength(244);
    expect(isValid(finished(576))).toBe(true);
  });

  it('refuses an option that leaves no room for END, and writes nothing of it', () => {
    for (let room = 0; room <= 20; room++) {
      const written = emitted((b, off) => {
        const writer = new Dhcpv4Writer();
        const begin = off + dhcpv4Emit(b, off, HEADER);
        writer.start(b, begin, begin + room + 1);
        expect(writer.putText(DHCPV4_OPTION.HOST_NAME, 'eight...')).toBe(room >= 10);
        expect(writer.put8(DHCPV4_OPTION.MESSAGE_TYPE, 2)).toBe(room >= 13 || (room >= 3 && room < 10));
        return writer.finish(off);
      });
      expect(written).toHaveLength(DHCPV4_HEADER + room + 1);
      expect(isValid(written)).toBe(true);
    }
  });

  it('writes nothing at all where there is no room', () => {
    const b = new Uint8Array(8).fill(0xa5);
    const writer = new Dhcpv4Writer();
    writer.start(b, 4, 4);
    expect(writer.put8(DHCPV4_OPTION.MESSAGE_TYPE, 2)).toBe(false);
    expect(writer.finish(0)).toBe(4);
    expect(hexOf(b)).toBe('a5'.repeat(8));
  });

  it('refuses what an option can not hold', () => {
    const b = new Uint8Array(2000);
    const writer = new Dhcpv4Writer();
    writer.start(b, 0, b.length);
    expect(writer.putText(DHCPV4_OPTION.HOST_NAME, '')).toBe(false);
    expect(writer.putText(DHCPV4_OPTION.HOST_NAME, 'é')).toBe(false);
    expect(writer.putText(DHCPV4_OPTION.HOST_NAME, 'a\n')).toBe(false);
    expect(writer.putText(DHCPV4_OPTION.HOST_NAME, 'x'.repeat(256))).toBe(false);
    expect(writer.putAddresses(DHCPV4_OPTION.DNS, [])).toBe(false);
    expect(writer.putAddresses(DHCPV4_OPTION.DNS, Array<number>(64).fill(1))).toBe(false);
    expect(writer.putBytes(DHCPV4_OPTION.CLIENT_ID, b, 0, 256)).toBe(false);
    expect(writer.finish(0)).toBe(DHCPV4_MIN_LENGTH);
    expect(b[0]).toBe(DHCPV4_OPTION.END);
  });

  it('writes fields and options that read back as they were', () => {
    const word = fc.nat(0xffff_ffff);
    const header = fc.record<Dhcpv4Header>({
      op: fc.constantFrom(1, 2),
      xid: word,
      secs: fc.nat(0xffff),
      broadcast: fc.boolean(),
      ciaddr: word,
      yiaddr: word,
      siaddr: word,
      giaddr: word,
      chaddr: fc.nat(0xffff_ffff_ffff),
    });
    // Any code but PAD, END and OVERLOAD, which mean something to the walk itself.
    const option = fc.tuple(fc.integer({ min: 54, max: 254 }), fc.uint8Array({ maxLength: 60 }));
    fc.assert(
      fc.property(header, fc.array(option, { maxLength: 12 }), (fields, options) => {
        const written = emitted((b, off) => {
          const writer = new Dhcpv4Writer();
          writer.start(b, off + dhcpv4Emit(b, off, fields), off + 1500);
          for (const [code, value] of options) expect(writer.putBytes(code, value, 0, value.length)).toBe(true);
          return writer.finish(off);
        });
        expect(isValid(written)).toBe(true);
        expect(dhcpv4Parse(written, 0)).toEqual(fields);
        expect(optionsOf(written)).toEqual(options.map(([code, value]) => [code, hexOf(value)]));
      }),
    );
  });

  it('writes integers and addresses that read back', () => {
    const written = emitted((b, off) => {
      const writer = new Dhcpv4Writer();
      writer.start(b, off + dhcpv4Emit(b, off, HEADER), off + 576);
      writer.put32(DHCPV4_OPTION.LEASE_TIME, 0xffff_ffff);
      writer.put16(DHCPV4_OPTION.MTU, 65520);
      writer.putAddresses(DHCPV4_OPTION.DNS, [0xc0a85802, 0x0a000001]);
      return writer.finish(off);
    });
    expect(dhcpv4Option32(written, 0, written.length, DHCPV4_OPTION.LEASE_TIME)).toBe(0xffff_ffff);
    expect(dhcpv4Option16(written, 0, written.length, DHCPV4_OPTION.MTU)).toBe(65520);
    const at = dhcpv4OptionAt(written, 0, written.length, DHCPV4_OPTION.DNS);
    expect(hexOf(written, at - 2, at + 8)).toBe('0608c0a858020a000001');
  });
});

it('names messages that no table knows', () => {
  const b = message('35010d ff');
  put16(b, 8, 3);
  expect(dhcpv4ToString(b, 0, b.length)).toContain('DHCP type 13');
});
