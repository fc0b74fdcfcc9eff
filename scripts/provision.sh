#!/usr/bin/env bash
# Installs what tests, demo and bench need on Debian, and nothing that is there already. Root only; asks nothing.
#
#   scripts/provision.sh            installs all that is missing
#   scripts/provision.sh --list     prints the names of the missing packages and installs nothing
set -euo pipefail

# command or file that shows it is there : package
NEEDS='
qemu-system-x86_64:qemu-system-x86
/boot/vmlinuz-*-cloud-amd64:linux-image-cloud-amd64
/usr/share/doc/busybox-static:busybox-static
udhcpc:udhcpc
dhclient:isc-dhcp-client
ip:iproute2
ping:iputils-ping
dig:dnsutils
curl:curl
iperf3:iperf3
nft:nftables
tshark:tshark
nsenter:util-linux
setpriv:util-linux
pasta:passt
slirp4netns:slirp4netns
ab:apache2-utils
xz:xz-utils
'

is_there() {
  case $1 in
  /*) compgen -G "$1" >/dev/null ;;
  # Ordinary users' PATH lacks the sbin folders, where several of these live.
  *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
  esac
}

missing=()
for need in $NEEDS; do
  is_there "${need%%:*}" || missing+=("${need##*:}")
done

if [ "${1:-}" = --list ]; then
  [ ${#missing[@]} -eq 0 ] || printf '%s\n' "${missing[@]}" | sort -u
  exit 0
fi
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "provision: root could install: ${missing[*]}" >&2
  exit 1
fi
command -v apt-get >/dev/null || {
  echo "provision: not a Debian: install these yourself: ${missing[*]}" >&2
  exit 1
}

echo "provision: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# No initial RAM disk for the guests' kernel: tests bring their own.
export INITRD=No
apt=(apt-get -q -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
"${apt[@]}" update
"${apt[@]}" install --no-install-recommends "${missing[@]}"
