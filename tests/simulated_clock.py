"""A clock that only a test moves, for this process and for its database connections.

    clock.advance(600)
    engine.account(late.packet)

Before a statement, SET timestamp sets the time of its connection, so UTC_TIMESTAMP() and the columns' defaults follow
this clock.  Other processes, such as radiusd, have the true time.
"""

import contextlib
import time
from unittest import mock

from pymysql.connections import Connection

# The schema refuses times in the future of the server's own clock, so tests play in the past.
STARTS_BEFORE_SECONDS = 500 * 86_400


class SimulatedClock:
    def __init__(self):
        # Whole seconds, so that a session's duration equals the difference of its two times.
        self._start = float(int(time.time()) - STARTS_BEFORE_SECONDS)
        self.now = self._start
        self._advanced = 0.0

    def begin_again(self) -> None:
        """Return to the start.  The monotonic clock does not go back."""
        self.now = self._start

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self._advanced += seconds

    @contextlib.contextmanager
    def running(self):
        """Inside this context, the whole process uses this clock."""
        true_monotonic, true_query = time.monotonic, Connection.query

        def query(connection, sql, unbuffered=False):
            if getattr(connection, "_simulated_now", None) != self.now:
                true_query(connection, f"SET timestamp = {self.now:.3f}")
                connection._simulated_now = self.now
            return true_query(connection, sql, unbuffered)

        with (
            mock.patch.object(time, "time", lambda: self.now),
            # Waits need the true clock, or they would never end.
            mock.patch.object(time, "monotonic", lambda: true_monotonic() + self._advanced),
            mock.patch.object(Connection, "query", query),
        ):
            yield self


@contextlib.contextmanager
def server_follows(database):
    """Inside this context the server's own clock, which SET timestamp does not move, is that of each connection."""
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW CREATE FUNCTION server_time")
        made = cursor.fetchone()["Create Function"]
        cursor.execute("CREATE OR REPLACE FUNCTION server_time() RETURNS DATETIME(3) NO SQL RETURN UTC_TIMESTAMP(3)")
    try:
        yield
    finally:
        database.execute(made.replace("CREATE", "CREATE OR REPLACE", 1))
