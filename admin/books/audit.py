"""prepaid audit seal, verify: proves that nobody changed the history.

Sealing adds the committed rows of history to the hash chain.  Verifying seals first, then computes the whole chain
again from the rows as they are now.
"""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import click
import pymysql
from pymysql.constants import ER

from .. import store
from ..shell import errors, output
from ..shell.command import cli, json_option, option, pass_office
from ..shell.office import Office
from ..shell.text import _
from ..store.chain import Link
from ..store.rows import Connection, TupleCursor, TupleRow
from . import run

ROWS_A_STEP = 5000
HASH_DIGITS = 64
# A step is tried so often while other processes seal, too.
ROUNDS = 100
_SEALED_BY_OTHERS = {ER.DUP_ENTRY, ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT}
# `prepaid enforce --watch` seals once in this time.
SEAL_SECONDS = 600
# Rows are numbered when they are written.  A row that is older than the one before it by more than this has a false date.
BACKDATED = timedelta(hours=store.audit.LONGEST_TRANSACTION_HOURS)
# A row cannot be younger than its seal, but the clocks of a cluster's nodes may differ by up to this.
AHEAD = timedelta(minutes=1)


@cli.group()
def audit() -> None:
    """The hash chain over the history: shows whether anybody changed it."""


@audit.command("seal")
@json_option
@pass_office
def seal_(office: Office, as_json: bool) -> None:
    """Add the history up to now to the chain.  'prepaid enforce --watch' does it every ten minutes.

    \b
    Example:
        prepaid audit seal
    """
    count = seal(office)
    with office.reading(), office.tuples() as cursor:
        seq, last = _head(cursor)
    output.print_result(
        {"sealed": count, "rows": seq, "hash": last.hex()},
        _("{count} rows sealed, {rows} in all. The last hash is {hash}.").format(
            count=count, rows=seq, hash=last.hex()
        ),
        as_json,
    )


def _hash(_ctx: click.Context, _param: click.Parameter, value: str | None) -> bytes | None:
    if value is None:
        return None
    try:
        known = bytes.fromhex(value.strip())
    except ValueError:
        known = b""
    if len(known) * 2 != HASH_DIGITS:
        raise click.BadParameter(
            _("A hash has {digits} characters: digits and letters from a to f.").format(digits=HASH_DIGITS)
        )
    return known


@audit.command()
@option(
    "--expect",
    "expected",
    callback=_hash,
    metavar="HASH",
    help="A hash that was printed earlier and kept elsewhere; the chain must still contain it.",
)
@json_option
@pass_office
def verify(office: Office, expected: bytes | None, as_json: bool) -> None:
    """Compute the chain again; name every row that was changed, removed or given a false date.

    Keep the hash that it prints in another place, and give it with --expect the next time. That also shows whether
    somebody computed the whole chain again after a change.

    \b
    Example:
        prepaid audit verify
        prepaid audit verify --expect 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    office.work_without_admin_as("prepaid-enforce")
    try:
        seal(office)
    except errors.Busy:
        output.print_notice(
            _(
                "The newest history was not sealed, because another connection has locked the end of the chain. "
                "'prepaid doctor' names that connection."
            )
        )
    with office.reading(), office.tuples() as cursor:
        seq, last = _head(cursor)
        bad = list(faults(cursor, expected))
    run.record(office, "audit", len(bad))
    if as_json:
        output.print_record({"rows": seq, "hash": last.hex(), "faults": bad}, as_json)
    elif bad:
        output.print_rows(bad)
    else:
        output.print_result(
            {},
            _("The history is intact: {rows} rows. Keep this hash in another place: {hash}").format(
                rows=seq, hash=last.hex()
            ),
        )
    if bad:
        first = bad[0]
        raise errors.Refused(
            _("The history was changed: {count} faults, the first in row {row} of {source} ({fault})."),
            count=len(bad),
            row=first["row"],
            source=first["source"],
            fault=first["fault"],
        )


def seal(office: Office, is_asked_to_stop: Callable[[], bool] = lambda: False) -> int:
    """Add the rows that are not in the chain, each step in a transaction of its own; return how many.

    Processes that seal at the same time need no lock: the second one to write a number of the chain finds it taken, and
    reads the rows again.  This uses a connection of its own, with a shorter wait for locks than others.  What is not sealed when
    *is_asked_to_stop* returns True is sealed the next time.
    """
    count = 0
    connection = office.connect()
    try:
        with connection.cursor(TupleCursor) as cursor:
            store.audit.wait_shortly(cursor)
            for source in store.chain.SOURCES:
                after = store.audit.floor(cursor, source)
                while not is_asked_to_stop() and (found := _seal_some(connection, cursor, source, after)):
                    count += len(found)
                    after = found[-1][0]
            try:
                store.audit.raise_floors(cursor)
            except pymysql.MySQLError as error:
                # If another connection has locked a floor, it is raised the next time.
                if error.args[0] not in _SEALED_BY_OTHERS:
                    raise
    finally:
        connection.close()
    return count


def _seal_some(connection: Connection, cursor: TupleCursor, source: str, after: int) -> list[TupleRow]:
    """Add the next rows of one table to the chain; return them."""
    for _round in range(ROUNDS):
        connection.begin()
        try:
            found = store.audit.unsealed(cursor, source, after, ROWS_A_STEP)
            if found:
                seq, last = _head(cursor)
                store.audit.add(cursor, list(store.chain.extend(last, seq, store.audit.now(cursor), source, found)))
            connection.commit()
            return found
        except pymysql.MySQLError as error:
            connection.rollback()
            if error.args[0] not in _SEALED_BY_OTHERS and errors.broken_rule(error) != "chain_goes_on_without_a_gap":
                raise
            if error.args[0] == ER.LOCK_WAIT_TIMEOUT:
                break
    raise errors.Busy()


class Sealer:
    """Seals from time to time in a thread of its own.  An account without the role audit seals nothing.

    The process must not end before the thread: while a process ends, OpenSSL frees what the thread may be using to connect
    to the database, and the process would end with a segmentation fault.  So the thread is not a daemon, which Python would
    not wait for, and `end` lets it stop after its step.
    """

    def __init__(self, office: Office):
        self.office = office
        self._thread: threading.Thread | None = None
        self._next_at = 0.0
        self._is_ended = threading.Event()

    def keep_up(self) -> None:
        """Start the thread if it is time, and the last one has ended."""
        if time.monotonic() < self._next_at or (self._thread is not None and self._thread.is_alive()):
            return
        self._next_at = time.monotonic() + SEAL_SECONDS
        self._thread = threading.Thread(target=self._seal, name="seal")
        self._thread.start()

    def end(self) -> None:
        """Let the thread stop after its step, and wait until it has ended."""
        self._is_ended.set()
        if self._thread is not None:
            self._thread.join()

    def _seal(self) -> None:
        try:
            seal(self.office, self._is_ended.is_set)
        except (errors.OfficeError, pymysql.MySQLError) as error:
            # The next turn tries again, and `prepaid audit verify` seals first.
            number = error.args[0] if isinstance(error, pymysql.MySQLError) else None
            if number not in (ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR):
                output.print_notice(_("The history was not sealed ({cause}).").format(cause=error))


def faults(cursor: TupleCursor, expected: bytes | None = None) -> Iterator[dict[str, Any]]:
    """The rows that differ from what was sealed, in the order of the chain: source, row, chain_row, fault.

    After a wrong row the check continues with the stored hash, so that one wrong row is one fault.
    """
    seq, before = 0, store.chain.BEGINNING
    newest: dict[str, tuple[int, datetime]] = {}
    is_found = expected in (None, before)
    while links := store.audit.chained(cursor, seq, ROWS_A_STEP):
        now_there = {source: store.audit.rows(cursor, source, ids) for source, ids in _by_source(links).items()}
        for number, source, row_id, at, found in links:
            if number != seq + 1:
                yield _fault(
                    source,
                    row_id,
                    number,
                    _("chain rows {first} to {last} are gone").format(first=seq + 1, last=number - 1),
                )
            row = now_there[source].get(row_id)
            if row is None:
                yield _fault(source, row_id, number, _("removed"))
            elif store.chain.link_hash(before, number, source, row_id, at, store.chain.content(row)) != found:
                yield _fault(source, row_id, number, _("changed"))
            elif _is_backdated(newest, source, row):
                yield _fault(source, row_id, number, _("backdated"))
            elif _moment_of(source, row) > at + AHEAD:
                yield _fault(source, row_id, number, _("dated in the future"))
            seq, before = number, found
            is_found = is_found or found == expected
    for source in store.chain.SOURCES:
        for row_id in store.audit.inserted_later(cursor, source):
            yield _fault(source, row_id, None, _("backdated"))
    if expected is not None and not is_found:
        yield _fault(
            "history_chain", None, seq, _("the chain does not contain the hash {hash}").format(hash=expected.hex())
        )


def _head(cursor: TupleCursor) -> tuple[int, bytes]:
    """The number and the hash of the last link."""
    return store.audit.head(cursor) or (0, store.chain.BEGINNING)


def _by_source(links: list[Link]) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = {}
    for link in links:
        ids.setdefault(link.source, []).append(link.row_id)
    return ids


def _moment_of(source: str, row: TupleRow) -> datetime:
    moment: datetime = row[store.chain.COLUMNS[source].index(store.chain.MOMENT[source])]
    return moment


def _is_backdated(newest: dict[str, tuple[int, datetime]], source: str, row: TupleRow) -> bool:
    """Whether a row is much older than an earlier row of its table.

    *newest* has the highest number and the latest time of each table so far; this updates it.
    """
    row_id, moment = row[0], _moment_of(source, row)
    last_id, last_moment = newest.get(source, (0, moment))
    if row_id > last_id:
        newest[source] = row_id, max(moment, last_moment)
        return moment < last_moment - BACKDATED
    return False


def _fault(source: str, row_id: int | None, seq: int | None, fault: str) -> dict[str, Any]:
    return {"source": source, "row": row_id, "chain_row": seq, "fault": fault}
