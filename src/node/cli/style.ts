/** Colour for people: only on a terminal, never with NO_COLOR set (no-color.org) or on a dumb one. */

/** Wraps a text in the escape codes of a meaning, or leaves it as it is. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  warn(text: string): string;
  bad(text: string): string;
  accent(text: string): string;
}

const same = (text: string): string => text;

/** The style of a stream that isn't a terminal. */
export const PLAIN: Style = { bold: same, dim: same, good: same, warn: same, bad: same, accent: same };

const sgr =
  (on: number, off: number) =>
  (text: string): string =>
    text === '' ? '' : `\u001b[${on}m${text}\u001b[${off}m`;

const COLOURED: Style = {
  bold: sgr(1, 22),
  dim: sgr(2, 22),
  good: sgr(32, 39),
  warn: sgr(33, 39),
  bad: sgr(31, 39),
  accent: sgr(36, 39),
};

/** The style for a stream in an environment. */
export function styleFor(isTty: boolean, env: Readonly<Record<string, string | undefined>>): Style {
  return isTty && !env.NO_COLOR && env.TERM !== 'dumb' ? COLOURED : PLAIN;
}
