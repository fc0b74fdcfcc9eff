/**
 * The topology as a picture in text: every network with its switch in the middle, the guests to the left, and to the
 * right what stands behind it: the gateway with the host below, the host adapter, the uplink. Pure, and without
 * colour, so that `vmnet status`, the demo and a golden test show the same.
 *
 * A network with up to {@link BOXED_GUESTS} guests gives each a box of its own; a fuller one lists them, one line each,
 * up to {@link LISTED_GUESTS}, and says how many more there are. The picture fits into 80 columns; a longer name is cut.
 */

import type { Lease, NetworkStatus, Port, Status } from '../../shared/api.ts';
import { bytesText, plural } from './format.ts';
import { printable, width } from './table.ts';

/** Guests that get a box each. */
const BOXED_GUESTS = 5;
/** Guests that are listed by line. */
const LISTED_GUESTS = 24;
/** Inner width of a guest's box and of the boxes to the right. */
const GUEST_WIDTH = 27;
const BEHIND_WIDTH = 27;
/** Cable between box and switch. */
const CABLE = '───';

/** Part of a picture: lines of one width, and the rows at which a cable leaves it towards the switch. */
interface Column {
  lines: string[];
  cables: number[];
}

interface GuestView {
  name: string;
  address: string;
  what: string;
  traffic: string;
}

/** All networks as one picture, without a newline at the end. */
export function topologyText(status: Status, ports: readonly Port[], leases: readonly Lease[]): string {
  if (status.networks.length === 0) return 'no networks';
  return status.networks
    .map((network) =>
      networkText(
        network,
        ports.filter((port) => port.network === network.name),
        leases.filter((lease) => lease.network === network.name),
      ),
    )
    .join('\n\n');
}

function networkText(network: NetworkStatus, ports: readonly Port[], leases: readonly Lease[]): string {
  const title = [network.name, network.mode, network.subnet, `MTU ${network.mtu}`, network.state]
    .filter((part) => part !== null)
    .join(' · ');
  if (network.state === 'unavailable') return [title, ...network.warnings.map((text) => `  ${text}`)].join('\n');

  const left = guestColumn(ports.filter(isGuest).map((port) => guestView(port, leases)));
  const right = behindColumn(network, ports);
  const height = Math.max(left.lines.length, right.lines.length, 4);
  const middle = switchColumn(network.name, height, new Set(left.cables), new Set(right.cables));
  const rows = Array.from({ length: height }, (_, row) => {
    const leftCable = left.cables.includes(row) ? CABLE : '   ';
    const rightCable = right.cables.includes(row) ? CABLE : '   ';
    const leftText = left.lines[row] ?? ' '.repeat(GUEST_WIDTH + 2);
    return `${leftText}${leftCable}${middle[row]}${rightCable}${right.lines[row] ?? ''}`.trimEnd();
  });
  return [title, '', ...rows].join('\n');
}

function isGuest(port: Port): boolean {
  return port.kind === 'tap' || port.kind === 'stream';
}

function guestView(port: Port, leases: readonly Lease[]): GuestView {
  const lease = leases.find((candidate) => port.macs.includes(candidate.mac));
  const kind = port.kind === 'tap' ? 'namespace' : 'VM';
  return {
    name: port.name ?? lease?.name ?? port.macs[0] ?? `port ${port.port}`,
    address: port.addresses[0] ?? lease?.address ?? 'no address yet',
    what: port.pid === null ? kind : `${kind}, pid ${port.pid}`,
    traffic: `↑ ${bytesText(port.rxBytes)}  ↓ ${bytesText(port.txBytes)}`,
  };
}

function guestColumn(guests: readonly GuestView[]): Column {
  if (guests.length === 0) {
    const edge = '╌'.repeat(GUEST_WIDTH);
    const note = ` ${fitted('no guests yet', GUEST_WIDTH - 2)} `;
    return { lines: [`╭${edge}╮`, `┆${note}┆`, `╰${edge}╯`], cables: [] };
  }
  return guests.length <= BOXED_GUESTS ? boxedGuests(guests) : listedGuests(guests);
}

function boxedGuests(guests: readonly GuestView[]): Column {
  const column: Column = { lines: [], cables: [] };
  for (const guest of guests) {
    const box = boxLines(guest.name, [guest.address, guest.what, guest.traffic], GUEST_WIDTH);
    box[2] = `${box[2]!.slice(0, -1)}├`;
    column.cables.push(column.lines.length + 2);
    column.lines.push(...box);
  }
  return column;
}

function listedGuests(guests: readonly GuestView[]): Column {
  const shown = guests.slice(0, LISTED_GUESTS);
  const inner = GUEST_WIDTH - 2;
  const lines = [`╭─ ${`${plural(guests.length, 'guest')} `.padEnd(GUEST_WIDTH - 2, '─')}╮`];
  const cables: number[] = [];
  for (const guest of shown) {
    cables.push(lines.length);
    const addressWidth = Math.max(width(guest.address), 'xxx.xxx.xxx.xxx'.length - 1);
    const name = fitted(guest.name, Math.max(inner - addressWidth - 1, 0));
    lines.push(`│ ${fitted(`${name} ${guest.address}`, inner)} ├`);
  }
  if (guests.length > shown.length) lines.push(`│ ${fitted(`… and ${guests.length - shown.length} more`, inner)} │`);
  lines.push(`╰${'─'.repeat(GUEST_WIDTH)}╯`);
  return { lines, cables };
}

/** What is behind the switch. A gateway stands over the host, joined to it by the flows that it proxies. */
function behindColumn(network: NetworkStatus, ports: readonly Port[]): Column {
  const column: Column = { lines: [], cables: [] };
  const add = (box: string[]): void => {
    box[1] = `┤${box[1]!.slice(1)}`;
    column.cables.push(column.lines.length + 1);
    column.lines.push(...box);
  };
  if (network.gateway !== null) {
    add(boxLines('gateway', [network.gateway, 'NAT · DHCP · DNS'], BEHIND_WIDTH, { below: true }));
    const netd = network.pid === null ? '' : ` of netd ${network.pid}`;
    column.lines.push(` ${' '.repeat(WIRE_AT)}◇ ${plural(network.flows, 'flow')}${netd}`);
    column.lines.push(...boxLines('host', hostLines(network), BEHIND_WIDTH, { above: true }));
  }
  for (const port of ports) {
    if (port.kind === 'host') {
      const address = port.addresses[0] ?? network.host ?? 'no address';
      add(boxLines('host adapter', [port.interface ?? network.name, address], BEHIND_WIDTH));
    }
    if (port.kind === 'uplink') {
      add(boxLines('uplink', [port.interface ?? 'physical NIC', 'the LAN'], BEHIND_WIDTH));
    }
  }
  return column;
}

function hostLines(network: NetworkStatus): string[] {
  const seen = network.host === null ? [] : [`${network.host} for guests`];
  return [...seen, network.hostAddress === null ? 'no address of its own' : `${network.hostAddress} outside`];
}

/** Column within a box at which the wire between gateway and host runs. */
const WIRE_AT = 3;

function switchColumn(name: string, height: number, left: Set<number>, right: Set<number>): string[] {
  const inner = 10;
  const labelAt = Math.max(1, Math.floor((height - 2) / 2));
  return Array.from({ length: height }, (_, row) => {
    if (row === 0) return `┏${'━'.repeat(inner)}┓`;
    if (row === height - 1) return `┗${'━'.repeat(inner)}┛`;
    const label = row === labelAt ? 'switch' : row === labelAt + 1 ? name : '';
    const before = Math.floor((inner - label.length) / 2);
    const text = `${' '.repeat(before)}${label}`.padEnd(inner);
    return `${left.has(row) ? '┨' : '┃'}${text}${right.has(row) ? '┠' : '┃'}`;
  });
}

/** A box with its title in the upper edge; `above` and `below` join the wire between gateway and host to an edge. */
function boxLines(
  title: string,
  content: readonly string[],
  inner: number,
  wire: { above?: boolean; below?: boolean } = {},
): string[] {
  const shown = cut(title, inner - 4);
  const rest = inner - 3 - width(shown);
  let top = `╭─ ${shown} ${'─'.repeat(rest)}╮`;
  let bottom = `╰${'─'.repeat(inner)}╯`;
  if (wire.above) top = `╭${'─'.repeat(WIRE_AT)}┴ ${shown} ${'─'.repeat(inner - WIRE_AT - 3 - width(shown))}╮`;
  if (wire.below) bottom = `╰${'─'.repeat(WIRE_AT)}┬${'─'.repeat(inner - WIRE_AT - 1)}╯`;
  return [top, ...content.map((line) => `│ ${fitted(line, inner - 2)} │`), bottom];
}

/** A text at exactly `columns`: padded, or cut with an ellipsis. */
function fitted(text: string, columns: number): string {
  const shown = cut(text, columns);
  return shown + ' '.repeat(columns - width(shown));
}

function cut(text: string, columns: number): string {
  const characters = [...printable(text)];
  return characters.length <= columns ? characters.join('') : `${characters.slice(0, columns - 1).join('')}…`;
}
