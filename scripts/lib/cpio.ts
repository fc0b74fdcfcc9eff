/**
 * A writer of cpio archives in the `newc` format, which is what the Linux kernel unpacks as an initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Archives may simply be concatenated: the kernel unpacks
 * one after the other, so a second archive adds to the first or replaces files of it. Uncompressed, for booting speed.
 *
 *     c_magic "070701", then 13 fields of 8 hex digits: ino mode uid gid nlink mtime filesize devmajor devminor
 *     rdevmajor rdevminor namesize check; the name with its NUL, padded to 4; the content, padded to 4
 */

/** One file, folder (`content` null) or symbolic link (`link` set) of an archive. Folders before what lies in them. */
export interface CpioEntry {
  /** Path without a leading slash. */
  path: string;
  /** Permission bits, such as 0o755. */
  mode: number;
  content: Uint8Array | null;
  /** Target of a symbolic link; `content` is then not looked at. */
  link?: string;
}

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;

const padding = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);

function record(ino: number, mode: number, name: string, content: Uint8Array): Buffer[] {
  const nameBytes = Buffer.from(`${name}\0`, 'utf8');
  const fields = [ino, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, nameBytes.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return [
    Buffer.from(header, 'latin1'),
    nameBytes,
    padding(header.length + nameBytes.length),
    Buffer.from(content),
    padding(content.length),
  ];
}

/** The archive of `entries`, with its trailer. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  entries.forEach((entry, index) => {
    const { path, mode, content, link } = entry;
    const type = link !== undefined ? S_IFLNK : content === null ? S_IFDIR : S_IFREG;
    const bytes = link !== undefined ? Buffer.from(link, 'utf8') : (content ?? Buffer.alloc(0));
    parts.push(...record(index + 1, type | mode, path, bytes));
  });
  parts.push(...record(0, 0, 'TRAILER!!!', Buffer.alloc(0)));
  return Buffer.concat(parts);
}
