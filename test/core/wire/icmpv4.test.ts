import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ICMPV4,
  ICMPV4_MAX_QUOTE,
  ICMPV4_UNREACHABLE,
  icmpv4ChecksumIsRight,
  icmpv4EmitEcho,
  icmpv4EmitError,
  icmpv4Identifier,
  icmpv4IsError,
  icmpv4IsValid,
  icmpv4Parse,
  icmpv4Sequence,
  icmpv4ToString,
} from '../../../src/core/wire/icmpv4.ts';
import { emitted, hexOf, surrounded, validPrefixes } from '../../support/bytes.ts';
import { ECHO_REPLY, ECHO_REQUEST, PORT_UNREACHABLE, UDP_PARTIAL } from '../../support/captures.ts';

const request = ECHO_REQUEST.subarray(34);
const reply = ECHO_REPLY.subarray(34);
const unreachable = PORT_UNREACHABLE.subarray(34);

describe('icmpv4', () => {
  it('reads a captured echo request', () => {
    const b = surrounded(request, 3);
    const end = 3 + request.length;
    expect(icmpv4IsValid(b, 3, end)).toBe(true);
    expect(icmpv4ChecksumIsRight(b, 3, end)).toBe(true);
    expect(icmpv4Parse(b, 3)).toEqual({ type: ICMPV4.ECHO_REQUEST, code: 0, rest: 0x6a0f0001 });
    expect([icmpv4Identifier(b, 3), icmpv4Sequence(b, 3)]).toEqual([0x6a0f, 1]);
    expect(icmpv4IsError(b, 3)).toBe(false);
    expect(icmpv4ToString(b, 3, end)).toBe('ICMP echo request, id 27151, seq 1, length 32');
  });

  it('writes the captured echo reply around a payload that lies there already', () => {
    const written = emitted((b, off) => {
      b.set(reply.subarray(8), off + 8);
      return icmpv4EmitEcho(b, off, ICMPV4.ECHO_REPLY, 0x6a0f, 1, 24);
    });
    expect(hexOf(written)).toBe(hexOf(reply));
  });

  it('reads and writes the captured port unreachable', () => {
    expect(icmpv4IsError(unreachable, 0)).toBe(true);
    expect(icmpv4ToString(unreachable, 0, unreachable.length)).toBe('ICMP type 3, code 3, length 41');
    const written = emitted((b, off) =>
      icmpv4EmitError(b, off, ICMPV4.UNREACHABLE, ICMPV4_UNREACHABLE.PORT, 0, UDP_PARTIAL, 14, 33),
    );
    expect(hexOf(written)).toBe(hexOf(unreachable));
  });

  it('quotes a packet that lies in the same array, even where the error is written', () => {
    for (const shift of [0, 4, 28]) {
      const b = new Uint8Array(200);
      b.set(UDP_PARTIAL.subarray(14), 40);
      const off = 40 - shift;
      const length = icmpv4EmitError(b, off, ICMPV4.UNREACHABLE, ICMPV4_UNREACHABLE.PORT, 0, b, 40, 33);
      expect(hexOf(b, off, off + length)).toBe(hexOf(unreachable));
    }
  });

  it('quotes no more than fits into 576 bytes of IPv4', () => {
    const quoted = new Uint8Array(1500).fill(7);
    const written = emitted((b, off) => icmpv4EmitError(b, off, 3, 4, 1400, quoted, 0, quoted.length));
    expect(written.length).toBe(8 + ICMPV4_MAX_QUOTE);
    expect(20 + written.length).toBe(576);
    expect(icmpv4Parse(written, 0).rest).toBe(1400);
    expect(icmpv4ChecksumIsRight(written, 0, written.length)).toBe(true);
  });

  it('takes nothing shorter than its header', () => {
    expect(validPrefixes(request.subarray(0, 8), icmpv4IsValid)).toEqual([]);
    expect(icmpv4ToString(request, 0, 7)).toBe('[icmp: truncated]');
  });

  it('sees every changed bit, and a payload that is cut', () => {
    for (let bit = 0; bit < request.length * 8; bit++) {
      const other = Uint8Array.from(request);
      other[bit >> 3]! ^= 1 << (bit & 7);
      expect(icmpv4ChecksumIsRight(other, 0, other.length)).toBe(false);
    }
    expect(icmpv4ChecksumIsRight(request, 0, request.length - 1)).toBe(false);
  });

  it('reads what it wrote, and the checksum is right', () => {
    const half = fc.nat(0xffff);
    fc.assert(
      fc.property(
        fc.constantFrom(0, 8),
        half,
        half,
        fc.uint8Array({ maxLength: 200 }),
        (type, id, sequence, payload) => {
          const b = emitted((out, off) => {
            out.set(payload, off + 8);
            return icmpv4EmitEcho(out, off, type, id, sequence, payload.length);
          });
          expect(icmpv4Parse(b, 0)).toEqual({ type, code: 0, rest: id * 65536 + sequence });
          expect(icmpv4ChecksumIsRight(b, 0, b.length)).toBe(true);
          expect(hexOf(b, 8)).toBe(hexOf(payload));
        },
      ),
    );
  });
});
