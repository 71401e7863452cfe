#!/bin/sh
# Run a command in a network of its own with loopback up, so that NAS programs may use their usual ports, addresses and
# interfaces.  Its processes end with it.
#
#     tests/nas/private-network.sh .venv/bin/python -m pytest tests/nas

if [ "$(id --user)" != 0 ]; then
    echo "make test-nas: NAS programs make network interfaces, so run this as root." >&2
    exit 1
fi
exec unshare --net --pid --fork --kill-child --mount-proc \
    sh -c 'ip link set lo up && PREPAID_PRIVATE_NETWORK=1 exec "$@"' sh "$@"
