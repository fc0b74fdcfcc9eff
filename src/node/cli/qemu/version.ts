/** Which QEMU a command is, and what its `-netdev stream` can do. */

import { execFile } from 'node:child_process';
import { UserError } from '../../../shared/errors.ts';

/** Release of a QEMU: `7.2` is `{major: 7, minor: 2}`. */
export interface QemuVersion {
  major: number;
  minor: number;
}

/** Time for `qemu --version`. */
const VERSION_TIMEOUT_MS = 10_000;

/** Asks a command for its version; `QEMU_UNSUITABLE` when it is no QEMU, or one from before `-netdev stream`. */
export async function qemuVersionOf(command: string): Promise<QemuVersion> {
  const text = await new Promise<string>((resolve) => {
    execFile(command, ['--version'], { timeout: VERSION_TIMEOUT_MS, maxBuffer: 1 << 16 }, (_error, stdout) =>
      resolve(stdout),
    );
  });
  const version = parseQemuVersion(text);
  if (version === null) {
    throw new UserError('QEMU_UNSUITABLE', {
      command,
      reason: 'its --version does not say that it is a QEMU emulator',
      hint: 'Give qemu-system-… itself as the command. For a wrapper or another VMM, build its line with `vmnet socket NET`.',
    });
  }
  if (!isAtLeast(version, 7, 2)) {
    throw new UserError('QEMU_UNSUITABLE', {
      command,
      reason: `it is QEMU ${version.major}.${version.minor}, and -netdev stream came with 7.2`,
      hint: 'Install QEMU 7.2 or newer: Debian 12, Ubuntu 23.04 and Fedora 38 have it.',
    });
  }
  return version;
}

/** The version in what `--version` prints, null when there is none. */
export function parseQemuVersion(text: string): QemuVersion | null {
  const match = /^QEMU emulator version (\d{1,4})\.(\d{1,4})/m.exec(text);
  return match === null ? null : { major: Number(match[1]), minor: Number(match[2]) };
}

/** How this QEMU is told to connect again after the daemon was away, '' when it can't: 8.0 to 9.1 in s, then in ms. */
export function reconnectOption(version: QemuVersion): string {
  if (isAtLeast(version, 9, 2)) return ',reconnect-ms=1000';
  return isAtLeast(version, 8, 0) ? ',reconnect=1' : '';
}

function isAtLeast(version: QemuVersion, major: number, minor: number): boolean {
  return version.major > major || (version.major === major && version.minor >= minor);
}
