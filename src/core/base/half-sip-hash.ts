/**
 * HalfSipHash-2-4 (Aumasson & Bernstein): a keyed hash of 32-bit words with 32-bit arithmetic, so that it runs without
 * big integers. Whoever doesn't know the key can neither predict an initial sequence number (RFC 6528 §3) nor choose
 * flows that collide in a hash table.
 */
export class HalfSipHash {
  private readonly k0: number;
  private readonly k1: number;
  private v0 = 0;
  private v1 = 0;
  private v2 = 0;
  private v3 = 0;

  /** The key: 64 unpredictable bits. */
  constructor(k0: number, k1: number) {
    this.k0 = k0 | 0;
    this.k1 = k1 | 0;
  }

  /** Hash of three 32-bit words, signed 32-bit. */
  words3(a: number, b: number, c: number): number {
    this.v0 = this.k0;
    this.v1 = this.k1;
    this.v2 = 0x6c796765 ^ this.k0;
    this.v3 = 0x74656462 ^ this.k1;
    this.word(a);
    this.word(b);
    this.word(c);
    // The last word carries the length of the input, 12 bytes, in its upper byte.
    this.word(12 << 24);
    this.v2 ^= 0xff;
    this.round();
    this.round();
    this.round();
    this.round();
    return this.v1 ^ this.v3;
  }

  private word(m: number): void {
    this.v3 ^= m;
    this.round();
    this.round();
    this.v0 ^= m;
  }

  private round(): void {
    let v0 = this.v0;
    let v1 = this.v1;
    let v2 = this.v2;
    let v3 = this.v3;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    this.v0 = v0;
    this.v1 = v1;
    this.v2 = v2;
    this.v3 = v3;
  }
}
