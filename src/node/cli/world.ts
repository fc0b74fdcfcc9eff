/**
 * What a command may touch of its process, as one argument: so that the tests run the whole command line in process,
 * against a fake API, and compare what was printed.
 */

import { homedir } from 'node:os';
import type { Directories } from '../../shared/paths.ts';
import { directoriesOf } from '../../shared/paths.ts';
import type { Client } from './client.ts';
import type { Style } from './style.ts';

/** A stream that is only written to. */
export interface Output {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** The process around a command line. */
export interface World {
  env: Readonly<Record<string, string | undefined>>;
  /** Effective user id; 0 is root. */
  uid: number;
  home: string;
  cwd: string;
  stdout: Output;
  stderr: Output;
}

/** What a command's action is given. */
export interface Context {
  world: World;
  directories: Directories;
  /** The daemon of {@link directories}. Loaded on first use. */
  client(timeoutMs?: number): Promise<Client>;
  style: Style;
  /** What `vmnet` ends with when the action is done: that of the program it ran, or 0. */
  exitCode: number;
  /** Prints a text to standard output. */
  print(text: string): void;
  /** Prints a value as JSON to standard output. */
  printJson(value: unknown): void;
  /** Prints a note for people to standard error. */
  note(text: string): void;
}

/** The world of this process. */
export function processWorld(): World {
  return {
    env: process.env,
    uid: process.geteuid?.() ?? 0,
    home: homedir(),
    cwd: process.cwd(),
    stdout: process.stdout,
    stderr: process.stderr,
  };
}

/** A context in a world. */
export function contextOf(world: World, style: Style): Context {
  const directories = directoriesOf(world);
  return {
    world,
    directories,
    client: async (timeoutMs) => new (await import('./client.ts')).Client(directories.runDir, timeoutMs),
    style,
    exitCode: 0,
    print: (text) => void world.stdout.write(text),
    printJson: (value) => void world.stdout.write(`${JSON.stringify(value, null, 2)}\n`),
    note: (text) => void world.stderr.write(text),
  };
}
