/** A configuration as the planner takes it: the values, and the means to point into the file they came from. */

import type { Config } from '../../shared/config.ts';
import { DEFAULT_CONFIG } from '../../shared/defaults.ts';

/** A valid configuration. */
export interface LoadedConfig {
  readonly config: Config;
  /** Null for the defaults. */
  readonly file: string | null;
  /** Where the value at a path of keys stands: `vmnet.yaml:3:11`; the defaults have no lines. */
  at(path: readonly PropertyKey[]): string;
}

/** The configuration that runs when no file is given. */
export function defaultConfig(): LoadedConfig {
  return { config: DEFAULT_CONFIG, file: null, at: () => 'the default configuration' };
}

/** `networks.vmnet8.dhcp.range[0]`, or what the whole file is called. */
export function pathText(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the file';
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i === 0 ? '' : '.'}${String(key)}`)).join('');
}
