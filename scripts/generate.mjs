// `npm run generate`: writes what is made from the sources and kept in the repository. A test tells when it is out of date.
import { writeFileSync } from 'node:fs';
import { configSchema } from '../dist/shared/config.js';
import { ERRORS, EXIT } from '../dist/shared/errors.js';
import { generatedFiles } from '../dist/tools/scripts/lib/generated.js';

for (const [path, text] of generatedFiles({ configSchema, errors: ERRORS, exitCodes: EXIT })) {
  writeFileSync(new URL(`../${path}`, import.meta.url), text);
  console.log(path);
}
