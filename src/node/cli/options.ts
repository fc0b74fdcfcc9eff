/** Options that several verbs share, and what their values must look like. */

import { InvalidArgumentError, Option } from 'commander';
import { UserError } from '../../shared/errors.ts';

/** A help text without its line breaks within paragraphs: commander wraps it to the terminal. */
export function prose(text: string): string {
  return text.replace(/([^\n])\n(?!\n)/g, '$1 ');
}

/** `--json`. */
export function jsonOption(): Option {
  return new Option('--json', 'print JSON, for scripts');
}

/** `--net NAME`, given once to narrow a list. */
export function filterOption(): Option {
  return new Option('--net <network>', 'only this network').argParser(networkName);
}

/** `--net NAME`, once for each NIC. */
export function networksOption(): Option {
  return new Option('--net <network>', 'network of a NIC; repeat it for more NICs (vmnet8 without it)').argParser(
    (value, previous: string[] | undefined) => appended(networkName(value), previous),
  );
}

/** The name of a network, as `networkName` in shared/api.ts has it (which would load zod). */
export function networkName(value: string): string {
  const match = /^vmnet(0|[1-9]\d{0,2})$/.exec(value);
  if (match === null || Number(match[1]) > 255) throw new InvalidArgumentError('A network is named vmnet0 … vmnet255.');
  return value;
}

/** What a guest may be called: a DNS label, as `guestName` in shared/api.ts has it. */
export function guestName(value: string): string {
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(value)) {
    throw new InvalidArgumentError('A name has 1 to 63 of a-z, 0-9 and -, and neither starts nor ends with -.');
  }
  return value;
}

/** A value of an option that may be given several times. */
export function appended(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

/** A whole number between bounds. */
export function wholeNumber(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = /^\d{1,9}$/.test(value) ? Number(value) : -1;
    if (number < min || number > max) throw new InvalidArgumentError(`It is a whole number from ${min} to ${max}.`);
    return number;
  };
}

/** `a.b.c.d/len`, once for each NIC in order. */
export function appendedPrefix(value: string, previous: string[] | undefined): string[] {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(value);
  if (match === null || match.slice(1, 5).some((part) => Number(part) > 255) || Number(match[5]) > 32) {
    throw new InvalidArgumentError('It is written A.B.C.D/LEN, 192.168.88.10/24 for example.');
  }
  return appended(value, previous);
}

/** Six hexadecimal bytes of a single station, once for each NIC in order. */
export function appendedMac(value: string, previous: string[] | undefined): string[] {
  const mac = value.toLowerCase();
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) {
    throw new InvalidArgumentError('It is written as six hexadecimal bytes, 52:54:00:12:34:56 for example.');
  }
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) !== 0 || mac === '00:00:00:00:00:00') {
    throw new InvalidArgumentError('It must be the address of one station: an even first byte, not all zero.');
  }
  return appended(mac, previous);
}

/** Throws `USAGE` when an option that goes with the NICs in order was given more often than there are NICs. */
export function requireFewer(option: string, values: readonly string[] | undefined, networks: readonly string[]): void {
  if (values === undefined || values.length <= networks.length) return;
  throw new UserError('USAGE', {
    problem: `${option} was given ${values.length} times for ${networks.length === 1 ? 'one NIC' : `${networks.length} NICs`}`,
    hint: `Each ${option} belongs to the --net in the same place: repeat --net for another NIC.`,
  });
}
