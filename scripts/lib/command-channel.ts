/**
 * Commands for a shell that runs elsewhere (in a VM over a serial port, in a namespace over pipes), one at a time.
 *
 *     → "7 " base64(script) "\n"          ← output of the script, "\n@@END 7 0\n" (number, exit status)
 *
 * The other end says `@@READY` first, then runs {@link CHANNEL_LOOP}. A command that runs into its time limit leaves the
 * channel usable: its late answer carries its own number and is skipped. Output is bounded by 16 MiB a command.
 */
import type { Background } from './process.ts';

/** The other end's part, for any POSIX shell with `base64`. */
export const CHANNEL_LOOP = `echo @@READY
while read -r id line; do
  echo "$line" | base64 -d >"$channel_file"
  sh "$channel_file" </dev/null 2>&1
  printf '\\n@@END %d %d\\n' "$id" $?
done`;

export interface CommandResult {
  code: number;
  output: string;
}

const OUTPUT_LIMIT = 16 << 20;

/** One end of a channel, over the standard input and output of a child process. */
export class CommandChannel {
  readonly process: Background;
  #text = '';
  #commands = 0;
  #wake: (() => void) | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  readonly #context: () => string;

  /** `context` is quoted in errors: a console, a log. */
  constructor(process: Background, context: () => string = () => '') {
    this.process = process;
    this.#context = context;
    const chunks: Buffer[] = [];
    process.child.stdout?.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if (!chunk.includes('\n')) return;
      this.#text += Buffer.concat(chunks.splice(0)).toString('utf8');
      if (this.#text.length > OUTPUT_LIMIT) process.child.kill('SIGKILL');
      this.#wake?.();
    });
    process.child.on('close', () => this.#wake?.());
    process.child.on('error', () => this.#wake?.());
  }

  /** Waits until the other end takes commands. */
  async ready(timeoutMs: number): Promise<void> {
    await this.#until(/@@READY\r?\n/, timeoutMs, 'the first prompt');
  }

  /** Runs a shell script; rejects on time-out or when the other end is gone. Calls queue up. */
  exec(script: string, timeoutMs = 60_000): Promise<CommandResult> {
    const task = async (): Promise<CommandResult> => {
      const id = ++this.#commands;
      this.process.write(`${id} ${Buffer.from(script, 'utf8').toString('base64')}\n`);
      const end = new RegExp(`\n@@END ${id} (\\d+)\r?\n`);
      const [code, output] = await this.#until(end, timeoutMs, JSON.stringify(script.slice(0, 120)));
      return { code: Number(code), output: output.replace(/^[\s\S]*\n@@END \d+ \d+\r?\n/, '') };
    };
    const result = this.#queue.then(task, task);
    this.#queue = result.catch(() => {});
    return result;
  }

  /** Like `exec`, gives the output, and rejects unless the exit status is 0. */
  async must(script: string, timeoutMs?: number): Promise<string> {
    const { code, output } = await this.exec(script, timeoutMs);
    if (code !== 0) throw new Error(`exit status ${code} from: ${script}\n${output.slice(-3000)}`);
    return output;
  }

  #failure(reason: string): Error {
    const parts = [reason, this.process.stderr.trim().slice(-2000), this.#context().slice(-2000).trim()];
    return new Error(parts.filter((part) => part !== '').join('\n'));
  }

  async #until(pattern: RegExp, timeoutMs: number, what: string): Promise<[string, string]> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = pattern.exec(this.#text);
      if (match !== null) {
        const before = this.#text.slice(0, match.index);
        this.#text = this.#text.slice(match.index + match[0].length);
        return [match[1] ?? '', before];
      }
      if (this.process.gone) throw this.#failure(`ended before ${what}; so far: ${this.#text.slice(-500)}`);
      const left = deadline - Date.now();
      if (left <= 0)
        throw this.#failure(`${timeoutMs} ms were not enough for ${what}; so far: ${this.#text.slice(-500)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
  }
}
