"""The statements about partners."""

from .card import Choice
from .rows import Cursor, Parameters, Row, only_row


def add(cursor: Cursor, values: Parameters) -> int:
    cursor.execute(
        """
        INSERT INTO partner (name, document, contact, commission_basis_points)
        VALUES (%(name)s, %(document)s, %(contact)s, %(commission_basis_points)s)
        """,
        values,
    )
    return cursor.lastrowid


def change(cursor: Cursor, partner_id: int, values: Parameters) -> int:
    """Set these columns and leave the others."""
    columns = ", ".join(f"{column} = %({column})s" for column in values if column in _COLUMNS)
    return cursor.execute(
        f"UPDATE partner SET {columns} WHERE id = %(partner_id)s", {**values, "partner_id": partner_id}
    )


def retire(cursor: Cursor, partner_id: int) -> int:
    """Allow no more deliveries; return 0 if the partner was already retired."""
    return cursor.execute(
        "UPDATE partner SET retired_at = UTC_TIMESTAMP(3) WHERE id = %(partner_id)s AND retired_at IS NULL",
        {"partner_id": partner_id},
    )


def set_credit_limit(cursor: Cursor, partner_id: int, cents: int | None) -> int:
    """Set the limit of what a partner may have and owe; None removes it."""
    return cursor.execute(
        "UPDATE partner_account SET credit_limit_cents = %(cents)s WHERE partner_id = %(partner_id)s",
        {"partner_id": partner_id, "cents": cents},
    )


def find(cursor: Cursor, name: str) -> Row | None:
    cursor.execute(f"{_SELECT} WHERE partner.name = %(name)s", {"name": name})
    return cursor.fetchone()


def listed(cursor: Cursor, retired_too: bool = False) -> list[Row]:
    cursor.execute(
        f"""
        {_SELECT}
         WHERE partner.retired_at IS NULL OR %(retired_too)s
         ORDER BY partner.name
        """,
        {"retired_too": retired_too},
    )
    return list(cursor.fetchall())


def account(cursor: Cursor, partner_id: int) -> Row:
    """What counts against the credit limit: unreturned cards, those of them that expired unused, and payments."""
    cursor.execute(
        """
        SELECT account.credit_limit_cents, account.cards_cents, account.paid_cents,
               (SELECT COALESCE(SUM(net_cents(note_price.price_cents, note_price.commission_basis_points)), 0)
                  FROM card
                  JOIN note_price ON note_price.note_id = card.delivery_note_id AND note_price.product_id = card.product_id
                 WHERE card.partner_id = account.partner_id
                   AND card.status = 'expired'
                   AND card.first_login_at IS NULL) AS expired_cents
          FROM partner_account AS account
         WHERE account.partner_id = %(partner_id)s
        """,
        {"partner_id": partner_id},
    )
    return only_row(cursor)


def price_of_cards(cursor: Cursor, partner_id: int, choice: Choice) -> int:
    """What a partner would owe for these cards if they are delivered now, in cents."""
    cursor.execute(
        f"""
        SELECT COALESCE(SUM(net_cents(product.price_cents,
                                      COALESCE(partner.commission_basis_points, product.commission_basis_points))), 0)
               AS cents
          FROM card
          JOIN product ON product.id = card.product_id
          JOIN partner ON partner.id = %(partner_id)s
         WHERE {choice.where}
        """,
        {**choice.values, "partner_id": partner_id},
    )
    return int(only_row(cursor)["cents"])


_SELECT = """
        SELECT partner.id, partner.name, partner.document, partner.contact, partner.commission_basis_points,
               account.credit_limit_cents, partner.retired_at
          FROM partner
          JOIN partner_account AS account ON account.partner_id = partner.id"""

_COLUMNS = ("name", "document", "contact", "commission_basis_points")
