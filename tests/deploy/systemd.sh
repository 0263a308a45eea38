#!/bin/sh
# Boots systemd in namespaces of its own, with nothing but our two units, and stays it: systemd.sh PROGRAM REPOSITORY
# To be run as the first process of new pid, mount, ipc, uts and cgroup namespaces.
set -eu
program=$1
repository=$2
mount --make-rprivate /
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
# A shorter patience than the unit's, for the test.
mkdir /etc/systemd/system/tutti.service.d
printf '[Service]\nWatchdogSec=2\n' >/etc/systemd/system/tutti.service.d/50-test.conf
for target in sysinit basic sockets shutdown network-online multi-user; do
  printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' $target >/lib/systemd/system/$target.target
done
printf '[Unit]\nDefaultDependencies=no\nWants=tutti.socket tutti.service\n' >/lib/systemd/system/test.target
umount -l /sys/fs/cgroup/unified 2>/dev/null || true
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec env -i container=test PATH="$PATH" /lib/systemd/systemd --system --unit=test.target --show-status=no
