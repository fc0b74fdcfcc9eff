/** "Did you mean": the known word that a mistyped one most resembles. */

/** The candidate within two edits (one for words under five letters), or a prefix either way; null where none is near. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  const lower = word.toLowerCase();
  let best: string | null = null;
  let bestDistance = lower.length < 5 ? 2 : 3;
  for (const candidate of candidates) {
    const distance = editDistance(lower, candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  if (best !== null || lower.length < 3) return best;
  return (
    candidates.find(
      (candidate) => candidate.toLowerCase().startsWith(lower) || lower.startsWith(candidate.toLowerCase()),
    ) ?? null
  );
}

/** Edits between two words: letters put in, left out, changed, or swapped with their neighbours. The first 64 letters count. */
export function editDistance(first: string, second: string): number {
  const a = first.slice(0, 64);
  const b = second.slice(0, 64);
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? beforePrevious[j - 2]! + 1 : changed;
      row.push(Math.min(previous[j]! + 1, row[j - 1]! + 1, changed, swapped));
    }
    beforePrevious = previous;
    previous = row;
  }
  return previous[b.length]!;
}
