"""The statements about batches: serial numbers, history, rows."""

from collections.abc import Iterable

from .rows import Cursor, Parameters, Row, only_row


def take_numbers(cursor: Cursor, prefix: str, digits: int, count: int) -> int:
    """Take the next *count* serial numbers of a prefix; return the first.

    The caller commits before it makes the cards, so that two `generate` commands get different numbers and do not wait
    for each other.  If a command fails after that, its numbers are never used.
    """
    cursor.execute(
        """
        INSERT INTO serial_counter (prefix, digits, next_number)
        VALUES (%(prefix)s, %(digits)s, 1 + %(count)s)
            ON DUPLICATE KEY UPDATE next_number = next_number + %(count)s
        RETURNING next_number
        """,
        {"prefix": prefix, "digits": digits, "count": count},
    )
    return int(only_row(cursor)["next_number"]) - count


def add(cursor: Cursor, values: Parameters) -> int:
    """Insert a batch; return its number."""
    cursor.execute(
        """
        INSERT INTO batch (product_id, single_code, origin)
        VALUES (%(product_id)s, %(single_code)s, %(origin)s)
        """,
        values,
    )
    return cursor.lastrowid


# The first and the last serial of a range of a batch; None: the whole batch.
Span = tuple[str, str] | None
IN_SPAN = "AND card.serial BETWEEN %(lowest)s AND %(highest)s"


def record(
    cursor: Cursor, batch_id: int, what: str, reason: str | None = None, detail: str | None = None, span: Span = None
) -> None:
    """Write an event of all cards of a batch, or of a range of it, into its history; the database counts the cards.

    The event that makes a batch ('generated', 'imported') also sets its count, first and last serial.
    """
    cursor.execute(
        "CALL record_batch_event(%(batch_id)s, %(what)s, %(reason)s, %(detail)s, %(lowest)s, %(highest)s)",
        {"batch_id": batch_id, "what": what, "reason": reason, "detail": detail, **ends(span)},
    )


def open_pins(cursor: Cursor, batch_id: int, reason: str | None, span: Span = None) -> None:
    """Record and commit that these PINs are read.  The database returns them, and no others, only after this."""
    cursor.execute(
        "CALL open_pins(%(batch_id)s, %(reason)s, %(lowest)s, %(highest)s)",
        {"batch_id": batch_id, "reason": reason, **ends(span)},
    )


def ends(span: Span) -> dict[str, str | None]:
    """The parameters `lowest` and `highest` of a statement."""
    lowest, highest = span or (None, None)
    return {"lowest": lowest, "highest": highest}


def lock(cursor: Cursor, batch_ids: Iterable[int]) -> None:
    """Lock these batches against other office commands until the transaction ends.

    In the order of their numbers, so that two commands cannot deadlock.
    """
    cursor.execute("SELECT id FROM batch WHERE id IN %(ids)s ORDER BY id FOR UPDATE", {"ids": sorted(set(batch_ids))})
    cursor.fetchall()


def find(cursor: Cursor, batch_id: int) -> Row | None:
    cursor.execute(
        """
        SELECT batch.id, batch.product_id, product.name AS product, batch.card_count, batch.first_serial,
               batch.last_serial, batch.single_code, batch.origin, batch.made_at, batch.operator,
               product.kind, product.credit_seconds, product.credit_octets, product.credit_cents, product.price_cents,
               product.valid_days, product.sell_by, product.valid_until_at, product.timezone, product.retired_at
          FROM batch
          JOIN product ON product.id = batch.product_id
         WHERE batch.id = %(batch_id)s
        """,
        {"batch_id": batch_id},
    )
    return cursor.fetchone()


def listed(cursor: Cursor, product: str | None = None) -> list[Row]:
    """All batches, newest first."""
    cursor.execute(
        """
        SELECT batch.id AS batch, product.name AS product, batch.card_count AS count, batch.first_serial,
               batch.last_serial, batch.single_code, batch.origin, batch.made_at, batch.operator
          FROM batch
          JOIN product ON product.id = batch.product_id
         WHERE product.name = %(product)s OR %(product)s IS NULL
         ORDER BY batch.id DESC
        """,
        {"product": product},
    )
    rows = list(cursor.fetchall())
    for row in rows:
        row["single_code"] = bool(row["single_code"])
    return rows


def count_by_status(cursor: Cursor, batch_id: int, span: Span = None) -> dict[str, int]:
    cursor.execute(
        f"""
        SELECT status, COUNT(*) AS count
          FROM card
         WHERE batch_id = %(batch_id)s
           {IN_SPAN if span else ""}
         GROUP BY status
        """,
        {"batch_id": batch_id, **ends(span)},
    )
    return {row["status"]: row["count"] for row in cursor.fetchall()}


def events(cursor: Cursor, batch_id: int) -> list[Row]:
    cursor.execute(
        """
        SELECT at, what, operator, reason, card_count AS count, first_serial, last_serial, detail
          FROM batch_event
         WHERE batch_id = %(batch_id)s
         ORDER BY id
        """,
        {"batch_id": batch_id},
    )
    return list(cursor.fetchall())


def last_sheets(cursor: Cursor, batch_id: int) -> Row | None:
    """The last export as a PDF that was not the reprint of a sheet: when, its detail (JSON) and its range."""
    cursor.execute(
        """
        SELECT at, detail, first_serial, last_serial
          FROM batch_event
         WHERE batch_id = %(batch_id)s
           AND what = 'exported'
           AND JSON_VALUE(detail, '$.format') = 'pdf'
           AND JSON_VALUE(detail, '$.sheet') IS NULL
         ORDER BY id DESC
         LIMIT 1
        """,
        {"batch_id": batch_id},
    )
    return cursor.fetchone()


def last_export(cursor: Cursor, batch_id: int) -> Row | None:
    cursor.execute(
        """
        SELECT at, operator
          FROM batch_event
         WHERE batch_id = %(batch_id)s AND what = 'exported'
         ORDER BY id DESC
         LIMIT 1
        """,
        {"batch_id": batch_id},
    )
    return cursor.fetchone()


def was_exported(cursor: Cursor, batch_id: int, span: Span = None) -> bool:
    """Whether an export before held any card of the batch, or of a range of it.  The serials of a batch are of one length."""
    cursor.execute(
        """
        SELECT 1
          FROM batch_event
         WHERE batch_id = %(batch_id)s
           AND what = 'exported'
           AND (first_serial IS NULL
                OR %(lowest)s IS NULL
                OR (first_serial <= %(highest)s AND last_serial >= %(lowest)s))
         LIMIT 1
        """,
        {"batch_id": batch_id, **ends(span)},
    )
    return cursor.fetchone() is not None


def read_counted(cursor: Cursor) -> list[tuple[str, int]]:
    """The prefix and the digits of all generated serials."""
    cursor.execute("SELECT prefix, digits FROM serial_counter ORDER BY prefix, digits")
    return [(row["prefix"], row["digits"]) for row in cursor.fetchall()]


def read_imported_ends(cursor: Cursor) -> list[str]:
    """The first and the last serial of every imported batch."""
    cursor.execute("SELECT first_serial, last_serial FROM batch WHERE origin = 'imported' AND card_count > 0")
    return [serial for row in cursor.fetchall() for serial in (row["first_serial"], row["last_serial"])]
