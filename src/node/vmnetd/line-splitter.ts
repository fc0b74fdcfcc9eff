/** Cuts a stream of bytes into lines. */

const NEWLINE = 10;

/** Hands each complete line, without its end, to a function. Bytes of an incomplete one wait, up to a bound. */
export class LineSplitter {
  readonly #bound: number;
  readonly #onLine: (line: string) => void;
  #rest: Buffer[] = [];
  #restLength = 0;

  constructor(bound: number, onLine: (line: string) => void) {
    this.#bound = bound;
    this.#onLine = onLine;
  }

  /** Takes the next bytes; false if a line grew beyond the bound: the stream is of no more use. */
  push(chunk: Buffer): boolean {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      if (end < 0) break;
      const piece = chunk.subarray(start, end);
      const line = this.#restLength === 0 ? piece : Buffer.concat([...this.#rest, piece]);
      this.#rest = [];
      this.#restLength = 0;
      start = end + 1;
      this.#onLine(line.toString('utf8'));
    }
    if (start < chunk.length) {
      this.#rest.push(chunk.subarray(start));
      this.#restLength += chunk.length - start;
    }
    return this.#restLength <= this.#bound;
  }
}
