/**
 * Runs inside of a namespace guest where a machine has no tools for the job: `node probe.js resolve NAME`,
 * `node probe.js ping HOST COUNT`, `node probe.js fetch URL FILE`. Prints what the usual tool would, in one line.
 */
import { lookup } from 'node:dns/promises';
import { createWriteStream } from 'node:fs';
import { get } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { echo } from './icmp-echo.ts';

const [command, target = '', argument = ''] = process.argv.slice(2);

async function resolve(name: string): Promise<string> {
  const before = performance.now();
  const { address } = await lookup(name, { family: 4 });
  return `${address} ${(performance.now() - before).toFixed(1)}`;
}

/** As `ping -c COUNT` says it, as far as anybody reads it. */
async function ping(host: string, count: number): Promise<string> {
  const { address } = await lookup(host, { family: 4 });
  const times = await echo(address, count);
  if (times.length < count) throw new Error(`${times.length} of ${count} replies from ${address}`);
  const [least, mean, most] = [Math.min(...times), times.reduce((a, b) => a + b, 0) / count, Math.max(...times)];
  return `${count} received\nrtt min/avg/max = ${[least, mean, most].map((ms) => ms.toFixed(3)).join('/')} ms`;
}

async function fetchInto(url: string, file: string): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    get(url, (response) => {
      pipeline(response, createWriteStream(file)).then(resolve, reject);
    }).once('error', reject);
  });
  return 'done';
}

try {
  if (command === 'resolve') console.log(await resolve(target));
  else if (command === 'ping') console.log(await ping(target, Number(argument)));
  else if (command === 'fetch') console.log(await fetchInto(target, argument));
  else throw new Error(`unknown command ${command}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
