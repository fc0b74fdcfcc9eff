/** Requests against the zod schemas of the contract. */

import type * as z from 'zod';
import { UserError } from '../../shared/errors.ts';

/** The value as the schema gives it back. Throws REQUEST_INVALID with the first thing that is wrong. */
export function validate<S extends z.ZodType>(schema: S, value: unknown): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const place = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.map(String).join('.')}: `;
  throw new UserError('REQUEST_INVALID', { problem: `${place}${issue?.message ?? 'it does not fit the schema'}` });
}
