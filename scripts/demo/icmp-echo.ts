/** Echo requests for machines without a `ping`: a raw ICMP socket, which a guest's root may open in its own namespace. */
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';

const AF_INET = 2;
const SOCK_RAW_NONBLOCK = 3 | 0o4000;
const IPPROTO_ICMP = 1;
const ECHO_REQUEST = 8;
const ECHO_REPLY = 0;
const TIMEOUT_MS = 2000;

/** Sends `count` echo requests, one after the other, and gives the round-trip times in ms of those that were answered. */
export async function echo(address: string, count: number): Promise<number[]> {
  const libc = koffi.load('libc.so.6');
  const socket = libc.func('int socket(int, int, int)');
  const sendto = libc.func('int64_t sendto(int, const uint8_t *, size_t, int, const uint8_t *, uint32_t)');
  const recv = libc.func('int64_t recv(int, _Out_ uint8_t *, size_t, int)');
  const close = libc.func('int close(int)');
  const fd: number = socket(AF_INET, SOCK_RAW_NONBLOCK, IPPROTO_ICMP);
  if (fd < 0) throw new Error('no raw ICMP socket: not root in this namespace');
  const to = Buffer.alloc(16);
  to.writeUInt16LE(AF_INET, 0);
  for (const [index, byte] of address.split('.').entries()) to[4 + index] = Number(byte);
  const packet = Buffer.alloc(1600);
  const times: number[] = [];
  try {
    for (let sequence = 1; sequence <= count; sequence++) {
      const request = echoRequest(process.pid & 0xffff, sequence);
      const sentAt = performance.now();
      if (Number(sendto(fd, request, request.length, 0, to, to.length)) !== request.length) continue;
      while (performance.now() - sentAt < TIMEOUT_MS) {
        const length = Number(recv(fd, packet, packet.length, 0));
        if (length > 0 && isReplyTo(packet.subarray(0, length), request)) {
          times.push(performance.now() - sentAt);
          break;
        }
        if (length <= 0) await sleep(1);
      }
    }
  } finally {
    close(fd);
  }
  return times;
}

function echoRequest(identifier: number, sequence: number): Buffer {
  const request = Buffer.alloc(64);
  request[0] = ECHO_REQUEST;
  request.writeUInt16BE(identifier, 4);
  request.writeUInt16BE(sequence, 6);
  let sum = 0;
  for (let offset = 0; offset < request.length; offset += 2) sum += request.readUInt16BE(offset);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  request.writeUInt16BE(~sum & 0xffff, 2);
  return request;
}

/** Whether an IPv4 packet is the reply that belongs to `request`: the same identifier and sequence number. */
function isReplyTo(packet: Buffer, request: Buffer): boolean {
  const header = ((packet[0] ?? 0) & 15) * 4;
  return packet[header] === ECHO_REPLY && packet.subarray(header + 4, header + 8).equals(request.subarray(4, 8));
}
