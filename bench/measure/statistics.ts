/** Repeated readings of one thing. */
export interface Reading {
  median: number;
  samples: number[];
}

/** The middle one, or the mean of the two in the middle; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

export function reading(samples: readonly number[]): Reading {
  return { median: median(samples), samples: [...samples] };
}

/** `list` starting at `shift`, so that no subject is always the first. */
export function rotated<T>(list: readonly T[], shift: number): T[] {
  return list.map((_, index) => list[(index + shift) % list.length] as T);
}
