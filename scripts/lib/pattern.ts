/**
 * Test data of any length whose every part differs: so that lost, doubled, swapped or shifted bytes change the digest.
 * 64 KiB of a fixed xorshift sequence, with the number of the block written over the first 8 bytes of each.
 */
import { createHash } from 'node:crypto';

const BLOCK = 65_536;

const TEMPLATE = (() => {
  const block = Buffer.alloc(BLOCK);
  let x = 0x9e3779b9;
  for (let offset = 0; offset < BLOCK; offset += 4) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    block.writeInt32LE(x | 0, offset);
  }
  return block;
})();

/** The blocks of `length` bytes of the pattern, each a fresh buffer. */
export function* pattern(length: number): Generator<Buffer> {
  for (let at = 0; at < length; at += BLOCK) {
    const block = Buffer.from(TEMPLATE);
    block.writeBigUInt64LE(BigInt(at / BLOCK));
    yield length - at < BLOCK ? block.subarray(0, length - at) : block;
  }
}

/** SHA-256 in hex of `length` bytes of the pattern. */
export function patternDigest(length: number): string {
  const hash = createHash('sha256');
  for (const block of pattern(length)) hash.update(block);
  return hash.digest('hex');
}
