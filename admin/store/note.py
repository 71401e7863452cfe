"""The statements about delivery and return notes."""

from .rows import Cursor, Row

_SELECT = """
        SELECT note.id AS note, note.kind, partner.name AS partner, note.card_count AS count, note.first_serial,
               note.last_serial, note.reason, note.made_at, note.operator
          FROM note
          LEFT JOIN partner ON partner.id = note.partner_id"""


def add(cursor: Cursor, kind: str, partner_id: int | None, reason: str | None = None) -> int:
    """Insert a note; return its number.  When cards change hands, triggers count them and write their prices."""
    cursor.execute(
        "INSERT INTO note (kind, partner_id, reason) VALUES (%(kind)s, %(partner_id)s, %(reason)s)",
        {"kind": kind, "partner_id": partner_id, "reason": reason},
    )
    return cursor.lastrowid


def find(cursor: Cursor, note_id: int) -> Row | None:
    cursor.execute(f"{_SELECT} WHERE note.id = %(note_id)s", {"note_id": note_id})
    return cursor.fetchone()


def listed(cursor: Cursor, partner: str | None = None, kind: str | None = None) -> list[Row]:
    """Notes, newest first."""
    cursor.execute(
        f"""
        {_SELECT}
         WHERE (partner.name = %(partner)s OR %(partner)s IS NULL)
           AND (note.kind = %(kind)s OR %(kind)s IS NULL)
         ORDER BY note.id DESC
        """,
        {"partner": partner, "kind": kind},
    )
    return list(cursor.fetchall())


def prices(cursor: Cursor, note_id: int) -> list[Row]:
    """The cards of a note by product and price: count, price and commission."""
    cursor.execute(
        """
        SELECT product.name AS product, note_price.card_count AS count, note_price.price_cents,
               note_price.commission_basis_points
          FROM note_price
          JOIN product ON product.id = note_price.product_id
         WHERE note_price.note_id = %(note_id)s
         ORDER BY product.name, note_price.price_cents, note_price.commission_basis_points
        """,
        {"note_id": note_id},
    )
    return list(cursor.fetchall())
