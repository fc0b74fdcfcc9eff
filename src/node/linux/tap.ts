/**
 * TAP devices: one descriptor is one cable, each read or write one frame (Documentation/networking/tuntap.rst).
 *
 * Theory of operation. With IFF_VNET_HDR each frame is preceded by a `virtio_net_hdr` of {@link VNET_HDR} bytes, which
 * says what of checksum and segmentation is left to do. TUNSETOFFLOAD tells the kernel what *we* are able to take, so
 * that the other end may send segments of 64 KiB without a checksum; what we may *send* is always allowed. USO (UDP
 * segmentation) came with Linux 6.2 and is asked for last; an older kernel refuses both directions of it.
 *
 * The interface lives in the network namespace in which the device was opened, and as long as a descriptor is open.
 * Opening and configuring needs CAP_NET_ADMIN there; the descriptor then works anywhere. Errors are
 * {@link SystemCallError}: EPERM, ENOENT (no /dev/net/tun), EBUSY (the name is in use).
 */

import {
  AF_INET,
  ARPHRD_ETHER,
  IFF_NO_PI,
  IFF_TAP,
  IFF_VNET_HDR,
  IFNAMSIZ,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  SIOCGIFHWADDR,
  SIOCGIFMTU,
  SIOCSIFHWADDR,
  SIOCSIFMTU,
  SIOCSIFTXQLEN,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  TUN_F_CSUM,
  TUN_F_TSO_ECN,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_USO4,
  TUN_F_USO6,
  TUNGETIFF,
  TUNSETCARRIER,
  TUNSETIFF,
  TUNSETOFFLOAD,
  TUNSETVNETHDRSZ,
} from './constants.ts';
import { EPERM, must } from './errno.ts';
import { close, errno, ioctl, open, socket } from './libc.ts';
import { AT, putText, scratch, scratchAddress, scratchView, scratchWords } from './memory.ts';

/** Bytes of the virtio_net_hdr before each frame. */
export const VNET_HDR = 10;

const IFREQ_SIZE = 40;
const IFREQ = scratchAddress(AT.IFREQ, IFREQ_SIZE);
const IFREQ_DATA = AT.IFREQ + IFNAMSIZ;
const OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

/** Clears the struct ifreq and writes an interface's name into it. Names are validated by the caller; too long is our bug. */
function putInterface(name: string): void {
  const bytes = Buffer.from(name);
  if (bytes.length === 0 || bytes.length >= IFNAMSIZ) throw new RangeError(`not an interface name: ${name}`);
  scratch.bytes.fill(0, AT.IFREQ, AT.IFREQ + IFREQ_SIZE);
  scratch.bytes.set(bytes, AT.IFREQ);
}

/** Creates (or attaches to) the TAP interface `name` in this network namespace; returns its descriptor, non-blocking. */
export function openTap(name: string): number {
  const fd = must(open(putText('/dev/net/tun'), O_RDWR | O_NONBLOCK | O_CLOEXEC, 0), 'open /dev/net/tun');
  try {
    putInterface(name);
    scratchView.setUint16(IFREQ_DATA, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, true);
    must(ioctl(fd, TUNSETIFF, IFREQ), `ioctl TUNSETIFF ${name}`);
    enableOffloads(fd);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** What a TAP descriptor turned out to be. */
export interface TapTraits {
  name: string;
  /** UDP segmentation offload works in both directions. */
  uso: boolean;
}

/** Sets header size and offloads on a TAP descriptor; needs no privilege, so netd may do it to what it was given. */
export function enableOffloads(fd: number): boolean {
  scratchWords[AT.OPTION / 4] = VNET_HDR;
  must(ioctl(fd, TUNSETVNETHDRSZ, scratchAddress(AT.OPTION, 4)), 'ioctl TUNSETVNETHDRSZ');
  if (ioctl(fd, TUNSETOFFLOAD, OFFLOADS | TUN_F_USO4 | TUN_F_USO6) === 0) return true;
  must(ioctl(fd, TUNSETOFFLOAD, OFFLOADS), 'ioctl TUNSETOFFLOAD');
  return false;
}

/** Checks that a descriptor is a TAP with virtio_net_hdr, makes it ready for {@link VNET_HDR} framing, and describes it. */
export function adoptTap(fd: number): TapTraits {
  scratch.bytes.fill(0, AT.IFREQ, AT.IFREQ + IFREQ_SIZE);
  must(ioctl(fd, TUNGETIFF, IFREQ), 'ioctl TUNGETIFF');
  const flags = scratchView.getUint16(IFREQ_DATA, true);
  if ((flags & IFF_TAP) === 0 || (flags & IFF_VNET_HDR) === 0 || (flags & IFF_NO_PI) === 0) {
    throw new RangeError('the descriptor is a TUN, or a TAP without IFF_VNET_HDR or IFF_NO_PI');
  }
  const end = scratch.bytes.indexOf(0, AT.IFREQ);
  const name = Buffer.from(scratch.bytes.subarray(AT.IFREQ, Math.min(end, AT.IFREQ + IFNAMSIZ))).toString();
  return { name, uso: enableOffloads(fd) };
}

/** Says whether the cable is plugged in, as the interface's carrier. */
export function setCarrier(fd: number, up: boolean): void {
  scratchWords[AT.OPTION / 4] = up ? 1 : 0;
  must(ioctl(fd, TUNSETCARRIER, scratchAddress(AT.OPTION, 4)), 'ioctl TUNSETCARRIER');
}

/** Settings of an interface in this network namespace; what is left out stays. */
export interface InterfaceSettings {
  /** 48-bit number. */
  mac?: number;
  mtu?: number;
  /** Frames that the kernel queues towards us before it drops; root only, an ordinary user keeps the kernel's 1000. */
  queueLength?: number;
}

/** Applies settings to an interface in this network namespace. */
export function configureInterface(name: string, settings: InterfaceSettings): void {
  withControlSocket((fd) => {
    if (settings.mac !== undefined) {
      putInterface(name);
      scratchView.setUint16(IFREQ_DATA, ARPHRD_ETHER, true);
      scratchView.setUint16(IFREQ_DATA + 2, Math.floor(settings.mac / 0x1_0000_0000));
      scratchView.setUint32(IFREQ_DATA + 4, settings.mac % 0x1_0000_0000);
      must(ioctl(fd, SIOCSIFHWADDR, IFREQ), `ioctl SIOCSIFHWADDR ${name}`);
    }
    if (settings.mtu !== undefined) {
      putInterface(name);
      scratchView.setInt32(IFREQ_DATA, settings.mtu, true);
      must(ioctl(fd, SIOCSIFMTU, IFREQ), `ioctl SIOCSIFMTU ${name}`);
    }
    if (settings.queueLength !== undefined) {
      putInterface(name);
      scratchView.setInt32(IFREQ_DATA, settings.queueLength, true);
      // The one ioctl here that only the host's own root may call (net/core/dev_ioctl.c); elsewhere the kernel's default stands.
      const result = ioctl(fd, SIOCSIFTXQLEN, IFREQ);
      if (result < 0 && errno() !== EPERM) must(result, `ioctl SIOCSIFTXQLEN ${name}`);
    }
  });
}

/** MAC (48-bit number) and MTU of an interface in this network namespace. */
export function readInterface(name: string): { mac: number; mtu: number } {
  return withControlSocket((fd) => {
    putInterface(name);
    must(ioctl(fd, SIOCGIFHWADDR, IFREQ), `ioctl SIOCGIFHWADDR ${name}`);
    const mac = scratchView.getUint16(IFREQ_DATA + 2) * 0x1_0000_0000 + scratchView.getUint32(IFREQ_DATA + 4);
    putInterface(name);
    must(ioctl(fd, SIOCGIFMTU, IFREQ), `ioctl SIOCGIFMTU ${name}`);
    return { mac, mtu: scratchView.getInt32(IFREQ_DATA, true) };
  });
}

function withControlSocket<T>(use: (fd: number) => T): T {
  const fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket AF_INET');
  try {
    return use(fd);
  } finally {
    close(fd);
  }
}
