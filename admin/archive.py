"""prepaid db archive: sessions that ended some days ago move out of the way of the logins.

In small steps, each a transaction of its own, that lock the rows they move and nothing else.
"""

import time

import click
import pymysql.cursors

from freeradius_module import store as module_store

from . import store
from .db import database_name, db, owner_connection, owner_options
from .shell import errors, output
from .shell.command import json_option, option, pass_office
from .shell.text import _
from .store.archive import YOUNGEST_DAYS

# Brazil, Lei 12.965/2014, art. 13: connection records are kept for a year.
YEAR_DAYS = 366
# Refused logins are no connection records; a quarter of a year is enough to answer a complaint.
REFUSALS_DAYS = 90


@db.command()
@option(
    "--older-than",
    "older_than_days",
    type=click.IntRange(YOUNGEST_DAYS),
    default=YOUNGEST_DAYS,
    metavar="DAYS",
    help="Sessions that ended so many days ago or earlier: 2 or more.  [2]",
)
@option("--step", type=click.IntRange(1, 2000), default=200, metavar="N", help="Sessions in one transaction.  [200]")
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
    help="And remove archived ones that ended so many days ago: 366 or more. Only how much they used is kept.",
)
@option(
    "--refusals-older-than",
    "refusals_days",
    type=click.IntRange(1),
    default=REFUSALS_DAYS,
    metavar="DAYS",
    help="And remove the counts of refused logins that are so many days old.  [90]",
)
@owner_options
@json_option
@pass_office
def archive(office, older_than_days, step, pause_ms, forget_days, refusals_days, root_user, root_socket, as_json):
    """Move ended sessions into the archive.  No balance changes, and no login waits for it: run it every night.

    Records of connections are kept for at least a year, as the law demands.  Counts of refused logins are removed after
    90 days.

    \b
    Example:
        sudo prepaid db archive
        sudo prepaid db archive --forget-older-than 400
    """
    with owner_connection(office, root_user, root_socket) as connection:
        with connection.cursor() as cursor:
            store.schema.use(cursor, database_name(office))
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        mover = Mover(connection, pause_ms / 1000)
        archived = mover.archive(older_than_days, step)
        forgotten = mover.forget(forget_days, step) if forget_days else 0
        refusals = mover.forget_refusals(refusals_days, step)
    output.print_result(
        {"archived": archived, "left": mover.left, "forgotten": forgotten, "refusals_forgotten": refusals},
        _(
            "{archived} sessions archived, {left} left for the next time, {forgotten} forgotten; {refusals} counts of refused "
            "logins removed."
        ).format(archived=archived, left=mover.left, forgotten=forgotten, refusals=refusals),
        as_json,
    )


class Mover:
    """Moves sessions over one connection, step by step."""

    def __init__(self, connection, pause_seconds: float = 0):
        self.connection = connection
        self.pause_seconds = pause_seconds
        # Sessions that somebody else worked on just then.
        self.left = 0

    def archive(self, older_than_days: int, step: int) -> int:
        """Archive what ended so long ago; how many sessions."""
        count = 0
        after = (0, 0)
        with self.connection.cursor(pymysql.cursors.Cursor) as cursor:
            while found := store.archive.candidates(cursor, after, step, older_than_days):
                after = found[-1][:2]
                # What a session has used must be on the card before the session goes.
                unposted = {card_id for card_id, _number, is_posted in found if not is_posted}
                if unposted:
                    module_store.post(cursor, unposted)
                moved = self._move(cursor, [row[:2] for row in found], older_than_days)
                count += moved
                self.left += len(found) - moved
                time.sleep(self.pause_seconds)
        return count

    def forget(self, older_than_days: int, step: int) -> int:
        """Remove archived sessions that nobody has to keep; how many."""
        if older_than_days < YEAR_DAYS:
            raise errors.WrongUsage(_("Records of connections are kept for at least {days} days."), days=YEAR_DAYS)
        count = 0
        with self.connection.cursor(pymysql.cursors.Cursor) as cursor:
            while True:
                self.connection.begin()
                keys = store.archive.forgettable(cursor, step, older_than_days)
                if keys:
                    store.archive.keep_sums(cursor, keys)
                    count += store.archive.forget(cursor, keys)
                self.connection.commit()
                if not keys:
                    return count
                time.sleep(self.pause_seconds)

    def forget_refusals(self, older_than_days: int, step: int) -> int:
        """Remove old counts of refused logins; how many."""
        count = 0
        with self.connection.cursor(pymysql.cursors.Cursor) as cursor:
            for table in store.refusal.TABLES:
                while removed := store.refusal.forget(cursor, table, older_than_days, step):
                    self.connection.commit()
                    count += removed
                    time.sleep(self.pause_seconds)
        return count

    def _move(self, cursor, keys: list[tuple[int, int]], older_than_days: int) -> int:
        self.connection.begin()
        try:
            keys = store.archive.lock(cursor, keys, older_than_days)
            if keys:
                store.archive.add_to_hours(cursor, keys)
                store.archive.copy(cursor, keys)
                store.archive.remove(cursor, keys)
            self.connection.commit()
        except BaseException:
            self.connection.rollback()
            raise
        return len(keys)
