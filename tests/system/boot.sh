#!/bin/bash
# Boot a copy of a root with systemd in systemd-nspawn, and again after each reboot.  machine.py starts it.
#
#     unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc tests/system/boot.sh ROOT NAME
#
# The copy is an overlay in memory, in the mount namespace of this process, which is process 1 of a PID namespace.  So
# everything ends and is removed with this process, however it ends, and ROOT is never written to.

set -euo pipefail

root=$1 name=$2
mount -t tmpfs -o size=4G,mode=755 tmpfs /mnt
mkdir /mnt/changes /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$root,upperdir=/mnt/changes,workdir=/mnt/work" overlay /mnt/root

# With --keep-unit, systemd-nspawn ends with this status if the machine wants to be booted again.
rebooted=133
status=$rebooted
while [ $status = $rebooted ]; do
    status=0
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 setpriv --pdeathsig KILL systemd-nspawn --quiet --boot --directory=/mnt/root \
        --machine="${name//_/-}" --register=no --keep-unit --console=pipe --resolv-conf=copy-host \
        --network-namespace-path=/proc/self/ns/net || status=$?
done
exit $status
