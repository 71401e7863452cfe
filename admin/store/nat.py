"""The statements about the NAT log: which private address had ports of a public one."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from .rows import Cursor, Row, only_row


class NatRecord(NamedTuple):
    """A connection, or a block of ports; times in UTC.  `end_at` is None if it had not ended; `nas_id` 0: of any NAS."""

    public_address: str
    first_port: int
    last_port: int
    private_address: str
    begin_at: datetime
    end_at: datetime | None
    nas_id: int


def begin_import(cursor: Cursor, file: str) -> int:
    """The number of a new import of this file."""
    cursor.execute("CALL begin_nat_import(%s)", (file,))
    return _answer(cursor, "number")


def add(cursor: Cursor, import_id: int, records: Iterable[NatRecord]) -> int:
    """Add records; return how many were new."""
    given = [
        [*record[:4], str(record.begin_at), record.end_at and str(record.end_at), record.nas_id] for record in records
    ]
    cursor.execute("CALL add_nat_records(%s, %s)", (import_id, json.dumps(given)))
    return _answer(cursor, "new_records")


def purge(cursor: Cursor, before_at: datetime, most: int) -> int:
    """Remove records that ended before a moment (UTC), at most so many; return how many."""
    cursor.execute("CALL purge_nat(%s, %s)", (before_at, most))
    return _answer(cursor, "removed")


def imports(cursor: Cursor) -> list[Row]:
    """Every import, the latest first."""
    cursor.execute("SELECT id AS `import`, imported_at, operator, file, records FROM nat_import ORDER BY id DESC")
    return list(cursor.fetchall())


def _answer(cursor: Cursor, name: str) -> int:
    number = int(only_row(cursor)[name])
    cursor.nextset()
    return number
