"""The statements about batches: their numbers, their history, their rows."""


def take_numbers(cursor, prefix: str, digits: int, count: int) -> int:
    """Take the next `count` serial numbers of a prefix for good; the first of them.

    Committed before any card is made, so that two `generate` at once neither meet nor wait for each other.
    Numbers whose batch comes to nothing stay unused.
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
    return cursor.fetchone()["next_number"] - count


def add(cursor, values: dict) -> int:
    """A new batch; its number."""
    cursor.execute(
        """
        INSERT INTO batch (product_id, card_count, first_serial, last_serial, single_code, origin)
        VALUES (%(product_id)s, %(card_count)s, %(first_serial)s, %(last_serial)s, %(single_code)s, %(origin)s)
        """,
        values,
    )
    return cursor.lastrowid


def set_range(cursor, batch_id: int, first_serial: str, last_serial: str) -> int:
    """The ends of a batch whose serials were drawn, not counted."""
    return cursor.execute(
        """
        UPDATE batch
           SET first_serial = %(first_serial)s, last_serial = %(last_serial)s
         WHERE id = %(batch_id)s
        """,
        {"batch_id": batch_id, "first_serial": first_serial, "last_serial": last_serial},
    )


def record(cursor, batch_id: int, what: str, card_count: int, reason: str | None = None, detail: str | None = None):
    """Write into a batch's history what happened to all of its cards at once."""
    cursor.execute(
        """
        INSERT INTO batch_event (batch_id, what, card_count, reason, detail)
        VALUES (%(batch_id)s, %(what)s, %(card_count)s, %(reason)s, %(detail)s)
        """,
        {"batch_id": batch_id, "what": what, "card_count": card_count, "reason": reason, "detail": detail},
    )


def lock(cursor, batch_ids) -> None:
    """Let no other office command change these batches until this transaction ends.

    In the order of their numbers, so that two commands wait for each other in one direction only.
    """
    cursor.execute("SELECT id FROM batch WHERE id IN %(ids)s ORDER BY id FOR UPDATE", {"ids": sorted(set(batch_ids))})
    cursor.fetchall()


def find(cursor, batch_id: int) -> dict | None:
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


def listed(cursor, product: str | None = None) -> list[dict]:
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
    rows = cursor.fetchall()
    for row in rows:
        row["single_code"] = bool(row["single_code"])
    return rows


def count_by_status(cursor, batch_id: int) -> dict[str, int]:
    cursor.execute(
        "SELECT status, COUNT(*) AS count FROM card WHERE batch_id = %(batch_id)s GROUP BY status", {"batch_id": batch_id}
    )
    return {row["status"]: row["count"] for row in cursor.fetchall()}


def events(cursor, batch_id: int) -> list[dict]:
    cursor.execute(
        """
        SELECT at, what, operator, reason, card_count AS count, detail
          FROM batch_event
         WHERE batch_id = %(batch_id)s
         ORDER BY id
        """,
        {"batch_id": batch_id},
    )
    return cursor.fetchall()


def last_export(cursor, batch_id: int) -> dict | None:
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
