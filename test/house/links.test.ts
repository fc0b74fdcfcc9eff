/** What the pages point at is there: links, files, folders and npm scripts that they name. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
/** The tree without what is made, relative to its root. */
const FILES = readdirSync(REPOSITORY, { withFileTypes: true }).flatMap((top) => {
  if (top.isFile()) return [top.name];
  if (['.git', '.cache', 'dist', 'node_modules'].includes(top.name)) return [];
  return readdirSync(join(REPOSITORY, top.name), { recursive: true }).map((path) => `${top.name}/${path}`);
});
const SCRIPTS = Object.keys(JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')).scripts);
/** Written by `npm run bench`, so a checkout may be without. */
const MADE = /^bench\/results\//;
/** Folders by which the pages name a place in the tree. */
const PLACE = /`((?:src|test|core|node|shared|cli|api|netd|vmnetd|linux|scripts|bench|examples)\/[\w./-]+)`/g;

const page = (path: string): string => readFileSync(join(REPOSITORY, path), 'utf8');
const all = (text: string, form: RegExp): string[] => [...text.matchAll(form)].map((match) => match[1]!);

/** The anchors of a page's headings, as GitHub makes them. */
function anchors(path: string): string[] {
  return all(page(path), /^#+ (.+)$/gm).map((title) =>
    title
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replace(/ /g, '-'),
  );
}

describe.each(FILES.filter((path) => path.endsWith('.md')))('%s', (path) => {
  const text = page(path);

  it('links to files and headings that exist', () => {
    const broken = all(text, /\]\((?!https?:)([^)\s]+)\)/g).filter((link) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? path : normalize(join(dirname(path), file));
      if (MADE.test(target)) return false;
      return !FILES.includes(target) || (anchor !== undefined && !anchors(target).includes(anchor));
    });
    expect(broken).toEqual([]);
  });

  it('names places in the tree that exist', () => {
    const has = (place: string) => FILES.some((file) => `/${file}`.includes(`/${place.replace(/\/\*\*$/, '/')}`));
    // The web UI's island is announced as to come.
    expect(all(text, PLACE).filter((place) => place !== 'src/web' && !MADE.test(place) && !has(place))).toEqual([]);
  });

  it('names npm scripts that exist', () => {
    expect(all(text, /npm run ([\w:-]+)/g).filter((script) => !SCRIPTS.includes(script))).toEqual([]);
  });
});
