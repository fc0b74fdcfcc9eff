import type { Guest } from '../subjects/subject.ts';
import { HTTP_PORT, SERVER } from '../world.ts';

/** New connections a second, each with one HTTP request and its answer, `concurrency` of them at a time. */
export async function connectRequestResponse(guest: Guest, concurrency: number, seconds: number): Promise<number> {
  const limits = ['-t', String(seconds), '-n', '10000000', '-c', String(concurrency)];
  const { code, output } = await guest.exec(
    ['ab', '-q', ...limits, `http://${SERVER}:${HTTP_PORT}/`],
    (seconds + 20) * 1000,
  );
  const rate = /Requests per second:\s+([\d.]+)/.exec(output)?.[1];
  const failed = Number(/Failed requests:\s+(\d+)/.exec(output)?.[1] ?? 0);
  if (code !== 0 || rate === undefined) throw new Error(`ab: exit status ${code}: ${output.trim().slice(-300)}`);
  if (failed > 0) throw new Error(`ab: ${failed} requests failed`);
  return Number(rate);
}
