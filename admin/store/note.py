"""The statements about delivery and return notes."""

from .report import COMMISSION
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


def amounts(cursor: Cursor, note_id: int) -> list[Row]:
    """The cards of a note by product and price, with their amounts: face value, commission, and what remains."""
    cursor.execute(
        f"""
        SELECT product.name AS product, note_price.card_count AS cards, note_price.price_cents,
               note_price.commission_basis_points, note_price.card_count * note_price.price_cents AS face_value_cents,
               note_price.card_count * {COMMISSION.format("note_price")} AS commission_cents
          FROM note_price
          JOIN product ON product.id = note_price.product_id
         WHERE note_price.note_id = %(note_id)s
         ORDER BY product.name, note_price.price_cents, note_price.commission_basis_points
        """,
        {"note_id": note_id},
    )
    return [
        {**row, "net_cents": row["face_value_cents"] - row["commission_cents"]}
        for row in map(_whole, cursor.fetchall())
    ]


def _whole(row: Row) -> Row:
    """Sums and products of the database are decimals; here they are whole cents."""
    return {name: int(value) if name.endswith(("_cents", "cards")) else value for name, value in row.items()}


def ranges(cursor: Cursor, note_id: int) -> list[Row]:
    """The cards of a note as ranges of serials.  A range ends where its batch has a card that is not on the note."""
    cursor.execute(
        """
        WITH chosen AS (SELECT card.id, card.batch_id
                          FROM card_event
                          JOIN card ON card.id = card_event.card_id
                         WHERE card_event.note_id = %(note_id)s
                           AND card_event.to_status IS NOT NULL),
             placed AS (SELECT card.batch_id, card.product_id, card.serial, chosen.id IS NOT NULL AS is_chosen,
                               ROW_NUMBER() OVER (PARTITION BY card.batch_id ORDER BY card.serial) AS place
                          FROM card
                          LEFT JOIN chosen ON chosen.id = card.id
                         WHERE card.batch_id IN (SELECT batch_id FROM chosen)),
             counted AS (SELECT batch_id, product_id, serial,
                                place - ROW_NUMBER() OVER (PARTITION BY batch_id ORDER BY serial) AS skipped
                           FROM placed
                          WHERE is_chosen)
        SELECT counted.batch_id AS batch, product.name AS product, MIN(counted.serial) AS first_serial,
               MAX(counted.serial) AS last_serial, COUNT(*) AS cards
          FROM counted
          JOIN product ON product.id = counted.product_id
         GROUP BY counted.batch_id, counted.product_id, counted.skipped
         ORDER BY counted.batch_id, first_serial
        """,
        {"note_id": note_id},
    )
    return list(cursor.fetchall())
