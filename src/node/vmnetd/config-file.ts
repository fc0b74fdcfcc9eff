/**
 * Reads `vmnet.yaml` and says what is wrong with it where it is wrong.
 *
 * Theory of operation. The text is parsed into a YAML document that knows the position of every node; the values go
 * through the zod schema in `shared/config.ts`. Of all that zod objects to, the complaint that stands first in the file
 * becomes one {@link UserError} with `file:line:column`, the path of keys, and a hint: for an unknown key the known one
 * it resembles, for a value what it should look like. What only this host can tell (subnets, addresses within them)
 * is checked later by `plan.ts`, which names places through {@link LoadedConfig.at}.
 *
 * Limits: files up to 256 KiB; YAML aliases are followed at most 100 times (the parser's own bound).
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { type Document, isMap, isNode, isScalar, LineCounter, type Node, parseDocument } from 'yaml';
import { configSchema, knownKeys } from '../../shared/config.ts';
import { UserError } from '../../shared/errors.ts';
import { defaultConfig, type LoadedConfig, pathText } from './loaded-config.ts';
import { nearest } from './nearest.ts';

const FILE_BYTES_MAX = 256 * 1024;

/** Reads and checks a file. Throws CONFIG_UNREADABLE, CONFIG_SYNTAX, CONFIG_INVALID or CONFIG_UNKNOWN_KEY. */
export function loadConfigFile(file: string): LoadedConfig {
  let text: string;
  try {
    text = readBounded(file);
  } catch (error) {
    throw new UserError('CONFIG_UNREADABLE', { file, reason: reasonOf(error) });
  }
  return parseConfig(text, file);
}

/** A file's text. Its size is not asked for: that of a pipe is 0, and /dev/zero has no end. */
function readBounded(file: string): string {
  const bytes = Buffer.alloc(FILE_BYTES_MAX + 1);
  const fd = openSync(file, 'r');
  try {
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = readSync(fd, bytes, length, bytes.length - length, null);
    }
    if (length > FILE_BYTES_MAX) throw new Error(`it has more than ${FILE_BYTES_MAX} bytes`);
    return bytes.toString('utf8', 0, length);
  } finally {
    closeSync(fd);
  }
}

/** Checks the text of a file; `file` is only used in messages. An empty text stands for the defaults. */
export function parseConfig(text: string, file: string): LoadedConfig {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, logLevel: 'error' });
  const place = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset);
    return `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
  };
  const syntax = document.errors[0];
  if (syntax !== undefined)
    throw new UserError('CONFIG_SYNTAX', { place: place(syntax.pos[0]), problem: syntax.message });
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    throw new UserError('CONFIG_SYNTAX', { place: place(0), problem: reasonOf(error) });
  }
  if (value === null || value === undefined) return { ...defaultConfig(), file };

  const result = configSchema.safeParse(value);
  const at = (path: readonly PropertyKey[]) => place(offsetOf(document, path));
  if (result.success) return { config: result.data, file, at };

  const issues = withoutConsequences(result.error.issues, value);
  const complaints = issues.flatMap((issue) => complaintsOf(issue, document, value));
  const first = complaints.reduce((a, b) => (b.offset < a.offset ? b : a));
  throw first.toError(place(first.offset));
}

type Issue = NonNullable<ReturnType<typeof configSchema.safeParse>['error']>['issues'][number];

/** Without keys that are missing where an unknown one stands beside: that one is most likely the same, mistyped. */
function withoutConsequences(issues: readonly Issue[], value: unknown): Issue[] {
  const mistyped = new Set(issues.filter(({ code }) => code === 'unrecognized_keys').map(({ path }) => pathText(path)));
  return issues.filter((issue) => !(isMissing(issue, value) && mistyped.has(pathText(issue.path.slice(0, -1)))));
}

/** Whether an issue is that a key is not there. */
function isMissing(issue: Issue, value: unknown): boolean {
  return issue.code !== 'unrecognized_keys' && issue.path.length > 0 && valueAt(value, issue.path) === undefined;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = Reflect.get(at, key);
  }
  return at;
}

interface Complaint {
  offset: number;
  toError(place: string): UserError;
}

/** One complaint for each wrong key or value that zod found. */
function complaintsOf(issue: Issue, document: Document, value: unknown): Complaint[] {
  const path = issue.path;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      offset: keyOffsetOf(document, path, key),
      toError: (place) =>
        new UserError('CONFIG_UNKNOWN_KEY', { place, key, path: pathText(path), hint: keyHint(key, path, value) }),
    }));
  }
  const inKey = issue.code === 'invalid_key';
  const problem = inKey ? (issue.issues[0]?.message ?? issue.message) : problemOf(issue, value);
  const offset = inKey ? keyOffsetOf(document, path.slice(0, -1), path.at(-1)) : offsetOf(document, path);
  return [
    {
      offset,
      toError: (place) =>
        new UserError('CONFIG_INVALID', { place, path: pathText(path), problem, hint: hintFor(path) }),
    },
  ];
}

function problemOf(issue: Issue, value: unknown): string {
  if (issue.code === 'invalid_union') return '`mode` is one of nat, hostonly, segment, bridged';
  if (isMissing(issue, value)) return 'this is missing';
  if (issue.code === 'invalid_type') {
    return issue.message.replace(/^Invalid input: /, '').replace(/record|object/, 'map of keys');
  }
  if (issue.path.at(-1) === 'range') return 'a range has two addresses, the first and the last';
  return issue.message;
}

/** What a value at this path should look like. */
function hintFor(path: readonly PropertyKey[]): string {
  const keys = path.map(String);
  const last = keys.at(-1) ?? '';
  const hints: Record<string, string> = {
    mode: 'vmnet8: { mode: nat }',
    mtu: 'Leave `mtu` out for 1500; 65520 is the fastest for guests that can take it.',
    subnet: 'Written like 192.168.88.0/24; left out, a free one is chosen and kept.',
    range: 'dhcp: { range: [192.168.88.128, 192.168.88.253] }',
    servers: 'dns: { servers: [192.0.2.53] }',
    networks: 'networks: { vmnet8: { mode: nat } }',
    leaseSeconds: 'Leave it out for 1800 seconds.',
    mac: 'reservations: { web: { mac: "02:00:00:00:00:01", address: 192.168.88.10 } }',
    address: 'reservations: { web: { mac: "02:00:00:00:00:01", address: 192.168.88.10 } }',
  };
  if (Object.hasOwn(hints, last)) return hints[last]!;
  if (keys[3] === 'range') return hints.range!;
  if (keys[3] === 'servers') return hints.servers!;
  if (keys[3] === 'reservations') return hints.mac!;
  return 'The shape of the file: networks: { vmnet8: { mode: nat } }; docs/configuration.md lists every key.';
}

function keyHint(key: string, path: readonly PropertyKey[], value: unknown): string {
  const known = knownKeys(path, modeAt(value, path));
  const guess = nearest(key, known);
  if (guess !== null) return `Did you mean \`${guess}\`?`;
  if (path.length === 0 && /^vmnet\d+$/.test(key)) return `Networks stand under \`networks:\`, indented.`;
  return known.length > 0 ? `Known here: ${known.join(', ')}.` : 'docs/configuration.md lists every key.';
}

/** The `mode` of the network that a path leads into. */
function modeAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return valueAt(value, [...path.slice(0, 2), 'mode']);
}

/** Where the value at a path begins; of the nearest enclosing one where it is absent. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let length = path.length; length >= 0; length--) {
    const node = nodeAt(document, path.slice(0, length));
    if (node?.range) {
      // A value that is absent is best shown by the key of the map that lacks it.
      return length < path.length && length > 0
        ? keyOffsetOf(document, path.slice(0, length - 1), path[length - 1])
        : node.range[0];
    }
  }
  return 0;
}

/** Where a key of the map at a path begins. */
function keyOffsetOf(document: Document, path: readonly PropertyKey[], key: PropertyKey | undefined): number {
  const map = nodeAt(document, path);
  if (isMap(map)) {
    for (const { key: node } of map.items) {
      if (isScalar(node) && String(node.value) === String(key) && node.range) return node.range[0];
    }
  }
  return map?.range ? map.range[0] : 0;
}

function nodeAt(document: Document, path: readonly PropertyKey[]): Node | null {
  const node: unknown = path.length === 0 ? document.contents : document.getIn(path, true);
  return isNode(node) ? node : null;
}

function reasonOf(error: unknown): string {
  if (error instanceof Error) {
    if ('code' in error && error.code === 'ENOENT') return 'there is no such file';
    if ('code' in error && error.code === 'EACCES') return 'permission denied';
    if ('code' in error && error.code === 'EISDIR') return 'it is a directory';
    return error.message;
  }
  return String(error);
}
