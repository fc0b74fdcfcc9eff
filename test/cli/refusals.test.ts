/** `vmnet ns` where the kernel refuses namespaces, told by an unshare(1) that fails. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FakeDaemon, runHere } from './fake-daemon.ts';

let daemon: FakeDaemon;
let tools: string;
beforeAll(async () => {
  daemon = await FakeDaemon.start();
  tools = mkdtempSync(join(tmpdir(), 'vmnet-tools-'));
  const unshare = join(tools, 'unshare');
  writeFileSync(unshare, '#!/bin/sh\necho "unshare: unshare failed: Operation not permitted" >&2\nexit 1\n');
  chmodSync(unshare, 0o755);
});
afterAll(async () => {
  await daemon.stop();
  rmSync(tools, { recursive: true });
});

it('refused namespaces are one coded error, and the daemon is not asked for a guest', async () => {
  const env = { VMNET_RUN_DIR: daemon.runDir, PATH: `${tools}:${process.env.PATH}` };
  const { code, stdout, stderr } = await runHere(['ns', '--', 'true'], env);
  expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
  expect(stderr).toMatch(
    /^error PRIVILEGE_MISSING: .+ is not permitted: unshare failed: Operation not permitted\nhint: .+\n$/,
  );
  expect(daemon.asked).toEqual([]);
});

it('a command that is not there ends before a namespace is made', async () => {
  const env = { VMNET_RUN_DIR: daemon.runDir, PATH: tools };
  const { code, stderr } = await runHere(['ns', '--', 'no-such-program'], env);
  expect(code).toBe(127);
  expect(stderr).toContain('COMMAND_NOT_FOUND');
});
