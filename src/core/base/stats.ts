/**
 * Named counters: plain number fields of a plain object, so that they print as they are (`vmnet ports --json`).
 * A name appears when it is first counted.
 */

/** Counters by name. */
export type Counters = Record<string, number>;

/** Adds one to a counter. */
export function count<Name extends string>(counters: { [name in Name]?: number }, name: Name): void {
  counters[name] = (counters[name] ?? 0) + 1;
}
