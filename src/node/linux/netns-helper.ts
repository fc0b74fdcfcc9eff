/**
 * The small program that `nsenter` starts inside of a guest's namespaces (see netns.ts): opens a TAP there and sends its
 * descriptor back over descriptor 3. Arguments: interface, MAC (decimal), MTU, queue length.
 *
 * It is a process of its own because a user namespace can't be entered by a process with more than one thread
 * (user_namespaces(7)), and Node always has several. Failures are told as one line of JSON on standard error.
 */

import { SystemCallError } from './errno.ts';
import { configureInterface, openTap } from './tap.ts';
import { sendDescriptors } from './unix-fd.ts';

const [name = '', mac = '', mtu = '', queueLength = ''] = process.argv.slice(2);
try {
  const tap = openTap(name);
  configureInterface(name, { mac: Number(mac), mtu: Number(mtu), queueLength: Number(queueLength) });
  const sent = sendDescriptors(3, new Uint8Array([0]), 0, [tap]);
  if (sent !== 1) throw new Error(`sending the descriptor failed (${sent})`);
} catch (error) {
  const code = error instanceof SystemCallError ? error.code : 'OTHER';
  process.stderr.write(
    `${JSON.stringify({ code, message: error instanceof Error ? error.message : String(error) })}\n`,
  );
  process.exitCode = 1;
}
