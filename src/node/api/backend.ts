/** What the API asks of the daemon behind it: one method a request. Rejections that are no `UserError` are bugs. */

import type { Flows, Guest, GuestRequest, Lease, Port, Status } from '../../shared/api.ts';

/** `network` null stands for all networks; an unknown one is NETWORK_UNKNOWN. */
export interface Backend {
  status(): Promise<Status>;
  ports(network: string | null): Promise<Port[]>;
  leases(network: string | null): Promise<Lease[]>;
  flows(network: string | null, limit: number): Promise<Flows>;
  attach(network: string, request: GuestRequest): Promise<Guest>;
  detach(network: string, port: number): Promise<void>;
  /** Begins to stop the daemon and returns at once. */
  shutdown(): void;
}
