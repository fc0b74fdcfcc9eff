/**
 * The islands hold (DESIGN §4): what the core and the shared contract must not touch does not compile there, or does not
 * pass the linter. Each sin is put into a file of its own in a temporary directory, under the island's own configuration,
 * so the tree is not touched. A control says that the same file is fine where the rule does not apply; without it a typing
 * error in this test would pass for a proof.
 */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const bin = (name: string): string => join(REPOSITORY, 'node_modules', '.bin', name);

/** Runs a checker and returns what it said; a checker that finds something ends with another code than 0. */
async function output(command: string, args: string[], cwd: string): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)(command, args, { cwd });
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    if (!stdout && !stderr) throw error;
    return `${stdout}${stderr}`;
  }
}

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'openvmnet-islands-'));
  // Packages have to be within reach: an island must refuse Node's types although they are installed.
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(REPOSITORY, 'node_modules'), join(directory, 'node_modules'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Type sins, and what is wrong with each in TypeScript's words. */
const TYPE_SINS: [name: string, source: string][] = [
  ["import 'node:fs'", "import { readFileSync } from 'node:fs';\nexport const x = readFileSync;"],
  ["import type from 'node:net'", "import type { Socket } from 'node:net';\nexport type X = Socket;"],
  ['setTimeout', 'export const x = (): unknown => setTimeout(() => 0, 1);'],
  ['setImmediate', 'export const x = (): unknown => setImmediate(() => 0);'],
  ['queueMicrotask', 'export const x = (): unknown => queueMicrotask(() => 0);'],
  ['Buffer', 'export const x = (): unknown => Buffer.alloc(1);'],
  ['process', 'export const x = (): unknown => process.hrtime;'],
  ['console', "export const x = (): unknown => console.log('');"],
  ['performance', 'export const x = (): unknown => performance.now();'],
  ['crypto', 'export const x = (): unknown => crypto.getRandomValues;'],
  ['fetch', "export const x = (): unknown => fetch('');"],
  ['TextDecoder', 'export const x = (): unknown => new TextDecoder();'],
];

const fileOf = (index: number): string => `sin${index}.ts`;

/** Names of the files in which the compiler found something. */
async function compile(project: string, extendsPath: string, options: object): Promise<Set<string>> {
  const root = join(directory, project);
  mkdirSync(root);
  TYPE_SINS.forEach(([, source], i) => {
    writeFileSync(join(root, fileOf(i)), `${source}\n`);
  });
  writeFileSync(join(root, 'innocent.ts'), 'export const x = (b: Uint8Array): number => Math.max(0, b.length);\n');
  const config = {
    extends: extendsPath,
    compilerOptions: { rootDir: '.', noEmit: true, incremental: false, composite: false, ...options },
    include: ['*.ts'],
  };
  writeFileSync(join(root, 'tsconfig.json'), JSON.stringify(config));
  const said = await output(bin('tsc'), ['-p', '.', '--pretty', 'false'], root);
  const found = new Set(said.match(/^[\w./-]+\.ts(?=\(\d+,\d+\): error TS\d+)/gm) ?? []);
  if (found.size === 0 && said.trim() !== '') throw new Error(said);
  return found;
}

describe.each(['core', 'shared'])('the compiler, in src/%s', (island) => {
  let found = new Set<string>();
  beforeAll(async () => {
    found = await compile(`types-${island}`, join(REPOSITORY, 'src', island, 'tsconfig.json'), {});
  });

  it.each(TYPE_SINS.map(([name], i) => [name, i] as const))('refuses %s', (_name, index) => {
    expect([...found]).toContain(fileOf(index));
  });

  it('takes a file without sin', () => expect([...found]).not.toContain('innocent.ts'));
});

describe('the compiler, in src/node', () => {
  it('takes all of them: the refusals are those of the islands, not of this test', async () => {
    const node = join(REPOSITORY, 'src', 'node', 'tsconfig.json');
    expect([...(await compile('types-node', node, { lib: ['es2023', 'dom'] }))]).toEqual([]);
  });
});

describe('the compiler, in src/core', () => {
  it('refuses an import from outside of the core', async () => {
    const root = join(directory, 'outside');
    mkdirSync(join(root, 'core'), { recursive: true });
    writeFileSync(join(root, 'elsewhere.ts'), 'export const y = 1;\n');
    writeFileSync(join(root, 'core', 'inside.ts'), "import { y } from '../elsewhere.ts';\nexport const x = y;\n");
    const config = { extends: join(REPOSITORY, 'src', 'core', 'tsconfig.json'), include: ['*.ts'] };
    const compilerOptions = { rootDir: '.', outDir: '../out', tsBuildInfoFile: '../out/info' };
    writeFileSync(join(root, 'core', 'tsconfig.json'), JSON.stringify({ ...config, compilerOptions }));
    const said = await output(bin('tsc'), ['-p', '.', '--pretty', 'false', '--noEmit'], join(root, 'core'));
    expect(said).toMatch(/error TS(6059|6307)/);
  });
});

/** Sins that compile, and that the linter has to find. */
const LINT_SINS: [name: string, source: string][] = [
  ['Date.now()', 'export const x = (): number => Date.now();'],
  ['new Date()', 'export const x = (): Date => new Date();'],
  ['performance.now()', 'export const x = (): number => performance.now();'],
  ['globalThis', 'export const x = (): unknown => globalThis.Date;'],
  ['Math.random()', 'export const x = (): number => Math.random();'],
  ['Math.random handed on', 'export const x: () => number = Math.random;'],
  ["Math['random']", "export const x = (): number => Math['random']();"],
  ['Math by another name', 'const m = Math;\nexport const x = (): number => m.random();'],
  ['random taken out of Math', 'const { random } = Math;\nexport const x = random;'],
];

describe('the linter', () => {
  const LINT_CONFIG = ['biome.json', '.gitignore', 'scripts/lint/no-math-random.grit'];
  const RULES = ['lint/style/noRestrictedGlobals', 'plugin'];
  let found: { path: string; rule: string }[] = [];

  beforeAll(async () => {
    const root = join(directory, 'lint');
    for (const file of LINT_CONFIG) {
      mkdirSync(dirname(join(root, file)), { recursive: true });
      copyFileSync(join(REPOSITORY, file), join(root, file));
    }
    for (const island of ['core', 'shared', 'node']) {
      const folder = join(root, 'src', island, 'deep');
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'innocent.ts'), 'export const x = Math.max(1, 2);\n');
      LINT_SINS.forEach(([, source], i) => {
        writeFileSync(join(folder, fileOf(i)), `${source}\n`);
      });
    }
    writeFileSync(
      join(root, 'src/core/one.ts'),
      "import { two } from './two.ts';\nexport const one = (): number => two();\n",
    );
    writeFileSync(
      join(root, 'src/core/two.ts'),
      "import { one } from './one.ts';\nexport const two = (): number => one();\n",
    );
    const said = await output(bin('biome'), ['lint', '--max-diagnostics=none', '--colors=off', '.'], root);
    found = [...said.matchAll(/^(src\/[\w./-]+\.ts):\d+:\d+ (\S+)/gm)].map(([, path, rule]) => ({
      path: path!,
      rule: rule!,
    }));
  });

  /** Paths that a rule of the islands names. */
  const denied = (): string[] => found.filter(({ rule }) => RULES.includes(rule)).map(({ path }) => path);

  describe.each(['core', 'shared'])('in src/%s', (island) => {
    it.each(LINT_SINS.map(([name], i) => [name, i] as const))('refuses %s', (_name, index) => {
      expect(denied()).toContain(`src/${island}/deep/${fileOf(index)}`);
    });

    it('takes the rest of Math', () => expect(denied()).not.toContain(`src/${island}/deep/innocent.ts`));
  });

  it('takes all of them in src/node', () => {
    expect(denied().filter((path) => path.startsWith('src/node/'))).toEqual([]);
  });

  it('refuses a cycle of imports', () => {
    const cycles = found.filter(({ rule }) => rule === 'lint/suspicious/noImportCycles').map(({ path }) => path);
    expect(cycles.sort()).toEqual(['src/core/one.ts', 'src/core/two.ts']);
  });
});
