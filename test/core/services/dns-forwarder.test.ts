import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IO } from '../../../src/core/base/ports.ts';
import {
  ATTEMPT_MS,
  DnsForwarder,
  type DnsForwarderConfig,
  LAST_MS,
  MAX_IN_FLIGHT,
  MAX_PER_GUEST,
  MAX_QUERY,
} from '../../../src/core/services/dns/forwarder.ts';
import { LOCAL_TTL_SECONDS } from '../../../src/core/services/dns/local-zone.ts';
import {
  DNS_FLAG,
  DNS_RCODE,
  DNS_TYPE,
  dnsAnswerCount,
  dnsAppendA,
  dnsAppendOpt,
  dnsEdnsSize,
  dnsEmitQuery,
  dnsEmitReply,
  dnsFlags,
  dnsId,
  dnsParseQuestion,
  dnsPutId,
  dnsQuestionEnd,
  dnsRcode,
} from '../../../src/core/wire/dns.ts';
import { type Datagram, HeapPool, ManualClock, type MemoryUdpSocket, MemoryWorld } from '../../support/memory-world.ts';

const GUEST = 0xc0a8_5880;
const FIRST = { address: 0x0a00_0035, port: 53 };
const SECOND = { address: 0x7f00_0035, port: 5353 };
const THIRD = { address: 0x0a00_0036, port: 53 };

function query(name: string, type: number = DNS_TYPE.A, id = 0x1234, edns = false): Uint8Array {
  const b = new Uint8Array(512);
  let end = dnsEmitQuery(b, 0, b.length, id, name, type);
  if (edns) end = dnsAppendOpt(b, 0, end, b.length, 4096);
  return b.subarray(0, end);
}

/** What a name server answers to a query it was sent. */
function answer(to: Uint8Array, { rcode = 0, addresses = [0x0102_0304], pad = 0 } = {}): Uint8Array {
  const b = new Uint8Array(4000);
  let at = dnsEmitReply(b, 0, b.length, to, 0, dnsQuestionEnd(to, 0, to.length), rcode);
  for (const address of rcode === 0 ? addresses : []) at = dnsAppendA(b, 0, at, b.length, 60, address);
  return b.slice(0, at + pad);
}

class Lab {
  readonly clock = new ManualClock();
  readonly world = new MemoryWorld(this.clock);
  readonly pool = new HeapPool();
  readonly replies: { bytes: Uint8Array; address: number; port: number }[] = [];
  readonly dns: DnsForwarder;

  constructor(config: Partial<DnsForwarderConfig> = {}) {
    const names: Record<string, number> = { host: 0xc0a8_5801, gateway: 0xc0a8_5802, web: GUEST };
    this.dns = new DnsForwarder(
      {
        domain: 'vmnet.internal',
        resolvers: [FIRST, SECOND],
        names: (label) => names[label] ?? 0,
        reverse: (address) => Object.keys(names).find((label) => names[label] === address) ?? null,
        isLocal: (address) => address >>> 8 === GUEST >>> 8,
        ...config,
      },
      {
        world: this.world,
        clock: this.clock,
        pool: this.pool,
        random32: () => this.world.random32(),
        reply: (region, offset, length, address, port) =>
          this.replies.push({ bytes: region.bytes.slice(offset, offset + length), address, port }),
      },
    );
  }

  ask(bytes: Uint8Array, port = 40_000, address = GUEST): void {
    const b = new Uint8Array(bytes.length + 20).fill(0xff);
    b.set(bytes, 11);
    this.dns.input(b, 11, 11 + bytes.length, address, port);
  }
  /** The last query's socket. */
  get socket(): MemoryUdpSocket {
    return this.world.udp.at(-1)!;
  }
  /** What that socket sent last. */
  get sent(): Datagram {
    return this.socket.sent.at(-1)!;
  }
  arrive(from: { address: number; port: number }, bytes: Uint8Array, socket = this.socket): void {
    socket.arrive(from.address, from.port, bytes);
    this.world.deliver();
  }
  wait(ms: number): void {
    this.clock.advance(ms);
    this.dns.poll();
  }
  /** The only reply so far. */
  get reply(): Uint8Array {
    expect(this.replies).toHaveLength(1);
    return this.replies[0]!.bytes;
  }
  /** Nothing is left over. */
  atRest(): void {
    expect([this.dns.inFlight, this.pool.taken, this.world.openSockets, this.dns.pollAt()]).toEqual([
      0,
      0,
      0,
      Number.POSITIVE_INFINITY,
    ]);
  }
}

const flagsOf = (b: Uint8Array) => dnsFlags(b, 0);
const rcodeOf = (b: Uint8Array) => dnsRcode(b, 0);

describe('DNS forwarder: own names', () => {
  test('answers for host, gateway and guests, with a short TTL and without asking anybody', () => {
    const lab = new Lab();
    lab.ask(query('Web.VMnet.Internal'));
    const reply = lab.reply;
    expect(flagsOf(reply)).toBe(DNS_FLAG.QR | DNS_FLAG.AA | DNS_FLAG.RD | DNS_FLAG.RA);
    expect(dnsId(reply, 0)).toBe(0x1234);
    expect(dnsAnswerCount(reply, 0)).toBe(1);
    expect([...reply.subarray(-14)]).toEqual([0, 1, 0, 1, 0, 0, 0, LOCAL_TTL_SECONDS, 0, 4, 192, 168, 88, 128]);
    expect(lab.replies[0]).toMatchObject({ address: GUEST, port: 40_000 });
    lab.ask(query('host.vmnet.internal'));
    expect([...lab.replies[1]!.bytes.subarray(-4)]).toEqual([192, 168, 88, 1]);
    expect(lab.dns.counters).toMatchObject({ queries: 2, local: 2, forwarded: 0 });
    lab.atRest();
  });

  test('says NODATA for another type of a name that exists, NXDOMAIN for a name that does not, both with SOA', () => {
    const lab = new Lab();
    for (const [name, type, rcode] of [
      ['web.vmnet.internal', DNS_TYPE.AAAA, DNS_RCODE.NOERROR],
      ['vmnet.internal', DNS_TYPE.A, DNS_RCODE.NOERROR],
      ['nobody.vmnet.internal', DNS_TYPE.A, DNS_RCODE.NXDOMAIN],
      ['a.web.vmnet.internal', DNS_TYPE.A, DNS_RCODE.NXDOMAIN],
      ['99.88.168.192.in-addr.arpa', DNS_TYPE.PTR, DNS_RCODE.NXDOMAIN],
      ['128.88.168.192.in-addr.arpa', DNS_TYPE.TXT, DNS_RCODE.NOERROR],
    ] as const) {
      lab.replies.length = 0;
      lab.ask(query(name, type));
      expect([name, rcodeOf(lab.reply), dnsAnswerCount(lab.reply, 0), lab.reply[9]]).toEqual([name, rcode, 0, 1]);
    }
    expect(lab.world.udp).toHaveLength(0);
  });

  test('answers for the names of own addresses', () => {
    const lab = new Lab();
    lab.ask(query('128.88.168.192.in-addr.arpa', DNS_TYPE.PTR));
    expect(dnsAnswerCount(lab.reply, 0)).toBe(1);
    expect(String.fromCharCode(...lab.reply.subarray(-20))).toBe('\x03web\x05vmnet\x08internal\0');
  });

  test('forwards what is not its own: other domains, other addresses, other classes', () => {
    const lab = new Lab();
    const chaos = query('web.vmnet.internal').slice();
    chaos[chaos.length - 1] = 3;
    const all = [
      query('example.org'),
      query('xvmnet.internal'),
      query('1.1.1.1.in-addr.arpa', DNS_TYPE.PTR),
      query(''),
      chaos,
    ];
    for (const [i, bytes] of all.entries()) lab.ask(bytes, 1000 + i);
    expect(lab.dns.counters).toMatchObject({ local: 0, forwarded: 5 });
  });

  test('answers a query with EDNS with EDNS', () => {
    const lab = new Lab();
    lab.ask(query('web.vmnet.internal', DNS_TYPE.A, 1, true));
    expect(dnsEdnsSize(lab.reply, 0, lab.reply.length)).toBe(1232);
  });
});

describe('DNS forwarder: forwarding', () => {
  test('sends the query as it is but for its id, and the answer back under the guest’s', () => {
    const lab = new Lab();
    const asked = query('example.org', 65, 0x1234, true);
    lab.ask(asked);
    expect(lab.sent).toMatchObject(FIRST);
    expect(dnsId(lab.sent.bytes, 0)).not.toBe(0x1234);
    expect(lab.sent.bytes.subarray(2)).toEqual(asked.subarray(2));
    const answered = answer(lab.sent.bytes, { pad: 30 });
    answered.fill(0x77, answered.length - 30);
    lab.arrive(FIRST, answered);
    dnsPutId(answered, 0, 0x1234);
    expect(lab.reply).toEqual(answered);
    expect(lab.replies[0]).toMatchObject({ address: GUEST, port: 40_000 });
    lab.atRest();
  });

  test('uses a socket and an id of its own for each query', () => {
    const lab = new Lab();
    for (let i = 0; i < 50; i++) lab.ask(query('example.org', DNS_TYPE.A, i));
    expect(lab.world.udp).toHaveLength(50);
    const ids = lab.world.udp.map((socket) => dnsId(socket.sent[0]!.bytes, 0));
    expect(new Set(ids).size).toBeGreaterThan(48);
  });

  test('takes no answer from a stranger, with another id, or to another question', () => {
    const lab = new Lab();
    lab.ask(query('example.org'));
    const good = answer(lab.sent.bytes);
    const otherId = good.slice();
    otherId[0]! ^= 1;
    const otherName = good.slice();
    otherName[13]! ^= 1;
    lab.arrive(SECOND, good);
    lab.arrive({ ...FIRST, port: 54 }, good);
    lab.arrive(FIRST, otherId);
    lab.arrive(FIRST, otherName);
    lab.arrive(FIRST, lab.sent.bytes);
    lab.arrive(FIRST, new Uint8Array(0));
    expect(lab.replies).toHaveLength(0);
    expect(lab.dns.counters.foreignAnswer).toBe(6);
    lab.arrive(FIRST, good);
    expect(lab.replies).toHaveLength(1);
  });

  test('cuts an answer that exceeds the guest’s packets to its question, with TC', () => {
    const lab = new Lab({ maxReply: 600 });
    lab.ask(query('example.org'));
    lab.arrive(FIRST, answer(lab.sent.bytes, { pad: 600 }));
    expect(lab.reply.length).toBe(29);
    expect(flagsOf(lab.reply) & DNS_FLAG.TC).toBe(DNS_FLAG.TC);
    expect(dnsAnswerCount(lab.reply, 0)).toBe(0);
    expect(dnsId(lab.reply, 0)).toBe(0x1234);
    expect(dnsParseQuestion(lab.reply, 0, lab.reply.length)?.name).toBe('example.org');
  });

  test('repeats its query when the guest does, and answers once', () => {
    const lab = new Lab();
    lab.ask(query('example.org'));
    lab.ask(query('example.org'));
    expect(lab.world.udp).toHaveLength(1);
    expect(lab.socket.sent).toHaveLength(2);
    const bytes = answer(lab.sent.bytes);
    lab.socket.arrive(FIRST.address, FIRST.port, bytes);
    lab.arrive(FIRST, bytes);
    expect(lab.replies).toHaveLength(1);
    expect(lab.dns.counters.repeated).toBe(1);
    lab.atRest();
  });

  test('lets a new question under an id replace the old one', () => {
    const lab = new Lab();
    lab.ask(query('example.org'));
    lab.ask(query('example.com'));
    expect([lab.dns.inFlight, lab.world.openSockets, lab.pool.taken]).toEqual([1, 1, 1]);
    lab.arrive(FIRST, answer(lab.sent.bytes));
    expect(dnsParseQuestion(lab.reply, 0, lab.reply.length)?.name).toBe('example.com');
    lab.atRest();
  });
});

describe('DNS forwarder: failover', () => {
  test('asks the next server after two seconds, and still takes the first one’s answer', () => {
    const lab = new Lab();
    lab.ask(query('example.org'));
    expect(lab.dns.pollAt()).toBe(lab.clock.now + ATTEMPT_MS);
    lab.wait(ATTEMPT_MS - 1);
    expect(lab.socket.sent).toHaveLength(1);
    lab.wait(1);
    expect(lab.socket.sent).toHaveLength(2);
    expect(lab.sent).toMatchObject(SECOND);
    lab.arrive(FIRST, answer(lab.sent.bytes));
    expect(rcodeOf(lab.reply)).toBe(0);
    lab.atRest();
  });

  test('asks the server that answered first from then on, and the first of the list again after a minute', () => {
    const lab = new Lab();
    lab.ask(query('a.example'));
    lab.wait(ATTEMPT_MS);
    lab.arrive(SECOND, answer(lab.sent.bytes));
    lab.ask(query('b.example'));
    expect(lab.sent).toMatchObject(SECOND);
    lab.arrive(SECOND, answer(lab.sent.bytes));
    lab.clock.advance(60_000);
    lab.ask(query('c.example'));
    expect(lab.sent).toMatchObject(FIRST);
  });

  test('asks the next at once when a server refuses the connection, or says SERVFAIL or REFUSED', () => {
    const lab = new Lab({ resolvers: [FIRST, SECOND, THIRD] });
    lab.ask(query('example.org'));
    lab.socket.fail(IO.REFUSED);
    lab.world.deliver();
    expect(lab.sent).toMatchObject(SECOND);
    lab.arrive(SECOND, answer(lab.sent.bytes, { rcode: DNS_RCODE.SERVFAIL }));
    expect(lab.sent).toMatchObject(THIRD);
    lab.arrive(THIRD, answer(lab.sent.bytes, { rcode: DNS_RCODE.REFUSED }));
    expect(rcodeOf(lab.reply)).toBe(DNS_RCODE.REFUSED);
    expect(lab.dns.counters).toMatchObject({ failover: 2, upstreamFailed: 2, answered: 1 });
    lab.atRest();
  });

  test('does not count a server out twice', () => {
    const lab = new Lab();
    lab.ask(query('example.org'));
    const servfail = answer(lab.sent.bytes, { rcode: DNS_RCODE.SERVFAIL });
    lab.arrive(FIRST, servfail);
    lab.arrive(FIRST, servfail);
    expect(lab.replies).toHaveLength(0);
    lab.arrive(SECOND, answer(lab.sent.bytes));
    expect(rcodeOf(lab.reply)).toBe(0);
  });

  test('passes on NXDOMAIN: that is an answer', () => {
    const lab = new Lab();
    lab.ask(query('nobody.example'));
    lab.arrive(FIRST, answer(lab.sent.bytes, { rcode: DNS_RCODE.NXDOMAIN }));
    expect(rcodeOf(lab.reply)).toBe(DNS_RCODE.NXDOMAIN);
  });

  test('goes on when a server leaves out the question of a query that it could not read', () => {
    const lab = new Lab();
    lab.ask(query('example.org'));
    const formerr = answer(lab.sent.bytes, { rcode: DNS_RCODE.FORMERR }).slice(0, 12);
    formerr[5] = 0;
    lab.arrive(FIRST, formerr);
    expect(lab.sent).toMatchObject(SECOND);
  });

  test('says SERVFAIL when no server answered in time', () => {
    const lab = new Lab();
    lab.ask(query('example.org', DNS_TYPE.A, 77, true));
    lab.wait(ATTEMPT_MS);
    lab.wait(LAST_MS - 1);
    expect(lab.replies).toHaveLength(0);
    lab.wait(1);
    expect([dnsId(lab.reply, 0), rcodeOf(lab.reply)]).toEqual([77, DNS_RCODE.SERVFAIL]);
    expect(dnsParseQuestion(lab.reply, 0, lab.reply.length)?.name).toBe('example.org');
    lab.atRest();
  });

  test('says SERVFAIL at once when no server can be reached, none is known, or the host has no socket left', () => {
    const lab = new Lab();
    lab.ask(query('example.org'));
    for (const _ of [FIRST, SECOND]) {
      lab.socket.fail(IO.REFUSED);
      lab.world.deliver();
    }
    expect(rcodeOf(lab.reply)).toBe(DNS_RCODE.SERVFAIL);
    lab.world.openError = IO.NO_RESOURCES;
    lab.ask(query('example.org'));
    lab.dns.setResolvers([]);
    lab.ask(query('example.org'));
    expect(lab.replies.map((reply) => rcodeOf(reply.bytes))).toEqual([2, 2, 2]);
    expect(lab.dns.counters).toMatchObject({ servfail: 3, noSocket: 1, noResolver: 1 });
    lab.atRest();
  });

  test('uses new resolvers for new queries, and the old ones for those on their way', () => {
    const lab = new Lab({ resolvers: [FIRST] });
    lab.ask(query('old.example'), 1);
    const before = lab.socket;
    const bytes = answer(lab.sent.bytes);
    lab.dns.setResolvers([THIRD]);
    lab.ask(query('new.example'), 2);
    expect(lab.sent).toMatchObject(THIRD);
    lab.arrive(FIRST, bytes, before);
    expect(lab.replies).toHaveLength(1);
  });
});

describe('DNS forwarder: bounds and bad input', () => {
  test('drops the new query when too many are on their way, in all or of one guest', () => {
    const lab = new Lab();
    for (let i = 0; i <= MAX_PER_GUEST; i++) lab.ask(query('a.example', DNS_TYPE.A, i), 1, GUEST);
    expect(lab.dns.counters.guestInFlightFull).toBe(1);
    for (let i = 0; i <= MAX_PER_GUEST; i++) lab.ask(query('a.example', DNS_TYPE.A, i), 1, GUEST + 1);
    expect([lab.dns.inFlight, lab.dns.counters.inFlightFull]).toEqual([MAX_IN_FLIGHT, 1]);
    expect(lab.world.openSockets).toBe(MAX_IN_FLIGHT);
    lab.wait(ATTEMPT_MS);
    lab.wait(LAST_MS);
    expect(lab.replies).toHaveLength(MAX_IN_FLIGHT);
    lab.atRest();
    lab.ask(query('a.example'));
    expect(lab.dns.inFlight).toBe(1);
  });

  test('drops and counts a query that there is no memory for', () => {
    const lab = new Lab();
    lab.pool.limit = 0;
    lab.ask(query('example.org'));
    lab.ask(query('web.vmnet.internal'));
    expect(lab.dns.counters.noMemory).toBe(2);
    lab.atRest();
  });

  test('answers FORMERR and NOTIMP where there is somebody to answer, and drops the rest by name', () => {
    const lab = new Lab();
    const notify = query('example.org').slice();
    notify[2]! |= 0x20;
    const response = query('example.org').slice();
    response[2]! |= 0x80;
    const cut = query('example.org').subarray(0, 20);
    const two = query('example.org').slice();
    two[5] = 2;
    lab.ask(notify);
    lab.ask(cut);
    lab.ask(two);
    expect(lab.replies.map((reply) => rcodeOf(reply.bytes))).toEqual([4, 1, 1]);
    lab.ask(response);
    lab.ask(new Uint8Array(11));
    lab.ask(query('example.org'), 0);
    lab.ask(new Uint8Array(MAX_QUERY + 1));
    expect(lab.replies).toHaveLength(3);
    expect(lab.dns.counters).toMatchObject({ response: 1, malformed: 1, noReplyPort: 1, tooLong: 1, queries: 3 });
    expect(lab.world.udp).toHaveLength(0);
    lab.atRest();
  });

  test('never throws on any bytes from guests or servers, and leaks nothing', () => {
    const lab = new Lab({ maxReply: 100 });
    const mutate = fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 4 });
    const change = (bytes: Uint8Array, changes: [number, number][], cut: number) => {
      const b = bytes.slice(0, Math.max(0, bytes.length - cut));
      for (const [at, value] of changes) if (at < b.length) b[at] = value;
      return b;
    };
    const name = fc.constantFrom('example.org', 'web.vmnet.internal', '128.88.168.192.in-addr.arpa');
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ maxLength: 80 }), fc.tuple(name, mutate, fc.nat(3))),
        mutate,
        fc.nat(4),
        (guest, changes, cut) => {
          lab.ask(guest instanceof Uint8Array ? guest : change(query(guest[0]), guest[1], guest[2]));
          if (lab.world.openSockets > 0)
            lab.arrive(FIRST, change(answer(lab.sent.bytes, { pad: cut * 20 }), changes, cut));
          if (cut === 0) lab.wait(ATTEMPT_MS);
          return lab.pool.taken === lab.dns.inFlight && lab.world.openSockets === lab.dns.inFlight;
        },
      ),
      { numRuns: 2000 },
    );
    expect(lab.dns.counters.answered).toBeGreaterThan(0);
    for (let i = 0; i < 10; i++) lab.wait(LAST_MS);
    lab.atRest();
  });
});
