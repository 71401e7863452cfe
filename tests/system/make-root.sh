#!/bin/bash
# Make the root of a Debian release that boots with systemd, once; machine.py boots copies of it.
#
#     tests/system/make-root.sh bookworm /var/cache/prepaid-cards/system-bookworm
#
# It is a provider's server before prepaid cards: a stock FreeRADIUS with a customer and a NAS of its own, and MariaDB,
# both as services.  Remove the folder to have a new one.

set -euo pipefail

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
packages=(freeradius freeradius-python3 freeradius-utils mariadb-server python3 logrotate man-db bash-completion)

main() {
    [ $# = 2 ] || stop "name a Debian release and the folder of its root."
    local release=$1 root=$2 unfinished=$2.unfinished
    # Two runs that begin at the same time make one root.
    mkdir --parents "$(dirname "$root")"
    exec 9> "$root.lock"
    flock 9
    [ ! -e "$root/etc/debian_version" ] || return 0

    echo "Making a root of Debian $release in $root; this takes some minutes, once."
    # Renamed when it is complete, so that an interrupted run leaves no root behind.
    rm -rf --one-file-system "$unfinished"
    {
        debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates,iproute2,procps,psmisc \
            "$release" "$unfinished" "$mirror" \
            && as_this_machine "$unfinished" \
            && install_packages "$unfinished"
    } > "$root.log" 2>&1 \
        || stop "could not make a root of Debian $release; see $root.log, check that $mirror can be reached (DEBIAN_MIRROR=… names another), and run make again."
    a_provider "$unfinished"
    mv "$unfinished" "$root"
}

# The root reaches the network as this machine does, and trusts the same certificate authorities.
as_this_machine() {
    local root=$1
    cp --dereference /etc/resolv.conf "$root/etc/"
    if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
        cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    fi
}

# The services start at the boot, not now: they would use this machine's ports.
install_packages() {
    local root=$1
    printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    unshare --mount --propagation private --pid --fork bash -euc '
        mount -t proc proc "$1/proc"
        mount --rbind /dev "$1/dev"
        mount -t tmpfs tmpfs "$1/run"
        export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
        export DEBIAN_FRONTEND=noninteractive
        chroot "$1" apt-get --quiet --quiet update
        chroot "$1" apt-get --quiet --quiet --yes --no-install-recommends --option Dpkg::Use-Pty=0 install "${@:2}"
        chroot "$1" apt-get clean
    ' install "$root" "${packages[@]}" < /dev/null
    rm "$root/usr/sbin/policy-rc.d"
}

# What the provider has before prepaid cards: a NAS in clients.conf and a contract customer in the file `authorize`.
# 127.0.0.5 is an address of every machine; machine.py's Provider sends from it.
a_provider() {
    local raddb=$1/etc/freeradius/3.0
    cat >> "$raddb/clients.conf" << 'END'

client provider-nas {
	ipaddr = 127.0.0.5
	secret = provider-secret
	shortname = provider-nas
}
END
    printf 'maria\tCleartext-Password := "her-password"\n\tFramed-Pool = "contract",\n\tReply-Message = "Contract customer"\n' \
        > "$raddb/maria"
    cat "$raddb/mods-config/files/authorize" >> "$raddb/maria"
    cat "$raddb/maria" > "$raddb/mods-config/files/authorize"
    rm "$raddb/maria"
    echo prepaid-system > "$1/etc/hostname"
    printf '127.0.0.1 localhost prepaid-system\n::1 localhost\n' > "$1/etc/hosts"
    # The journal survives a reboot of the machine.
    mkdir --parents "$1/var/log/journal"
}

stop() {
    echo "$(basename "$0"): $1" >&2
    exit 1
}

main "$@"
