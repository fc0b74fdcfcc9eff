import type { FastifyInstance } from 'fastify';
import { flowsQuery, listQuery } from '../../../shared/api.ts';
import type { Backend } from '../backend.ts';
import { validate } from '../validate.ts';

/** GET /v1/ports, /v1/leases and /v1/flows: of one network or of all. */
export function listRoutes(server: FastifyInstance, backend: Backend): void {
  server.get('/v1/ports', (request) => backend.ports(validate(listQuery, request.query).network ?? null));
  server.get('/v1/leases', (request) => backend.leases(validate(listQuery, request.query).network ?? null));
  server.get('/v1/flows', (request) => {
    const { network, limit } = validate(flowsQuery, request.query);
    return backend.flows(network ?? null, limit);
  });
}
