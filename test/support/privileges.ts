/**
 * What a suite needs of the machine. Where it is missing, an ordinary user's run skips the suite and carries the reason
 * in its title; with CI=true nothing is ever skipped: the suite fails with the reason instead.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, it } from 'vitest';
import { vmObstacle } from '../../scripts/lib/qemu-vm.ts';

export type Need = 'root' | 'namespaces' | 'vm' | `program:${string}`;

function obstacle(need: Need): string | null {
  if (need === 'root') return process.getuid?.() === 0 ? null : 'needs root';
  if (need === 'vm') return vmObstacle();
  if (need === 'namespaces') {
    if (!existsSync('/dev/net/tun')) return 'needs /dev/net/tun';
    const flags = process.getuid?.() === 0 ? [] : ['-U', '-r'];
    const made = spawnSync('unshare', [...flags, '-n', '-m', 'true'], { encoding: 'utf8' });
    return made.status === 0 ? null : `needs namespaces: ${made.stderr?.trim() || made.error?.message}`;
  }
  const program = need.slice('program:'.length);
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0 ? null : `needs ${program}`;
}

/** A suite that runs only where all `needs` are met. */
export function describeWith(needs: readonly Need[], title: string, body: () => void): void {
  const missing = needs.map(obstacle).filter((reason) => reason !== null);
  if (missing.length === 0) {
    describe(title, body);
  } else if (process.env.CI === 'true') {
    it(`${title}: runs in CI`, () => {
      throw new Error(`CI cannot skip this suite: ${missing.join('; ')}`);
    });
  } else {
    describe.skipIf(missing.length > 0)(`${title} (skipped: ${missing.join('; ')})`, body);
  }
}
