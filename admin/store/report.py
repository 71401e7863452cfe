"""The statements of `prepaid report`: sums that the database groups, read from indexes and not from each card.

Times are hours since the year 2000 in UTC, because grouping by numbers takes a third of the time of grouping by texts.
The caller converts hours into the days of a time zone.
"""

from datetime import datetime

from .rows import Cursor, Parameters, Row

HOUR = "TIMESTAMPDIFF(HOUR, '2000-01-01', {})"
# The commission of each card is rounded half up to the cent.  So the sums of days equal the sum of the month, and the
# sums of partners equal the total.
COMMISSION = "FLOOR(({0}.price_cents * {0}.commission_basis_points + 5000) / 10000)"

_BEGINNING = datetime(2000, 1, 1)


def stock(cursor: Cursor, wanted: Parameters) -> list[Row]:
    """Cards by product, partner and status, from the index card_by_partner alone."""
    cursor.execute(
        f"""
        SELECT product.name AS product, partner.name AS partner, counted.status, counted.cards
          FROM (SELECT partner_id, product_id, status, COUNT(*) AS cards
                  FROM card
                 WHERE {_of_card(wanted)}
                 GROUP BY partner_id, product_id, status) AS counted
          JOIN product ON product.id = counted.product_id
          LEFT JOIN partner ON partner.id = counted.partner_id
         WHERE counted.status <> 'deleted'
        """,
        wanted,
    )
    return list(cursor.fetchall())


def sales(cursor: Cursor, wanted: Parameters) -> list[Row]:
    """Cards that were first used or redeemed, by hour, product and partner: count, price, commission.

    Price and commission are those of the delivery note; for cards without a note, those of today.
    """
    cursor.execute(
        f"""
        SELECT sold.hour, product.name AS product, partner.name AS partner, SUM(sold.cards) AS cards,
               SUM(sold.cards * sold.price_cents) AS sold_cents, SUM(sold.cards * {COMMISSION.format("sold")}) AS commission_cents
          FROM (SELECT counted.*,
                       COALESCE(note_price.price_cents, product.price_cents) AS price_cents,
                       COALESCE(note_price.commission_basis_points, partner.commission_basis_points,
                                product.commission_basis_points) AS commission_basis_points
                  FROM (SELECT {HOUR.format("first_login_at")} AS hour, product_id, partner_id, delivery_note_id,
                               COUNT(*) AS cards
                          FROM card
                         WHERE first_login_at >= %(begin)s AND first_login_at < %(end)s
                           AND {_of_card(wanted)}
                         GROUP BY 1, 2, 3, 4
                         UNION ALL
                        SELECT {HOUR.format("voice_credit.redeemed_at")}, card.product_id, card.partner_id,
                               card.delivery_note_id, COUNT(*)
                          FROM voice_credit
                          JOIN card ON card.id = voice_credit.card_id
                         WHERE voice_credit.redeemed_at >= %(begin)s AND voice_credit.redeemed_at < %(end)s
                           AND card.first_login_at IS NULL
                           AND {_of_card(wanted)}
                         GROUP BY 1, 2, 3, 4) AS counted
                  JOIN product ON product.id = counted.product_id
                  LEFT JOIN partner ON partner.id = counted.partner_id
                  LEFT JOIN note_price ON note_price.note_id = counted.delivery_note_id
                                      AND note_price.product_id = counted.product_id) AS sold
          JOIN product ON product.id = sold.product_id
          LEFT JOIN partner ON partner.id = sold.partner_id
         GROUP BY sold.hour, sold.product_id, sold.partner_id
        """,
        wanted,
    )
    return list(cursor.fetchall())


def owed_for_sales(cursor: Cursor, partner_id: int, end: datetime) -> int:
    """What a partner's sales before *end* (UTC) amount to, less commission, in cents.  Payments are not subtracted."""
    rows = sales(cursor, {"partner_id": partner_id, "begin": _BEGINNING, "end": end})
    return sum(int(row["sold_cents"]) - int(row["commission_cents"]) for row in rows)


def usage(cursor: Cursor, wanted: Parameters) -> list[Row]:
    """Sessions by the hour of their last report, product and partner.

    Archived sessions are summed already (usage_hour); the others are few.  What the archive has of a session that
    returned for a late packet is subtracted.
    """
    cursor.execute(
        f"""
        SELECT used.hour, product.name AS product, partner.name AS partner, SUM(used.sessions) AS sessions,
               SUM(used.used_seconds) AS used_seconds, SUM(used.used_down_octets) AS used_down_octets,
               SUM(used.used_up_octets) AS used_up_octets
          FROM (SELECT {HOUR.format("hour_at")} AS hour, product_id, partner_id, session_count AS sessions, used_seconds,
                       used_down_octets, used_up_octets
                  FROM usage_hour
                 WHERE hour_at >= %(begin)s AND hour_at < %(end)s
                   AND {_of_card(wanted, "usage_hour")}
                 UNION ALL
                SELECT STRAIGHT_JOIN {HOUR.format("session.heard_at")}, card.product_id, COALESCE(card.partner_id, 0),
                       SUM(archived.card_id IS NULL),
                       SUM(session.used_seconds - COALESCE(archived.used_seconds, 0)),
                       SUM(session.used_down_octets - COALESCE(archived.used_down_octets, 0)),
                       SUM(session.used_up_octets - COALESCE(archived.used_up_octets, 0))
                  FROM session
                  JOIN card ON card.id = session.card_id
                  LEFT JOIN session_archive AS archived
                    ON archived.card_id = session.card_id AND archived.login_number = session.login_number
                 WHERE session.heard_at >= %(begin)s AND session.heard_at < %(end)s
                   AND session.acct_session_id <> ''
                   AND {_of_card(wanted)}
                 GROUP BY 1, 2, 3) AS used
          JOIN product ON product.id = used.product_id
          LEFT JOIN partner ON partner.id = used.partner_id
         GROUP BY used.hour, used.product_id, used.partner_id
        """,
        wanted,
    )
    return list(cursor.fetchall())


def custody(cursor: Cursor, wanted: Parameters) -> list[Row]:
    """Cards that were delivered to each partner and returned in the period, by the notes."""
    cursor.execute(
        f"""
        SELECT partner.name AS partner, note.kind, SUM(note_price.card_count) AS cards
          FROM note
          JOIN partner ON partner.id = note.partner_id
          JOIN note_price ON note_price.note_id = note.id
         WHERE note.made_at >= %(begin)s AND note.made_at < %(end)s
           AND note.kind IN ('delivery', 'return')
           AND {_of_card(wanted, "note_price", "note")}
         GROUP BY note.partner_id, note.kind
        """,
        wanted,
    )
    return list(cursor.fetchall())


def notes(cursor: Cursor, wanted: Parameters) -> list[Row]:
    """The delivery and return notes of a partner in the period, by product."""
    cursor.execute(
        """
        SELECT note.id AS number, CAST(note.kind AS CHAR) AS what, note.made_at, product.name AS product,
               SUM(note_price.card_count) AS cards
          FROM note
          JOIN note_price ON note_price.note_id = note.id
          JOIN product ON product.id = note_price.product_id
         WHERE note.partner_id = %(partner_id)s
           AND note.made_at >= %(begin)s AND note.made_at < %(end)s
           AND note.kind IN ('delivery', 'return')
         GROUP BY note.id, product.id
         ORDER BY note.id, product.name
        """,
        wanted,
    )
    return list(cursor.fetchall())


def with_partners(cursor: Cursor, wanted: Parameters) -> list[Row]:
    """Unused cards that are with partners now, blocked ones included, expired ones not."""
    cursor.execute(
        f"""
        SELECT partner.name AS partner, SUM(counted.cards) AS cards
          FROM (SELECT partner_id, COUNT(*) AS cards
                  FROM card
                 WHERE partner_id IS NOT NULL AND status = 'delivered' AND {_of_card(wanted)}
                 GROUP BY partner_id
                 UNION ALL
                SELECT partner_id, COUNT(*)
                  FROM card
                 WHERE partner_id IS NOT NULL AND status = 'blocked' AND status_before_block = 'delivered'
                   AND {_of_card(wanted)}
                 GROUP BY partner_id) AS counted
          JOIN partner ON partner.id = counted.partner_id
         GROUP BY counted.partner_id
        """,
        wanted,
    )
    return list(cursor.fetchall())


def _of_card(wanted: Parameters, product_table: str = "card", partner_table: str | None = None) -> str:
    """The condition for the product and the partner that the report is limited to."""
    conditions = []
    if wanted.get("product_id") is not None:
        conditions.append(f"{product_table}.product_id = %(product_id)s")
    if wanted.get("partner_id") is not None:
        conditions.append(f"{partner_table or product_table}.partner_id = %(partner_id)s")
    return " AND ".join(conditions) or "TRUE"
