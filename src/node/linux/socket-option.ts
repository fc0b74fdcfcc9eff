/** Socket options and socket addresses through the scratch region. */

import { AF_INET } from './constants.ts';
import { getsockname, getsockopt, setsockopt } from './libc.ts';
import { AT, scratch, scratchAddress, scratchView, scratchWords } from './memory.ts';

/** sizeof(struct sockaddr_in). */
export const SOCKADDR_IN_SIZE = 16;

/** Address of the socket address at AT.SOCKADDR. */
export const SOCKADDR = scratchAddress(AT.SOCKADDR, 128);
/** Address of the length at AT.SOCKLEN. */
export const SOCKLEN = scratchAddress(AT.SOCKLEN, 4);

const OPTION = scratchAddress(AT.OPTION, 64);
const OPTION_WORD = AT.OPTION / 4;
const SOCKLEN_WORD = AT.SOCKLEN / 4;

/** Says how much room there is at AT.SOCKADDR or AT.OPTION for what the kernel is about to write. */
export function putLength(length: number): void {
  scratchWords[SOCKLEN_WORD] = length;
}

/** Sets an integer option; 0, or −1 with errno set. */
export function setOption(fd: number, level: number, option: number, value: number): number {
  scratchWords[OPTION_WORD] = value;
  return setsockopt(fd, level, option, OPTION, 4);
}

/** Sets an option of two integers (struct linger); 0, or −1 with errno set. */
export function setOptionPair(fd: number, level: number, option: number, first: number, second: number): number {
  scratchWords[OPTION_WORD] = first;
  scratchWords[OPTION_WORD + 1] = second;
  return setsockopt(fd, level, option, OPTION, 8);
}

/** Reads an option of up to 16 words, see {@link optionWord}; 0, or −1 with errno set. */
export function getOption(fd: number, level: number, option: number, words: number): number {
  scratchWords[SOCKLEN_WORD] = words * 4;
  return getsockopt(fd, level, option, OPTION, SOCKLEN);
}

/** A word of the option that {@link getOption} read. */
export function optionWord(index: number): number {
  return scratchWords[OPTION_WORD + index] as number;
}

/** Writes a sockaddr_in at AT.SOCKADDR. `host` is IPv4 as an unsigned 32-bit number. */
export function putSockaddr4(host: number, port: number): void {
  scratchView.setUint16(AT.SOCKADDR, AF_INET, true);
  scratchView.setUint16(AT.SOCKADDR + 2, port);
  scratchView.setUint32(AT.SOCKADDR + 4, host);
  scratchView.setUint32(AT.SOCKADDR + 8, 0);
  scratchView.setUint32(AT.SOCKADDR + 12, 0);
}

/** The IPv4 address of the sockaddr_in at AT.SOCKADDR. */
export function sockaddrHost(): number {
  return scratchView.getUint32(AT.SOCKADDR + 4);
}

/** The port of the sockaddr_in at AT.SOCKADDR. */
export function sockaddrPort(): number {
  return scratchView.getUint16(AT.SOCKADDR + 2);
}

/** Local IPv4 address of a socket; 0 while unknown. */
export function localAddress4(fd: number): number {
  return readName(fd) ? sockaddrHost() : 0;
}

/** Local port of a socket; 0 while unknown. */
export function localPort(fd: number): number {
  return readName(fd) ? sockaddrPort() : 0;
}

function readName(fd: number): boolean {
  putLength(SOCKADDR_IN_SIZE);
  scratch.bytes.fill(0, AT.SOCKADDR, AT.SOCKADDR + SOCKADDR_IN_SIZE);
  return getsockname(fd, SOCKADDR, SOCKLEN) === 0;
}
