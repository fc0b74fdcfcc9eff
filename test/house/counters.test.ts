/**
 * docs/counters.md has every counter, with the words of the tables in the sources. That a frame's reason is in its table is
 * the compiler's affair; the counters of proxy and services are names in many places, which are gathered here.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FRAME_DROPS } from '../../src/core/link/drops.ts';
import { dropsAmong, PACKET_DROPS } from '../../src/core/network/drops.ts';
import { newTcpCounters } from '../../src/core/stack/tcp/tcp-stack.ts';

const text = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** First and second column of the tables under a heading. */
function rows(heading: string): Record<string, string> {
  const page = text('docs/counters.md');
  const start = page.indexOf(`\n## ${heading}\n`);
  expect(start).toBeGreaterThan(0);
  const end = page.indexOf('\n## ', start + 1);
  const found = [...page.slice(start, end < 0 ? undefined : end).matchAll(/^\| `([\w.]+)` \| (.+) \|$/gm)];
  return Object.fromEntries(found.map((match) => [match[1]!, match[2]!]));
}

/** Where the counters of a prefix are named, and in which forms. */
const SOURCES: [prefix: string, path: string, forms: RegExp[]][] = [
  ['tcp', 'src/core/nat/tcp-proxy.ts', []],
  ['udp', 'src/core/nat/udp-proxy.ts', []],
  ['icmp', 'src/core/nat/icmp-proxy.ts', []],
  ['icmpError', 'src/core/stack/icmp-sender.ts', []],
  ['switch', 'src/core/switch/switch.ts', []],
  ['dhcp', 'src/core/services/dhcp/server.ts', [/this\.drop\('(\w+)'\)/g]],
  [
    'dns',
    'src/core/services/dns/forwarder.ts',
    [/return '(\w+)';/g, /\? null : '(\w+)';/g, /this\.note\('(\w+)'\)/g, /\[DNS_RCODE\.\w+\]: '(\w+)'/g],
  ],
  ['ports', 'src/node/netd/ports/stream.ts', [/portEnded\(this, '(\w+)'\)/g]],
  ['ports', 'src/node/netd/ports/tap.ts', [/portEnded\(this, '(\w+)'\)/g]],
];
/** `count(this.counters, 'name')`, with either of two names too, and `this.counters.name!++`. */
const COUNTED =
  /count\(this\.counters, (?:[^;]*?\? )?'(?:ports\.)?(\w+)'(?: : '(\w+)')?\)|this\.counters\.(\w+)!?\+\+/g;

function counters(): string[] {
  const names = new Set(Object.keys(newTcpCounters()).map((name) => `tcp.${name}`));
  names.add('ports.refused');
  for (const [prefix, path, forms] of SOURCES) {
    const source = text(path);
    for (const form of [COUNTED, ...forms]) {
      for (const match of source.matchAll(form)) {
        for (const name of match.slice(1)) if (name !== undefined) names.add(`${prefix}.${name}`);
      }
    }
  }
  return [...names].sort();
}

describe('docs/counters.md', () => {
  it('has every reason for which a frame is dropped, in the words of the source', () => {
    expect(rows('Frames')).toEqual(FRAME_DROPS);
  });

  it('has every reason for which a packet is left undone, in the words of the source', () => {
    expect(rows('Packets')).toEqual(PACKET_DROPS);
  });

  it('has every other counter, and none that is no more', () => {
    const known = new Set([...Object.keys(PACKET_DROPS), ...Object.keys(rows('Everything else'))]);
    expect([...known].sort()).toEqual(counters());
  });
});

describe('the drops among the counters', () => {
  it('are those of the table that happened', () => {
    expect(dropsAmong({ 'udp.denied': 2, 'udp.opened': 5, 'udp.filtered': 0, constructor: 1 })).toEqual({
      'udp.denied': 2,
    });
  });
});
