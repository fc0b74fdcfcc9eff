/**
 * What guests do that curl and ping cannot: `node lab-client.js COMMAND HOST PORT [ARGUMENT…]`, one line of JSON as answer.
 *
 * connect: `{error: null | code, ms}`. digest N: sends N bytes of the pattern, half-closes, reads the answer to its end:
 * `{answer}`. early N: reads to the other's FIN, then sends N bytes: `{heard}`. short N C: N connections, C at once, each
 * echoing its own number: `{ok, failed, errors}`. udp N SIZE: N datagrams, each waited for: `{ok, lost, wrong}`. flood N SIZE: N datagrams,
 * none waited for.
 */
import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pattern } from './pattern.ts';

const [command = '', host = '', portText = '', first = '0', second = '0'] = process.argv.slice(2);
const port = Number(portText);

function open(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.once('error', reject);
    socket.once('connect', () => resolve(socket));
  });
}

function text(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let all = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      all += chunk;
    });
    socket.once('error', reject);
    socket.once('end', () => resolve(all));
  });
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

const COMMANDS: Record<string, () => Promise<unknown>> = {
  async connect() {
    const startedAt = process.hrtime.bigint();
    let error: string | null = null;
    try {
      (await open()).destroy();
    } catch (failure) {
      error = codeOf(failure);
    }
    return { error, ms: Number((process.hrtime.bigint() - startedAt) / 1_000_000n) };
  },

  async digest() {
    const socket = await open();
    const answer = text(socket);
    Readable.from(pattern(Number(first))).pipe(socket);
    return { answer: (await answer).trim() };
  },

  async early() {
    const socket = await open();
    const heard = await text(socket);
    Readable.from(pattern(Number(first))).pipe(socket);
    await new Promise((resolve) => socket.once('close', resolve));
    return { heard: heard.trim() };
  },

  async short() {
    const errors: Record<string, number> = {};
    let ok = 0;
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < Number(first)) {
        const word = `connection ${next++}`;
        try {
          const socket = await open();
          const answer = text(socket);
          socket.end(word);
          const heard = await answer;
          if (heard !== word) throw new Error(`heard ${JSON.stringify(heard)}`);
          ok++;
        } catch (error) {
          const code = codeOf(error);
          errors[code] = (errors[code] ?? 0) + 1;
        }
      }
    };
    await Promise.all(Array.from({ length: Number(second) }, worker));
    return { ok, failed: Number(first) - ok, errors };
  },

  async udp() {
    const socket = createSocket('udp4');
    // Connected: hears only answers that come from where the question went.
    await new Promise<void>((resolve) => socket.connect(port, host, resolve));
    let ok = 0;
    let lost = 0;
    let wrong = 0;
    for (let i = 0; i < Number(first); i++) {
      const message = Buffer.alloc(Number(second), `${i} `);
      const answer = await new Promise<Buffer | null>((resolve) => {
        const timer = setTimeout(() => resolve(null), 2000);
        socket.once('message', (bytes) => {
          clearTimeout(timer);
          resolve(bytes);
        });
        socket.send(message);
      });
      if (answer === null) lost++;
      else if (answer.equals(message)) ok++;
      else wrong++;
    }
    socket.close();
    return { ok, lost, wrong };
  },

  async flood() {
    const socket = createSocket('udp4');
    const message = Buffer.alloc(Number(second), 'flood');
    for (let i = 0; i < Number(first); i++) {
      await new Promise((resolve) => socket.send(message, port, host, resolve));
    }
    socket.close();
    return { sent: Number(first) };
  },
};

const task = COMMANDS[command];
if (task === undefined) throw new Error(`unknown command ${command}`);
console.log(JSON.stringify(await task()));
