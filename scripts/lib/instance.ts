/**
 * An openvmnet of its own for the demo and the bench: run and state directories made for it alone, driven through the
 * command line as a user would, and brought down with everything it left behind.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunOptions, type RunResult, run } from './process.ts';
import { repositoryRoot } from './repository-root.ts';

export class Instance {
  /** Holds the run and the state directory, and whatever else the caller wants gone at the end. */
  readonly folder: string;
  /** The environment that makes every `vmnet` speak to this instance. */
  readonly env: NodeJS.ProcessEnv;
  readonly #config: string | null;

  /** `config` is the text of a vmnet.yaml; null for the defaults. */
  constructor(config: string | null = null) {
    this.folder = mkdtempSync(join(tmpdir(), 'openvmnet-'));
    this.env = {
      ...process.env,
      VMNET_RUN_DIR: join(this.folder, 'run'),
      VMNET_STATE_DIR: join(this.folder, 'state'),
    };
    this.#config = config === null ? null : join(this.folder, 'vmnet.yaml');
    if (this.#config !== null) writeFileSync(this.#config, config ?? '');
  }

  /** `vmnet …` as a command line. It is to be run with `env`. */
  argv(...words: string[]): string[] {
    return [process.execPath, join(repositoryRoot(), 'dist/node/cli/main.js'), ...words];
  }

  /** Runs `vmnet …` to its end. */
  vmnet(words: readonly string[], options: Omit<RunOptions, 'env'> = {}): Promise<RunResult> {
    return run(this.argv(...words), { cwd: this.folder, ...options, env: this.env });
  }

  /** Runs `vmnet …` and rejects with what it said unless it went well. */
  async must(...words: string[]): Promise<RunResult> {
    const result = await this.vmnet(words);
    if (result.code === 0) return result;
    throw new Error(`vmnet ${words.join(' ')}: exit status ${result.code}\n${result.stderr.trim()}`);
  }

  /** What `vmnet … --json` says. */
  async json<T>(...words: string[]): Promise<T> {
    return JSON.parse((await this.must(...words, '--json')).stdout) as T;
  }

  /** `vmnet up --detach`: resolves when the networks are ready. */
  up(): Promise<RunResult> {
    const config = this.#config === null ? [] : ['-f', this.#config];
    return this.must('up', '--detach', ...config);
  }

  /** Brings it down, whatever state it is in, and removes its folder. Never rejects. */
  async down(): Promise<void> {
    await this.vmnet(['down'], { timeoutMs: 20_000 }).catch(() => {});
    rmSync(this.folder, { recursive: true, force: true });
  }
}
