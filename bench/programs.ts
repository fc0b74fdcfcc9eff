import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run } from '../scripts/lib/process.ts';

/** Null where `program` is on the PATH, else the sentence that names its Debian package. */
export function missingProgram(program: string, packageName: string): string | null {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return null;
    } catch {}
  }
  return `${program} is not installed (package ${packageName})`;
}

/** The version of an installed Debian package, null elsewhere. */
export async function packageVersion(name: string): Promise<string | null> {
  try {
    const { code, stdout } = await run(['dpkg-query', '-W', name]);
    return code === 0 ? (stdout.trim().split('\t')[1] ?? null) : null;
  } catch {
    return null;
  }
}
