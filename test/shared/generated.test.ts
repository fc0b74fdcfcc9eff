import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { generatedFiles } from '../../scripts/lib/generated.ts';
import { configSchema } from '../../src/shared/config.ts';
import { ERRORS, EXIT } from '../../src/shared/errors.ts';

const ROOT = new URL('../../', import.meta.url);

it.each(generatedFiles({ configSchema, errors: ERRORS, exitCodes: EXIT }))(
  '%s is up to date (npm run generate)',
  (path, text) => {
    expect(readFileSync(new URL(path, ROOT), 'utf8')).toBe(text);
  },
);
