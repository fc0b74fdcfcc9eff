// Adds up vitest's JSON reports: `node test-summary.mjs FOLDER REPORT…`. Names what was skipped and why, and what failed
// outside of a test (a build, a lint, a report that is missing, a file that could not be loaded): each counts as one
// failure. Ends with the plain line that machines read. Exit status 0 only if something ran and nothing failed.
// Plain JavaScript on purpose: it has to speak when the build fails, too.
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const [folder, ...reports] = process.argv.slice(2);
const problems = [];
const skipped = new Map();
let passed = 0;
let failed = 0;

const steps = join(folder, 'failed-steps');
// The failures inside of a test run are counted one by one below.
const outside = (line) => line !== '' && !/^(unit|end-to-end) tests /.test(line);
if (existsSync(steps)) problems.push(...readFileSync(steps, 'utf8').split('\n').filter(outside));

for (const report of reports) {
  const file = join(folder, report);
  if (!existsSync(file)) {
    problems.push(`${report}: the test runner ended without a report`);
    continue;
  }
  const { testResults, success } = JSON.parse(readFileSync(file, 'utf8'));
  let failedHere = 0;
  for (const { name, status, message, assertionResults } of testResults) {
    if (status === 'failed' && !assertionResults.some((result) => result.status === 'failed')) {
      failedHere++;
      problems.push(`${relative('.', name)}: ${message || 'its set-up or tear-down failed, see above'}`);
    }
    for (const result of assertionResults) {
      if (result.status === 'passed') passed++;
      else if (result.status === 'failed') {
        failed++;
        failedHere++;
        console.log(`FAILED  ${result.fullName}`);
      } else {
        // Suites that cannot run here carry the reason in their title (test/support/privileges.ts; in CI they fail
        // instead). Others are cases that do not apply here, or stand behind a set-up that failed.
        const reason = /\(skipped: ([^)]*)\)/.exec(result.fullName)?.[1] ?? `cases of ${relative('.', name)}`;
        skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
      }
    }
  }
  if (!success && failedHere === 0) problems.push(`${report}: errors outside of any test`);
}

let skippedCount = 0;
for (const [reason, count] of skipped) {
  skippedCount += count;
  console.log(`SKIPPED ${count}: ${reason}`);
}
if (passed + failed === 0 && problems.length === 0) problems.push('no test ran');
for (const problem of problems) console.log(`FAILED  ${problem}`);
failed += problems.length;

console.log(`${passed} passed, ${failed} failed${skippedCount > 0 ? `, ${skippedCount} skipped` : ''}`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
