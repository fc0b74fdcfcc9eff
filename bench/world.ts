/**
 * The host of every subject: a network namespace of our own (scripts/bench.sh enters it), so that nothing of the machine
 * is touched and nothing of the machine disturbs.
 *
 *      subjects' guests ──(what is measured)── this namespace: eth0 203.0.113.1/24 ──veth── lan0 203.0.113.254, a router
 *                                               iperf3 -s and an HTTP server on 0.0.0.0      │
 *                                                                          kernel NAT's guest ── veth, masquerade
 *
 * All guests ask 203.0.113.1. A user-space NAT makes the connection from within this namespace, as it would on any host;
 * the kernel's NAT forwards it in the router, whose masquerade the packets pass on their way here.
 */
import { readdirSync } from 'node:fs';
import { REPOSITORY } from '../scripts/lib/install.ts';
import { Background, must } from '../scripts/lib/process.ts';
import { CONNECTION_SYSCTLS, Namespace } from './namespace.ts';

export const SERVER = '203.0.113.1';
export const ROUTER = '203.0.113.254';
export const IPERF_PORT = 5201;
export const HTTP_PORT = 8080;

export class World {
  /** The namespace of the router that kernel NAT's guest sits behind. */
  readonly router: Namespace;
  readonly #http: Background;

  private constructor(router: Namespace, http: Background) {
    this.router = router;
    this.#http = http;
  }

  static async open(): Promise<World> {
    const others = readdirSync('/sys/class/net').length > 1 ? (await must(['ip', '-o', 'link'])).split('\n') : [];
    if (others.filter((line) => line !== '' && !line.includes(' lo:')).length > 0)
      throw new Error('this namespace has interfaces already: start the bench by `npm run bench`');
    await must(['ip', 'link', 'set', 'lo', 'up']);
    await must(['sh', '-c', CONNECTION_SYSCTLS]);
    const router = await Namespace.create();
    await must(['ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'lan0', 'netns', String(router.pid)]);
    await must(['ip', 'addr', 'add', `${SERVER}/24`, 'dev', 'eth0']);
    await must(['ip', 'link', 'set', 'eth0', 'up']);
    await router.must('ip', 'addr', 'add', `${ROUTER}/24`, 'dev', 'lan0');
    await router.must('ip', 'link', 'set', 'lan0', 'up');
    await must(['ip', 'route', 'add', 'default', 'via', ROUTER]);
    const http = new Background(['perl', `${REPOSITORY}/bench/http-server.pl`, String(HTTP_PORT)]);
    await http.expect(/ready/);
    return new World(router, http);
  }

  async close(): Promise<void> {
    await this.#http.stop();
    await this.router.stop();
  }
}
