"""A connection, and the work that is done on it for many requests at a time."""

from collections.abc import Callable

from .connection import Connection, DatabaseAway
from .group import Group
from .settings import Settings


def group(settings: Settings, work: Callable[[Connection, list], list]) -> Group:
    """What waits at the same time is done together."""
    return Group(lane(settings, work), settings.group_size)


def lane(settings: Settings, work: Callable[[Connection, list], list]) -> Callable[[list], list]:
    """Do work for many on a connection of its own; a request that fails fails alone: halves are tried until it is
    found."""
    connection = Connection(settings)

    def run(requests: list) -> list:
        try:
            return work(connection, requests)
        except DatabaseAway:
            raise
        except Exception as fault:
            if len(requests) == 1:
                return [fault]
            half = len(requests) // 2
            return run(requests[:half]) + run(requests[half:])

    return run
