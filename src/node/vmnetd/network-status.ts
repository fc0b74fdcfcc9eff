/** One network as the API shows it: its plan, what its netd says, and what people should know. */

import { ipv4ToString } from '../../core/base/address.ts';
import type { NetworkState, NetworkStatus } from '../../shared/api.ts';
import type { NetdStatus } from '../netd/protocol.ts';
import type { HostFacts } from './host-info.ts';
import type { NetworkPlan } from './plan.ts';
import { prefixToString } from './prefix.ts';
import type { Supervisor } from './supervisor.ts';

const STATUS_TIMEOUT_MS = 1000;

/** What the API says of one network; asks its netd, and does without if that does not answer within 1 s. */
export async function networkStatus(
  plan: NetworkPlan,
  supervisor: Supervisor | undefined,
  facts: HostFacts,
): Promise<NetworkStatus> {
  const status =
    supervisor?.state === 'running'
      ? await supervisor.request('status', {}, STATUS_TIMEOUT_MS).catch(() => null)
      : null;
  const { hostAddress } = facts;
  const ipv4 = plan.netd?.ipv4 ?? null;
  const isNat = plan.mode === 'nat' && ipv4 !== null;
  return {
    name: plan.name,
    mode: plan.mode,
    subnet: plan.subnet === null ? null : prefixToString(plan.subnet),
    pid: supervisor?.pid ?? null,
    state: stateOf(supervisor),
    gateway: isNat ? ipv4ToString(ipv4.gateway) : null,
    host: isNat ? ipv4ToString(ipv4.host) : null,
    hostAddress: isNat && hostAddress !== 0 ? ipv4ToString(hostAddress) : null,
    mtu: plan.mtu,
    socket: supervisor?.streamPath ?? null,
    ports: status?.ports ?? 0,
    leases: status?.leases ?? 0,
    flows: status?.flows ?? 0,
    restarts: supervisor?.restarts ?? 0,
    rssBytes: status?.rssBytes ?? 0,
    uptimeSeconds: Math.floor((status?.uptimeMs ?? 0) / 1000),
    echo: status?.echo ?? 'unavailable',
    counters: status?.counters ?? {},
    warnings: [...plan.warnings, ...warningsOf(plan, supervisor, status, facts)],
  };
}

function warningsOf(
  plan: NetworkPlan,
  supervisor: Supervisor | undefined,
  status: NetdStatus | null,
  { resolvers, hostAddress }: HostFacts,
): string[] {
  const warnings: string[] = [];
  if (supervisor?.state === 'running' && status === null) warnings.push('its netd does not answer');
  if (plan.mode !== 'nat') return warnings;
  if (status?.echo === 'unavailable') {
    warnings.push(
      'guests cannot ping the outside: allow it by `sysctl -w net.ipv4.ping_group_range="0 2147483647"`, or run vmnetd as root',
    );
  }
  if ((plan.resolvers ?? resolvers).length === 0) {
    warnings.push('/etc/resolv.conf of the host names no IPv4 name server: guests resolve only names of the network');
  }
  if (hostAddress === 0) warnings.push("the host has no address but loopback: guests cannot reach the host's services");
  return warnings;
}

function stateOf(supervisor: Supervisor | undefined): NetworkState {
  switch (supervisor?.state) {
    case undefined:
    case 'stopped':
      return 'unavailable';
    case 'running':
    case 'failed':
      return supervisor.state;
    default:
      return 'restarting';
  }
}
