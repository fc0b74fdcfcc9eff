/** The two kinds of guest in the demo, behind one face: something that runs shell scripts and has tools of its own. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Daemon } from '../lib/daemon.ts';
import { run } from '../lib/process.ts';
import { bootVm } from '../lib/qemu-vm.ts';

/** How a guest does what the demo asks of it: scripts for its shell. */
export interface Tools {
  /** Prints the address of a name, and maybe how many milliseconds it took. */
  resolve(name: string): string;
  /** Prints ping's summary. */
  ping(host: string, count: number): string;
  fetch(url: string, file: string): string;
  /** Which program fetches, for people. */
  fetcher: string;
}

export interface DemoGuest {
  /** Its name in `vmnet.internal`. */
  name: string;
  tools: Tools;
  /** Where a fetched file goes; the guest removes it. */
  file: string;
  /** Runs a shell script and gives what it printed; rejects unless it went well. */
  must(script: string, timeoutMs?: number): Promise<string>;
  stop(): Promise<void>;
}

/** A namespace guest by `vmnet ns`. Its programs are this machine's. */
export async function namespaceGuest(daemon: Daemon, name: string): Promise<DemoGuest> {
  const tools = await toolsOfThisMachine(daemon);
  const guest = await daemon.guest(['--net', 'vmnet8', '--name', name]);
  return {
    name,
    tools,
    file: join(tmpdir(), `openvmnet-demo-${process.pid}`),
    must: guest.must,
    stop: guest.stop,
  };
}

/** A Linux VM by `vmnet run -- qemu-system-x86_64 …`, with nothing configured in it yet. */
export async function vmGuest(daemon: Daemon, name: string): Promise<DemoGuest> {
  const vm = await bootVm({
    wrap: daemon.argv(['run', '--net', 'vmnet8', '--name', name, '--']),
    env: { ...process.env, ...daemon.env },
  });
  return {
    name,
    tools: BUSYBOX,
    file: '/tmp/file',
    must: (script, timeoutMs) => vm.must(script, timeoutMs),
    stop: () => vm.stop(),
  };
}

/** A VM's tools are busybox's. */
const BUSYBOX: Tools = {
  resolve: (name) => `nslookup ${name} | sed -n 's/^Address[^:]*: *\\([0-9.]*\\)$/\\1/p' | tail -n 1`,
  ping: (host, count) => `ping -c ${count} -W 2 ${host}`,
  fetch: (url, file) => `wget -q -O ${file} ${url}`,
  fetcher: 'busybox wget',
};

/** What there is: curl, or busybox, or in the end Node, which is always there. */
async function toolsOfThisMachine(daemon: Daemon): Promise<Tools> {
  const has = async (...argv: string[]): Promise<boolean> => (await run(argv).catch(() => ({ code: 1 }))).code === 0;
  const probe = `${process.execPath} ${daemon.install.tool('../demo/probe')}`;
  const tools: Tools = {
    resolve: (name) => `${probe} resolve ${name}`,
    ping: (host, count) => `${probe} ping ${host} ${count}`,
    fetch: (url, file) => `${probe} fetch ${url} ${file}`,
    fetcher: 'node',
  };
  if (await has('ping', '-V')) tools.ping = (host, count) => `ping -n -c ${count} -i 0.2 -W 2 ${host}`;
  else if (await has('busybox', 'ping', '--help'))
    tools.ping = (host, count) => `busybox ping -c ${count} -W 2 ${host}`;
  if (await has('curl', '--version')) {
    tools.fetch = (url, file) => `curl -sS --noproxy '*' --max-time 120 -o ${file} ${url}`;
    tools.fetcher = 'curl';
  } else if (await has('busybox', 'wget', '--help')) {
    tools.fetch = (url, file) => `busybox wget -Y off -q -O ${file} ${url}`;
    tools.fetcher = 'busybox wget';
  }
  return tools;
}
