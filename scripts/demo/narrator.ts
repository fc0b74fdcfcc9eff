/**
 * Tells the demo: one line a step, with a tick, what came out of it and how long it took; on a terminal a spinner turns
 * while a step runs. With `--json` it keeps silent and only remembers.
 */

/** What a step found out: a sentence for people and figures for machines. */
export interface Finding {
  text: string;
  figures?: Record<string, string | number>;
}

/** One step as `--json` shows it. */
export interface StepRecord {
  step: string;
  ok: boolean;
  ms: number;
  text: string;
  figures: Record<string, string | number>;
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const LABEL_WIDTH = 20;
const TEXT_WIDTH = 52;

export class Narrator {
  #silent: boolean;
  #ended = false;
  readonly #coloured: boolean;
  readonly #turning: boolean;

  constructor(silent: boolean) {
    this.#silent = silent;
    this.#turning = !silent && process.stdout.isTTY === true && process.env.TERM !== 'dumb';
    this.#coloured = this.#turning && !process.env.NO_COLOR;
  }

  /** Lines between steps. */
  say(text = ''): void {
    if (!this.#silent) process.stdout.write(`${text}\n`);
  }

  /** Says nothing more and begins no further step: the demo was interrupted. */
  end(): void {
    this.#silent = true;
    this.#ended = true;
  }

  /** A heading over the steps of one guest. */
  chapter(title: string, remark = ''): void {
    this.say(`\n  ${this.#paint(title, 1)}${remark === '' ? '' : this.#paint(`  ${remark}`, 2)}`);
  }

  /** Something that could not be shown here, and why. */
  skipped(what: string, why: string): void {
    this.say(`  ${this.#paint('–', 33)} ${what.padEnd(LABEL_WIDTH)} ${why}`);
  }

  /** Runs one step and tells how it went. Resolves to its record; a step that throws did not hold. */
  async step(step: string, task: () => Promise<Finding>): Promise<StepRecord> {
    if (this.#ended) return { step, ok: false, ms: 0, text: 'interrupted', figures: {} };
    const startedAt = performance.now();
    const stopSpinner = this.#spin(step);
    let ok = true;
    let finding: Finding;
    try {
      finding = await task();
    } catch (error) {
      ok = false;
      finding = { text: error instanceof Error ? error.message : String(error) };
    }
    const ms = Math.round(performance.now() - startedAt);
    stopSpinner();
    const mark = ok ? this.#paint('✓', 32) : this.#paint('✗', 31);
    const [first = '', ...more] = finding.text.split('\n').filter((line) => line !== '');
    this.say(`  ${mark} ${step.padEnd(LABEL_WIDTH)} ${first.padEnd(TEXT_WIDTH)} ${this.#paint(span(ms), 2)}`);
    for (const line of more) this.say(`    ${' '.repeat(LABEL_WIDTH)} ${line}`);
    return { step, ok, ms, text: finding.text, figures: finding.figures ?? {} };
  }

  /** The last line. */
  verdict(ok: boolean, text: string): void {
    this.say(`\n  ${this.#paint(ok ? '✓' : '✗', ok ? 32 : 31)} ${this.#paint(text, 1)}`);
  }

  #spin(step: string): () => void {
    if (!this.#turning) return () => {};
    let frame = 0;
    const draw = (): void => {
      if (this.#ended) return;
      process.stdout.write(`\r\u001b[2K  ${this.#paint(FRAMES[frame++ % FRAMES.length] ?? '', 36)} ${step} …`);
    };
    draw();
    const timer = setInterval(draw, 80);
    return () => {
      clearInterval(timer);
      process.stdout.write('\r\u001b[2K');
    };
  }

  #paint(text: string, code: number): string {
    return this.#coloured ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

/** `640 ms`, `3.1 s`. */
export function span(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}
