/**
 * The README's chart: throughput of one TCP stream as an SVG of bars, drawn without a library. Greys and hues are chosen
 * to read on white and on near black alike, and the background is left to the page.
 */
import type { Results } from '../results.ts';

const WIDTH = 860;
const LEFT = 170;
const RIGHT = 70;
const BAR = 13;
const GROUP = 2 * BAR + 16;
const TEXT = '#7d8590';
const STRONG = '#8f96a0';
const OURS = { up: '#2f81f7', down: '#79b8ff' };
const THEIRS = { up: '#8b949e', down: '#b7bdc5' };

interface Row {
  label: string;
  own: boolean;
  up: number;
  down: number;
}

export function chart(results: Results, labels: Map<string, string>): string {
  const panels = Object.entries(results.throughput).map(([mtu, byName]) => ({
    title: `MTU ${mtu}`,
    rows: Object.entries(byName)
      .map(([name, { up, down }]) => ({
        label: labels.get(name) ?? name,
        own: name === 'openvmnet',
        up: up.median || 0,
        down: down.median || 0,
      }))
      .sort((a, b) => Number(b.own) - Number(a.own) || b.up + b.down - (a.up + a.down)),
  }));
  const highest = Math.max(1, ...panels.flatMap(({ rows }) => rows.flatMap(({ up, down }) => [up, down])));
  const scale = (WIDTH - LEFT - RIGHT) / highest;
  const parts: string[] = [];
  let y = 58;
  for (const { title, rows } of panels) {
    parts.push(text(LEFT, y, title, 'start', STRONG, 600));
    y += 14;
    for (const row of rows) {
      parts.push(drawRow(row, y, scale));
      y += GROUP;
    }
    y += 22;
  }
  const height = y;
  const caption = `${results.machine.cores} cores, Linux ${results.machine.kernel}, Node ${results.machine.node}; median of ${results.rounds} interleaved rounds`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -8 ${WIDTH} ${height - 10}" width="${WIDTH}" height="${height - 10}" font-family="-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="12" role="img">
<title>TCP throughput of one stream in Gbit/s, from the guest and to the guest</title>
${text(LEFT, 16, 'TCP through NAT, one stream, namespace guest, Gbit/s', 'start', STRONG, 600, 14)}
${text(LEFT, 34, caption, 'start', TEXT, 400, 11)}
${legend()}
${parts.join('\n')}
</svg>
`;
}

function drawRow({ label, own, up, down }: Row, y: number, scale: number): string {
  const colours = own ? OURS : THEIRS;
  return [
    text(LEFT - 12, y + BAR + 4, label, 'end', own ? OURS.up : TEXT, own ? 700 : 400),
    bar(y, up, scale, colours.up, own),
    bar(y + BAR + 1, down, scale, colours.down, own),
  ].join('\n');
}

function bar(y: number, value: number, scale: number, colour: string, own: boolean): string {
  const width = Math.max(1, Math.round(value * scale * 10) / 10);
  const figure = text(
    LEFT + width + 6,
    y + BAR - 3,
    value.toFixed(1),
    'start',
    own ? OURS.up : TEXT,
    own ? 700 : 400,
    11,
  );
  return `<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR}" rx="2" fill="${colour}"/>${figure}`;
}

function legend(): string {
  const swatch = (x: number, colour: string): string =>
    `<rect x="${x}" y="7" width="10" height="10" rx="2" fill="${colour}"/>`;
  return [
    swatch(WIDTH - 232, OURS.up) + swatch(WIDTH - 220, THEIRS.up),
    text(WIDTH - 206, 16, 'from the guest', 'start', TEXT),
    swatch(WIDTH - 110, OURS.down) + swatch(WIDTH - 98, THEIRS.down),
    text(WIDTH - 84, 16, 'to the guest', 'start', TEXT),
  ].join('\n');
}

function text(
  x: number,
  y: number,
  words: string,
  anchor: 'start' | 'end',
  colour: string,
  weight = 400,
  size = 12,
): string {
  const escaped = words.replace(/&/g, '&amp;').replace(/</g, '&lt;');
  return `<text x="${Math.round(x * 10) / 10}" y="${y}" text-anchor="${anchor}" fill="${colour}" font-weight="${weight}" font-size="${size}">${escaped}</text>`;
}
