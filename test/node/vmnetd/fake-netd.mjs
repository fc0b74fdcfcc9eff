// A netd that moves no frames: speaks the control protocol (netd/protocol.ts) on descriptor 3 and notes each request as
// a line of JSON. Descriptors that come along are dropped by Node. Arguments: `--record FILE`, `--version V`,
// `--die-at OP` (exit with 7 and last words), `--deny OP`, `--refuse NETWORK`, `--refuse-guest NAME`, `--mute`, `--stubborn` (answers `stop` and stays).
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    record: { type: 'string' },
    version: { type: 'string', default: '0' },
    'die-at': { type: 'string' },
    deny: { type: 'string' },
    refuse: { type: 'string' },
    'refuse-guest': { type: 'string' },
    mute: { type: 'boolean' },
    stubborn: { type: 'boolean' },
  },
});

let config = null;
let lastPort = 0;
const connections = new Set();

const answers = {
  hello: () => ({ pid: process.pid, version: values.version, config }),
  start: (params) => {
    config = params.config;
    return { pid: process.pid };
  },
  update: () => null,
  journal: () => null,
  attachTap: (params) => {
    lastPort++;
    const address = params.address || 0xc0a85880 + lastPort - 1;
    return {
      port: lastPort,
      address,
      prefixLength: 24,
      gateway: 0xc0a85802,
      dns: [0xc0a85802],
      domain: 'vmnet.internal',
      mtu: params.mtu,
    };
  },
  detach: ({ port }) => {
    tellAll({ event: 'removed', port });
    return null;
  },
  descriptors: () => ({ taps: [], fds: [] }),
  status: () => ({
    pid: process.pid,
    uptimeMs: 5000,
    rssBytes: 1,
    ports: lastPort,
    leases: 0,
    flows: 0,
    echo: 'raw',
    counters: {},
  }),
  ports: () => [portInfo(1, 'gateway'), ...Array.from({ length: lastPort }, (_, i) => portInfo(i + 2, 'tap'))],
  leases: () => [{ address: 0xc0a85880, mac: 0x020000000001, clientId: null, name: 'ada', expiresAt: 1e12 }],
  flows: ({ limit }) => ({ total: 3, flows: Array.from({ length: Math.min(limit, 3) }, flowInfo) }),
  stop: () => {
    if (!values.stubborn) setTimeout(() => process.exit(0), 5);
    return null;
  },
};

function portInfo(port, kind) {
  return {
    port,
    kind,
    name: null,
    interface: null,
    pid: null,
    macs: [0x02766d000008],
    addresses: [0xc0a85802],
    rxFrames: 0,
    rxBytes: 0,
    txFrames: 0,
    txBytes: 0,
    drops: {},
  };
}

function flowInfo() {
  return {
    protocol: 'tcp',
    state: 'ESTABLISHED',
    guest: { our: 'a', endpoint: 'b' },
    host: { our: 'c', endpoint: 'd', fd: 9, pid: process.pid },
    rxBytes: 0,
    txBytes: 0,
    ageMs: 0,
    idleMs: 0,
  };
}

function tellAll(event) {
  for (const connection of connections) connection.write(`${JSON.stringify(event)}\n`);
}

function receive(connection, { id, op, params }) {
  if (values.record) appendFileSync(values.record, `${JSON.stringify({ op, params })}\n`);
  if (values['die-at'] === op) {
    console.error(`fake netd dies at ${op}`);
    process.exit(7);
  }
  const error = { code: 'DENIED', message: `no ${op} today` };
  const refused =
    values.deny === op ||
    (op === 'start' && params.config.name === values.refuse) ||
    (op === 'attachTap' && params.name !== null && params.name === values['refuse-guest']);
  const reply = refused ? { id, ok: false, error } : { id, ok: true, result: answers[op](params) };
  connection.write(`${JSON.stringify(reply)}\n`);
}

createServer((connection) => {
  connections.add(connection);
  connection.on('close', () => connections.delete(connection));
  connection.on('error', () => {});
  let text = '';
  connection.on('data', (chunk) => {
    if (values.mute) return;
    text += chunk;
    const lines = text.split('\n');
    text = lines.pop();
    for (const line of lines) receive(connection, JSON.parse(line));
  });
}).listen({ fd: 3 });
