"""The statements of `prepaid reconcile`: each finds the rows that break one rule.

Each returns (serial or number, what is compared, one value, the other value).  They work on ranges of cards, with one
statement for a whole range, so ten million sessions are some hundred ranges.  All run within one snapshot, so logins
that happen meanwhile change nothing.
"""

from freeradius_module.rules.usage import CREDIT_COLUMNS

from .report import COMMISSION
from .rows import TupleCursor, TupleRow, only_tuple


def card_ids(cursor: TupleCursor) -> tuple[int, int]:
    """The ids of the first and the last card; (0, -1) if there is none."""
    cursor.execute("SELECT MIN(id), MAX(id) FROM card")
    first, last = only_tuple(cursor)
    return (0, -1) if first is None else (first, last)


def wrong_entries(cursor: TupleCursor, first: int, last: int) -> list[TupleRow]:
    """The credit that was added to a card is the sum of its compensating entries."""
    return _differing(
        cursor,
        first,
        last,
        "added",
        "added_",
        CREDIT_COLUMNS,
        f"""
        SELECT card_id, {", ".join(f"SUM(added_{kind}) AS {kind}" for kind in CREDIT_COLUMNS)}
          FROM card_entry
         WHERE card_id BETWEEN %(first)s AND %(last)s
         GROUP BY card_id""",
    )


def wrong_usage(cursor: TupleCursor, first: int, last: int) -> list[TupleRow]:
    """The usage that was posted to a card is the sum of its sessions, archived ones included.

    A session that is in both tables counts once, by its row in `session`.
    """
    return _differing(
        cursor,
        first,
        last,
        "used",
        "posted_",
        ("seconds", "down_octets", "up_octets"),
        """
        SELECT card_id, SUM(seconds) AS seconds, SUM(down_octets) AS down_octets, SUM(up_octets) AS up_octets
          FROM (SELECT card_id, posted_seconds AS seconds, posted_down_octets AS down_octets, posted_up_octets AS up_octets
                  FROM session
                 WHERE card_id BETWEEN %(first)s AND %(last)s
                 UNION ALL
                SELECT archived.card_id, archived.used_seconds, archived.used_down_octets, archived.used_up_octets
                  FROM session_archive AS archived
                 WHERE archived.card_id BETWEEN %(first)s AND %(last)s
                   AND NOT EXISTS (SELECT 1
                                     FROM session
                                    WHERE session.card_id = archived.card_id
                                      AND session.login_number = archived.login_number)) AS both_tables
         GROUP BY card_id""",
    )


def wrong_sessions(cursor: TupleCursor, first: int, last: int) -> list[TupleRow]:
    """No session has posted more than it used, and no archived session has a login number that may be used again."""
    cursor.execute(
        """
        SELECT card.serial, CONCAT('session ', session.login_number, ': posted and used'),
               CONCAT_WS(' ', session.posted_seconds, session.posted_down_octets, session.posted_up_octets),
               CONCAT_WS(' ', session.used_seconds, session.used_down_octets, session.used_up_octets)
          FROM session
          JOIN card ON card.id = session.card_id
         WHERE session.card_id BETWEEN %(first)s AND %(last)s
           AND (session.posted_seconds > session.used_seconds
                OR session.posted_down_octets > session.used_down_octets
                OR session.posted_up_octets > session.used_up_octets)
         UNION ALL
        SELECT card.serial, 'highest archived login number, and highest posted', archived.highest, card.posted_login_number
          FROM (SELECT card_id, MAX(login_number) AS highest
                  FROM session_archive
                 WHERE card_id BETWEEN %(first)s AND %(last)s
                 GROUP BY card_id) AS archived
          JOIN card ON card.id = archived.card_id
         WHERE archived.highest > card.posted_login_number
        """,
        {"first": first, "last": last},
    )
    return list(cursor.fetchall())


def wrong_statuses(cursor: TupleCursor, first: int, last: int) -> list[TupleRow]:
    """A card's status is the last one in its history, and each change begins with the status that the one before ended with.

    A card begins as 'created', an imported one with the status of the import.  In a history without a break, every
    status that is entered is left again, except the last.  So the sum of the entered statuses, minus the sum of the left
    ones, is the last status minus the first.  In the sums each status has four bits of its own, which count how often it
    occurs.  Sorting all changes by time would find the same faults and take five times as long.
    """
    cursor.execute(
        """
        SELECT card.serial,
               IF(last_event.to_status <=> CAST(card.status AS CHAR) OR last_event.id IS NULL,
                  'status, and a history with a break; its last status', 'status, and the last one of its history'),
               card.status, COALESCE(last_event.to_status, 'created')
          FROM card
          JOIN batch ON batch.id = card.batch_id
          LEFT JOIN (SELECT card_id, MAX(id) AS last_id,
                            SUM(CAST(1 << 4 * (to_status + 0) AS SIGNED) - CAST(1 << 4 * (from_status + 0) AS SIGNED)) AS moved
                       FROM card_event
                      WHERE card_id BETWEEN %(first)s AND %(last)s
                        AND to_status IS NOT NULL
                      GROUP BY card_id) AS history ON history.card_id = card.id
          LEFT JOIN card_event AS last_event ON last_event.id = history.last_id
         WHERE card.id BETWEEN %(first)s AND %(last)s
           AND (CAST(card.status AS CHAR) <> COALESCE(last_event.to_status, IF(batch.origin = 'imported', card.status, 'created'))
                OR IF(batch.origin = 'imported',
                      BIT_COUNT((1 << 4 * (card.status + 0)) - COALESCE(history.moved, 0)) <> 1,
                      (1 << 4 * (card.status + 0)) - COALESCE(history.moved, 0) <> 1 << 4))
        """,
        {"first": first, "last": last},
    )
    return list(cursor.fetchall())


def wrong_blocks(cursor: TupleCursor, first: int, last: int) -> list[TupleRow]:
    """A card has the status 'blocked' while one of its blocks is open, and no longer."""
    cursor.execute(
        """
        SELECT card.serial, 'status, and the number of its open blocks', card.status, COALESCE(blocks.count, 0)
          FROM card
          LEFT JOIN (SELECT card_id, COUNT(*) AS count
                       FROM card_block
                      WHERE card_id BETWEEN %(first)s AND %(last)s
                        AND lifted_at IS NULL
                      GROUP BY card_id) AS blocks ON blocks.card_id = card.id
         WHERE card.id BETWEEN %(first)s AND %(last)s
           AND (card.status = 'blocked') <> (blocks.card_id IS NOT NULL)
        """,
        {"first": first, "last": last},
    )
    return list(cursor.fetchall())


def wrong_custody(cursor: TupleCursor, first: int, last: int) -> list[TupleRow]:
    """A card that is with a partner has a delivery note to that partner."""
    cursor.execute(
        """
        SELECT card.serial, 'partner, and the partner of its delivery note',
               COALESCE((SELECT name FROM partner WHERE partner.id = card.partner_id), '-'),
               COALESCE((SELECT name FROM partner WHERE partner.id = note.partner_id), '-')
          FROM card
          LEFT JOIN note ON note.id = card.delivery_note_id
         WHERE card.id BETWEEN %(first)s AND %(last)s
           AND (NOT card.partner_id <=> note.partner_id
                OR note.kind <> 'delivery'
                OR (note.id IS NULL
                    AND COALESCE(card.status_before_block, CAST(card.status AS CHAR)) NOT IN ('created', 'deleted')))
           AND NOT (note.id IS NULL AND (SELECT origin FROM batch WHERE batch.id = card.batch_id) = 'imported')
        """,
        {"first": first, "last": last},
    )
    return list(cursor.fetchall())


def wrong_events(cursor: TupleCursor, first: int, last: int) -> list[TupleRow]:
    """Each change of status is in card_transition, and FreeRADIUS' account made none that only the office may make.

    Changes by operators are not checked against their roles: the roles that they had on that day are not recorded.
    """
    cursor.execute(
        """
        SELECT card.serial, IF(card_transition.what IS NULL, 'change of status, and permitted ones',
                               'change of status, and the account that made it'),
               CONCAT(card_event.from_status, ' -> ', card_event.to_status),
               IF(card_transition.what IS NULL, '-', card_event.operator)
          FROM card_event
          JOIN card ON card.id = card_event.card_id
          LEFT JOIN card_transition
            ON card_transition.from_status = card_event.from_status AND card_transition.to_status = card_event.to_status
          LEFT JOIN operator_role AS module
            ON module.operator = card_event.operator AND module.role = 'module' AND NOT card_transition.by_module
         WHERE card_event.card_id BETWEEN %(first)s AND %(last)s
           AND card_event.to_status IS NOT NULL
           AND (card_transition.what IS NULL OR module.role IS NOT NULL)
        """,
        {"first": first, "last": last},
    )
    return list(cursor.fetchall())


def wrong_transfers(cursor: TupleCursor, first: int, last: int) -> list[TupleRow]:
    """What a transfer took from one card, it gave to the other."""
    given = ", ".join(f"SUM(added_{kind})" for kind in CREDIT_COLUMNS)
    taken = ", ".join(f"-SUM(added_{kind})" for kind in CREDIT_COLUMNS)
    cursor.execute(
        f"""
        SELECT card.serial, 'transferred {", ".join(CREDIT_COLUMNS)}: here, and on the other card',
               here.amounts, COALESCE(there.amounts, '-')
          FROM (SELECT card_id, other_card_id,
                       CONCAT_WS(' ', {given}) AS amounts, CONCAT_WS(' ', {taken}) AS turned_round
                  FROM card_entry
                 WHERE card_id BETWEEN %(first)s AND %(last)s
                   AND what = 'transferred'
                 GROUP BY card_id, other_card_id) AS here
          JOIN card ON card.id = here.card_id
          LEFT JOIN (SELECT card_id, other_card_id,
                            CONCAT_WS(' ', {given}) AS amounts
                       FROM card_entry
                      WHERE other_card_id BETWEEN %(first)s AND %(last)s
                        AND what = 'transferred'
                      GROUP BY card_id, other_card_id) AS there
            ON there.card_id = here.other_card_id AND there.other_card_id = here.card_id
         WHERE NOT here.turned_round <=> there.amounts
        """,
        {"first": first, "last": last},
    )
    return list(cursor.fetchall())


def wrong_voice_credits(cursor: TupleCursor, first: int, last: int) -> list[TupleRow]:
    """A redeemed card has one credit for the voice platform, with the card's value; no other card has one."""
    cursor.execute(
        """
        SELECT card.serial, 'credit_cents and credit_seconds: of the card, and for the voice platform',
               IF(card.status = 'redeemed',
                  CONCAT_WS(' ', product.credit_cents + card.added_cents, product.credit_seconds + card.added_seconds), '-'),
               IF(voice_credit.id IS NULL, '-', CONCAT_WS(' ', voice_credit.credit_cents, voice_credit.credit_seconds))
          FROM card
          JOIN product ON product.id = card.product_id
          LEFT JOIN voice_credit ON voice_credit.card_id = card.id
         WHERE card.id BETWEEN %(first)s AND %(last)s
           AND (card.status = 'redeemed' OR voice_credit.id IS NOT NULL)
           AND (card.status <> 'redeemed'
                OR voice_credit.id IS NULL
                OR NOT voice_credit.credit_cents <=> CAST(product.credit_cents AS SIGNED) + card.added_cents
                OR NOT voice_credit.credit_seconds <=> CAST(product.credit_seconds AS SIGNED) + card.added_seconds)
        """,
        {"first": first, "last": last},
    )
    return list(cursor.fetchall())


def wrong_notes(cursor: TupleCursor) -> list[TupleRow]:
    """A note has as many cards as changed hands with it, and prices for as many."""
    cursor.execute(
        """
        SELECT note.id, 'cards on the note, and in the history', note.card_count, COUNT(card_event.id)
          FROM note
          LEFT JOIN card_event ON card_event.note_id = note.id AND card_event.to_status IS NOT NULL
         GROUP BY note.id, note.card_count
        HAVING note.card_count <> COUNT(card_event.id)
         UNION ALL
        SELECT note.id, 'cards on the note, and priced', note.card_count, COALESCE(SUM(note_price.card_count), 0)
          FROM note
          LEFT JOIN note_price ON note_price.note_id = note.id
         WHERE note.kind = 'delivery'
         GROUP BY note.id, note.card_count
        HAVING note.card_count <> COALESCE(SUM(note_price.card_count), 0)
        """
    )
    return list(cursor.fetchall())


def wrong_accounts(cursor: TupleCursor) -> list[TupleRow]:
    """A partner's account has the sums of its notes and payments, and a reversal takes back exactly its payment."""
    cursor.execute(
        f"""
        SELECT partner.name, 'cards delivered less returned, in cents: on the account, and by the notes',
               account.cards_cents, COALESCE(noted.cents, 0)
          FROM partner
          JOIN partner_account AS account ON account.partner_id = partner.id
          LEFT JOIN (SELECT note.partner_id,
                            SUM(IF(note.kind = 'return', -1, 1) * CAST(note_price.card_count AS SIGNED)
                                * CAST(note_price.price_cents - {COMMISSION.format("note_price")} AS SIGNED)) AS cents
                       FROM note
                       JOIN note_price ON note_price.note_id = note.id
                      WHERE note.kind IN ('delivery', 'return')
                      GROUP BY note.partner_id) AS noted ON noted.partner_id = partner.id
         WHERE account.cards_cents <> COALESCE(noted.cents, 0)
         UNION ALL
        SELECT partner.name, 'paid, in cents: on the account, and the sum of the payments',
               account.paid_cents, COALESCE(paid.cents, 0)
          FROM partner
          JOIN partner_account AS account ON account.partner_id = partner.id
          LEFT JOIN (SELECT partner_id, SUM(amount_cents) AS cents FROM payment GROUP BY partner_id) AS paid
            ON paid.partner_id = partner.id
         WHERE account.paid_cents <> COALESCE(paid.cents, 0)
         UNION ALL
        SELECT partner.name, CONCAT('payment ', payment.id, ' and its reversal, in cents'),
               payment.amount_cents, reversal.amount_cents
          FROM payment AS reversal
          JOIN payment ON payment.id = reversal.reverses_id
          JOIN partner ON partner.id = payment.partner_id
         WHERE reversal.amount_cents <> -payment.amount_cents
            OR reversal.partner_id <> payment.partner_id
        """
    )
    return list(cursor.fetchall())


def wrong_batches(cursor: TupleCursor) -> list[TupleRow]:
    """A batch has as many cards as its row states."""
    cursor.execute(
        """
        SELECT batch.id, 'cards of the batch, and found', batch.card_count, COALESCE(found.cards, 0)
          FROM batch
          LEFT JOIN (SELECT batch_id, COUNT(*) AS cards FROM card GROUP BY batch_id) AS found ON found.batch_id = batch.id
         WHERE batch.card_count <> COALESCE(found.cards, 0)
        """
    )
    return list(cursor.fetchall())


def _differing(
    cursor: TupleCursor, first: int, last: int, what: str, prefix: str, units: tuple[str, ...], sums: str
) -> list[TupleRow]:
    """Cards whose columns `prefix…` differ from the sums that the statement *sums* returns by card_id."""
    on_card = [f"card.{prefix}{unit}" for unit in units]
    summed = [f"COALESCE(sums.{unit}, 0)" for unit in units]
    differs = " OR ".join(f"{column} <> {value}" for column, value in zip(on_card, summed, strict=True))
    cursor.execute(
        f"""
        SELECT card.serial, '{what} {", ".join(units)}: on the card, and the sum',
               CONCAT_WS(' ', {", ".join(on_card)}), CONCAT_WS(' ', {", ".join(summed)})
          FROM card
          LEFT JOIN ({sums}) AS sums ON sums.card_id = card.id
         WHERE card.id BETWEEN %(first)s AND %(last)s
           AND ({differs})
        """,
        {"first": first, "last": last},
    )
    return list(cursor.fetchall())
