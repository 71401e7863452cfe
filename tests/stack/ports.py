"""Ports on the loopback address: find free ones, and check whether one is taken."""

import contextlib
import functools
import itertools
import random
import socket

# Below those that the system gives to programs that ask for any port: such a program must not get one of these between
# the moment at which it is found and the moment at which a server binds it.
FIRST, BLOCK_PORTS, BLOCKS = 22_000, 100, 100
KINDS = (socket.SOCK_DGRAM, socket.SOCK_STREAM)


class _Block:
    """Ports of this process alone: no other run of tests on this machine, in a root of another Debian neither, finds them free.

    The name of a socket without a file is known in all roots that share the network, and is free again when the process ends.
    """

    def __init__(self) -> None:
        # Not seeded: two runs shall rarely try the same block.
        for number in random.SystemRandom().sample(range(BLOCKS), BLOCKS):
            self._held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._held.bind(f"\0prepaid-cards-test-ports-{number}")
            except OSError:
                self._held.close()
                continue
            first = FIRST + number * BLOCK_PORTS
            # In turn: a server that is being stopped may have its port for a moment longer.
            self.ports = itertools.cycle(range(first, first + BLOCK_PORTS))
            return
        raise OSError(f"all {BLOCKS} blocks of ports are in use by other runs of tests")


@functools.cache
def _block() -> _Block:
    return _Block()


def free_ports(count: int) -> list[int]:
    """Free ports.  They differ, because all are held until the last one is found."""
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for port in itertools.islice(_block().ports, BLOCK_PORTS):
            # Both kinds: a server of TLS cannot have a port whose last connections ended a moment ago.
            probes = [held.enter_context(socket.socket(socket.AF_INET, kind)) for kind in KINDS]
            with contextlib.suppress(OSError):
                for probe in probes:
                    probe.bind(("127.0.0.1", port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise OSError(f"there are no {count} free ports among this process' {BLOCK_PORTS} on 127.0.0.1")


def is_taken(port: int) -> bool:
    with _udp_socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _udp_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
