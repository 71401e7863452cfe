#!/bin/bash
# Install those of the given Debian packages that are missing, without starting their services.
#
#     tests/stack/debian-packages.sh freeradius mariadb-server
#
# Debian starts a server when its package is installed.  The stack is private and must not start system services, so
# /usr/sbin/policy-rc.d (invoke-rc.d(8)) answers 101, "not allowed", during the installation, and is restored afterwards.

set -euo pipefail

main() {
    local missing
    mapfile -t missing < <(missing_of "$@")
    [ ${#missing[@]} -gt 0 ] || return 0

    as_root true || stop "these Debian packages are missing: ${missing[*]}. Install them, or run make as root or through sudo."
    command -v apt-get > /dev/null || stop "these Debian packages are missing and there is no apt-get: ${missing[*]}."

    echo "Installing Debian's packages: ${missing[*]}"
    forbid_services
    trap allow_services EXIT
    if [ -d /run/systemd/system ]; then
        echo "None of their services is started now. Debian starts them at the next boot; prevent it with 'systemctl disable' where they are not wanted."
    fi
    if ! install_packages "${missing[@]}"; then
        stop "apt-get could not install ${missing[*]}; see its messages above, check that Debian's archive can be reached, and run make again."
    fi
}

missing_of() {
    local package
    for package in "$@"; do
        dpkg-query --show --showformat '${db:Status-Status}\n' "$package" 2> /dev/null | grep -qx installed \
            || echo "$package"
    done
}

as_root() {
    if [ "$(id --user)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
    # The package lists of a fresh machine are empty or old.  If the update fails, the installation says why.
    as_root apt-get --quiet --quiet update || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet --yes --no-install-recommends \
        --option Dpkg::Use-Pty=0 install "$@" < /dev/null
}

policy=/usr/sbin/policy-rc.d
aside=$policy.before-prepaid-cards

forbid_services() {
    # A copy that a killed run left is the machine's own file: keep it and restore it at the end.
    if [ -e $policy ] && [ ! -e $aside ]; then as_root mv $policy $aside; fi
    printf '#!/bin/sh\n# Put here by prepaid-cards while it installs packages; it may be removed.\nexit 101\n' \
        | as_root tee $policy > /dev/null
    as_root chmod 755 $policy
}

allow_services() {
    as_root rm -f $policy
    if [ -e $aside ]; then as_root mv $aside $policy; fi
}

stop() {
    echo "make: $1" >&2
    exit 1
}

main "$@"
