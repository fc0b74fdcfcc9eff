import { describe, expect, it } from 'vitest';
import { ERRORS, EXIT, exitCodeOf, httpStatusOf, isErrorCode, UserError } from '../../src/shared/errors.ts';

describe('the table of errors', () => {
  it.each(Object.entries(ERRORS))('%s has a name, texts and codes that make sense', (code, entry) => {
    expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
    expect(entry.message.length).toBeGreaterThan(8);
    expect(entry.hint).toMatch(/^.{8,}[.?]$|[{]hint[}]$|[}]$/);
    expect(entry.httpStatus).toBeGreaterThanOrEqual(400);
    expect(entry.httpStatus).toBeLessThan(600);
    expect([...Object.values(EXIT), 126, 127]).toContain(entry.exitCode);
    expect(entry.exitCode).not.toBe(EXIT.OK);
    expect(entry.message + entry.hint).not.toMatch(/\bTODO\b|\bN\/A\b/);
  });
});

describe('a UserError', () => {
  it('fills in message and hint, and has the status and exit code of its entry', () => {
    const error = new UserError('GUEST_NAME_TAKEN', { network: 'vmnet8', name: 'ada' });
    expect(error).toMatchObject({ httpStatus: 409, exitCode: EXIT.CONFLICT });
    expect(error.toBody()).toEqual({
      error: {
        code: 'GUEST_NAME_TAKEN',
        message: 'The network vmnet8 has a guest named ada already',
        hint: 'Choose another --name, or end the other guest: `vmnet ports` shows its pid.',
      },
    });
  });

  it('takes braces in a detail as they are', () => {
    const error = new UserError('USAGE', { problem: 'what is {hint}?', hint: '$& and $1' });
    expect([error.message, error.hint]).toEqual(['what is {hint}?', '$& and $1']);
  });

  it('asks for every detail of its texts', () => {
    // @ts-expect-error the hint's `known` is missing
    const error = new UserError('NETWORK_UNKNOWN', { network: 'vmnet9' });
    expect(error.hint).toContain('{known}');
  });
});

it('answers for codes that a newer daemon may send', () => {
  expect(isErrorCode('toString')).toBe(false);
  expect(exitCodeOf('FROM_THE_FUTURE')).toBe(EXIT.FAILED);
  expect(httpStatusOf('FROM_THE_FUTURE')).toBe(500);
  expect(exitCodeOf('DAEMON_RUNS')).toBe(EXIT.DAEMON);
});
