import { connectRequestResponse } from '../measure/ab.ts';
import type { Plan } from '../options.ts';
import type { Results } from '../results.ts';
import { startGuests, stopGuests, takeTurns } from '../running.ts';
import { say } from '../say.ts';
import type { Subject } from '../subjects/subject.ts';

/** New connections a second with one HTTP request each, one at a time and 50 at a time. */
export async function measureConnections(subjects: readonly Subject[], plan: Plan, results: Results): Promise<void> {
  say('\nconnect, request, response, close (ab); concurrency 1 and 50');
  const running = await startGuests(subjects, 1500);
  try {
    const taken = await takeTurns(
      running,
      plan.rounds,
      ['1', '50'],
      (guest, key) => connectRequestResponse(guest, Number(key), plan.abSeconds),
      'connections/s',
    );
    results.connections = Object.fromEntries(taken);
  } finally {
    await stopGuests(running);
  }
}
