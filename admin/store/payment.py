"""The statements about payments of partners."""

from datetime import date

from .rows import Cursor, Row, only_row

_SELECT = """
        SELECT payment.id AS payment, partner.name AS partner, payment.amount_cents, payment.paid_on,
               payment.idempotency_key AS `key`, payment.note, payment.reverses_id AS reverses,
               reversal.id AS reversed_by, payment.reason, payment.recorded_at, payment.operator
          FROM payment
          JOIN partner ON partner.id = payment.partner_id
          LEFT JOIN payment AS reversal ON reversal.reverses_id = payment.id"""


def add(cursor: Cursor, partner_id: int, amount_cents: int, paid_on: date, key: str, note: str | None) -> int:
    """Insert a payment; return its number.  A trigger adds it to the partner's account."""
    cursor.execute(
        """
        INSERT INTO payment (partner_id, amount_cents, paid_on, idempotency_key, note)
        VALUES (%(partner_id)s, %(amount_cents)s, %(paid_on)s, %(key)s, %(note)s)
        """,
        {"partner_id": partner_id, "amount_cents": amount_cents, "paid_on": paid_on, "key": key, "note": note},
    )
    return cursor.lastrowid


def reverse(cursor: Cursor, number: int, paid_on: date, reason: str) -> int:
    """Insert the reversal of a payment; return its number.  A trigger takes partner and amount from the payment."""
    cursor.execute(
        """
        INSERT INTO payment (partner_id, amount_cents, paid_on, reverses_id, reason)
        SELECT partner_id, -amount_cents, %(paid_on)s, id, %(reason)s
          FROM payment
         WHERE id = %(number)s
        """,
        {"number": number, "paid_on": paid_on, "reason": reason},
    )
    return cursor.lastrowid


def find(cursor: Cursor, number: int) -> Row | None:
    cursor.execute(f"{_SELECT} WHERE payment.id = %(number)s", {"number": number})
    return cursor.fetchone()


def made_with_key(cursor: Cursor, key: str) -> Row | None:
    """The payment that has this idempotency key."""
    cursor.execute(f"{_SELECT} WHERE payment.idempotency_key = %(key)s", {"key": key})
    return cursor.fetchone()


def paid_before(cursor: Cursor, partner_id: int, day: date) -> int:
    """The sum of a partner's payments before this day, less reversals, in cents."""
    cursor.execute(
        """
        SELECT COALESCE(SUM(amount_cents), 0) AS cents
          FROM payment
         WHERE partner_id = %(partner_id)s
           AND paid_on < %(day)s
        """,
        {"partner_id": partner_id, "day": day},
    )
    return int(only_row(cursor)["cents"])


def listed(
    cursor: Cursor, partner_id: int | None = None, first: date | None = None, last: date | None = None
) -> list[Row]:
    """Payments and reversals, newest first."""
    cursor.execute(
        f"""
        {_SELECT}
         WHERE (payment.partner_id = %(partner_id)s OR %(partner_id)s IS NULL)
           AND (payment.paid_on >= %(first)s OR %(first)s IS NULL)
           AND (payment.paid_on <= %(last)s OR %(last)s IS NULL)
         ORDER BY payment.paid_on DESC, payment.id DESC
        """,
        {"partner_id": partner_id, "first": first, "last": last},
    )
    return list(cursor.fetchall())
