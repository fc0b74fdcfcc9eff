import type { FastifyInstance } from 'fastify';
import type { Backend } from '../backend.ts';

/** GET /v1/status: the daemon and its networks. */
export function statusRoute(server: FastifyInstance, backend: Backend): void {
  server.get('/v1/status', () => backend.status());
}
