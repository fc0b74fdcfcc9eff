import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { get16, put16 } from '../../../src/core/base/bytes.ts';
import {
  DNS_CLASS,
  DNS_FLAG,
  DNS_HEADER,
  DNS_RCODE,
  DNS_TYPE,
  dnsAnswerCount,
  dnsAppendA,
  dnsAppendOpt,
  dnsAppendPtr,
  dnsAppendSoa,
  dnsEdnsSize,
  dnsEmitName,
  dnsEmitQuery,
  dnsEmitReply,
  dnsFlags,
  dnsId,
  dnsIsResponse,
  dnsIsValid,
  dnsNameEnd,
  dnsNameToString,
  dnsOpcode,
  dnsParseQuestion,
  dnsPutId,
  dnsQuestionEnd,
  dnsRcode,
  dnsReverseToIpv4,
  dnsSameQuestion,
  dnsToString,
} from '../../../src/core/wire/dns.ts';
import { bytesOf, emitted, hexOf, surrounded, validPrefixes } from '../../support/bytes.ts';
import { DIG_QUERY } from '../../support/captures.ts';

const HEADER_OF_QUERY = '1234 0100 0001 0000 0000 0000';

/** A query without more than its question. */
function query(name: string, type: number = DNS_TYPE.A, id = 0x1234): Uint8Array {
  return emitted((b, off) => dnsEmitQuery(b, off, b.length, id, name, type) - off);
}

/** A query whose question's name is the hexadecimal bytes. */
const rawQuery = (name: string) => bytesOf(`${HEADER_OF_QUERY} ${name} 0001 0001`);

/** The name at `at` of a message that lies at an odd place. */
function nameAt(message: Uint8Array, at: number): string | null {
  return dnsNameToString(surrounded(message, 3), 3, 3 + at, 3 + message.length);
}

/** A label of letters, digits and hyphens. */
const label = fc.stringMatching(/^[a-z0-9-]{1,20}$/);
const name = fc.array(label, { maxLength: 8 }).map((labels) => labels.join('.'));

describe('dns questions', () => {
  it("reads dig's query", () => {
    const b = surrounded(DIG_QUERY, 5);
    const end = 5 + DIG_QUERY.length;
    expect(dnsIsValid(b, 5, end)).toBe(true);
    expect([dnsId(b, 5), dnsFlags(b, 5)]).toEqual([0xaf66, DNS_FLAG.RD | DNS_FLAG.AD]);
    expect([dnsIsResponse(b, 5), dnsOpcode(b, 5), dnsRcode(b, 5)]).toEqual([false, 0, 0]);
    const questionEnd = 5 + DNS_HEADER + 25;
    expect(dnsParseQuestion(b, 5, end)).toEqual({
      name: 'host.vmnet.internal',
      type: DNS_TYPE.A,
      class: DNS_CLASS.IN,
      end: questionEnd,
    });
    expect(dnsQuestionEnd(b, 5, end)).toBe(questionEnd);
    expect(dnsEdnsSize(b, 5, end)).toBe(1232);
    expect(dnsToString(b, 5, end)).toBe('DNS 44902 A? host.vmnet.internal');
  });

  it("writes dig's question", () => {
    expect(hexOf(query('Host.VmNet.internal', DNS_TYPE.A, 0xaf66), DNS_HEADER)).toBe(hexOf(DIG_QUERY, DNS_HEADER, 37));
  });

  it('takes no header and no question that is cut anywhere', () => {
    const plain = query('a.example');
    expect(validPrefixes(plain, (b, off, end) => dnsParseQuestion(b, off, end) !== null)).toEqual([]);
    expect(validPrefixes(plain, (b, off, end) => dnsQuestionEnd(b, off, end) >= 0)).toEqual([]);
    expect(validPrefixes(plain.subarray(0, DNS_HEADER), dnsIsValid)).toEqual([]);
    expect(dnsToString(plain, 0, 20)).toBe('[dns: malformed]');
  });

  it.each([0, 2, 0xffff])('takes no message with %i questions', (count) => {
    const other = query('a.example');
    put16(other, 4, count);
    expect(dnsParseQuestion(other, 0, other.length)).toBe(null);
    expect(dnsQuestionEnd(other, 0, other.length)).toBe(-1);
  });

  it('agrees with itself on where the question ends, with and without a string', () => {
    fc.assert(
      fc.property(name, fc.nat(0xffff), (text, type) => {
        const b = query(text, type);
        expect(dnsParseQuestion(b, 0, b.length)).toEqual({ name: text, type, class: DNS_CLASS.IN, end: b.length });
        expect(dnsQuestionEnd(b, 0, b.length)).toBe(b.length);
        expect(dnsNameEnd(b, DNS_HEADER, b.length)).toBe(b.length - 4);
      }),
    );
  });

  it('compares two messages by name without case, by type and by class, not by id or flags', () => {
    const same = (a: Uint8Array, b: Uint8Array) => dnsSameQuestion(a, 0, a.length, surrounded(b, 3), 3, 3 + b.length);
    const asked = query('Host.Example');
    expect(same(asked, query('hOST.eXAMPLE', DNS_TYPE.A, 7))).toBe(true);
    expect(same(asked, query('host.exampl'))).toBe(false);
    expect(same(asked, query('host.examplf'))).toBe(false);
    expect(same(asked, query('hos.texample'))).toBe(false);
    expect(same(asked, query('host.example', DNS_TYPE.AAAA))).toBe(false);
    const otherClass = query('host.example');
    put16(otherClass, otherClass.length - 2, 3);
    expect(same(asked, otherClass)).toBe(false);
    expect(same(asked, asked.subarray(0, asked.length - 1))).toBe(false);
    // Types 0x41 and 0x61 differ by the bit of case.
    expect(same(query('a', 0x41), query('a', 0x61))).toBe(false);
    // A question cut short differs even from itself.
    expect(dnsSameQuestion(asked, 0, 20, asked, 0, 20)).toBe(false);
  });

  it('replaces an id and nothing else', () => {
    const b = query('a.example');
    dnsPutId(b, 0, 0xbeef);
    expect(hexOf(b)).toBe(hexOf(query('a.example', DNS_TYPE.A, 0xbeef)));
  });
});

describe('dns names', () => {
  /** The layout of RFC 1035 §4.1.4: F.ISI.ARPA, FOO behind a pointer to it, a pointer to ARPA, and the root. */
  const example = new Uint8Array(96);
  example.set(bytesOf('014603495349044152504100'), 20);
  example.set(bytesOf('03464f4fc014'), 40);
  example.set(bytesOf('c01a'), 64);

  it('follows pointers as in the example of RFC 1035 §4.1.4', () => {
    expect([20, 40, 64, 92].map((at) => nameAt(example, at))).toEqual(['f.isi.arpa', 'foo.f.isi.arpa', 'arpa', '']);
    expect([20, 40, 64, 92].map((at) => dnsNameEnd(example, at, 96))).toEqual([32, 46, 66, 93]);
  });

  it.each([
    ['a pointer to itself', 'c00c'],
    ['a pointer forward', 'c00e 00'],
    ['labels that lead back to their own beginning', '0161 c00c'],
    ['a pointer cut in half', 'c0'],
    ['a label of 64 bytes', `40${'61'.repeat(64)}00`],
    ['the reserved label kind 0x80', '8061 00'],
    ['a label that leaves the message', '0561'],
    ['no root label', '0161'],
  ])('is refused: %s', (_name, hex) => {
    const b = bytesOf(`${HEADER_OF_QUERY} ${hex}`);
    expect(nameAt(b, DNS_HEADER)).toBe(null);
  });

  it('is refused where it points into the header, even if the header reads like a name', () => {
    // The id looks like the label "a", and the flags like the root.
    const b = bytesOf('0161 0000 0001 0000 0000 0000 0162 c000');
    expect(nameAt(b, DNS_HEADER)).toBe(null);
  });

  it('is refused in a loop of two pointers', () => {
    const b = bytesOf(`${HEADER_OF_QUERY} 0161c010 0162c00c`);
    expect(nameAt(b, DNS_HEADER)).toBe(null);
    expect(nameAt(b, DNS_HEADER + 4)).toBe(null);
  });

  it('has at most 255 bytes, pointers followed', () => {
    const labels = (count: number) => `3f${'61'.repeat(63)}`.repeat(count);
    expect(nameAt(bytesOf(`${HEADER_OF_QUERY} ${labels(3)} 3d${'61'.repeat(61)} 00`), DNS_HEADER)).toHaveLength(253);
    const tooLong = bytesOf(`${HEADER_OF_QUERY} ${labels(3)} 3e${'61'.repeat(62)} 00`);
    expect(nameAt(tooLong, DNS_HEADER)).toBe(null);
    expect(dnsNameEnd(tooLong, DNS_HEADER, tooLong.length)).toBe(-1);
    // A chain of short names, each pointing to the one before, adds up as well.
    let chain = `${HEADER_OF_QUERY} 1f${'62'.repeat(31)}00`;
    let target = DNS_HEADER;
    for (let i = 0; i < 8; i++) {
      const at = bytesOf(chain).length;
      chain += `1f${'62'.repeat(31)}${(0xc000 | target).toString(16)}`;
      target = at;
    }
    expect(nameAt(bytesOf(chain), target)).toBe(null);
  });

  it('never reads two different names alike', () => {
    expect(nameAt(rawQuery('03612e6200'), DNS_HEADER)).toBe('a\\.b');
    expect(nameAt(rawQuery('0161016200'), DNS_HEADER)).toBe('a.b');
    expect(nameAt(rawQuery('03615c6200'), DNS_HEADER)).toBe('a\\\\b');
    expect(nameAt(rawQuery('0300201b00'), DNS_HEADER)).toBe('\\000\\032\\027');
  });

  it('has no pointer in a question: nothing lies before it', () => {
    const b = bytesOf(`${HEADER_OF_QUERY} 0161c001 0001 0001`);
    expect(dnsQuestionEnd(b, 0, b.length)).toBe(-1);
    expect(dnsParseQuestion(b, 0, b.length)).toBe(null);
  });

  it.each(['a..b', '.a', '..', 'é', 'a b', 'a\\.b', `${'x'.repeat(64)}.a`, `${'abcdefgh.'.repeat(28)}toolong`])(
    'is not encoded from %j',
    (text) => expect(dnsEmitName(new Uint8Array(600), 0, 600, text)).toBe(-1),
  );

  it('is encoded with or without the last dot, in just the room it needs', () => {
    expect(hexOf(query('.'))).toBe(hexOf(query('')));
    expect(hexOf(query('a.example.'))).toBe(hexOf(query('a.example')));
    const b = new Uint8Array(40);
    expect(dnsEmitName(b, 2, 12, 'a.example')).toBe(-1);
    expect(dnsEmitName(b, 2, 13, 'a.example')).toBe(13);
    expect(dnsEmitName(b, 2, 2, '')).toBe(-1);
    expect(dnsEmitName(b, 2, 3, '')).toBe(3);
  });
});

describe('dns replies', () => {
  const asked = query('host.vmnet.internal');
  const begun = (b: Uint8Array, off: number, flags = 0) =>
    dnsEmitReply(b, off, b.length, asked, 0, dnsQuestionEnd(asked, 0, asked.length), flags);

  it('repeat id, RD and question, and carry records for the question', () => {
    const reply = emitted((b, off) => {
      let at = begun(b, off, DNS_FLAG.AA);
      at = dnsAppendA(b, off, at, b.length, 30, 0xc0a85801);
      at = dnsAppendPtr(b, off, at, b.length, 30, 'a.b');
      at = dnsAppendOpt(b, off, at, b.length, 1232);
      return at - off;
    });
    expect(hexOf(reply)).toBe(
      hexOf(
        bytesOf(`1234 8580 0001 0002 0000 0001
          04686f737405766d6e657408696e7465726e616c00 0001 0001
          c00c 0001 0001 0000001e 0004 c0a85801
          c00c 000c 0001 0000001e 0005 01610162 00
          00 0029 04d0 00000000 0000`),
      ),
    );
    expect(dnsSameQuestion(asked, 0, asked.length, reply, 0, reply.length)).toBe(true);
    expect(dnsToString(reply, 0, reply.length)).toBe('DNS 4660 NOERROR host.vmnet.internal, 2 answers');
    expect(dnsEdnsSize(reply, 0, reply.length)).toBe(1232);
  });

  it('say NXDOMAIN with the SOA of the zone', () => {
    const reply = emitted((b, off) => {
      const at = begun(b, off, DNS_FLAG.AA | DNS_RCODE.NXDOMAIN);
      return dnsAppendSoa(b, off, at, b.length, 5, 'vmnet.internal') - off;
    });
    const zone = '05766d6e657408696e7465726e616c00';
    const soa = `${zone} 0a686f73746d6173746572${zone} 00000001 00000e10 00000258 00015180 00000005`;
    const length = bytesOf(soa).length.toString(16).padStart(4, '0');
    expect(hexOf(reply, asked.length)).toBe(hexOf(bytesOf(`${zone} 0006 0001 00000005 ${length} ${soa}`)));
    expect([dnsRcode(reply, 0), dnsAnswerCount(reply, 0), get16(reply, 8)]).toEqual([DNS_RCODE.NXDOMAIN, 0, 1]);
    expect(dnsNameEnd(reply, asked.length, reply.length)).toBe(asked.length + bytesOf(zone).length);
    expect(dnsToString(reply, 0, reply.length)).toBe('DNS 4660 NXDOMAIN host.vmnet.internal, 0 answers');
  });

  it('to a query without a readable question are a header', () => {
    const reply = emitted((b, off) => dnsEmitReply(b, off, b.length, asked, 0, -1, DNS_RCODE.FORMERR) - off);
    expect(hexOf(reply)).toBe('123481810000000000000000');
  });

  it('keep the opcode and CD of the query, but not AD nor a response code', () => {
    const odd = Uint8Array.from(asked);
    put16(odd, 2, 0x2800 | DNS_FLAG.CD | DNS_FLAG.AD | DNS_FLAG.TC | 5);
    const reply = emitted((b, off) => dnsEmitReply(b, off, b.length, odd, 0, odd.length, 0) - off);
    expect(dnsFlags(reply, 0)).toBe(DNS_FLAG.QR | DNS_FLAG.RA | 0x2800 | DNS_FLAG.CD);
  });

  it('add a record only where there is room, write nothing behind it and count only what they added', () => {
    const steps: [number, (b: Uint8Array, off: number, at: number, end: number) => number][] = [
      [16, (b, off, at, end) => dnsAppendA(b, off, at, end, 1, 2)],
      [17, (b, off, at, end) => dnsAppendPtr(b, off, at, end, 1, 'a.b')],
      [11 + 2 + 20 + 3 + 14, (b, off, at, end) => dnsAppendSoa(b, off, at, end, 1, 'z')],
      [11, (b, off, at, end) => dnsAppendOpt(b, off, at, end, 512)],
    ];
    for (const [size, append] of steps) {
      for (let room = 0; room <= size; room++) {
        const b = new Uint8Array(200).fill(0xa5);
        const at = begun(b, 0);
        const result = append(b, 0, at, at + room);
        expect(result).toBe(room < size ? -1 : at + size);
        expect(b.subarray(at + room).every((byte) => byte === 0xa5)).toBe(true);
        expect(get16(b, 6) + get16(b, 8) + get16(b, 10)).toBe(room < size ? 0 : 1);
      }
    }
    expect(dnsEmitReply(new Uint8Array(99), 0, asked.length - 1, asked, 0, asked.length, 0)).toBe(-1);
    expect(dnsEmitQuery(new Uint8Array(99), 0, asked.length - 1, 1, 'host.vmnet.internal', 1)).toBe(-1);
    expect(dnsEmitQuery(new Uint8Array(99), 0, 11, 1, '', 1)).toBe(-1);
  });
});

describe('dnsEdnsSize', () => {
  const withRecords = (counts: string, records: string) =>
    bytesOf(`1234 0100 0001 ${counts} 0161 00 0001 0001 ${records}`);
  const size = (b: Uint8Array) => dnsEdnsSize(b, 0, b.length);
  const OPT = '00 0029 1000 00000000 0000';

  it('finds the OPT record behind others', () => {
    expect(size(withRecords('0000 0000 0002', `c00c 0001 0001 00000000 0004 01020304 ${OPT}`))).toBe(4096);
  });

  it('is 0 without an OPT record and at least 512 with one', () => {
    expect(size(query('a'))).toBe(0);
    expect(size(withRecords('0000 0000 0001', '00 0029 0000 00000000 0000'))).toBe(512);
  });

  it.each([
    ['a record that leaves the message', '0000 0000 0001', 'c00c 0001 0001 00000000 0004 010203'],
    ['a record cut in its head', '0000 0000 0001', '00 0029 1000 000000'],
    ['fewer records than the header claims', 'ffff ffff ffff', 'c00c 0001 0001 00000000 0000'],
  ])('is −1 with %s', (_name, counts, records) => expect(size(withRecords(counts, records))).toBe(-1));

  it('is −1 without a whole question', () => {
    expect(dnsEdnsSize(withRecords('0000 0000 0001', OPT), 0, DNS_HEADER + 6)).toBe(-1);
  });
});

describe('dnsReverseToIpv4', () => {
  it('reads the address backwards', () => {
    expect(dnsReverseToIpv4('2.88.168.192.in-addr.arpa')).toBe(0xc0a85802);
  });

  it.each([
    '88.168.192.in-addr.arpa',
    '1.2.88.168.192.in-addr.arpa',
    '256.88.168.192.in-addr.arpa',
    '2.88.168.192.ip6.arpa',
    '02.88.168.192.in-addr.arpa',
    '2.88.168.192xin-addr.arpa',
    'in-addr.arpa',
    '',
  ])('takes %j for another name', (text) => expect(dnsReverseToIpv4(text)).toBe(-1));
});
