/**
 * The HTTP API of vmnetd (the contract is in shared/api.ts): Fastify on a unix socket.
 *
 * Who may connect is decided by the socket's mode (0600, main's umask); whoever can has the daemon's rights on its
 * networks. Bodies up to 64 KiB. Every failure is `{error: {code, message, hint}}`: a `UserError` as it is, what Fastify
 * itself refuses as REQUEST_INVALID, and anything else as INTERNAL, logged with its stack.
 */

import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify';
import { UserError } from '../../shared/errors.ts';
import type { Backend } from './backend.ts';
import { guestRoutes } from './routes/guests.ts';
import { listRoutes } from './routes/lists.ts';
import { shutdownRoute } from './routes/shutdown.ts';
import { statusRoute } from './routes/status.ts';

const BODY_BYTES_MAX = 64 * 1024;

/** What the server is built from. */
export interface ServerOptions {
  backend: Backend;
  /** For the message about bugs. */
  runDir: string;
  logger?: FastifyBaseLogger;
}

/** The server with all routes, not listening yet. */
export function buildServer({ backend, runDir, logger }: ServerOptions): FastifyInstance {
  const common = {
    bodyLimit: BODY_BYTES_MAX,
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: true,
    // What is refused before a route is found, a path that cannot be decoded for example.
    frameworkErrors: (error: Error, _request: FastifyRequest, reply: FastifyReply) => {
      const known = toUserError(error, runDir);
      return reply.code(known.httpStatus).send(known.toBody());
    },
  } as const;
  const server: FastifyInstance = fastify(logger === undefined ? common : { ...common, loggerInstance: logger });
  server.setErrorHandler((error, request, reply) => {
    const known = toUserError(error, runDir);
    if (known.code === 'INTERNAL') request.log.error({ err: error, url: request.url }, 'a request failed by a bug');
    return reply.code(known.httpStatus).send(known.toBody());
  });
  server.setNotFoundHandler((request, reply) => {
    const unknown = new UserError('ROUTE_UNKNOWN', {
      method: request.method,
      path: request.url.split('?', 1)[0] ?? '',
    });
    return reply.code(unknown.httpStatus).send(unknown.toBody());
  });
  statusRoute(server, backend);
  listRoutes(server, backend);
  guestRoutes(server, backend);
  shutdownRoute(server, backend);
  return server;
}

function toUserError(error: unknown, runDir: string): UserError {
  if (error instanceof UserError) return error;
  if (
    error instanceof Error &&
    'statusCode' in error &&
    typeof error.statusCode === 'number' &&
    error.statusCode < 500
  ) {
    return new UserError('REQUEST_INVALID', { problem: error.message });
  }
  return new UserError('INTERNAL', { reason: error instanceof Error ? error.message : String(error), runDir });
}
