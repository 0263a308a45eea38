#!/bin/sh
# Boots systemd in namespaces and a control group of its own, with nothing but our two units:
#   unshare --mount systemd.sh PROGRAM REPOSITORY
# SIGTERM ends it and leaves nothing behind.
set -eu
program=$1
repository=$2
mount --make-rprivate /
if [ "${3:-}" != inside ]; then
  # The namespace's root is the group in which it begins, so systemd finds and fills no other.
  mount -t cgroup2 cgroup2 /mnt
  group=/mnt/tutti-test-$$
  mkdir "$group"
  sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' sh "$group" \
    unshare --fork --kill-child --pid --mount --ipc --uts --cgroup sh "$0" "$program" "$repository" inside &
  trap 'kill -KILL $!' TERM
  wait || true
  wait || true
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.1
  done
  exit
fi
umount /mnt
mount -t proc proc /proc
# It must set nothing of the host's.
mount -o bind,ro /proc/sys /proc/sys
mount -t tmpfs tmpfs /run
stage=/run/stage
mkdir -p $stage/up $stage/work
cp "$program" $stage/tutti
cp "$repository"/deploy/systemd/* $stage/
# Whatever the host would start is not there.
mount -t overlay overlay -o lowerdir=/etc,upperdir=$stage/up,workdir=$stage/work /etc
for dir in /lib/systemd/system /etc/systemd/system /usr/local/bin /var/lib /var/log; do
  mount -t tmpfs -o mode=0755 tmpfs $dir
done
install -m 0755 $stage/tutti /usr/local/bin/tutti
cp $stage/tutti.service $stage/tutti.socket /etc/systemd/system/
printf 'mode = "production"\ntrusted_proxies = ["127.0.0.1"]\nlimits.connections = 500\n' >/etc/tutti.toml
# A shorter patience than the unit's, for the test, and tuning before the start, of a folder that stands for the host.
mkdir -p /etc/systemd/system/tutti.service.d $stage/fake/proc/sys/net/core
echo 128 >$stage/fake/proc/sys/net/core/somaxconn
printf '[Service]\nWatchdogSec=3\nExecStartPre=+-/usr/local/bin/tutti tune apply --root %s\n' $stage/fake \
  >/etc/systemd/system/tutti.service.d/50-test.conf
for target in sysinit basic sockets shutdown network-online multi-user; do
  printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' $target >/lib/systemd/system/$target.target
done
printf '[Unit]\nDefaultDependencies=no\nWants=tutti.socket tutti.service\n' >/lib/systemd/system/test.target
umount -l /sys/fs/cgroup/unified 2>/dev/null || true
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec env -i container=test PATH="$PATH" /lib/systemd/systemd --system --unit=test.target --show-status=no
