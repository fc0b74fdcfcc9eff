/** A network namespace of a test file's own. */

import koffi from 'koffi';

const CLONE_NEWNET = 0x4000_0000;

/**
 * Moves this thread into a fresh, empty network namespace, for good: a test file is a process of its own. Needs root.
 */
export function enterPrivateNetwork(): void {
  const unshare = koffi.load(null).func('int unshare(int)');
  if (unshare(CLONE_NEWNET) !== 0) throw new Error(`unshare: errno ${koffi.errno()}`);
}
