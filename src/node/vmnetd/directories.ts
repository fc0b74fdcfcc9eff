/**
 * The two directories of an instance: made on the first start, refused when they belong to somebody else.
 *
 * Both hold what only the owner may touch (sockets that command the daemon, leases), so they are 0700, and every file
 * in them 0600 by the umask that main sets. A run directory under /tmp that another user made beforehand is refused.
 */

import { mkdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { UserError } from '../../shared/errors.ts';
import { type Directories, directoriesOf, RUN_FILES, SOCKET_PATH_MAX } from '../../shared/paths.ts';

/** The directories that this process's environment selects. */
export function ownDirectories(): Directories {
  return directoriesOf({ env: process.env, uid: process.getuid?.() ?? 0, home: homedir(), cwd: process.cwd() });
}

/** Makes both directories where they are missing. Throws DIRECTORY_UNUSABLE. */
export function makeDirectories({ runDir, stateDir }: Directories): void {
  makeOwnDirectory(runDir, 'VMNET_RUN_DIR');
  makeOwnDirectory(stateDir, 'VMNET_STATE_DIR');
}

function makeOwnDirectory(directory: string, variable: string): void {
  try {
    mkdirWithParents(directory);
    const stats = statSync(directory);
    if (!stats.isDirectory()) throw new Error('it is not a directory');
    const own = process.getuid?.() ?? 0;
    if (stats.uid !== own) throw new Error(`it belongs to user ${stats.uid}, not to ${own}`);
    if ((stats.mode & 0o022) !== 0) throw new Error('others may write to it (chmod go-w it)');
  } catch (error) {
    throw new UserError('DIRECTORY_UNUSABLE', { directory, variable, reason: reasonOf(error) });
  }
}

/** Node's own `recursive` never returns where a file system refuses with ENOENT, as /proc does. */
function mkdirWithParents(directory: string, mayMakeParent = true): void {
  try {
    mkdirSync(directory, 0o700);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || !mayMakeParent || dirname(directory) === directory) throw error;
    mkdirWithParents(dirname(directory));
    mkdirWithParents(directory, false);
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? error.code : undefined;
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied';
  if (code === 'EROFS') return 'the file system is read-only';
  if (code === 'ENOENT') return 'it cannot be made there';
  if (code === 'ENOTDIR' || code === 'EEXIST') return 'a part of the path is not a directory';
  if (code === 'ENOSPC') return 'the disk is full';
  return error.message;
}

/** Checks that all sockets of these networks have paths that bind(2) takes. Throws SOCKET_PATH_TOO_LONG. */
export function checkSocketPaths(runDir: string, networks: readonly string[]): void {
  const names = networks.flatMap((network) => [RUN_FILES.stream(network), RUN_FILES.control(network)]);
  for (const name of [RUN_FILES.api, ...names]) {
    const path = join(runDir, name);
    const length = Buffer.byteLength(path);
    if (length > SOCKET_PATH_MAX) throw new UserError('SOCKET_PATH_TOO_LONG', { path, length });
  }
}
