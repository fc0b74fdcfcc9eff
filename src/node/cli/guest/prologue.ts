/**
 * What runs inside of a guest's namespaces before its command: two shell programs, as pure functions of text.
 *
 * `unshare --net --mount -- sh -c PROLOGUE vmnet CMD…` makes the namespaces and execs the shell, so the pid that was
 * spawned is already the guest's. The prologue reports over descriptor 3 (a socket pair), then reads SETTINGS from it
 * up to its end, runs them, reports again, and execs CMD: still the same pid, now with the terminal's standard error
 * back (descriptor 4; until then it is a pipe, so that a failing tool becomes a coded error). If the command line dies
 * meanwhile, the settings end without their last line and the command is never run with half a network.
 *
 * The settings bring up `lo` and the NICs in one `ip -batch`, and give the guest a resolv.conf of its own. That file
 * lies on a tmpfs that only the guest's mount namespace has seen: nothing is written on the host, nothing is left over.
 * It is bound over what /etc/resolv.conf leads to; where that is missing or dangling, a read-only overlay adds it to
 * /etc. The host's resolver daemons (systemd-resolved, nscd) are hidden, since glibc would ask them past the guest's
 * network. A fresh sysfs shows the guest's interfaces in /sys/class/net. A host that replaces its resolv.conf by
 * rename(2) later takes the bound file away with it (mount_namespaces(7)): a program that runs that long sees the host's.
 */

import type { Guest } from '../../../shared/api.ts';

/** Lines that the prologue reports on descriptor 3. */
export const REPORT = { READY: 'ready', DONE: 'done' } as const;

/** Exit status of the prologue when the settings could not be made. */
const SETUP_FAILED = 125;

/** Argument of `sh -c`; the command and its arguments are `$@`. */
export const PROLOGUE = `echo ${REPORT.READY} >&3
eval "$(cat <&3)"
[ "\${vmnet_settings_made-}" = 1 ] || exit ${SETUP_FAILED}
unset vmnet_settings_made
echo ${REPORT.DONE} >&3
exec 2>&4 3>&- 4>&-
exec "$@"
`;

/** Where the settings find what they need. */
export interface SettingsInputs {
  /** Path of the `ip` program. */
  ip: string;
  /** Path of the `mount` and `umount` programs. */
  mount: string;
  umount: string;
  /** A directory that exists, covered by a tmpfs for a moment. */
  stage: string;
}

/** The settings for a guest with these NICs, in order. The first with a gateway has the default route. */
export function settingsText(nics: readonly Guest[], inputs: SettingsInputs): string {
  return [interfaceSettings(nics, inputs), mountSettings(nics, inputs), 'vmnet_settings_made=1', ''].join('\n');
}

function interfaceSettings(nics: readonly Guest[], inputs: SettingsInputs): string {
  const lines = ['link set dev lo up'];
  for (const nic of nics) {
    if (nic.address !== null) lines.push(`addr add ${nic.address} broadcast + dev ${nic.interface}`);
    lines.push(`link set dev ${nic.interface} up`);
  }
  const outward = nics.find((nic) => nic.gateway !== null);
  if (outward !== undefined) lines.push(`route add default via ${outward.gateway} dev ${outward.interface}`);
  return [`${quoted(inputs.ip)} -batch - <<'VMNET' || exit ${SETUP_FAILED}`, ...lines, 'VMNET'].join('\n');
}

/** The guest's resolv.conf: the name servers of all NICs (glibc takes three), their domains to search; '' without any. */
export function resolvConfText(nics: readonly Guest[]): string {
  const servers = [...new Set(nics.flatMap((nic) => nic.dns))].slice(0, 3);
  if (servers.length === 0) return '';
  const domains = [...new Set(nics.filter((nic) => nic.dns.length > 0).map((nic) => nic.domain))];
  return `# Made by vmnet ns for this guest.\nsearch ${domains.join(' ')}\n${servers.map((server) => `nameserver ${server}\n`).join('')}`;
}

/** A network without a name server leaves the guest with an empty resolv.conf: the host's names the wrong servers. */
function mountSettings(nics: readonly Guest[], inputs: SettingsInputs): string {
  const text = resolvConfText(nics) || '# Made by vmnet ns: no network of this guest has a name server.\n';
  const mount = quoted(inputs.mount);
  return `vmnet_stage=${quoted(inputs.stage)}
${mount} -t tmpfs -o size=256k,mode=0755 vmnet-guest "$vmnet_stage" || exit ${SETUP_FAILED}
mkdir "$vmnet_stage/etc" "$vmnet_stage/cgroup" || exit ${SETUP_FAILED}
printf %s ${quoted(text)} >"$vmnet_stage/etc/resolv.conf" || exit ${SETUP_FAILED}
if [ -d /run/systemd/resolve ]; then
  ${mount} -t tmpfs -o size=64k,mode=0755 vmnet-guest /run/systemd/resolve &&
    : >/run/systemd/resolve/stub-resolv.conf && : >/run/systemd/resolve/resolv.conf
fi
if [ -d /run/nscd ]; then ${mount} -t tmpfs -o size=64k,mode=0755 vmnet-guest /run/nscd; fi
if [ -e /etc/resolv.conf ]; then
  ${mount} --bind "$vmnet_stage/etc/resolv.conf" /etc/resolv.conf || exit ${SETUP_FAILED}
else
  ${mount} -t overlay -o "lowerdir=$vmnet_stage/etc:/etc" vmnet-guest /etc ||
    echo 'vmnet: /etc/resolv.conf could not be set; names will not resolve' >&4
fi
(
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then ${mount} --rbind /sys/fs/cgroup "$vmnet_stage/cgroup" && vmnet_kept=1; fi
  ${mount} -t sysfs vmnet-guest /sys && [ "\${vmnet_kept-}" = 1 ] && ${mount} --move "$vmnet_stage/cgroup" /sys/fs/cgroup
) 2>/dev/null
${quoted(inputs.umount)} -l "$vmnet_stage"
unset vmnet_stage`;
}

/** A word for the shell. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
