/** vmnetd as it is started: the built program with real netds. What it says on `--ready-fd`, its exit codes, what it leaves. */

import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { identify, isAlive, type ProcessIdentity } from '../../../src/node/vmnetd/process-identity.ts';
import { readyLine, type Status, status } from '../../../src/shared/api.ts';

const MAIN = fileURLToPath(new URL('../../../dist/node/vmnetd/main.js', import.meta.url));

let base: string;
let runDir: string;
let stateDir: string;
let children: ChildProcess[];

beforeEach(() => {
  if (!existsSync(MAIN)) throw new Error('this tests what is built: run `npm run build` first');
  base = mkdtempSync(join(tmpdir(), 'vmnetd-main-'));
  runDir = join(base, 'run');
  stateDir = join(base, 'state');
  children = [];
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  if (existsSync(runDir)) await vmnetd(['--stop']);
  rmSync(base, { recursive: true, force: true });
});

interface Ended {
  exitCode: number | null;
  stderr: string;
}

interface Started {
  child: ChildProcess;
  /** The line on the ready descriptor, null when it was closed without one. */
  line: Promise<unknown>;
  ended: Promise<Ended>;
}

function start(args: string[], env: NodeJS.ProcessEnv = {}): Started {
  const child = spawn(process.execPath, [MAIN, ...args, '--ready-fd', '3'], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, VMNET_RUN_DIR: runDir, VMNET_STATE_DIR: stateDir, ...env },
  });
  children.push(child);
  const text = async (stream: unknown) => {
    let all = '';
    for await (const part of stream as Readable) all += String(part);
    return all;
  };
  const stderr = text(child.stderr);
  const exitCode = new Promise<number | null>((resolve) => child.once('close', resolve));
  return {
    child,
    line: text(child.stdio[3]).then((line) => (line === '' ? null : readyLine.parse(JSON.parse(line)))),
    ended: Promise.all([exitCode, stderr]).then(([code, errors]) => ({ exitCode: code, stderr: errors })),
  };
}

/** Runs it to its end. */
async function vmnetd(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ended & { line: unknown }> {
  const started = start(args, env);
  return { line: await started.line, ...(await started.ended) };
}

async function failure(
  args: string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: string; message: string; exitCode: number | null }> {
  const { line, exitCode, stderr } = await vmnetd(args, env);
  const { error } = line as { error: { code: string; message: string; hint: string } };
  expect(stderr).toContain(`vmnetd: ${error.message} [${error.code}]\n  ${error.hint}\n`);
  return { code: error.code, message: error.message, exitCode };
}

function ask(method: string, path: string): Promise<{ statusCode: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: join(runDir, 'api.sock'), method, path }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve({ statusCode: response.statusCode ?? 0, body: JSON.parse(text) }));
    });
    sent.on('error', reject).end();
  });
}

async function netds(): Promise<ProcessIdentity[]> {
  const { networks } = status.parse((await ask('GET', '/v1/status')).body) satisfies Status;
  return networks.map(({ pid }) => identify(pid ?? 0)!);
}

const leftInRunDir = () => readdirSync(runDir).filter((name) => /\.(sock|ctl)$/.test(name));

describe('without a file', () => {
  it('brings up vmnet1 and vmnet8, says so, and leaves nothing behind at SIGTERM', async () => {
    const { child, line, ended } = start([]);
    expect(await line).toEqual({ ready: true, pid: child.pid });
    for (const name of leftInRunDir()) expect(statSync(join(runDir, name)).mode & 0o077).toBe(0);
    expect(leftInRunDir().sort()).toEqual(['api.sock', 'vmnet1.ctl', 'vmnet1.sock', 'vmnet8.ctl', 'vmnet8.sock']);
    const running = await netds();
    expect(running.map(isAlive)).toEqual([true, true]);
    child.kill('SIGTERM');
    expect(await ended).toEqual({ exitCode: 0, stderr: '' });
    expect(running.map(isAlive)).toEqual([false, false]);
    expect(leftInRunDir()).toEqual([]);
  });

  it('ends when the API asks for it', async () => {
    const { line, ended } = start([]);
    await line;
    expect(await ask('POST', '/v1/shutdown')).toEqual({ statusCode: 202, body: {} });
    expect((await ended).exitCode).toBe(0);
  });

  it('keeps the subnets that it chose', async () => {
    const first = start([]);
    await first.line;
    const kept = readFileSync(join(stateDir, 'networks.json'), 'utf8');
    first.child.kill('SIGTERM');
    await first.ended;
    const second = start([]);
    await second.line;
    expect(readFileSync(join(stateDir, 'networks.json'), 'utf8')).toBe(kept);
  });
});

describe('netds without a vmnetd', () => {
  it('go on after kill -9, are adopted by the next one, and ended by --stop', async () => {
    const first = start([]);
    await first.line;
    const running = await netds();
    first.child.kill('SIGKILL');
    await first.ended;
    expect(running.map(isAlive)).toEqual([true, true]);
    const second = start([]);
    await second.line;
    expect(await netds()).toEqual(running);
    second.child.kill('SIGKILL');
    await second.ended;
    const { exitCode, line } = await vmnetd(['--stop']);
    expect([exitCode, line]).toEqual([0, { ready: true, pid: expect.any(Number) }]);
    expect(running.map(isAlive)).toEqual([false, false]);
    expect(leftInRunDir()).toEqual([]);
  });
});

describe('a start that cannot be', () => {
  it('beside a running vmnetd leaves that one alone', async () => {
    const { child, line } = start([]);
    await line;
    expect(await failure([])).toMatchObject({
      code: 'DAEMON_RUNS',
      message: `vmnetd runs already in ${runDir} (pid ${child.pid})`,
      exitCode: 3,
    });
    expect(await failure(['--stop'])).toMatchObject({ code: 'DAEMON_RUNS' });
    expect((await netds()).map(isAlive)).toEqual([true, true]);
    expect(await failure([], { VMNET_RUN_DIR: join(base, 'other') })).toMatchObject({
      code: 'STATE_IN_USE',
      exitCode: 3,
    });
  });

  it('for a configuration that is wrong makes nothing at all', async () => {
    const file = join(base, 'vmnet.yaml');
    writeFileSync(file, 'networks:\n  vmnet8: { mode: nat, mtu: 99 }\n');
    expect(await failure(['--config', file])).toEqual({
      code: 'CONFIG_INVALID',
      message: `${file}:2:29: networks.vmnet8.mtu: an MTU is at least 576`,
      exitCode: 2,
    });
    expect(existsSync(runDir)).toBe(false);
    expect(existsSync(stateDir)).toBe(false);
  });

  it('for a full disk says so, and calls it no bug', async () => {
    mkdirSync(stateDir, { mode: 0o700 });
    symlinkSync('/dev/full', join(stateDir, 'networks.json.tmp'));
    const { code, message } = await failure([]);
    expect([code, message]).toEqual(['DAEMON_START_FAILED', expect.stringContaining('ENOSPC')]);
  });

  it('for a subnet of the host, a path too long, a missing file, an unusable directory has its code', async () => {
    const file = join(base, 'vmnet.yaml');
    writeFileSync(
      file,
      'networks: { vmnet8: { mode: nat, subnet: 192.168.88.0/24 }, vmnet9: { mode: hostonly, subnet: 192.168.88.0/25 } }',
    );
    expect(await failure(['--config', file])).toMatchObject({ code: 'SUBNET_COLLIDES', exitCode: 2 });
    expect(await failure(['--config', join(base, 'absent')])).toMatchObject({ code: 'CONFIG_UNREADABLE', exitCode: 2 });
    const long = join(base, 'r'.repeat(120));
    expect(await failure([], { VMNET_RUN_DIR: long })).toMatchObject({ code: 'SOCKET_PATH_TOO_LONG', exitCode: 4 });
    expect(existsSync(long)).toBe(false);
    expect(await failure([], { VMNET_RUN_DIR: '/proc/nowhere' })).toMatchObject({
      code: 'DIRECTORY_UNUSABLE',
      exitCode: 4,
    });
    expect(await failure(['--colour'])).toMatchObject({ code: 'USAGE', exitCode: 2 });
  });

  it('tells it even without anybody on the ready descriptor', async () => {
    const child = spawn(process.execPath, [MAIN, '--config', join(base, 'absent')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const exitCode = await new Promise((resolve) => child.once('close', resolve));
    expect(exitCode).toBe(2);
  });
});
