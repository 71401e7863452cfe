"""UDP ports on the loopback address: find free ones, and check whether one is taken."""

import contextlib
import socket


def free_ports(count: int) -> list[int]:
    """Free ports.  They differ, because all are held until the last one is found."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(_udp_socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def is_taken(port: int) -> bool:
    with _udp_socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _udp_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
