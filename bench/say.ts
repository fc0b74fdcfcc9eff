/** Progress goes to standard error; standard output has the tables only. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

export function warn(line: string): void {
  say(`  ! ${line}`);
}
