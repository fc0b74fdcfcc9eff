/** Figures and times as people read them. Pure; times are given, never asked for. */

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** Bytes in decimal units with three digits at most: `999 B`, `1.2 kB`, `105 MB`. */
export function bytesText(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** A whole number with thin groups: `1,234,567`. */
export function countText(count: number): string {
  return String(Math.trunc(count)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** A span in its two largest units: `0.4 s`, `59 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function spanText(milliseconds: number): string {
  if (milliseconds < 0) return '0 s';
  if (milliseconds < 10_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return two(minutes, 'min', seconds % 60, 's');
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return two(hours, 'h', minutes % 60, 'min');
  return two(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function two(first: number, firstUnit: string, second: number, secondUnit: string): string {
  return second === 0 ? `${first} ${firstUnit}` : `${first} ${firstUnit} ${second} ${secondUnit}`;
}

/** `1 flow`, `2 flows`. */
export function plural(count: number, noun: string): string {
  return `${countText(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** The drops of a port, most frequent first: `malformed 3, unknownUnicast 1`; `-` for none. */
export function dropsText(drops: Readonly<Record<string, number>>): string {
  const seen = Object.entries(drops).filter(([, count]) => count > 0);
  seen.sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  return seen.length === 0 ? '-' : seen.map(([reason, count]) => `${reason} ${countText(count)}`).join(', ');
}
