"""The statements of `prepaid audit`: the hash chain over the history.

Rows are tuples, because there may be hundreds of thousands.
"""

from datetime import datetime

from .chain import COLUMNS, Link
from .rows import TupleCursor, TupleRow, only_tuple

# No transaction lasts longer.  So no row can appear later with a number below one that was chained so long ago.
LONGEST_TRANSACTION_HOURS = 6

_PRICES = """(SELECT GROUP_CONCAT(CONCAT_WS(' ', product_id, card_count, price_cents, commission_basis_points)
                          ORDER BY product_id, price_cents, commission_basis_points SEPARATOR '; ')
                FROM note_price WHERE note_price.note_id = note.id) AS prices"""


def wait_shortly(cursor: TupleCursor) -> None:
    """Wait at most 5 seconds for a lock, so that a blocked end of the chain does not prevent a verification."""
    cursor.execute("SET SESSION innodb_lock_wait_timeout = 5")


def head(cursor: TupleCursor) -> tuple[int, bytes] | None:
    """The last row of the chain: its number and hash."""
    cursor.execute("SELECT seq, hash FROM history_chain ORDER BY seq DESC LIMIT 1")
    return cursor.fetchone()


def now(cursor: TupleCursor) -> datetime:
    cursor.execute("SELECT UTC_TIMESTAMP(3)")
    moment: datetime = only_tuple(cursor)[0]
    return moment


def floor(cursor: TupleCursor, source: str) -> int:
    """The number up to which no more rows can appear."""
    cursor.execute("SELECT row_id FROM history_floor WHERE source = %s", (source,))
    return int(only_tuple(cursor)[0])


def unsealed(cursor: TupleCursor, source: str, after: int, limit: int) -> list[TupleRow]:
    """The next rows of history that are not in the chain, in the order of their numbers.

    LEFT JOIN looks each row up.  With NOT EXISTS the optimizer would read the whole chain at every call.
    """
    cursor.execute(
        f"""
        SELECT {_columns(source)}
          FROM {source}
          LEFT JOIN history_chain ON history_chain.source = %s AND history_chain.row_id = {source}.id
         WHERE {source}.id > %s
           AND history_chain.seq IS NULL
         ORDER BY {source}.id
         LIMIT {int(limit)}
        """,
        (source, after),
    )
    return list(cursor.fetchall())


def add(cursor: TupleCursor, links: list[Link]) -> None:
    cursor.executemany(
        "INSERT INTO history_chain (seq, source, row_id, sealed_at, hash) VALUES (%s, %s, %s, %s, %s)", links
    )


def raise_floors(cursor: TupleCursor) -> int:
    """Raise each floor to the last row that was chained LONGEST_TRANSACTION_HOURS ago."""
    return cursor.execute(
        """
        UPDATE history_floor
           SET row_id = next_row_id,
               next_row_id = GREATEST(next_row_id, COALESCE((SELECT MAX(history_chain.row_id)
                                                               FROM history_chain
                                                              WHERE history_chain.source = history_floor.source), 0)),
               next_since_at = UTC_TIMESTAMP(3)
         WHERE next_since_at < UTC_TIMESTAMP(3) - INTERVAL %s HOUR
        """,
        (LONGEST_TRANSACTION_HOURS,),
    )


def chained(cursor: TupleCursor, after: int, limit: int) -> list[Link]:
    """The next rows of the chain."""
    cursor.execute(
        f"""
        SELECT seq, source, row_id, sealed_at, hash
          FROM history_chain
         WHERE seq > %s
         ORDER BY seq
         LIMIT {int(limit)}
        """,
        (after,),
    )
    return [Link(*row) for row in cursor.fetchall()]


def rows(cursor: TupleCursor, source: str, row_ids: list[int]) -> dict[int, TupleRow]:
    """Rows of history by their numbers, without those that were removed."""
    cursor.execute(f"SELECT {_columns(source)} FROM {source} WHERE {source}.id IN %s", (row_ids,))
    return {row[0]: row for row in cursor.fetchall()}


def inserted_later(cursor: TupleCursor, source: str) -> list[int]:
    """The numbers of the rows at or below the floor that are not in the chain: they were written with a false number."""
    cursor.execute(
        f"""
        SELECT {source}.id
          FROM {source}
         WHERE {source}.id <= (SELECT row_id FROM history_floor WHERE source = %s)
           AND NOT EXISTS (SELECT 1
                             FROM history_chain
                            WHERE history_chain.source = %s
                              AND history_chain.row_id = {source}.id)
         ORDER BY {source}.id
        """,
        (source, source),
    )
    return [row_id for (row_id,) in cursor.fetchall()]


def _columns(source: str) -> str:
    return ", ".join(_PRICES if name == "prices" else f"{source}.{name}" for name in COLUMNS[source])
