import { Background } from '../../scripts/lib/process.ts';
import type { Guest } from '../subjects/subject.ts';
import { IPERF_PORT, SERVER } from '../world.ts';

export type Direction = 'up' | 'down';

interface IperfReport {
  error?: string;
  end?: { sum_received?: { bits_per_second?: number } };
}

/**
 * One TCP stream between the guest and the server, in Gbit/s as its receiver counted them; `up` is from the guest. Every
 * run has a server process of its own, so that a run that went wrong spoils no other.
 */
export async function iperf(guest: Guest, direction: Direction, seconds: number, streams = 1): Promise<number> {
  const server = new Background(['iperf3', '-s', '-1', '-p', String(IPERF_PORT), '--forceflush']);
  try {
    await server.expect(/listening/);
    const client = [
      'iperf3',
      '-c',
      SERVER,
      '-p',
      String(IPERF_PORT),
      '-t',
      String(seconds),
      '-P',
      String(streams),
      '-J',
    ];
    const argv = direction === 'down' ? [...client, '-R'] : client;
    const { output } = await guest.exec(argv, (seconds + 20) * 1000);
    const report = JSON.parse(output.slice(Math.max(0, output.indexOf('{')))) as IperfReport;
    const rate = report.end?.sum_received?.bits_per_second;
    if (report.error !== undefined || rate === undefined) throw new Error(`iperf3: ${report.error ?? 'no figure'}`);
    return rate / 1e9;
  } finally {
    await server.stop();
  }
}
