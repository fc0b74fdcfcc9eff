/** Puts the figures of a full run into the documents that quote them, so that these never quote other ones. */
import type { Results } from '../results.ts';

const BEGIN = '<!-- figures: written by npm run bench -->';
const END = '<!-- end of figures -->';

/** `document` with what stands between the marks replaced; unchanged where it has no marks. */
export function withFigures(document: string, figures: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END, begin);
  if (begin < 0 || end < 0) return document;
  return `${document.slice(0, begin)}${BEGIN}\n${figures.trim()}\n${document.slice(end)}`;
}

/** The README's table: throughput at MTU 1500 and connections a second, in Markdown. */
export function summaryTable(results: Results, labels: Map<string, string>): string {
  const plain = results.throughput['1500'] ?? {};
  const jumbo = results.throughput['65520'] ?? {};
  const number = (value: number | undefined, digits: number): string =>
    value === undefined || Number.isNaN(value) ? '' : value.toFixed(digits);
  const rows = Object.keys(plain).map((name) => {
    const cells = [
      name === 'openvmnet' ? '**openvmnet**' : (labels.get(name) ?? name),
      `${number(plain[name]?.up.median, 1)} / ${number(plain[name]?.down.median, 1)}`,
      jumbo[name] === undefined ? '' : `${number(jumbo[name].up.median, 1)} / ${number(jumbo[name].down.median, 1)}`,
      number(results.connections[name]?.['1']?.median, 0),
      number(results.connections[name]?.['50']?.median, 0),
    ];
    return `| ${cells.join(' | ')} |`;
  });
  const { machine } = results;
  return [
    '| | Gbit/s up / down, MTU 1500 | MTU 65520 | connections/s, 1 at a time | 50 at a time |',
    '|---|---:|---:|---:|---:|',
    ...rows,
    '',
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}, ${results.takenAt.slice(0, 10)}; median of ${results.rounds} rounds, one run.`,
  ].join('\n');
}
