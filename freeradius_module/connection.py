"""One connection to the database, which fails fast and comes back by itself.

While the database is away, a login must cost milliseconds and not a time-out: otherwise all of FreeRADIUS' threads would
soon wait.  So after a failure no call tries that node again for a moment; then one call tries it for all.

The nodes of a cluster are tried in the order of the option file, and a connection stays with its node until that node
fails for it or for another connection of the process.  After a failure in the middle of the work it is not known whether
the work was committed.  Whatever runs here gives the same result when it is run again, on another node, too.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import pymysql
from pymysql.constants import CLIENT, ER
from pymysql.cursors import Cursor

from . import SCHEMA_VERSION
from .histogram import SECONDS, Histogram
from .sentence import Sentence
from .settings import Settings

# MariaDB's error numbers.  The transaction lost a race (deadlock, snapshot conflict, Galera's certification): to run all of
# it again is right.
LOST_RACE = {1213, 1020}
# Another transaction holds a row; nothing waits for it here.
LOCKED = 1205
# This node of a cluster is not in the part that may decide.  Nothing was done; another node may be in that part.
NODE_NOT_READY = {1047}
# The connection or this node of a cluster is gone, perhaps after the commit.
GONE = {1180, 1053, 1317, 1927, 2006, 2013, 2014, 2055, 4031} | NODE_NOT_READY
# A transaction learns only at its commit that it lost a race on another node, so a busy card may lose several times.
TRIES = 8
PAUSE_SECONDS = 1.0
# A node that hangs costs each call a time-out, so it is left alone for longer where there are other nodes.
HUNG_PAUSE_SECONDS = 10.0
# So many nodes may hang before a call gives up: the NAS does not wait for more.
TIMEOUTS_MOST = 2
# In this mode the driver writes text as a literal (Connection.escape), which the hot statements put into their text.
SQL_MODE = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"

Request = TypeVar("Request")
Result = TypeVar("Result")


class DatabaseAway(Exception):
    """The database is not reachable."""


class RowLocked(Exception):
    """A row is locked by another transaction.

    Nothing was done.  Other work can be done meanwhile, and this again a moment later.
    """


class TooLate(DatabaseAway):
    """The request is so old that its caller has given up; nothing was done."""


class WrongSchema(Exception):
    """The database's schema is not the one that this program needs."""


class Node:
    """A server of the database, and until when it is left alone (by the monotonic clock)."""

    def __init__(self, host: str | None = None, port: int = 0):
        self.host = host
        self.port = port
        self.not_before = 0.0

    def may_be_tried(self) -> bool:
        return time.monotonic() >= self.not_before

    def leave(self, seconds: float) -> None:
        self.not_before = time.monotonic() + seconds

    def has_served(self) -> None:
        self.not_before = 0.0


class Nodes:
    """The servers of the database, and what one process knows of them.

    Its connections share this: a node that hangs costs the first of them a time-out, and not each.  They need no lock,
    because each change is one assignment, and the later of two is as right as the other.
    """

    def __init__(self, settings: Settings):
        self.all = [Node(*host) for host in settings.hosts] or [Node()]
        self._not_before = 0.0

    def to_try(self) -> list[Node]:
        """Those that may be tried; if all are left alone, the one that has been so for longest."""
        if time.monotonic() < self._not_before:
            raise DatabaseAway("the database was not reachable a moment ago")
        return [node for node in self.all if node.may_be_tried()] or [min(self.all, key=lambda node: node.not_before)]

    def is_any_left(self) -> bool:
        return any(node.may_be_tried() for node in self.all)

    def pause_if_none_is_left(self) -> None:
        """For a moment the next calls do not even try one."""
        if not self.is_any_left():
            self._not_before = time.monotonic() + PAUSE_SECONDS


class Connection:
    """Connects when it is first needed, as the settings' group of the option file says."""

    def __init__(self, settings: Settings, nodes: Nodes | None = None):
        self._settings = settings
        self._connection: pymysql.Connection[Cursor] | None = None
        self._nodes = nodes or Nodes(settings)
        self._node = self._nodes.all[0]
        # How long each statement took, by its function's name.  Most are one statement that commits by itself.
        self.timings: dict[str, Histogram] = {}

    def run(self, work: Callable[[Cursor, Request], Result], request: Request) -> Result:
        """Run `work(cursor, request)` in a transaction of its own, again if necessary; return its result.

        Raises RowLocked if another transaction holds a row that this needs, and DatabaseAway if it cannot be done now; any
        other error is about the request itself.
        """
        began = time.perf_counter()
        try:
            return self._run(work, request)
        finally:
            self._note(work.__name__, time.perf_counter() - began)

    def _run(self, work: Callable[[Cursor, Request], Result], request: Request) -> Result:
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
                if number in LOST_RACE:
                    self._roll_back()
                    continue
                self.close()
                if number not in GONE and isinstance(number, int) and number != 0:
                    raise
                self._leave_if_hopeless(number, fault, failures)
            except Exception:
                self._roll_back()
                raise
        raise DatabaseAway("the database has refused this transaction again and again")

    def close(self) -> None:
        if self._connection is not None:
            _hang_up(self._connection)
            self._connection = None

    def _note(self, name: str, seconds: float) -> None:
        timing = self.timings.get(name)
        if timing is None:
            timing = self.timings[name] = Histogram(SECONDS)
        timing.observe(seconds)

    def _cursor(self, failures: "Failures") -> Cursor:
        # Another connection has found out that this node hangs.  Without another one to try, the open connection is used.
        if not self._node.may_be_tried() and self._nodes.is_any_left():
            self.close()
        if self._connection is None:
            self._connection = self._connect(failures)
        return self._connection.cursor()

    def _connect(self, failures: "Failures") -> "pymysql.Connection[Cursor]":
        """To the first node that accepts."""
        for node in self._nodes.to_try():
            try:
                connection = connect(self._settings, node)
            except WrongSchema:
                raise
            except (pymysql.err.MySQLError, OSError) as fault:
                self._leave(node, fault, failures)
                continue
            node.has_served()
            self._node = node
            return connection
        raise self._away(failures.last) from failures.last

    def _leave_if_hopeless(self, number: Any, fault: Exception, failures: "Failures") -> None:
        """The server may have closed a connection that broke because it was idle: the same node is tried once more, and
        then another node."""
        failures.broken.append(self._node)
        # With one node, a proxy in front of it may know another one.
        is_elsewhere = number in NODE_NOT_READY and len(self._nodes.all) > 1
        is_closed = not is_elsewhere and not _is_timeout(fault)
        if is_closed and failures.broken.count(self._node) == 1:
            failures.last = fault
            return
        self._leave(self._node, fault, failures)
        if not self._nodes.is_any_left():
            raise self._away(fault) from fault

    def _leave(self, node: Node, fault: Exception, failures: "Failures") -> None:
        failures.last = fault
        is_hung = _is_timeout(fault)
        node.leave(HUNG_PAUSE_SECONDS if is_hung and len(self._nodes.all) > 1 else PAUSE_SECONDS)
        failures.timeouts += is_hung
        if failures.timeouts >= TIMEOUTS_MOST:
            raise self._away(fault) from fault

    def _away(self, fault: Exception | None) -> DatabaseAway:
        self._nodes.pause_if_none_is_left()
        return DatabaseAway(str(fault))

    def _roll_back(self) -> None:
        try:
            if self._connection is not None:
                self._connection.rollback()
        except (pymysql.err.MySQLError, OSError):
            self.close()


class Failures:
    """The failures of one call."""

    def __init__(self) -> None:
        self.last: Exception | None = None
        self.broken: list[Node] = []
        self.timeouts = 0


def connect(settings: Settings, node: Node | None = None) -> "pymysql.Connection[Cursor]":
    """A new connection, with our collation and time zone, to a database with our version of the schema.

    autocommit: a group is mostly one statement; a longer transaction executes BEGIN and COMMIT.
    sql_mode: read back, because literals are correct in this mode only.
    READ COMMITTED: no gap locks, so that logins and accounting of different cards never wait for each other.
    innodb_lock_wait_timeout = 0: a statement for many packets must not wait for one card's row; see RowLocked.
    """
    seconds = settings.database_timeout_seconds
    node = node or Node()
    connection = pymysql.connect(
        read_default_file=settings.connection_file,
        read_default_group=settings.group,
        unix_socket=None if node.host else settings.unix_socket,
        host=node.host,
        port=node.port,
        # A socket needs no certificates, and reading the system's takes the driver longer than all the rest.
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
            ((version, mode),) = cursor.fetchall()
    except pymysql.err.ProgrammingError as fault:
        _hang_up(connection)
        raise WrongSchema(
            Sentence("The database has no tables of prepaid cards yet. Make them with 'prepaid db init'.")
        ) from fault
    if mode != SQL_MODE:
        # A proxy between us and the server has given us a session that others use too.
        _hang_up(connection)
        raise WrongSchema(
            Sentence(
                "The connection has the sql_mode {found!r} and not {expected!r}, which the literals of this program need. "
                "Connect without a proxy that shares sessions.",
                found=mode,
                expected=SQL_MODE,
            )
        )
    if version != SCHEMA_VERSION:
        _hang_up(connection)
        is_old = version < SCHEMA_VERSION
        raise WrongSchema(
            Sentence(
                "The database has schema version {found}, and this program works with version {expected}. {remedy}",
                found=version,
                expected=SCHEMA_VERSION,
                remedy=Sentence("Run 'prepaid db upgrade'.") if is_old else Sentence("Install the newer program."),
            )
        )
    return connection


def _agree_with_cluster(cursor: pymysql.cursors.Cursor) -> None:
    """On a node of a Galera cluster: read nothing stale, and get an error for every lost race.

    sync_wait: a read waits until this node has applied what was committed on other nodes before it.
    retry_autocommit: by default the server itself repeats a statement that lost against another node's, and its RETURNING
    has the values of the first attempt: two logins would both seem to have got the same number.
    """
    try:
        cursor.execute("SET SESSION wsrep_sync_wait = 1, wsrep_retry_autocommit = 0")
    except pymysql.err.MySQLError as fault:
        if fault.args[0] != ER.UNKNOWN_SYSTEM_VARIABLE:  # A MariaDB that was built without Galera.
            raise


def _is_timeout(fault: Exception) -> bool:
    return "timed out" in str(fault)


def _hang_up(connection: Any) -> None:
    """Close the connection's socket.  close() would first write to it, and it may hang."""
    connection._force_close()
