/**
 * The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit big-endian words.
 *
 * Theory of operation. A *running sum* is a number below 2³² that stands for what has been summed so far; partial sums
 * are added, folded to 16 bits and complemented at the end. {@link sumBytes} adds a folded value, so several thousand
 * calls fit. A range may be summed in pieces split anywhere: a piece that follows an odd number of bytes says so.
 *
 * Speed decides how fast we segment for a port without offloads, so long ranges are read as 32-bit words of the machine,
 * through views of the same memory. Byte order does not matter to the sum but for one final swap (RFC 1071 §2.B), and
 * neither does alignment, since the first and last bytes of a range are added by themselves. Words are added as doubles,
 * which are exact up to 2⁵³ and need neither masks nor carries. `bench/micro/checksum.ts` holds this against other ways:
 * 105 to 155 ns for 1460 bytes, as V8 happens to lay out the loop, beside 160 for integers and 600 for a byte loop. To
 * copy and sum in one loop gained nothing over `copyWithin` followed by this.
 *
 * Limits: at most 8 MiB a call. The views of the two arrays used last are kept (an arena is one array for the life of
 * the process), so this module holds on to two buffers; a call on a third one makes new views.
 */

/** The machine stores the low byte of a word first. */
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Below this a byte loop is as fast, and short-lived arrays are not worth a pair of views. */
const WORDS_MIN = 48;

/** The memory under a `Uint8Array` as words of the machine. */
class Words {
  readonly bytes: Uint8Array;
  /** Where `bytes[0]` lies in the buffer. */
  readonly start: number;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;

  constructor(bytes: Uint8Array) {
    const buffer = bytes.buffer;
    this.bytes = bytes;
    this.start = bytes.byteOffset;
    this.u16 = new Uint16Array(buffer, 0, buffer.byteLength >>> 1);
    this.u32 = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
  }
}

let recent = new Words(new Uint8Array(0));
let before = recent;

/** The views of `b`, remembered for the two arrays used last. */
function wordsOf(b: Uint8Array): Words {
  const found = before.bytes === b ? before : new Words(b);
  before = recent;
  recent = found;
  return found;
}

/**
 * Adds the one's complement sum of `length` bytes to the running sum `sum`. `odd` says that an odd number of bytes was
 * summed before, so that the first byte here is the low half of a word.
 */
export function sumBytes(b: Uint8Array, offset: number, length: number, sum = 0, odd = false): number {
  if (length < WORDS_MIN) return sum + sumShort(b, offset, length, odd);
  return sum + sumLong(recent.bytes === b ? recent : wordsOf(b), offset, length, odd);
}

function sumShort(b: Uint8Array, offset: number, length: number, odd: boolean): number {
  let first = 0;
  let second = 0;
  const last = offset + length - 1;
  let i = offset;
  for (; i < last; i += 2) {
    first += b[i]!;
    second += b[i + 1]!;
  }
  if (i === last) first += b[i]!;
  return odd ? foldSum(second * 256 + first) : foldSum(first * 256 + second);
}

function sumLong(words: Words, offset: number, length: number, odd: boolean): number {
  const { bytes, u16, u32 } = words;
  let at = words.start + offset;
  let end = at + length;
  const startsOdd = (at & 1) !== 0;
  // What lies outside of whole aligned words, in units of the machine's 16-bit words.
  let rest = 0;
  if (startsOdd) {
    rest += LITTLE_ENDIAN ? bytes[offset]! << 8 : bytes[offset]!;
    at++;
  }
  if ((end & 1) !== 0) {
    end--;
    const last = bytes[end - words.start]!;
    rest += LITTLE_ENDIAN ? last : last << 8;
  }
  if ((at & 2) !== 0) {
    rest += u16[at >>> 1]!;
    at += 2;
  }
  if ((end & 2) !== 0) {
    end -= 2;
    rest += u16[end >>> 1]!;
  }

  let sum = 0;
  let i = at >>> 2;
  const stop = end >>> 2;
  const stop8 = stop - 7;
  for (; i < stop8; i += 8) {
    // In pairs, so that no addition waits for the one before.
    const even = u32[i]! + u32[i + 2]! + (u32[i + 4]! + u32[i + 6]!);
    const uneven = u32[i + 1]! + u32[i + 3]! + (u32[i + 5]! + u32[i + 7]!);
    sum += even + uneven;
  }
  for (; i < stop; i++) sum += u32[i]!;
  const low = sum >>> 0;
  const high = (sum - low) / 0x1_0000_0000;
  const folded = foldSum(foldSum(low) + foldSum(high) + rest);
  const swap = (startsOdd === odd) === LITTLE_ENDIAN;
  return swap ? ((folded & 0xff) << 8) | (folded >>> 8) : folded;
}

/** Folds a running sum to 16 bits. Zero comes out only of nothing but zeros. */
export function foldSum(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** The checksum to store for a running sum, 0 … 0xffff. */
export function finish(sum: number): number {
  return ~foldSum(sum) & 0xffff;
}

/** Running sum of the IPv4 pseudo-header of TCP and UDP (RFC 9293 §3.1, RFC 768) for `length` bytes of header and payload. */
export function pseudoSum4(src: number, dst: number, protocol: number, length: number): number {
  return (src >>> 16) + (src & 0xffff) + (dst >>> 16) + (dst & 0xffff) + protocol + length;
}
