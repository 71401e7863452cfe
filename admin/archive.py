"""prepaid db archive: moves sessions that ended some days ago out of the table that logins read.

It works in small steps.  Each step is a transaction that locks only the rows it moves.
"""

import contextlib
import functools
import time
from collections.abc import Iterator

import click
import pymysql

from freeradius_module import store as module_store

from . import store
from .db import DAEMONS, database_name, db, owner_connection, owner_options
from .shell import errors, output
from .shell.command import json_option, option, pass_office
from .shell.office import Office, until_accepted
from .shell.text import _
from .store.archive import YOUNGEST_DAYS
from .store.rows import Connection, Cursor, TupleCursor

# Brazil, Lei 12.965/2014, art. 13: connection records are kept for a year.
YEAR_DAYS = 366
# Refused logins are not connection records; a quarter of a year is enough to answer a complaint.
REFUSALS_DAYS = 90

# The card's number and the number of its login.
SessionKey = tuple[int, int]


@db.command()
@option(
    "--older-than",
    "older_than_days",
    type=click.IntRange(YOUNGEST_DAYS),
    default=YOUNGEST_DAYS,
    metavar="DAYS",
    help="Sessions that ended at least this many days ago: 2 or more.  [2]",
)
@option(
    "--step",
    type=click.IntRange(1, 2000),
    default=200,
    metavar="N",
    help="How many sessions one transaction moves.  [200]",
)
@option(
    "--pause",
    "pause_ms",
    type=click.IntRange(0, 60_000),
    default=5,
    metavar="MS",
    help="Milliseconds between two transactions.  [5]",
)
@option(
    "--forget-older-than",
    "forget_days",
    type=click.IntRange(YEAR_DAYS),
    metavar="DAYS",
    help="Also remove archived sessions that ended at least this many days ago: 366 or more. Their usage is kept as one "
    "sum for each card.",
)
@option(
    "--refusals-older-than",
    "refusals_days",
    type=click.IntRange(1),
    default=REFUSALS_DAYS,
    metavar="DAYS",
    help="Remove counts of refused logins that are at least this many days old.  [90]",
)
@owner_options
@json_option
@pass_office
def archive(
    office: Office,
    older_than_days: int,
    step: int,
    pause_ms: int,
    forget_days: int | None,
    refusals_days: int,
    root_user: str | None,
    root_socket: str | None,
    as_json: bool,
) -> None:
    """Move ended sessions into the archive.  Balances do not change and logins do not wait: run it every night.

    Connection records are kept for at least a year, as the law requires (Lei 12.965/2014, art. 13).  Counts of refused
    logins are removed after 90 days.

    \b
    Example:
        sudo prepaid db archive
        sudo prepaid db archive --forget-older-than 400
    """
    with _mover_connection(office, root_user, root_socket) as connection:
        with connection.cursor() as cursor:
            store.schema.use(cursor, database_name(office))
        mover = Mover(connection, pause_ms / 1000)
        archived = mover.archive(older_than_days, step)
        forgotten = mover.forget(forget_days, step) if forget_days else 0
        refusals = mover.forget_refusals(refusals_days, step)
        until_accepted(mover.record)
    output.print_result(
        {"archived": archived, "left": mover.left, "forgotten": forgotten, "refusals_forgotten": refusals},
        _(
            "{archived} sessions archived, {left} left for the next run, {forgotten} removed from the archive; {refusals} "
            "counts of refused logins removed."
        ).format(archived=archived, left=mover.left, forgotten=forgotten, refusals=refusals),
        as_json,
    )


@contextlib.contextmanager
def _mover_connection(office: Office, root_user: str | None, root_socket: str | None) -> Iterator[Connection]:
    """The archive's own account, where the option file has one; else whoever owns the schema."""
    group = DAEMONS["archive"]
    if root_user or root_socket or not office.settings(group):
        with owner_connection(office, root_user, root_socket) as connection:
            yield connection
        return
    with contextlib.closing(office.connect(group)) as connection, connection.cursor() as cursor:
        if not store.schema.take_lock(cursor):
            raise errors.Busy()
        yield connection


class Mover:
    """Moves sessions over one connection, step by step, with a pause after each step."""

    def __init__(self, connection: Connection, pause_seconds: float = 0):
        self.connection = connection
        self.pause_seconds = pause_seconds
        # How many sessions were not moved because another transaction held them.
        self.left = 0

    def archive(self, older_than_days: int, step: int) -> int:
        """Archive the sessions that ended so long ago, *step* in each transaction; returns how many."""
        count = 0
        after = (0, 0)
        with self.connection.cursor(TupleCursor) as cursor:
            while found := store.archive.candidates(cursor, after, step, older_than_days):
                after = found[-1][:2]
                # The usage of a session must be on the card before the session goes.
                unposted = {card_id for card_id, _number, is_posted in found if not is_posted}
                if unposted:
                    until_accepted(functools.partial(module_store.posting.post, cursor, unposted))
                keys = [row[:2] for row in found]
                moved = until_accepted(functools.partial(self._move, cursor, keys, older_than_days))
                count += moved
                self.left += len(found) - moved
                time.sleep(self.pause_seconds)
        return count

    def forget(self, older_than_days: int, step: int) -> int:
        """Remove archived sessions that the law does not require any more; returns how many."""
        if older_than_days < YEAR_DAYS:
            raise errors.WrongUsage(_("Connection records are kept for at least {days} days."), days=YEAR_DAYS)
        count = 0
        with self.connection.cursor(TupleCursor) as cursor:
            while forgotten := until_accepted(functools.partial(self._forget, cursor, step, older_than_days)):
                count += forgotten
                time.sleep(self.pause_seconds)
        return count

    def forget_refusals(self, older_than_days: int, step: int) -> int:
        """Remove old counts of refused logins; returns how many."""
        count = 0
        with self.connection.cursor() as cursor:
            for table in store.refusal.TABLES:
                forget = functools.partial(self._forget_refusals, cursor, table, older_than_days, step)
                while removed := until_accepted(forget):
                    count += removed
                    time.sleep(self.pause_seconds)
        return count

    def record(self) -> None:
        """Record that this work has ended."""
        with self._transaction(), self.connection.cursor() as cursor:
            store.run.record(cursor, "archive")

    def _forget(self, cursor: TupleCursor, step: int, older_than_days: int) -> int:
        with self._transaction():
            keys = store.archive.forgettable(cursor, step, older_than_days)
            if not keys:
                return 0
            store.archive.keep_sums(cursor, keys)
            store.archive.forget(cursor, keys)
        return len(keys)

    def _forget_refusals(self, cursor: Cursor, table: str, older_than_days: int, step: int) -> int:
        with self._transaction():
            return store.refusal.forget(cursor, table, older_than_days, step)

    def _move(self, cursor: TupleCursor, keys: list[SessionKey], older_than_days: int) -> int:
        """Move those of the sessions that nobody else holds, in one transaction; returns how many."""
        with self._transaction():
            keys = store.archive.lock(cursor, keys, older_than_days)
            if keys:
                store.archive.add_to_hours(cursor, keys)
                store.archive.copy(cursor, keys)
                store.archive.remove(cursor, keys)
        return len(keys)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.begin()
        try:
            yield
            self.connection.commit()
        except BaseException:
            # The server rolls back when a connection is lost; the error that is shown is the one that lost it.
            with contextlib.suppress(pymysql.MySQLError):
                self.connection.rollback()
            raise
