"""prepaid audit seal, verify: that the history is as it was.

Sealing chains the rows of history that are committed and not chained yet.  Verifying seals first, then computes the
whole chain again from the rows as they are now.
"""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import click
import pymysql.cursors
from pymysql.constants import ER

from .. import store
from ..shell import errors, output
from ..shell.command import cli, json_option, option, pass_office
from ..shell.text import _

ROWS_A_STEP = 5000
HASH_DIGITS = 64
# So often somebody else may have been quicker, each time with some thousand rows.
ROUNDS = 100
_SOMEBODY_ELSE = {ER.DUP_ENTRY, ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT}
# How often `prepaid enforce --watch` seals.
SEAL_SECONDS = 600
# Rows are numbered as they are written. One that is older than its forerunner by more than this was dated back.
BACKDATED = timedelta(hours=store.audit.LONGEST_TRANSACTION_HOURS)
# A row is sealed after it was written; clocks of a cluster's nodes differ by less.
AHEAD = timedelta(minutes=1)


@cli.group()
def audit():
    """The hash chain over the history: whether anybody changed what has happened."""


@audit.command("seal")
@json_option
@pass_office
def seal_(office, as_json):
    """Chain the history up to now.  'prepaid enforce --watch' does it by itself every ten minutes.

    \b
    Example:
        prepaid audit seal
    """
    count = seal(office)
    with office.reading() as cursor, cursor.connection.cursor(pymysql.cursors.Cursor) as plain:
        seq, last = _head(plain)
    output.tell_done(
        {"sealed": count, "rows": seq, "hash": last.hex()},
        _("{count} rows sealed, {rows} in all. The last hash is {hash}.").format(
            count=count, rows=seq, hash=last.hex()
        ),
        as_json,
    )


def _hash(ctx, param, value):
    if value is None:
        return None
    try:
        known = bytes.fromhex(value.strip())
    except ValueError:
        known = b""
    if len(known) * 2 != HASH_DIGITS:
        raise click.BadParameter(_("A hash is {digits} digits and letters from a to f.").format(digits=HASH_DIGITS))
    return known


@audit.command()
@option(
    "--expect",
    "expected",
    callback=_hash,
    metavar="HASH",
    help="A hash that was printed earlier and kept elsewhere: the chain has to hold it still.",
)
@json_option
@pass_office
def verify(office, expected, as_json):
    """Compute the chain again; name every row that was changed, removed or put into the past.

    Keep the hash that it prints somewhere else, and give it with --expect the next time: then even somebody who
    computed the whole chain anew is found.

    \b
    Example:
        prepaid audit verify
        prepaid audit verify --expect 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    try:
        seal(office)
    except errors.Busy:
        output.hint(
            _(
                "The newest history was not sealed, because somebody holds the end of the chain. Who it is says "
                "'prepaid doctor'."
            )
        )
    with office.reading() as cursor, cursor.connection.cursor(pymysql.cursors.Cursor) as plain:
        seq, last = _head(plain)
        bad = list(faults(plain, expected))
    if as_json:
        output.tell_one({"rows": seq, "hash": last.hex(), "faults": bad}, as_json)
    elif bad:
        output.tell_rows(bad)
    else:
        output.tell_done(
            {},
            _("The history is unbroken: {rows} rows. Keep this hash elsewhere: {hash}").format(
                rows=seq, hash=last.hex()
            ),
        )
    if bad:
        first = bad[0]
        raise errors.Refused(
            _("The history is not what it was: {count} rows, the first is row {row} of {source} ({fault})."),
            count=len(bad),
            row=first["row"],
            source=first["source"],
            fault=first["fault"],
        )


def seal(office) -> int:
    """Chain what is not chained, in steps of a transaction each; how many rows.

    Two at once need no lock: whoever writes the next number of the chain second finds it taken, and looks again.
    A connection of its own, because it waits less long than others.
    """
    count = 0
    connection = office.connect()
    try:
        with connection.cursor(pymysql.cursors.Cursor) as cursor:
            store.audit.wait_shortly(cursor)
            for source in store.chain.SOURCES:
                after = store.audit.floor(cursor, source)
                while found := _seal_some(connection, cursor, source, after):
                    count += len(found)
                    after = found[-1][0]
            try:
                store.audit.raise_floors(cursor)
            except pymysql.MySQLError as error:
                # Somebody holds a floor; it rises the next time.
                if error.args[0] not in _SOMEBODY_ELSE:
                    raise
    finally:
        connection.close()
    return count


def _seal_some(connection, cursor, source: str, after: int) -> list[tuple]:
    for _round in range(ROUNDS):
        connection.begin()
        try:
            found = store.audit.unsealed(cursor, source, after, ROWS_A_STEP)
            if found:
                seq, last = _head(cursor)
                store.audit.add(
                    cursor,
                    list(store.chain.extend(last, seq, store.audit.now(cursor), [(source, row) for row in found])),
                )
            connection.commit()
            return found
        except pymysql.MySQLError as error:
            connection.rollback()
            if error.args[0] not in _SOMEBODY_ELSE and errors.broken_rule(error) != "chain_goes_on_without_a_gap":
                raise
            if error.args[0] == ER.LOCK_WAIT_TIMEOUT:
                break
    raise errors.Busy()


class Sealer:
    """Seals now and then beside other work, over a connection of its own; whoever lacks the role audit seals nothing."""

    def __init__(self, office):
        self.office = office
        self._thread: threading.Thread | None = None
        self._next_at = 0.0

    def keep_up(self) -> None:
        """Begin to seal if it is time and the last time is over."""
        if time.monotonic() < self._next_at or (self._thread is not None and self._thread.is_alive()):
            return
        self._next_at = time.monotonic() + SEAL_SECONDS
        self._thread = threading.Thread(target=self._seal, name="seal", daemon=True)
        self._thread.start()

    def _seal(self) -> None:
        try:
            seal(self.office)
        except (errors.OfficeError, pymysql.MySQLError) as error:
            # Tried again next time. What is not sealed by then is not lost: verify seals first.
            refused = error.args[0] if isinstance(error, pymysql.MySQLError) else None
            if refused not in (1142, 1143):
                output.hint(_("The history was not sealed ({cause}).").format(cause=error))


def faults(cursor, expected: bytes | None = None) -> Iterator[dict]:
    """Every row that is not what was sealed, in the order of the chain.

    After a bad row the stored hash is taken for true, so that each row is judged by itself.
    """
    seq, before = 0, store.chain.BEGINNING
    forerunners: dict[str, tuple] = {}
    is_expected = expected in (None, before)
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
            elif store.chain.link(before, number, source, row_id, at, store.chain.content(row)) != found:
                yield _fault(source, row_id, number, _("changed"))
            elif _is_dated_back(forerunners, source, row):
                yield _fault(source, row_id, number, _("put into the past"))
            elif _moment_of(source, row) > at + AHEAD:
                yield _fault(source, row_id, number, _("put into the future"))
            seq, before = number, found
            is_expected = is_expected or found == expected
    for source in store.chain.SOURCES:
        for row_id, _at in store.audit.strangers(cursor, source):
            yield _fault(source, row_id, None, _("put into the past"))
    if not is_expected:
        yield _fault(
            "history_chain", None, seq, _("the chain does not hold the hash {hash}").format(hash=expected.hex())
        )


def _head(cursor) -> tuple[int, bytes]:
    return store.audit.head(cursor) or (0, store.chain.BEGINNING)


def _by_source(links: list[tuple]) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = {}
    for _seq, source, row_id, *_rest in links:
        ids.setdefault(source, []).append(row_id)
    return ids


def _moment_of(source: str, row: tuple):
    return row[store.chain.COLUMNS[source].index(store.chain.MOMENT[source])]


def _is_dated_back(forerunners: dict[str, tuple], source: str, row: tuple) -> bool:
    """Whether a row is much older than the one that was written before it; the forerunners are kept up to date."""
    row_id, moment = row[0], _moment_of(source, row)
    last_id, last_moment = forerunners.get(source, (0, moment))
    if row_id > last_id:
        forerunners[source] = row_id, max(moment, last_moment)
        return moment < last_moment - BACKDATED
    return False


def _fault(source: str, row_id: int | None, seq: int | None, fault: str) -> dict:
    return {"source": source, "row": row_id, "chain_row": seq, "fault": fault}
