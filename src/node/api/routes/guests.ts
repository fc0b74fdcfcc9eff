import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import { guestRequest, networkName } from '../../../shared/api.ts';
import type { Backend } from '../backend.ts';
import { validate } from '../validate.ts';

const networkParams = z.object({ network: networkName });
const portParams = z.object({
  network: networkName,
  port: z.coerce
    .number()
    .int()
    .min(0)
    .max(2 ** 31),
});

/** POST and DELETE of namespace guests. */
export function guestRoutes(server: FastifyInstance, backend: Backend): void {
  server.post('/v1/networks/:network/guests', async (request, reply) => {
    const { network } = validate(networkParams, request.params);
    const guest = await backend.attach(network, validate(guestRequest, request.body));
    return reply.code(201).send(guest);
  });
  server.delete('/v1/networks/:network/guests/:port', async (request, reply) => {
    const { network, port } = validate(portParams, request.params);
    await backend.detach(network, port);
    return reply.code(204).send();
  });
}
