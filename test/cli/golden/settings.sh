/usr/sbin/ip -batch - <<'VMNET' || exit 125
link set dev lo up
addr add 192.168.88.128/24 broadcast + dev eth0
link set dev eth0 up
link set dev eth1 up
route add default via 192.168.88.2 dev eth0
VMNET
vmnet_stage='/run/it'\''s here'
/bin/mount -t tmpfs -o size=256k,mode=0755 vmnet-guest "$vmnet_stage" || exit 125
mkdir "$vmnet_stage/etc" "$vmnet_stage/cgroup" || exit 125
printf %s '# Made by vmnet ns for this guest.
search vmnet.internal
nameserver 192.168.88.2
' >"$vmnet_stage/etc/resolv.conf" || exit 125
if [ -d /run/systemd/resolve ]; then
  /bin/mount -t tmpfs -o size=64k,mode=0755 vmnet-guest /run/systemd/resolve &&
    : >/run/systemd/resolve/stub-resolv.conf && : >/run/systemd/resolve/resolv.conf
fi
if [ -d /run/nscd ]; then /bin/mount -t tmpfs -o size=64k,mode=0755 vmnet-guest /run/nscd; fi
if [ -e /etc/resolv.conf ]; then
  /bin/mount --bind "$vmnet_stage/etc/resolv.conf" /etc/resolv.conf || exit 125
else
  /bin/mount -t overlay -o "lowerdir=$vmnet_stage/etc:/etc" vmnet-guest /etc ||
    echo 'vmnet: /etc/resolv.conf could not be set; names will not resolve' >&4
fi
(
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then /bin/mount --rbind /sys/fs/cgroup "$vmnet_stage/cgroup" && vmnet_kept=1; fi
  /bin/mount -t sysfs vmnet-guest /sys && [ "${vmnet_kept-}" = 1 ] && /bin/mount --move "$vmnet_stage/cgroup" /sys/fs/cgroup
) 2>/dev/null
/bin/umount -l "$vmnet_stage"
unset vmnet_stage
vmnet_settings_made=1
