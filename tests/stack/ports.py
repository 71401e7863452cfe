"""UDP ports on the loopback address: find free ones, and check whether one is taken."""

import contextlib
import random
import socket

# Below those that the system gives to programs that ask for any port: such a program must not get one of these between
# the moment at which it is found and the moment at which a server binds it.
FIRST, LAST = 22_000, 32_000
TRIES = 1_000
# Not seeded: several runs of tests must not choose the same ports.
_chance = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """Free ports.  They differ, because all are held until the last one is found."""
    with contextlib.ExitStack() as held:
        sockets = []
        for _ in range(TRIES):
            if len(sockets) == count:
                return [each.getsockname()[1] for each in sockets]
            probe = held.enter_context(_udp_socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", _chance.randrange(FIRST, LAST)))
                sockets.append(probe)
    raise OSError(f"there are no {count} free ports between {FIRST} and {LAST} on 127.0.0.1")


def is_taken(port: int) -> bool:
    with _udp_socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _udp_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
