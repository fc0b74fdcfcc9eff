/** docs/cli.md and the examples say what the command line does. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadConfigFile } from '../../src/node/vmnetd/config-file.ts';
import * as api from '../../src/shared/api.ts';
import { ERRORS, EXIT } from '../../src/shared/errors.ts';
import { runHere } from './fake-daemon.ts';

const text = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const page = text('docs/cli.md');

/** The part of the page under a heading. */
function section(verb: string): string {
  const start = page.indexOf(`\n## ${verb}\n`);
  expect(start).toBeGreaterThan(0);
  const end = page.indexOf('\n## ', start + 1);
  return page.slice(start, end < 0 ? undefined : end);
}

describe('docs/cli.md', () => {
  it('has a section for each verb of the help, in its order', async () => {
    const { stdout } = await runHere(['--help']);
    const commands = stdout.slice(stdout.indexOf('Commands:'), stdout.indexOf('First steps:'));
    const verbs = [...commands.matchAll(/^ {2}(\w+) /gm)].map((match) => match[1]).filter((verb) => verb !== 'help');
    expect([...page.matchAll(/^## (\w+)$/gm)].map((match) => match[1])).toEqual(verbs);
  });

  it.each(['up', 'down', 'status', 'ns', 'run', 'socket', 'ports', 'leases', 'flows'])(
    'names every option of %s',
    async (verb) => {
      const { stdout } = await runHere([verb, '--help']);
      const options = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map((match) => match[1]!);
      expect(options.filter((option) => option !== '--help' && !section(verb).includes(option))).toEqual([]);
    },
  );

  it.each([
    ['status', api.daemonStatus],
    ['status', api.networkStatus],
    ['ports', api.port],
    ['leases', api.lease],
    ['flows', api.flow],
  ] as const)('names every field of %s --json', (verb, shape) => {
    expect(Object.keys(shape.shape).filter((field) => !section(verb).includes(`"${field}"`))).toEqual([]);
  });

  it('names every exit code', () => {
    const codes = new Set([...Object.values(EXIT), ...Object.values(ERRORS).map((entry) => entry.exitCode)]);
    expect([...codes].filter((code) => !new RegExp(`^\\| (\\d+, )*${code}\\b`, 'm').test(page))).toEqual([]);
  });

  it('names only errors that exist', () => {
    const pages = [page, text('docs/getting-started.md')].join('\n');
    const codes = [...pages.matchAll(/`([A-Z]+(?:_[A-Z]+)+)`/g)].map((match) => match[1]!);
    expect(codes.filter((code) => !Object.hasOwn(ERRORS, code) && !/^(VMNET|NO)_/.test(code))).toEqual([]);
  });
});

describe('the examples', () => {
  it('are all in the table of their README', () => {
    const files = readdirSync(new URL('../../examples', import.meta.url)).filter((file) => file !== 'README.md');
    expect(files.filter((file) => !text('examples/README.md').includes(`(${file})`))).toEqual([]);
  });

  it('have configurations that are accepted', () => {
    const { networks } = loadConfigFile(new URL('../../examples/lab.yaml', import.meta.url).pathname).config;
    expect(Object.keys(networks)).toEqual(['vmnet8', 'vmnet2', 'vmnet3']);
  });
});
