/** How a command ends that can't do what it was asked: code, message and hint on standard error, and an exit code. */

import { type ErrorBody, UserError } from '../../shared/errors.ts';
import type { Style } from './style.ts';

/** An error as it is shown. */
export interface Failure {
  error: ErrorBody['error'];
  exitCode: number;
}

/** What is said about anything thrown. What isn't a coded error is a bug of ours. */
export function failureOf(thrown: unknown, runDir: string): Failure {
  if (isCoded(thrown)) {
    return { error: { code: thrown.code, message: thrown.message, hint: thrown.hint }, exitCode: thrown.exitCode };
  }
  const reason = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return failureOf(new UserError('INTERNAL', { reason, runDir }), runDir);
}

/** The failure as text for people, or as the JSON that the API would send. */
export function failureText(failure: Failure, json: boolean, style: Style): string {
  const { code, message, hint } = failure.error;
  if (json) return `${JSON.stringify({ error: { code, message, hint } }, null, 2)}\n`;
  return `${style.bad('error')} ${style.bold(code)}: ${message}\n${style.dim('hint:')} ${hint}\n`;
}

/** A `UserError`, or what the client made of one that the daemon sent. */
function isCoded(thrown: unknown): thrown is Error & ErrorBody['error'] & { exitCode: number } {
  return (
    thrown instanceof Error &&
    'code' in thrown &&
    typeof thrown.code === 'string' &&
    'hint' in thrown &&
    typeof thrown.hint === 'string' &&
    'exitCode' in thrown &&
    typeof thrown.exitCode === 'number'
  );
}
