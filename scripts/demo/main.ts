/**
 * `npm run demo`: the main job on this machine, told line by line. An instance of its own comes up on defaults; a network
 * namespace and, where QEMU and a guest kernel are installed, a real Linux VM join vmnet8; each gets its lease, resolves
 * a name, pings, and fetches 100 MB from a server on the host, whose digest has to match. Then the picture, and down.
 *
 * Needs Node, iproute2 and util-linux; no root, no Internet. `--json` prints one JSON object instead. Exit status 0 only
 * if every step held; whatever happens, Ctrl-C included, the instance goes down and its folder with it.
 */
import type { Daemon, NetworkStatus, Status } from '../lib/daemon.ts';
import { daemonHere } from '../lib/daemon-here.ts';
import { vmObstacle } from '../lib/qemu-vm.ts';
import { type FileServer, serveFile } from './file-server.ts';
import { type DemoGuest, namespaceGuest, vmGuest } from './guests.ts';
import { Narrator, type StepRecord, span } from './narrator.ts';
import * as story from './story.ts';

const FILE_BYTES = 100_000_000;

const HELP = `npm run demo -- [--json]

Brings vmnet8 up, boots guests on it (a network namespace; a Linux VM where QEMU is installed), has each get a
lease, resolve a name, ping, and fetch 100 MB from this host with a matching sha256, and takes all of it down again.

  --json   print one JSON object and nothing else (npm itself prints a banner: npm run -s demo -- --json)
`;

/** One guest's part of the JSON. */
interface GuestRecord {
  name: string;
  kind: 'namespace' | 'vm';
  steps: StepRecord[];
}

class Demo {
  readonly #narrator: Narrator;
  readonly #daemon: Daemon = daemonHere();
  readonly #startedAt = performance.now();
  readonly #guests: DemoGuest[] = [];
  /** What is on its way up: an interruption has to wait for it, or it would stay behind. */
  #starting: Promise<unknown> = Promise.resolve();
  #server: FileServer | null = null;
  #closing: Promise<void> | null = null;
  // What the JSON says.
  readonly #steps: StepRecord[] = [];
  readonly #records: GuestRecord[] = [];
  readonly #skipped: { what: string; why: string }[] = [];
  #topology = '';
  #status: Status | null = null;

  constructor(narrator: Narrator) {
    this.#narrator = narrator;
  }

  /** Everything in order; resolves to whether all held. */
  async run(): Promise<boolean> {
    const network = await this.#bringUp();
    if (network === null) return false;
    this.#server = await serveFile(FILE_BYTES);
    this.#narrator.chapter('ada', 'a network namespace, by `vmnet ns`');
    await this.#tell(network, 'ada', 'namespace', () => namespaceGuest(this.#daemon, 'ada'));
    const obstacle = vmObstacle();
    if (obstacle === null) {
      this.#narrator.chapter('grace', 'a Linux VM under QEMU without KVM, by `vmnet run`');
      await this.#tell(network, 'grace', 'vm', () => vmGuest(this.#daemon, 'grace'));
    } else {
      this.#skip('Linux VM', obstacle);
    }
    if (this.#guests.length > 1) await this.#introduce();
    await this.#picture();
    return this.ok;
  }

  get ok(): boolean {
    const all = [...this.#steps, ...this.#records.flatMap(({ steps }) => steps)];
    return all.length > 0 && all.every(({ ok }) => ok);
  }

  /** How many steps there were, and how long all took. */
  get summary(): string {
    const all = [...this.#steps, ...this.#records.flatMap(({ steps }) => steps)];
    const held = all.filter(({ ok }) => ok).length;
    return `${held} of ${all.length} steps held, in ${span(Math.round(performance.now() - this.#startedAt))}`;
  }

  json(): string {
    const network = this.#status?.networks.find(({ name }) => name === 'vmnet8');
    const document = {
      ok: this.ok,
      seconds: Number(((performance.now() - this.#startedAt) / 1000).toFixed(2)),
      version: this.#status?.daemon.version ?? null,
      rootless: this.#status?.daemon.rootless ?? null,
      network: network ?? null,
      steps: this.#steps,
      guests: this.#records,
      skipped: this.#skipped,
      topology: this.#topology,
    };
    return JSON.stringify(document, null, 2);
  }

  /** Takes everything down; the second caller waits for the first. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#server?.close();
      await this.#starting;
      await Promise.all(this.#guests.map((guest) => guest.stop().catch(() => {})));
      await this.#daemon.stop();
    })();
    return this.#closing;
  }

  async #bringUp(): Promise<NetworkStatus | null> {
    this.#narrator.chapter(
      'vmnet8',
      `by \`vmnet up --detach\`, ${process.getuid?.() === 0 ? 'as root' : 'as an ordinary user'}`,
    );
    const up = await this.#narrator.step('comes up', async () => {
      const before = performance.now();
      const starting = this.#daemon.up();
      this.#starting = starting.catch(() => {});
      await starting;
      const seconds = Number(((performance.now() - before) / 1000).toFixed(3));
      this.#status = await this.#daemon.status();
      const { subnet, gateway, pid } = await this.#daemon.network('vmnet8');
      return {
        text: `NAT, ${subnet}, gateway ${gateway}, netd ${pid}`,
        figures: { subnet: subnet ?? '', gateway: gateway ?? '', netd: pid ?? 0, readySeconds: seconds },
      };
    });
    this.#steps.push(up);
    return up.ok ? this.#daemon.network('vmnet8') : null;
  }

  async #tell(
    network: NetworkStatus,
    name: string,
    kind: GuestRecord['kind'],
    start: () => Promise<DemoGuest>,
  ): Promise<void> {
    const record: GuestRecord = { name, kind, steps: [] };
    this.#records.push(record);
    const hold = async (step: string, task: Parameters<Narrator['step']>[1]): Promise<boolean> => {
      const told = await this.#narrator.step(step, task);
      record.steps.push(told);
      return told.ok;
    };
    let started: DemoGuest | null = null;
    const up = await hold(kind === 'vm' ? 'boots' : 'starts', async () => {
      const starting = start().then((guest) => {
        this.#guests.push(guest);
        return guest;
      });
      this.#starting = starting.catch(() => {});
      started = await starting;
      const kernel = (await started.must('uname -r')).trim();
      return { text: kind === 'vm' ? `Linux ${kernel}, eth0 is virtio-net` : 'eth0 is a TAP', figures: { kernel } };
    });
    const guest = started as DemoGuest | null;
    if (!up || guest === null) return;
    if (kind === 'vm' && !(await hold('asks for a lease', () => dhcp(guest)))) return;
    if (!(await hold('has a lease', () => story.lease(this.#daemon, guest)))) return;
    await hold('resolves', () => story.resolves(guest, network));
    await hold('pings the gateway', () => story.pings(guest, 'gateway.vmnet.internal'));
    await this.#pingHost(guest, hold);
    const server = this.#server;
    if (server !== null) await hold('fetches 100 MB', () => story.fetches(guest, server, FILE_BYTES));
  }

  /** The host itself, asked by an echo socket of netd: an ordinary user may lack the right to open one, and nothing is forged. */
  async #pingHost(
    guest: DemoGuest,
    hold: (step: string, task: Parameters<Narrator['step']>[1]) => Promise<boolean>,
  ): Promise<void> {
    const { echo, hostAddress } = await this.#daemon.network('vmnet8');
    if (echo === 'unavailable' || hostAddress === null) {
      const why =
        hostAddress === null ? 'it has no address of its own' : 'sysctl net.ipv4.ping_group_range excludes this user';
      this.#skip('pings the host', why);
      return;
    }
    await hold('pings the host', () => story.pings(guest, hostAddress));
  }

  /** The guests find each other by name, through the switch. */
  async #introduce(): Promise<void> {
    this.#narrator.chapter('ada and grace', 'through the switch');
    const [ada, grace] = this.#guests as [DemoGuest, DemoGuest];
    for (const [from, to] of [
      [ada, grace],
      [grace, ada],
    ] as const) {
      const told = await this.#narrator.step(`${from.name} pings ${to.name}`, () =>
        story.pings(from, `${to.name}.vmnet.internal`),
      );
      this.#steps.push(told);
    }
  }

  async #picture(): Promise<void> {
    this.#status = await this.#daemon.status();
    const picture = await this.#daemon.must(['status']);
    this.#topology = picture.slice(Math.max(0, picture.indexOf('vmnet8 ·'))).trimEnd();
    this.#narrator.say(`\n${this.#topology.replace(/^(?=.)/gm, '  ')}`);
  }

  #skip(what: string, why: string): void {
    this.#skipped.push({ what, why });
    this.#narrator.skipped(what, why);
  }
}

/** A VM's own DHCP client: DISCOVER to ACK. */
async function dhcp(guest: DemoGuest): Promise<{ text: string }> {
  const output = await guest.must(`udhcpc -i eth0 -n -q -t 5 -x hostname:${guest.name}`, 30_000);
  const server = /lease of [\d.]+ obtained(?: from ([\d.]+))?/.exec(output)?.[1];
  return { text: `udhcpc, answered${server === undefined ? '' : ` by ${server}`}` };
}

async function main(): Promise<number> {
  const words = process.argv.slice(2);
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(HELP);
    return 0;
  }
  const unknown = words.find((word) => word !== '--json');
  if (unknown !== undefined) {
    process.stderr.write(`unknown: ${unknown}\n\n${HELP}`);
    return 2;
  }
  const json = words.includes('--json');
  const narrator = new Narrator(json);
  const demo = new Demo(narrator);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      narrator.say('\n  taking everything down …');
      narrator.end();
      void demo.close().then(() => process.exit(130));
    });
  }
  try {
    narrator.say(`\n  openvmnet: NAT for guests, from an ordinary process. Node ${process.version}.`);
    const ok = await demo.run();
    if (json) process.stdout.write(`${demo.json()}\n`);
    narrator.verdict(ok, demo.summary);
    return ok ? 0 : 1;
  } finally {
    await demo.close();
    narrator.say('    everything is down again\n');
  }
}

process.exitCode = await main();
