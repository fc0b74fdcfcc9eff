/** status, ports, leases, flows and socket: what people read, and what scripts do. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  FakeDaemon,
  failure,
  flow,
  GATEWAY_PORT,
  lease,
  networkStatus,
  port,
  statusOf,
  VM_PORT,
  VMNET1,
} from './fake-daemon.ts';

const DAY_MS = 86_400_000;
const HALF_AN_HOUR_MS = 1_800_000;

let daemon: FakeDaemon;
beforeAll(async () => {
  daemon = await FakeDaemon.start();
});
afterEach(() => {
  daemon.answers.clear();
  daemon.asked.length = 0;
});
afterAll(() => daemon.stop());

describe('vmnet status', () => {
  it('shows the daemon, a table of networks, their warnings and the picture', async () => {
    const second = networkStatus({
      warnings: ['Pings to the outside are refused: no ping socket.'],
      echo: 'unavailable',
    });
    daemon.get('/v1/status', statusOf(VMNET1, second));
    daemon.get('/v1/ports', [GATEWAY_PORT, port(), VM_PORT]);
    daemon.get('/v1/leases', [lease()]);
    const { code, stdout, stderr } = await daemon.vmnet('status');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    await expect(stdout).toMatchFileSnapshot('golden/status.txt');
  });

  it('gives scripts the answer of the API, unchanged, in one request', async () => {
    const status = statusOf(VMNET1, networkStatus());
    daemon.get('/v1/status', status);
    const { stdout } = await daemon.vmnet('status', '--json');
    expect(JSON.parse(stdout)).toEqual(status);
    expect(daemon.asked.map(({ url }) => url)).toEqual(['/v1/status']);
  });
});

describe('vmnet ports', () => {
  it('has a row for each cable, with its drops by reason', async () => {
    daemon.get('/v1/ports', [GATEWAY_PORT, port({ macs: ['02:11:22:33:44:55', '02:11:22:33:44:56'] }), VM_PORT]);
    await expect((await daemon.vmnet('ports')).stdout).toMatchFileSnapshot('golden/ports.txt');
  });

  it('asks for one network with --net, and prints JSON with --json', async () => {
    daemon.get('/v1/ports', [VM_PORT]);
    expect(JSON.parse((await daemon.vmnet('ports', '--net', 'vmnet8', '--json')).stdout)).toEqual([VM_PORT]);
    expect(daemon.asked.map(({ url }) => url)).toEqual(['/v1/ports?network=vmnet8']);
  });

  it('lets no escape code of a guest through to the terminal', async () => {
    daemon.get('/v1/ports', [port({ name: 'a\u001b[2Jb\nc' })]);
    expect((await daemon.vmnet('ports')).stdout).toContain('a?[2Jb?c');
  });
});

describe('vmnet leases', () => {
  it('has a row for each lease, with the time that is left', async () => {
    const soon = new Date(Date.now() + DAY_MS + HALF_AN_HOUR_MS).toISOString();
    daemon.get('/v1/leases', [
      lease({ expiresAt: soon }),
      lease({ address: '192.168.88.130', name: null, expiresAt: '2020-01-01T00:00:00.000Z' }),
    ]);
    await expect((await daemon.vmnet('leases')).stdout).toMatchFileSnapshot('golden/leases.txt');
  });

  it('prints JSON with --json, an empty list too', async () => {
    daemon.get('/v1/leases', [lease()]);
    expect(JSON.parse((await daemon.vmnet('leases', '--json')).stdout)).toEqual([lease()]);
    daemon.get('/v1/leases', []);
    expect((await daemon.vmnet('leases', '--json')).stdout).toBe('[]\n');
    expect((await daemon.vmnet('leases')).stdout).toBe('No leases.\n');
  });
});

describe('vmnet flows', () => {
  it('shows both sides of each flow, and the socket behind it', async () => {
    const udp = flow({
      protocol: 'udp',
      state: 'open',
      guest: { our: '0.0.0.0:0', endpoint: '192.168.88.129:68' },
      host: { our: '0.0.0.0:49001', endpoint: '-', fd: 104, pid: 4713 },
      rxBytes: 99,
      txBytes: 0,
      ageMs: 7_500_000,
    });
    daemon.get('/v1/flows', { total: 2, flows: [flow(), udp] });
    await expect((await daemon.vmnet('flows')).stdout).toMatchFileSnapshot('golden/flows.txt');
  });

  it('says how many were left out', async () => {
    daemon.get('/v1/flows', { total: 1500, flows: [flow()] });
    const { stderr } = await daemon.vmnet('flows', '--net', 'vmnet8', '--limit', '1');
    expect(stderr).toBe('1 of 1,500 flows; --limit shows more.\n');
    expect(daemon.asked.map(({ url }) => url)).toEqual(['/v1/flows?network=vmnet8&limit=1']);
  });

  it('prints the list alone with --json', async () => {
    daemon.get('/v1/flows', { total: 1500, flows: [flow()] });
    const { stdout, stderr } = await daemon.vmnet('flows', '--json');
    expect(JSON.parse(stdout)).toEqual([flow()]);
    expect(stderr).toBe('');
  });
});

describe('vmnet socket', () => {
  it('prints the path alone', async () => {
    daemon.get('/v1/status', statusOf(VMNET1, networkStatus()));
    expect((await daemon.vmnet('socket', 'vmnet8')).stdout).toBe('/run/openvmnet/vmnet8.sock\n');
    expect(JSON.parse((await daemon.vmnet('socket', 'vmnet8', '--json')).stdout)).toEqual({
      network: 'vmnet8',
      socket: '/run/openvmnet/vmnet8.sock',
    });
  });

  it('names the networks that there are when asked for another', async () => {
    daemon.get('/v1/status', statusOf(VMNET1, networkStatus()));
    const { code, stdout, stderr } = await daemon.vmnet('socket', 'vmnet9');
    expect({ code, stdout }).toEqual({ code: 5, stdout: '' });
    expect(stderr).toBe('error NETWORK_UNKNOWN: There is no network vmnet9\nhint: Configured are: vmnet1, vmnet8.\n');
  });

  it('tells why a network that is not up has none', async () => {
    daemon.get(
      '/v1/status',
      statusOf(networkStatus({ state: 'unavailable', socket: null, warnings: ['not built yet'] })),
    );
    const { code, stderr } = await daemon.vmnet('socket', 'vmnet8');
    expect(code).toBe(5);
    expect(stderr).toContain('NETWORK_UNAVAILABLE: The network vmnet8 is not available: not built yet');
  });
});

describe('an error of the daemon', () => {
  it('is passed on with its code, message and hint, and the exit code of the table', async () => {
    daemon.answers.set('GET /v1/leases', failure('NETWORK_UNKNOWN', 404, 'There is no network vmnet9', 'Try vmnet8.'));
    expect(await daemon.vmnet('leases', '--net', 'vmnet9')).toEqual({
      code: 5,
      stdout: '',
      stderr: 'error NETWORK_UNKNOWN: There is no network vmnet9\nhint: Try vmnet8.\n',
    });
  });

  it('is JSON on standard error with --json', async () => {
    daemon.answers.set('GET /v1/leases', failure('NETWORK_UNKNOWN', 404, 'There is no network vmnet9', 'Try vmnet8.'));
    const { stdout, stderr } = await daemon.vmnet('leases', '--net', 'vmnet9', '--json');
    expect(stdout).toBe('');
    expect(JSON.parse(stderr)).toEqual({
      error: { code: 'NETWORK_UNKNOWN', message: 'There is no network vmnet9', hint: 'Try vmnet8.' },
    });
  });

  it('with a code from the future ends with 1', async () => {
    daemon.answers.set('GET /v1/leases', failure('TOO_MANY_MOONS', 418));
    expect((await daemon.vmnet('leases')).code).toBe(1);
  });

  it.each([
    ['is no JSON', { status: 200, text: '<html>' }],
    ['fails without a coded error', { status: 500, text: '{"oops":1}' }],
  ])('is DAEMON_UNREACHABLE when the answer %s', async (_title, answer) => {
    daemon.answers.set('GET /v1/leases', answer);
    const { code, stderr } = await daemon.vmnet('leases');
    expect(code).toBe(3);
    expect(stderr).toContain('DAEMON_UNREACHABLE');
  });
});
