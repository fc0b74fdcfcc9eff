/**
 * Addresses as text, for the edges: printing, configuration, names. Inside, an IPv4 address is an unsigned 32-bit
 * number and a MAC address a 48-bit number.
 */

/** `192.168.1.2` for 0xc0a80102; signed numbers are taken too. */
export function ipv4ToString(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

const IPV4_TEXT = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

/** The address that four decimal numbers spell, unsigned; −1 for any other text. Leading zeros are refused as ambiguous. */
export function ipv4FromString(text: string): number {
  const match = IPV4_TEXT.exec(text);
  if (match === null) return -1;
  let address = 0;
  for (let i = 1; i <= 4; i++) {
    const part = match[i]!;
    const value = Number(part);
    if (value > 255 || (part.length > 1 && part.startsWith('0'))) return -1;
    address = address * 256 + value;
  }
  return address;
}

/** `02:00:5e:10:00:01` for a 48-bit number. */
export function macToString(mac: number): string {
  const hex = mac.toString(16).padStart(12, '0');
  return `${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}:${hex.slice(6, 8)}:${hex.slice(8, 10)}:${hex.slice(10)}`;
}

const MAC_TEXT = /^[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}$/i;

/** The 48-bit number of six two-digit hexadecimal bytes, joined by `:` or `-`; −1 for any other text. */
export function macFromString(text: string): number {
  return MAC_TEXT.test(text) ? Number.parseInt(text.replace(/[:-]/g, ''), 16) : -1;
}

/** Network mask of a prefix length 0 … 32, unsigned. */
export function prefixMask(length: number): number {
  return length <= 0 ? 0 : (0xffff_ffff << (32 - length)) >>> 0;
}

/** True for a multicast or broadcast MAC address (the group bit, IEEE 802 §8.2). */
export function macIsMulticast(mac: number): boolean {
  return (Math.floor(mac / 0x100_0000_0000) & 1) === 1;
}
