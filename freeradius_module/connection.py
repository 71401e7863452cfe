"""One connection to the database, that fails fast and comes back by itself.

While the database is away, a login must cost milliseconds, not a time-out: each of FreeRADIUS' threads
would hang in it.  So after a failure nobody tries that node again for a moment; then one call tries for all.

Of a cluster, the nodes are tried in the order of the option file, and a connection stays where it is until that
node fails.  A failure in the middle of the work is ambiguous, it may have been committed; what runs here gives the
same result when it is run again, on another node too.
"""

import time
from collections.abc import Callable
from typing import Any

import pymysql
from pymysql.constants import CLIENT, ER

from . import SCHEMA_VERSION
from .settings import Settings

# Retry of the whole transaction is right: deadlock, snapshot conflict (Galera: certification).
TRY_AGAIN = {1213, 1020}
# A row is locked by somebody else; nothing waits for it here.
LOCKED = 1205
# This node of a cluster is not in the part that may decide: nothing was done, another one is.
NOT_HERE = {1047}
# The connection is gone, or this node of a cluster is: perhaps after the commit.  What runs here is idempotent.
GO_ELSEWHERE = {1180, 1053, 1317, 1927, 2006, 2013, 2014, 2055, 4031} | NOT_HERE
# Rivals on other nodes are noticed at the commit only, so a busy card may lose several times.
TRIES = 8
PAUSE_SECONDS = 1.0
# A node that hangs costs each who asks it a time-out, so where there are others it is left alone for longer.
HUNG_PAUSE_SECONDS = 10.0
# So many nodes may hang before a call gives up: the NAS does not wait for more.
TIMEOUTS_MOST = 2
# In this mode the driver writes text as a literal (Connection.escape), which the hot statements put into their text.
SQL_MODE = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"


class DatabaseAway(Exception):
    """The database is not reachable."""


class RowLocked(Exception):
    """A row is locked by another transaction.

    Nothing was done.  What did not touch that row can be done meanwhile, and this again a moment later.
    """


class TooLate(DatabaseAway):
    """The request is older than its answer is of use; nothing was done."""


class WrongSchema(Exception):
    """The database has another schema than this program was made for."""


class Place:
    """Where a server is, and until when it is left alone."""

    def __init__(self, host: str | None = None, port: int = 0):
        self.host = host
        self.port = port
        self.not_before = 0.0

    def is_tried(self) -> bool:
        return time.monotonic() >= self.not_before

    def leave(self, seconds: float) -> None:
        self.not_before = time.monotonic() + seconds


class Connection:
    """Connects when it is first needed, as the settings' group of the option file says."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._connection: pymysql.connections.Connection | None = None
        self._places = [Place(*host) for host in settings.hosts] or [Place()]
        self._place = self._places[0]
        self._not_before = 0.0

    def run(self, work: Callable[[Any, Any], Any], request: Any) -> Any:
        """Have ``work(cursor, request)`` done in a transaction of its own, again if it has to be.

        Raises RowLocked if another transaction holds a row that this needs, DatabaseAway when it cannot be done now; any
        other error is about the request itself.
        """
        failures = Failures()
        for _ in range(TRIES):
            cursor = self._cursor(failures)
            try:
                return work(cursor, request)
            except (pymysql.err.OperationalError, pymysql.err.InternalError, pymysql.err.InterfaceError) as fault:
                number = fault.args[0] if fault.args else 0
                if number == LOCKED:
                    self._roll_back()
                    raise RowLocked(str(fault)) from None
                if number in TRY_AGAIN:
                    self._roll_back()
                    continue
                self.close()
                if number not in GO_ELSEWHERE and isinstance(number, int) and number != 0:
                    raise
                self._leave_if_hopeless(number, fault, failures)
            except Exception:
                self._roll_back()
                raise
        raise DatabaseAway("the database has refused this transaction again and again")

    def close(self) -> None:
        if self._connection is not None:
            # Not close(): that would write to a socket that may hang.
            self._connection._force_close()
            self._connection = None

    def _cursor(self, failures: "Failures") -> pymysql.cursors.Cursor:
        if self._connection is None:
            self._connection = self._connect(failures)
        return self._connection.cursor()

    def _connect(self, failures: "Failures") -> pymysql.connections.Connection:
        """To the first node that lets us in; when all are left alone, to the one that has been so for longest."""
        if time.monotonic() < self._not_before:
            raise DatabaseAway("the database was not reachable a moment ago")
        tried = [place for place in self._places if place.is_tried()]
        for place in tried or [min(self._places, key=lambda place: place.not_before)]:
            try:
                connection = connect(self._settings, place)
            except WrongSchema:
                raise
            except (pymysql.err.MySQLError, OSError) as fault:
                self._leave(place, fault, failures)
                continue
            self._place = place
            return connection
        raise self._away(failures.last) from failures.last

    def _leave_if_hopeless(self, number: Any, fault: Exception, failures: "Failures") -> None:
        """A connection that broke was perhaps closed while idle: the same node once more, then another one."""
        failures.broken.append(self._place)
        is_elsewhere = number in NOT_HERE and len(self._places) > 1  # With one place, a proxy may know another node.
        is_closed = not is_elsewhere and not _is_timeout(fault)
        if is_closed and failures.broken.count(self._place) == 1:
            failures.last = fault
            return
        self._leave(self._place, fault, failures)
        if not any(place.is_tried() for place in self._places):
            raise self._away(fault) from fault

    def _leave(self, place: Place, fault: Exception, failures: "Failures") -> None:
        failures.last = fault
        is_hung = _is_timeout(fault)
        place.leave(HUNG_PAUSE_SECONDS if is_hung and len(self._places) > 1 else PAUSE_SECONDS)
        failures.timeouts += is_hung
        if failures.timeouts >= TIMEOUTS_MOST:
            raise self._away(fault) from fault

    def _away(self, fault: Exception | None) -> DatabaseAway:
        """Nobody is left to ask.  The next calls do not even try, for a moment."""
        if not any(place.is_tried() for place in self._places):
            self._not_before = time.monotonic() + PAUSE_SECONDS
        return DatabaseAway(str(fault))

    def _roll_back(self) -> None:
        try:
            if self._connection is not None:
                self._connection.rollback()
        except (pymysql.err.MySQLError, OSError):
            self.close()


class Failures:
    """What one call has met on its way."""

    def __init__(self) -> None:
        self.last: Exception | None = None
        self.broken: list[Place] = []
        self.timeouts = 0


def connect(settings: Settings, place: Place | None = None) -> pymysql.connections.Connection:
    """A new connection, in our collation and time zone, to a schema of our version.

    autocommit: a group is one statement, mostly; what is more says BEGIN and COMMIT.
    sql_mode: asked for again, because literals are right in that mode.
    READ COMMITTED: no gap locks, so that logins and accounting of different cards never meet.
    innodb_lock_wait_timeout = 0: a statement for many packets must not wait for one card's row; see RowLocked.
    """
    seconds = settings.database_timeout_seconds
    place = place or Place()
    connection = pymysql.connect(
        read_default_file=settings.connection_file,
        read_default_group=settings.group,
        unix_socket=None if place.host else settings.unix_socket,
        host=place.host,
        port=place.port,
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
            " innodb_lock_wait_timeout = 0, group_concat_max_len = 1048576,"
            f" sql_mode = '{SQL_MODE}'"
        ),
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            _agree_with_cluster(cursor)
            cursor.execute("SELECT MAX(version), @@sql_mode FROM schema_version")
            version, mode = cursor.fetchone()
    except pymysql.err.ProgrammingError as fault:
        connection._force_close()
        raise WrongSchema("The database has no schema of prepaid-cards yet. Run 'prepaid db init'.") from fault
    if mode != SQL_MODE:
        # Whoever stands between us and the server gives us a session that is not ours.
        connection._force_close()
        raise WrongSchema(
            f"The connection has the sql_mode '{mode}' and not '{SQL_MODE}', in which our literals are written. "
            "Connect without a proxy that shares sessions."
        )
    if version != SCHEMA_VERSION:
        connection._force_close()
        raise WrongSchema(
            f"The database has schema version {version}, this module needs {SCHEMA_VERSION}. "
            + ("Run 'prepaid db upgrade'." if version < SCHEMA_VERSION else "Install the newer module.")
        )
    return connection


def _agree_with_cluster(cursor: pymysql.cursors.Cursor) -> None:
    """On a node of a Galera cluster: read nothing stale, and be told of every lost race.

    sync_wait: a read waits until this node has applied what was committed elsewhere before it.
    retry_autocommit: left at its default, a statement that lost against another node's is repeated by the server, and
    its RETURNING tells what the first attempt would have written: two logins would both believe to have won a number.
    """
    try:
        cursor.execute("SET SESSION wsrep_sync_wait = 1, wsrep_retry_autocommit = 0")
    except pymysql.err.MySQLError as fault:
        if fault.args[0] != ER.UNKNOWN_SYSTEM_VARIABLE:  # A MariaDB that was built without Galera.
            raise


def _is_timeout(fault: Exception) -> bool:
    return "timed out" in str(fault)
