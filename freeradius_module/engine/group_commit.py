"""Group commit: requests that wait at the same time share the statements and the commits of one connection."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from pymysql.cursors import Cursor

from ..connection import Connection, DatabaseAway, Nodes, RowLocked, TooLate
from ..histogram import Histogram
from ..settings import Settings
from .group import Group

# How soon a request is tried again that needs a row which another transaction has locked.
LOCKED_PAUSE_SECONDS = 0.02
# How long it is tried where no other request can be served meanwhile (FreeRADIUS with one Python instance).
SERIAL_PATIENCE_SECONDS = 0.05

# Stands for a result that is not there yet.
UNDONE = object()


class HasDeadline(Protocol):
    @property
    def until(self) -> float:
        """When its caller gives up, by the monotonic clock."""


Request = TypeVar("Request", bound=HasDeadline)
Item = TypeVar("Item")
Result = TypeVar("Result")

# Fills in the result of each request, in their order.  What is filled in when it raises is done and is not done again.
Work = Callable[[Connection, list[Request], list[Any]], None]


class Runner(Generic[Request]):
    """Does work for many requests on a connection that nothing else uses.

    A request that fails fails alone: where the whole fails, each half of what is not done is tried by itself, until the
    faulty request is found.
    """

    def __init__(self, connection: Connection, work: Work[Request]):
        self._connection = connection
        self._work = work

    def run(self, requests: list[Request]) -> list[Any]:
        """A result or an exception for each request, in their order."""
        results: list[Any] = [UNDONE] * len(requests)
        try:
            self._work(self._connection, requests, results)
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
                for index, result in zip(part, self.run([requests[index] for index in part]), strict=True):
                    results[index] = result
        return results

    @property
    def timings(self) -> dict[str, Histogram]:
        """How long the statements of this connection took; see Connection."""
        return self._connection.timings

    def close(self) -> None:
        self._connection.close()


class GroupCommit(Generic[Request]):
    """Does the requests of FreeRADIUS' threads in groups.

    A request that needs a locked row is tried again beside the others, on a connection of its own, until its caller gives
    up.  `is_serial`: the host makes one call at a time, so a call that waits holds up all others.
    """

    def __init__(self, settings: Settings, nodes: Nodes, work: Work[Request]):
        self.is_serial = False
        self._runners = [Runner(Connection(settings, nodes), work) for _ in range(2)]
        self._first, self._again = (Group(runner.run, settings.group_size) for runner in self._runners)

    def submit(self, request: Request) -> Any:
        """Do one request; return its result or raise its exception."""
        try:
            return self._first.submit(request)
        except RowLocked:
            until = request.until
            if self.is_serial:
                until = min(until, time.monotonic() + SERIAL_PATIENCE_SECONDS)
        while time.monotonic() + LOCKED_PAUSE_SECONDS < until:
            time.sleep(LOCKED_PAUSE_SECONDS)
            try:
                return self._again.submit(request)
            except RowLocked:
                continue
        raise TooLate("a row that this needs is locked in the database")

    def close(self) -> None:
        for runner in self._runners:
            runner.close()


def is_given_up(until: float) -> bool:
    """Whether the caller no longer waits: nothing is done for it then."""
    return time.monotonic() >= until


def leaving_out_locked(
    connection: Connection, statement: Callable[[Cursor, list[Item]], Sequence[Result]], items: list[Item]
) -> list[Result | RowLocked]:
    """Run one statement for many items; a result for each, or RowLocked for one whose row another transaction holds.

    A statement fails as a whole, so each half is tried by itself until the locked row is found.  Each item is done once,
    by the one statement that succeeds.
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


def without_results(statement: Callable[[Cursor, list[Item]], object]) -> Callable[[Cursor, list[Item]], list[None]]:
    """A statement for many items that returns nothing, as leaving_out_locked needs it: None for each item."""

    def run(cursor: Cursor, items: list[Item]) -> list[None]:
        statement(cursor, items)
        return [None] * len(items)

    run.__name__ = statement.__name__  # for the timings
    return run
