/** The picture of the topology. */
import { describe, expect, it } from 'vitest';
import { topologyText } from '../../src/node/cli/topology.ts';
import type { Port } from '../../src/shared/api.ts';
import { GATEWAY_PORT, lease, networkStatus, port, statusOf, VM_PORT, VMNET1 } from './fake-daemon.ts';

function guests(count: number): Port[] {
  return Array.from({ length: count }, (_, i) =>
    port({ port: i + 2, name: `guest-${i}`, addresses: [`192.168.88.${128 + i}`], pid: 5000 + i }),
  );
}

describe('the picture', () => {
  it('has guests to the left of their switch, the gateway and the host to the right', async () => {
    const text = topologyText(statusOf(VMNET1, networkStatus()), [GATEWAY_PORT, port(), VM_PORT], [lease()]);
    await expect(`${text}\n`).toMatchFileSnapshot('golden/topology.txt');
  });

  it('lists many guests by line, and says how many more there are', async () => {
    const many = guests(27);
    many[3] = port({ name: 'a-name-that-does-not-fit-into-its-column', addresses: [] });
    const text = topologyText(statusOf(networkStatus()), many, []);
    await expect(`${text}\n`).toMatchFileSnapshot('golden/topology-full.txt');
  });

  it('shows a host adapter and an uplink where there are such ports', async () => {
    const adapter = port({
      network: 'vmnet1',
      port: 1,
      kind: 'host',
      interface: 'vmnet1',
      addresses: ['192.168.73.1'],
    });
    const uplink = port({ network: 'vmnet0', port: 1, kind: 'uplink', interface: 'enp3s0', addresses: [] });
    const lan = { ...VMNET1, name: 'vmnet0', mode: 'bridged' as const, subnet: null };
    const text = topologyText(statusOf(lan, VMNET1), [adapter, uplink, port({ network: 'vmnet0' })], []);
    await expect(`${text}\n`).toMatchFileSnapshot('golden/topology-adapters.txt');
  });

  it('gives the reason in place of a network that is not there', () => {
    const network = networkStatus({ state: 'unavailable', pid: null, warnings: ['bridged networks come later'] });
    expect(topologyText(statusOf(network), [], [])).toBe(
      'vmnet8 · nat · 192.168.88.0/24 · MTU 1500 · unavailable\n  bridged networks come later',
    );
  });

  it.each([0, 1, 4, 5, 6, 24, 25, 200])(
    'has lines of at most 80 columns and no loose cable with %i guests',
    (count) => {
      const lines = topologyText(statusOf(networkStatus()), [GATEWAY_PORT, ...guests(count)], []).split('\n');
      expect(Math.max(...lines.map((line) => [...line].length))).toBeLessThanOrEqual(80);
      for (const line of lines) {
        expect(line).toBe(line.trimEnd());
        expect(line.includes('├───┨')).toBe(/├|┨/.test(line));
        expect(line.includes('┠───┤')).toBe(/┠|┤/.test(line));
      }
      expect(lines.filter((line) => line.includes('┨'))).toHaveLength(Math.min(count, 24));
    },
  );

  it('lets no control character of a name through', () => {
    expect(topologyText(statusOf(networkStatus()), [port({ name: 'x\u001b]0;y\u0007' })], [])).toContain('x?]0;y?');
  });

  it('says so when there are no networks', () => {
    expect(topologyText(statusOf(), [], [])).toBe('no networks');
  });
});
