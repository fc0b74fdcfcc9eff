/** Where the built product lies, and a copy of it for users who may not read the checkout. */
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must } from './process.ts';

/** The repository: the first folder upwards with our package.json (this file runs from scripts/lib and from dist/tools). */
export const REPOSITORY = (() => {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== '/'; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).name === 'openvmnet') return folder;
  }
  throw new Error('this file lies outside of the openvmnet repository');
})();

/** A tree with dist/ and node_modules/. */
export interface Install {
  root: string;
  /** dist/node/cli/main.js */
  cli: string;
  /** A compiled file of scripts/lib, for `node`. */
  tool(name: string): string;
}

/** The install whose root is this folder. */
export function installAt(root: string): Install {
  return {
    root,
    cli: join(root, 'dist/node/cli/main.js'),
    tool: (name) => join(root, `dist/tools/scripts/lib/${name}.js`),
  };
}

/** Whether everybody may enter every folder on the way to `path`. */
function isPublic(path: string): boolean {
  for (let folder = path; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o005) !== 0o005) return false;
    if (folder === '/') return true;
  }
}

/**
 * The checkout itself where everybody may read it; else, for root, a copy of what it takes to run, in a temporary folder
 * that `remove` removes.
 */
export async function publicInstall(): Promise<{ install: Install; remove: () => void }> {
  const here = installAt(REPOSITORY);
  const needed = [REPOSITORY, dirname(here.cli), join(REPOSITORY, 'node_modules/koffi')];
  if (process.getuid?.() !== 0 || needed.every(isPublic)) return { install: here, remove() {} };
  const root = mkdtempSync(join(tmpdir(), 'vmnet-install-'));
  chmodSync(root, 0o755);
  for (const part of ['package.json', 'dist', 'schema']) {
    const from = join(REPOSITORY, part);
    if (existsSync(from)) cpSync(from, join(root, part), { recursive: true });
  }
  const lines = (await must(['npm', 'ls', '--omit=dev', '--all', '--parseable'], { cwd: REPOSITORY }))
    .trim()
    .split('\n');
  for (const folder of lines.filter((line) => line.startsWith(join(REPOSITORY, 'node_modules')))) {
    cpSync(folder, join(root, folder.slice(REPOSITORY.length + 1)), { recursive: true });
  }
  // koffi's binaries are packages of their own, optional and so left out by some npm versions' lists.
  const binaries = join(REPOSITORY, 'node_modules/@koromix');
  if (existsSync(binaries)) cpSync(binaries, join(root, 'node_modules/@koromix'), { recursive: true });
  await must(['chmod', '-R', 'a+rX', root]);
  return { install: installAt(root), remove: () => rmSync(root, { recursive: true, force: true }) };
}
