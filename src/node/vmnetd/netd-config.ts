/** Whether a netd that runs is the one that a plan asks for. */

import type { NetdConfig } from '../netd/protocol.ts';
import type { NetdPlan } from './plan.ts';

/** Whether a netd was started with the same plan: everything but what changes while it runs. */
export function sameConfig(config: NetdConfig, plan: NetdPlan): boolean {
  const { leases: _leases, resolvers: _resolvers, hostAddress: _hostAddress, ...running } = config;
  return canonical(running) === canonical(plan);
}

/** Whether guests of the one may stay guests of the other: same mode, same addresses. */
export function sameSubnet(config: NetdConfig, plan: NetdPlan): boolean {
  return config.mode === plan.mode && canonical(config.ipv4) === canonical(plan.ipv4);
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
