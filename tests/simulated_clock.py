"""A clock that stands still until a test moves it: for this process and for the database as this process sees it.

    clock.advance(600)
    engine.account(late.packet)

The database's time is set on each connection (SET timestamp) before a statement, so UTC_TIMESTAMP() and the columns'
defaults follow it.  Programs that are started, radiusd among them, have the true time.
"""

import contextlib
import time
from unittest import mock

from pymysql.connections import Connection

# The database lets nobody write what lies in the future, by the server's own clock: so all of a test is long ago.
STARTS_BEFORE_SECONDS = 500 * 86_400


class SimulatedClock:
    def __init__(self):
        # Whole seconds, so that a session's seconds and the distance of two moments agree exactly.
        self._start = float(int(time.time()) - STARTS_BEFORE_SECONDS)
        self.now = self._start
        self._advanced = 0.0

    def begin_again(self) -> None:
        """Play other days that are as long ago.  Waits do not go back."""
        self.now = self._start

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self._advanced += seconds

    @contextlib.contextmanager
    def running(self):
        """Within this, all of the process lives by this clock."""
        true_monotonic, true_query = time.monotonic, Connection.query

        def query(connection, sql, unbuffered=False):
            if getattr(connection, "_simulated_now", None) != self.now:
                true_query(connection, f"SET timestamp = {self.now:.3f}")
                connection._simulated_now = self.now
            return true_query(connection, sql, unbuffered)

        with (
            mock.patch.object(time, "time", lambda: self.now),
            # Waits go on by the true clock, or they would never end.
            mock.patch.object(time, "monotonic", lambda: true_monotonic() + self._advanced),
            mock.patch.object(Connection, "query", query),
        ):
            yield self
