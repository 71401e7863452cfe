#!/bin/bash
# Run make in the root of a Debian release, on that release's FreeRADIUS, MariaDB and Python.
#
#     tests/debian-root.sh trixie /var/cache/prepaid-cards/debian13 test PYTEST=tests/acceptance
#
# The root is made once by debootstrap (some minutes) and used again; remove its folder to have a new one.
# make runs there on a copy of this checkout, and installs what it needs just as it does on a bare machine.
#
# Everything that is mounted or started there lives in namespaces of this process, so it is gone when the
# process is, however it ends.

set -euo pipefail

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
checkout=$(cd "$(dirname "$0")/.." && pwd)

main() {
    [ $# -ge 3 ] || stop "say a Debian release, the folder of its root, and what make shall do there."
    [ "$(id --user)" = 0 ] || exec sudo --preserve-env=DEBIAN_MIRROR,CI "$0" "$@"
    local release=$1 root=$2
    shift 2

    [ -e "$root/etc/debian_version" ] || make_root "$release" "$root"
    unshare --mount --propagation private true 2> /dev/null \
        || stop "this machine does not let root make a mount namespace (a container without CAP_SYS_ADMIN?), so nothing can be mounted in $root."
    copy_checkout "$root"
    export -f enter
    exec unshare --mount --propagation private --pid --fork --kill-child \
        bash -euc 'enter "$@"' enter "$root" "$@"
}

make_root() {
    local release=$1 root=$2
    echo "Making a root of Debian $release in $root; this takes some minutes, once."
    mkdir --parents "$(dirname "$root")"
    # Made aside and renamed: what was interrupted is not taken for a root.
    rm -rf --one-file-system "$root.unfinished"
    debootstrap --variant=minbase --include=ca-certificates,make "$release" "$root.unfinished" "$mirror" > "$root.log" 2>&1 \
        || stop "debootstrap could not make a root of Debian $release; see $root.log, check the way to $mirror (DEBIAN_MIRROR=… names another), and run make again."
    # Nothing may be started in it, ever: processes of the root would use this machine's ports.
    printf '#!/bin/sh\nexit 101\n' > "$root.unfinished/usr/sbin/policy-rc.d"
    chmod 755 "$root.unfinished/usr/sbin/policy-rc.d"
    mv "$root.unfinished" "$root"
}

# The tree as it is, without what was built or started here; times are kept, so that only what has changed
# is installed again, and the virtual environment in the root stays.
copy_checkout() {
    local target=$1/srv/prepaid-cards
    mkdir --parents "$target"
    find "$target" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf --one-file-system {} +
    tar --create --directory "$checkout" --exclude='./.git' --exclude='./.venv*' --exclude='./var' --exclude='./var-*' \
        --exclude='__pycache__' --exclude='*.mo' . | tar --extract --directory "$target" --no-same-owner
}

# In the namespaces: mount what a system has, and run make in the root.
enter() {
    local root=$1
    shift
    # A mount of its own, so that what runs in it can make mount namespaces, too.
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    # Network namespaces are entered with a /sys of their own in the place of this one.
    mount -t sysfs sysfs "$root/sys"
    mount -t tmpfs tmpfs "$root/run"
    # How the network is reached is this machine's affair, the authorities it trusts included.
    cp --dereference /etc/resolv.conf /etc/hosts "$root/etc/"
    if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
        cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    fi
    unset VAR AUTH_PORT ACCT_PORT MAKEFLAGS MAKELEVEL MFLAGS TMPDIR VIRTUAL_ENV PYTHONPATH PIP_FIND_LINKS
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
    chroot "$root" make --no-print-directory --directory /srv/prepaid-cards "$@"
}

stop() {
    echo "$(basename "$0"): $1" >&2
    exit 1
}

main "$@"
