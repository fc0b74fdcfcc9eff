/** The figures of a run as text. */
import type { Reading } from '../measure/statistics.ts';
import type { Results, Throughput } from '../results.ts';

/** Columns padded to their widest cell; the first is flush left, the rest flush right. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('   ');
  const [head, ...body] = rows.map(line);
  return [head, (head ?? '').replace(/./g, '─'), ...body].map((text) => `  ${text?.trimEnd()}`).join('\n');
}

const figure = (value: number, digits: number): string => (Number.isNaN(value) ? 'failed' : value.toFixed(digits));

/** Ours divided by theirs. */
function ratio(ours: Reading | undefined, theirs: Reading | undefined): string {
  const value = (ours?.median ?? Number.NaN) / (theirs?.median ?? Number.NaN);
  return Number.isNaN(value) ? '–' : `${value.toFixed(2)}×`;
}

function throughputTable(byName: Record<string, Throughput>, own: string, labels: Map<string, string>): string {
  const ours = byName[own];
  return table([
    ['Gbit/s', 'up', 'down', 'ours/its up', 'ours/its down'],
    ...Object.entries(byName).map(([name, { up, down }]) => [
      labels.get(name) ?? name,
      figure(up.median, 2),
      figure(down.median, 2),
      name === own ? '' : ratio(ours?.up, up),
      name === own ? '' : ratio(ours?.down, down),
    ]),
  ]);
}

function connectionsTable(byName: Results['connections'], labels: Map<string, string>): string {
  const ours = byName.openvmnet;
  return table([
    ['connections/s', '1 at a time', '50 at a time', 'ours/its 1', 'ours/its 50'],
    ...Object.entries(byName).map(([name, rates]) => [
      labels.get(name) ?? name,
      figure(rates['1']?.median ?? Number.NaN, 0),
      figure(rates['50']?.median ?? Number.NaN, 0),
      name === 'openvmnet' ? '' : ratio(ours?.['1'], rates['1']),
      name === 'openvmnet' ? '' : ratio(ours?.['50'], rates['50']),
    ]),
  ]);
}

/** All tables of a run, the requirements last. `labels` gives subjects their names for people. */
export function report(results: Results, labels: Map<string, string>): string {
  const parts: string[] = [];
  const { machine } = results;
  parts.push(
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}; median of ${results.rounds}`,
  );
  for (const [mtu, byName] of Object.entries(results.throughput)) {
    parts.push(`TCP, one stream, namespace guest, MTU ${mtu}\n${throughputTable(byName, 'openvmnet', labels)}`);
  }
  if (Object.keys(results.connections).length > 0)
    parts.push(`Connect, request, response, close\n${connectionsTable(results.connections, labels)}`);
  if (Object.keys(results.vm).length > 0)
    parts.push(
      `TCP, one stream, Linux VM under QEMU without KVM\n${throughputTable(results.vm, 'vm-openvmnet', labels)}`,
    );
  const rows = results.requirements.map(({ what, must, aim, value, verdict }) => [what, value, must, aim, verdict]);
  parts.push(`What must hold\n${table([['requirement', 'measured', 'must', 'aim', 'verdict'], ...rows])}`);
  for (const [name, why] of Object.entries(results.skipped)) parts.push(`  not measured: ${name}: ${why}`);
  return `\n${parts.join('\n\n')}\n`;
}
