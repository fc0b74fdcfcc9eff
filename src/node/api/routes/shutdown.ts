import type { FastifyInstance } from 'fastify';
import type { Backend } from '../backend.ts';

/** POST /v1/shutdown: answered before the daemon begins to stop; its socket is gone once it has. */
export function shutdownRoute(server: FastifyInstance, backend: Backend): void {
  server.post('/v1/shutdown', (_request, reply) => {
    reply.raw.once('finish', () => backend.shutdown());
    return reply.code(202).send({});
  });
}
