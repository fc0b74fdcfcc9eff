/**
 * The daemon as the command line sees it: JSON over HTTP on `<run dir>/api.sock`. One connection a request. Answers
 * are taken as the contract in shared/api.ts has them, without a schema check: zod would double the start of `vmnet`, and
 * both ends come from one package. An answer is bounded in size and time; what goes wrong is a coded error.
 */

import { request } from 'node:http';
import type { Flows, Guest, GuestRequest, Lease, Port, Status } from '../../shared/api.ts';
import { type ErrorBody, exitCodeOf, UserError } from '../../shared/errors.ts';
import { RUN_FILES, SOCKET_PATH_MAX } from '../../shared/paths.ts';

/** A mistake that the daemon found; its texts are passed on as they came. */
export class DaemonError extends Error {
  readonly code: string;
  readonly hint: string;
  readonly exitCode: number;

  constructor(error: ErrorBody['error']) {
    super(error.message);
    this.code = error.code;
    this.hint = error.hint;
    this.exitCode = exitCodeOf(error.code);
  }
}

/** Longest answer taken: 10,000 flows on each of 256 networks stay below it. */
const ANSWER_MAX_BYTES = 1 << 30;

interface Answer {
  status: number;
  text: string;
}

/** One daemon, by its run directory. Every method rejects with `UserError` or {@link DaemonError} only. */
export class Client {
  readonly #runDir: string;
  readonly #timeoutMs: number;

  constructor(runDir: string, timeoutMs = 15_000) {
    this.#runDir = runDir;
    this.#timeoutMs = timeoutMs;
  }

  status(): Promise<Status> {
    return this.#call('GET', '/v1/status');
  }

  ports(network?: string): Promise<Port[]> {
    return this.#call('GET', `/v1/ports${query({ network })}`);
  }

  leases(network?: string): Promise<Lease[]> {
    return this.#call('GET', `/v1/leases${query({ network })}`);
  }

  flows(network?: string, limit?: number): Promise<Flows> {
    return this.#call('GET', `/v1/flows${query({ network, limit })}`);
  }

  addGuest(network: string, body: GuestRequest): Promise<Guest> {
    return this.#call('POST', `/v1/networks/${encodeURIComponent(network)}/guests`, body);
  }

  async removeGuest(network: string, port: number): Promise<void> {
    await this.#call('DELETE', `/v1/networks/${encodeURIComponent(network)}/guests/${port}`);
  }

  async shutdown(): Promise<void> {
    await this.#call('POST', '/v1/shutdown');
  }

  async #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.#exchange(method, path, body === undefined ? null : JSON.stringify(body));
    let value: unknown = null;
    if (answer.text !== '') {
      try {
        value = JSON.parse(answer.text);
      } catch {
        throw this.#unreachable(`its answer (HTTP ${answer.status}) is not JSON`);
      }
    }
    if (answer.status >= 200 && answer.status < 300) return value as T;
    if (isErrorBody(value)) throw new DaemonError(value.error);
    throw this.#unreachable(`it answered HTTP ${answer.status}`);
  }

  #exchange(method: string, path: string, body: string | null): Promise<Answer> {
    const socketPath = `${this.#runDir}/${RUN_FILES.api}`;
    const length = Buffer.byteLength(socketPath);
    if (length > SOCKET_PATH_MAX) {
      return Promise.reject(new UserError('SOCKET_PATH_TOO_LONG', { path: socketPath, length }));
    }
    const headers =
      body === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    return new Promise((resolve, reject) => {
      const sent = request({ socketPath, method, path, headers, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > ANSWER_MAX_BYTES) sent.destroy(new Error(`its answer exceeds ${ANSWER_MAX_BYTES} bytes`));
          else chunks.push(chunk);
        });
        response.on('end', () => {
          clearTimeout(deadline);
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') });
        });
        response.on('error', (error) => fail(error));
      });
      const deadline = setTimeout(
        () => sent.destroy(new Error(`no answer within ${this.#timeoutMs / 1000} s`)),
        this.#timeoutMs,
      );
      const fail = (error: NodeJS.ErrnoException): void => {
        clearTimeout(deadline);
        reject(this.#explain(error, socketPath));
      };
      sent.on('error', fail);
      sent.end(body ?? undefined);
    });
  }

  #explain(error: NodeJS.ErrnoException, socketPath: string): UserError {
    if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ENOTDIR') {
      return new UserError('DAEMON_NOT_RUNNING', { runDir: this.#runDir });
    }
    if (error.code === 'EACCES' || error.code === 'EPERM') {
      return new UserError('PRIVILEGE_MISSING', {
        operation: `Connecting to ${socketPath}`,
        reason: 'it belongs to another user',
        hint: 'Run vmnet as the user who started vmnetd (sudo for root), or start one of your own with its own VMNET_RUN_DIR.',
      });
    }
    return this.#unreachable(error.message);
  }

  #unreachable(reason: string): UserError {
    return new UserError('DAEMON_UNREACHABLE', {
      runDir: this.#runDir,
      reason,
      log: `${this.#runDir}/${RUN_FILES.log}`,
    });
  }
}

function query(values: Readonly<Record<string, string | number | undefined>>): string {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined);
  return pairs.length === 0 ? '' : `?${pairs.map(([key, value]) => `${key}=${encodeURIComponent(value!)}`).join('&')}`;
}

function isErrorBody(value: unknown): value is ErrorBody {
  if (typeof value !== 'object' || value === null || !('error' in value)) return false;
  const { error } = value;
  return (
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    typeof error.code === 'string' &&
    'message' in error &&
    typeof error.message === 'string' &&
    'hint' in error &&
    typeof error.hint === 'string'
  );
}
