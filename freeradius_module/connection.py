"""One connection to the database, that fails fast and comes back by itself.

While the database is away, a login must cost milliseconds, not a time-out: each of FreeRADIUS' threads
would hang in it.  So after a failure nobody tries again for a moment; then one call tries for all.
"""

import time
from collections.abc import Callable
from typing import Any

import pymysql
from pymysql.constants import CLIENT

from . import SCHEMA_VERSION
from .settings import RADIUS_GROUP, Settings

# Retry of the whole transaction is right: deadlock, lock wait, snapshot conflict (Galera: certification).
TRY_AGAIN = {1213, 1205, 1020}
# The connection is gone, or this node of a cluster is: perhaps after the commit.  What runs here is idempotent.
GO_ELSEWHERE = {1047, 1180, 1053, 1317, 1927, 2006, 2013, 2014, 2055, 4031}
TRIES = 4
PAUSE_SECONDS = 1.0


class DatabaseAway(Exception):
    """The database is not reachable."""


class WrongSchema(Exception):
    """The database has another schema than this program was made for."""


class Connection:
    """Connects when it is first needed, with the group [prepaid-radius] of the option file."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._connection: pymysql.connections.Connection | None = None
        self._not_before = 0.0

    def run(self, work: Callable[[Any, Any], Any], request: Any) -> Any:
        """Have ``work(cursor, request)`` done in a transaction of its own, again if it has to be.

        Raises DatabaseAway when it cannot be done now; any other error is about the request itself.
        """
        for attempt in range(TRIES):
            cursor = self._cursor()
            try:
                return work(cursor, request)
            except (pymysql.err.OperationalError, pymysql.err.InternalError, pymysql.err.InterfaceError) as fault:
                number = fault.args[0] if fault.args else 0
                if number in TRY_AGAIN:
                    self._roll_back()
                    continue
                self.close()
                if number in GO_ELSEWHERE or not isinstance(number, int) or number == 0:
                    if attempt == 0 and not _is_timeout(fault):
                        continue  # A connection that was closed while idle: once more, on a new one.
                    self._not_before = time.monotonic() + PAUSE_SECONDS
                    raise DatabaseAway(str(fault)) from fault
                raise
            except Exception:
                self._roll_back()
                raise
        raise DatabaseAway("the database has refused this transaction again and again")

    def close(self) -> None:
        if self._connection is not None:
            # Not close(): that would write to a socket that may hang.
            self._connection._force_close()
            self._connection = None

    def _cursor(self) -> pymysql.cursors.Cursor:
        if self._connection is None:
            if time.monotonic() < self._not_before:
                raise DatabaseAway("the database was not reachable a moment ago")
            try:
                self._connection = connect(self._settings)
            except WrongSchema:
                raise
            except (pymysql.err.MySQLError, OSError) as fault:
                self._not_before = time.monotonic() + PAUSE_SECONDS
                raise DatabaseAway(str(fault)) from fault
        return self._connection.cursor()

    def _roll_back(self) -> None:
        try:
            if self._connection is not None:
                self._connection.rollback()
        except (pymysql.err.MySQLError, OSError):
            self.close()


def connect(settings: Settings) -> pymysql.connections.Connection:
    """A new connection, in our collation and time zone, to a schema of our version.

    autocommit: a group is one statement, mostly; what is more says BEGIN and COMMIT.
    READ COMMITTED: no gap locks, so that logins and accounting of different cards never meet.
    """
    seconds = settings.database_timeout_seconds
    connection = pymysql.connect(
        read_default_file=settings.path,
        read_default_group=RADIUS_GROUP,
        unix_socket=settings.unix_socket,
        # Reading the system's certificates takes the driver longer than all the rest, and a socket needs none.
        ssl_disabled=settings.unix_socket is not None,
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=seconds,
        read_timeout=seconds,
        write_timeout=seconds,
        client_flag=CLIENT.FOUND_ROWS,
        init_command=(
            "SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin, time_zone = '+00:00',"
            " innodb_lock_wait_timeout = 1,"
            " sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
        ),
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute("SELECT MAX(version) FROM schema_version")
            (version,) = cursor.fetchone()
    except pymysql.err.ProgrammingError as fault:
        connection._force_close()
        raise WrongSchema("The database has no schema of prepaid-cards yet. Run 'prepaid db init'.") from fault
    if version != SCHEMA_VERSION:
        connection._force_close()
        raise WrongSchema(
            f"The database has schema version {version}, this module needs {SCHEMA_VERSION}. "
            + ("Run 'prepaid db upgrade'." if version < SCHEMA_VERSION else "Install the newer module.")
        )
    return connection


def _is_timeout(fault: Exception) -> bool:
    return "timed out" in str(fault)
