"""A connection, and the work that is done on it for many requests at a time."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ..connection import Connection, DatabaseAway, RowLocked, TooLate
from ..settings import Settings
from .group import Group

# How soon a request is tried again that needs a row which somebody else has locked.
LOCKED_PAUSE_SECONDS = 0.02
# How long it is tried where no other request can be served meanwhile (FreeRADIUS with one Python instance).
ALONE_PATIENCE_SECONDS = 0.05

# The place of a result that is not there yet.
UNDONE = object()

# Fills in the result of each request, in order; what is filled in when it raises is done and is not done again.
Work = Callable[[Connection, list, list], None]


class Together:
    """Requests of FreeRADIUS' threads: those that wait at the same time are done together.

    A request that needs a locked row is tried again and again beside the others, until its answer is of no use any more.
    `is_alone`: the host gives one call at a time, so a call that waits would keep all others waiting.
    """

    def __init__(self, settings: Settings, work: Work):
        self.is_alone = False
        self._first = Group(lane(settings, work), settings.group_size)
        self._again = Group(lane(settings, work), settings.group_size)

    def submit(self, request: Any) -> Any:
        """Do one request; return its result or raise its exception.  `request.until` is when it is given up."""
        try:
            return self._first.submit(request)
        except RowLocked:
            until = request.until
            if self.is_alone:
                until = min(until, time.monotonic() + ALONE_PATIENCE_SECONDS)
        while time.monotonic() + LOCKED_PAUSE_SECONDS < until:
            time.sleep(LOCKED_PAUSE_SECONDS)
            try:
                return self._again.submit(request)
            except RowLocked:
                continue
        raise TooLate("a row that this needs is locked in the database")


def is_given_up(until: float) -> bool:
    """Whether whoever asked waits no more: nothing is done for him then."""
    return time.monotonic() >= until


def lane(settings: Settings, work: Work) -> Callable[[list], list]:
    """Do work for many on a connection of its own; a request that fails fails alone: halves are tried until it is
    found, but of nothing that was done already."""
    connection = Connection(settings)

    def run(requests: list) -> list:
        results: list[Any] = [UNDONE] * len(requests)
        try:
            work(connection, requests, results)
            fault: Exception = RuntimeError("a request was given no result")
        except Exception as raised:
            fault = raised
        undone = [index for index, result in enumerate(results) if result is UNDONE]
        if len(undone) == 1 or isinstance(fault, DatabaseAway):
            for index in undone:
                results[index] = fault
            return results
        half = len(undone) // 2
        for part in (undone[:half], undone[half:]):
            if part:
                for index, result in zip(part, run([requests[index] for index in part]), strict=True):
                    results[index] = result
        return results

    return run


def leaving_out_locked(connection: Connection, statement: Callable[[Any, list], Sequence], items: list) -> list:
    """Run one statement for many items: a result for each, or RowLocked for those whose row somebody else holds.

    A statement fails as a whole, so halves are tried until what is locked is found.  Each is done once, by the one
    statement that succeeds.
    """
    try:
        return list(connection.run(statement, items))
    except RowLocked as locked:
        if len(items) == 1:
            return [locked]
    half = len(items) // 2
    return leaving_out_locked(connection, statement, items[:half]) + leaving_out_locked(
        connection, statement, items[half:]
    )
