#!/bin/bash
# Run make in the root of a Debian release, on that release's FreeRADIUS, MariaDB and Python.
#
#     tests/debian-root.sh trixie /var/cache/prepaid-cards/debian13 test PYTEST=tests/acceptance
#     tests/debian-root.sh bookworm-backports /var/cache/prepaid-cards/bookworm-backports test
#
# The second is Debian 12 with the FreeRADIUS of its backports.
#
# debootstrap makes the root once (this takes some minutes) and later runs use it again; remove its folder to have a
# new one.  make runs there on a copy of this checkout, and installs what it needs as on a bare machine.
#
# All mounts and processes live in namespaces of this process, so they end with it, however it ends.

set -euo pipefail

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
checkout=$(cd "$(dirname "$0")/.." && pwd)

main() {
    [ $# -ge 3 ] || stop "name a Debian release, the folder of its root, and the arguments of make."
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
    local suite=${release%-backports} unfinished=$root.unfinished
    echo "Making a root of Debian $release in $root; this takes some minutes, once."
    mkdir --parents "$(dirname "$root")"
    # Renamed when it is complete, so that an interrupted run leaves no root behind.
    rm -rf --one-file-system "$unfinished"
    debootstrap --variant=minbase --include=ca-certificates,make "$suite" "$unfinished" "$mirror" > "$root.log" 2>&1 \
        || stop "debootstrap could not make a root of Debian $suite; see $root.log, check that $mirror can be reached (DEBIAN_MIRROR=… names another), and run make again."
    [ "$release" = "$suite" ] || add_backports "$suite" "$unfinished"
    # Debian must never start a service in the root: it would use this machine's ports.
    printf '#!/bin/sh\nexit 101\n' > "$unfinished/usr/sbin/policy-rc.d"
    chmod 755 "$unfinished/usr/sbin/policy-rc.d"
    mv "$unfinished" "$root"
}

# FreeRADIUS from the backports, and everything else from the release.
add_backports() {
    local suite=$1 root=$2
    echo "deb $mirror $suite-backports main" > "$root/etc/apt/sources.list.d/backports.list"
    cat > "$root/etc/apt/preferences.d/freeradius" << END
Package: freeradius* libfreeradius*
Pin: release n=$suite-backports
Pin-Priority: 900
END
}

# Copies the tree without what was built or started here.  File times are kept, so that make installs again only what
# has changed; the virtual environment in the root stays.  tar returns 1 if a folder changed meanwhile: tests that run at
# the same time make __pycache__ there, which is not copied.
copy_checkout() {
    local target=$1/srv/prepaid-cards
    mkdir --parents "$target"
    find "$target" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf --one-file-system {} +
    { tar --create --directory "$checkout" --exclude='./.git' --exclude='./.venv*' --exclude='./var' --exclude='./var-*' \
        --exclude='./.*_cache' --exclude='./.hypothesis' --exclude='./build' --exclude='./*.egg-info' \
        --exclude='__pycache__' --exclude='*.mo' . || [ $? = 1 ]; } \
        | tar --extract --directory "$target" --no-same-owner
}

# Runs in the namespaces: mounts what a running system has mounted, and runs make in the root.
enter() {
    local root=$1
    shift
    # The root must be a mount point, so that tests in it can make mount namespaces, too.
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    # A mount point, because `ip netns exec` mounts another /sys over it.
    mount -t sysfs sysfs "$root/sys"
    mount -t tmpfs tmpfs "$root/run"
    # The root reaches the network as this machine does, and trusts the same certificate authorities.
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
