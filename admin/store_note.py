"""The statements about delivery and return notes."""


def add(cursor, kind: str, partner_id: int | None, card_count: int, first_serial: str, last_serial: str,
        reason: str | None = None) -> int:
    """A new note; its number."""
    cursor.execute(
        """
        INSERT INTO note (kind, partner_id, card_count, first_serial, last_serial, reason)
        VALUES (%(kind)s, %(partner_id)s, %(card_count)s, %(first_serial)s, %(last_serial)s, %(reason)s)
        """,
        {"kind": kind, "partner_id": partner_id, "card_count": card_count, "first_serial": first_serial,
         "last_serial": last_serial, "reason": reason},
    )
    return cursor.lastrowid


def freeze_delivery_price(cursor, note_id: int, product_id: int, partner_id: int, card_count: int) -> int:
    """Write down today's price and commission: later changes do not reach cards that were handed over."""
    return cursor.execute(
        """
        INSERT INTO note_price (note_id, product_id, card_count, price_cents, commission_basis_points)
        SELECT %(note_id)s, product.id, %(card_count)s, product.price_cents,
               COALESCE(partner.commission_basis_points, product.commission_basis_points)
          FROM product
          JOIN partner ON partner.id = %(partner_id)s
         WHERE product.id = %(product_id)s
        """,
        {"note_id": note_id, "product_id": product_id, "partner_id": partner_id, "card_count": card_count},
    )


def copy_delivery_prices(cursor, note_id: int, choice) -> int:
    """Write down, for cards that come back, the price and commission at which they were delivered."""
    return cursor.execute(
        f"""
        INSERT INTO note_price (note_id, product_id, card_count, price_cents, commission_basis_points)
        SELECT %(note_id)s, card.product_id, COUNT(*), note_price.price_cents, note_price.commission_basis_points
          FROM card
          JOIN note_price ON note_price.note_id = card.delivery_note_id AND note_price.product_id = card.product_id
         WHERE {choice.where}
         GROUP BY card.product_id, note_price.price_cents, note_price.commission_basis_points
        """,
        {**choice.values, "note_id": note_id},
    )


def find(cursor, note_id: int) -> dict | None:
    cursor.execute(
        """
        SELECT note.id AS note, note.kind, partner.name AS partner, note.card_count AS count, note.first_serial,
               note.last_serial, note.reason, note.made_at, note.operator
          FROM note
          LEFT JOIN partner ON partner.id = note.partner_id
         WHERE note.id = %(note_id)s
        """,
        {"note_id": note_id},
    )
    return cursor.fetchone()


def listed(cursor, partner: str | None = None, kind: str | None = None) -> list[dict]:
    """Notes, newest first."""
    cursor.execute(
        """
        SELECT note.id AS note, note.kind, partner.name AS partner, note.card_count AS count, note.first_serial,
               note.last_serial, note.reason, note.made_at, note.operator
          FROM note
          LEFT JOIN partner ON partner.id = note.partner_id
         WHERE (partner.name = %(partner)s OR %(partner)s IS NULL)
           AND (note.kind = %(kind)s OR %(kind)s IS NULL)
         ORDER BY note.id DESC
        """,
        {"partner": partner, "kind": kind},
    )
    return cursor.fetchall()


def prices(cursor, note_id: int) -> list[dict]:
    """What a note is worth, product by product."""
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
    return cursor.fetchall()
