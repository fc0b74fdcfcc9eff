/** Files that are made from the sources: the JSON Schema of vmnet.yaml for editors, and the table of errors as a page. */
import * as z from 'zod';

/** What the files are made from: exports of src/shared. */
export interface Sources {
  configSchema: z.ZodType;
  errors: Readonly<Record<string, { message: string; hint: string; httpStatus: number; exitCode: number }>>;
  exitCodes: Readonly<Record<string, number>>;
}

/** Paths, from the root of the repository, and texts. */
export function generatedFiles({ configSchema, errors, exitCodes }: Sources): [path: string, text: string][] {
  return [
    ['schema/vmnet.schema.json', schemaText(configSchema)],
    ['docs/errors.md', errorsText(errors, exitCodes)],
  ];
}

function schemaText(configSchema: z.ZodType): string {
  const schema = z.toJSONSchema(configSchema, { io: 'input' });
  return `${JSON.stringify({ ...schema, title: 'vmnet.yaml' }, null, 2)}\n`;
}

const EXIT_MEANINGS: Record<string, string> = {
  OK: 'all went well',
  FAILED: 'something failed that fits none of the others',
  USAGE: 'the command line, the configuration or a request is wrong: mend it and try again',
  DAEMON: 'the daemon runs when it should not, or does not when it should',
  HOST: 'this host lacks a privilege, a device, a tool or room',
  CONFLICT: 'what was asked for exists, is taken, or is unknown',
};

function errorsText(errors: Sources['errors'], exitCodes: Sources['exitCodes']): string {
  const codes = Object.entries(exitCodes).map(([name, code]) => `| ${code} | ${EXIT_MEANINGS[name] ?? ''} |`);
  const entries = Object.entries(errors).map(
    ([code, { message, hint, httpStatus, exitCode }]) =>
      `## ${code}\n\n${braces(message)}\n\n*What to do:* ${braces(hint)}\n\nHTTP ${httpStatus}, exit code ${exitCode}.\n`,
  );
  return `<!-- Made from src/shared/errors.ts by \`npm run generate\`. -->

# Errors

Every mistake of an operator or a client has a code that stays the same, a message and a hint. \`vmnet\` prints
\`error CODE: MESSAGE\` and the hint, with \`--json\` the object that the API answers, too:
\`{"error": {"code": …, "message": …, "hint": …}}\`. Words in \`{braces}\` are filled in.

Bytes from a guest are never an error: what is malformed is dropped and counted, see \`drops\` in \`vmnet ports --json\`.

| exit code | meaning |
|---|---|
${codes.join('\n')}

\`vmnet ns\` and \`vmnet run\` end with the exit code of their command, once that was started.

${entries.join('\n')}`;
}

/** Placeholders as code, unless they are inside of code already. */
function braces(text: string): string {
  return text
    .split('`')
    .map((part, i) => (i % 2 === 1 ? part : part.replace(/\{\w+\}/g, '`$&`')))
    .join('`');
}
