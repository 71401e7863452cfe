"""The statements behind `prepaid audit`: the chain over the history.

Plain tuples are wanted from these: a hundred thousand rows go through.
"""

from .chain import COLUMNS, MOMENT

# No transaction is as old as that, so no row turns up in front of one that is older.
LONGEST_TRANSACTION_HOURS = 6

_PRICES = """(SELECT GROUP_CONCAT(CONCAT_WS(' ', product_id, card_count, price_cents, commission_basis_points)
                          ORDER BY product_id, price_cents, commission_basis_points SEPARATOR '; ')
                FROM note_price WHERE note_price.note_id = note.id) AS prices"""


def wait_shortly(cursor) -> None:
    """Whoever holds the end of the chain holds it for one step; who holds it for longer stops nobody from verifying."""
    cursor.execute("SET SESSION innodb_lock_wait_timeout = 5")


def head(cursor) -> tuple[int, bytes] | None:
    """The last row of the chain: its number and hash."""
    cursor.execute("SELECT seq, hash FROM history_chain ORDER BY seq DESC LIMIT 1")
    return cursor.fetchone()


def now(cursor):
    cursor.execute("SELECT UTC_TIMESTAMP(3)")
    return cursor.fetchone()[0]


def floor(cursor, source: str) -> int:
    """Up to which row nothing can come any more."""
    cursor.execute("SELECT row_id FROM history_floor WHERE source = %s", (source,))
    return cursor.fetchone()[0]


def unsealed(cursor, source: str, after: int, limit: int) -> list[tuple]:
    """The next rows of history that are not in the chain yet, in the order of their numbers.

    A join that looks each row up: of NOT EXISTS the optimizer makes a table of the whole chain, once for every step.
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
    return cursor.fetchall()


def add(cursor, links: list[tuple]) -> int:
    return cursor.executemany(
        "INSERT INTO history_chain (seq, source, row_id, sealed_at, hash) VALUES (%s, %s, %s, %s, %s)", links
    )


def raise_floors(cursor) -> int:
    """Where everything was sealed some hours ago, nothing comes any more."""
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


def chained(cursor, after: int, limit: int) -> list[tuple]:
    """The next rows of the chain: number, source, row, when, hash."""
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
    return cursor.fetchall()


def rows(cursor, source: str, row_ids: list[int]) -> dict[int, tuple]:
    """Rows of history by their numbers; those that are gone are missing."""
    cursor.execute(f"SELECT {_columns(source)} FROM {source} WHERE {source}.id IN %s", (row_ids,))
    return {row[0]: row for row in cursor.fetchall()}


def strangers(cursor, source: str) -> list[tuple]:
    """Rows at or below the floor that are not in the chain: number and moment.  Nobody can have put them there in time."""
    cursor.execute(
        f"""
        SELECT {source}.id, {source}.{MOMENT[source]}
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
    return cursor.fetchall()


def _columns(source: str) -> str:
    return ", ".join(_PRICES if name == "prices" else f"{source}.{name}" for name in COLUMNS[source])
