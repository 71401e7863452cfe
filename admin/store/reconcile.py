"""The statements of `prepaid reconcile`: each finds the rows that break one rule.

Each returns (serial or number, what is compared, one value, the other value).  They work on ranges of cards, with one
statement for a whole range, so ten million sessions are some hundred ranges.  All run within one snapshot, so logins
that happen meanwhile change nothing.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

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
    """Each event in the history of a card is permitted, and its operator held a role for it at that time."""
    cursor.execute(
        """
        SELECT card.serial, 'change of status, and permitted ones',
               CONCAT(card_event.from_status, ' -> ', card_event.to_status), '-'
          FROM card_event
          JOIN card ON card.id = card_event.card_id
          LEFT JOIN card_transition
            ON card_transition.from_status = card_event.from_status AND card_transition.to_status = card_event.to_status
         WHERE card_event.card_id BETWEEN %(first)s AND %(last)s
           AND card_event.to_status IS NOT NULL
           AND card_transition.what IS NULL
        """,
        {"first": first, "last": last},
    )
    not_permitted = list(cursor.fetchall())
    held = held_roles(cursor)
    without_role: list[TupleRow] = []
    for operator, what, roles, first_at, last_at in _acts_on_cards(cursor, first, last):
        if not held.during(operator, roles, first_at, last_at):
            cursor.execute(
                f"""
                SELECT card.serial, card_event.at, {_WHAT}
                  FROM card_event
                  JOIN card ON card.id = card_event.card_id
                  LEFT JOIN card_transition
                    ON card_transition.from_status = card_event.from_status
                       AND card_transition.to_status = card_event.to_status
                 WHERE card_event.card_id BETWEEN %(first)s AND %(last)s
                   AND card_event.operator = %(operator)s
                   AND {_WHAT} = %(what)s
                 ORDER BY card_event.id
                """,
                {"first": first, "last": last, "operator": operator, "what": what},
            )
            without_role += [
                (serial, WITHOUT_ROLE, f"{what} {at:%Y-%m-%d %H:%M:%S}", operator)
                for serial, at, _what in cursor.fetchall()
                if not held.during(operator, roles, at, at)
            ]
    return not_permitted + without_role


def wrong_roles(cursor: TupleCursor) -> list[TupleRow]:
    """Who made a batch, note, payment or voice credit, exported a batch, or asked for an address held the role for it then."""
    held = held_roles(cursor)
    cursor.execute(
        """
        SELECT CONCAT('batch ', batch_id), what, operator, at FROM batch_event
         UNION ALL
        SELECT CONCAT('note ', id), CAST(kind AS CHAR), operator, made_at FROM note
         UNION ALL
        SELECT CONCAT('voice credit ', id), 'redeemed', operator, redeemed_at FROM voice_credit
         UNION ALL
        SELECT CONCAT('question ', id), 'asked', operator, asked_at FROM address_query
         UNION ALL
        SELECT CONCAT('payment ', id), 'paid', operator, recorded_at FROM payment
        """
    )
    return [
        (which, WITHOUT_ROLE, f"{what} {at:%Y-%m-%d %H:%M:%S}", operator)
        for which, what, operator, at in cursor.fetchall()
        if not held.during(operator, _ROLES_OF_PAPERS.get(what, ()), at, at)
    ]


WITHOUT_ROLE = "what was done, and by an account without a role for it"
# The clocks of a cluster's nodes may differ by so much.
CLOCKS_DIFFER = timedelta(minutes=1)
_WHAT = "COALESCE(card_transition.what, card_event.what, '-')"
# The roles for what is no change of status; card_transition has those of a change.
_ROLES_OF_EVENTS = {
    "disconnected": ("disconnect",),
    "pin_read": ("see_pin", "redeem"),
    **dict.fromkeys(("block_added", "block_lifted"), ("block",)),
    **dict.fromkeys(("credited", "transferred", "extended", "unbound"), ("credit",)),
}
_ROLES_OF_PAPERS = {
    "generated": ("generate",),
    "imported": ("import",),
    "pins_read": ("see_pin",),
    "exported": ("export",),
    "received": ("delete",),
    "delivery": ("deliver",),
    "return": ("return",),
    "void": ("delete",),
    "redeemed": ("redeem",),
    "asked": ("address",),
    "paid": ("payments",),
}


class HeldRoles:
    """Who held which role, and when."""

    def __init__(self, events: Iterable[tuple[str, str, str, str, datetime]]):
        """*events*: operator, role, 'given' or 'taken', the account that did it, and when; in their order."""
        # By operator and role: the begin and the end of each time. An account that gives roles owns the schema; nothing
        # binds it.
        self.owners = set()
        self.times: dict[tuple[str, str], list[tuple[datetime, datetime]]] = {}
        for operator, role, what, changed_by, at in events:
            self.owners.add(changed_by)
            times = self.times.setdefault((operator, role), [])
            if what == "given":
                times.append((at, datetime.max))
            elif times:
                times[-1] = (times[-1][0], at)

    def during(self, operator: str, roles: Iterable[str], first_at: datetime, last_at: datetime) -> bool:
        """Whether the operator held one of the roles, or one that includes all, for the whole time.

        >>> day = lambda number: datetime(2026, 3, number)
        >>> held = HeldRoles([("ana", "block", "given", "root", day(2)), ("ana", "block", "taken", "root", day(5))])
        >>> held.during("ana", ["block"], day(3), day(4)), held.during("ana", ["block"], day(3), day(6))
        (True, False)
        >>> held.during("ana", ["credit"], day(3), day(3)), held.during("root", ["credit"], day(3), day(3))
        (False, True)
        """
        return operator in self.owners or any(
            given_at - CLOCKS_DIFFER <= first_at and last_at - CLOCKS_DIFFER <= taken_at
            for role in (*roles, "admin", "office")
            for given_at, taken_at in self.times.get((operator, role), ())
        )


def held_roles(cursor: TupleCursor) -> HeldRoles:
    cursor.execute("SELECT operator, role, CAST(what AS CHAR), changed_by, at FROM operator_role_event ORDER BY id")
    return HeldRoles(cursor.fetchall())


def _acts_on_cards(
    cursor: TupleCursor, first: int, last: int
) -> Iterator[tuple[str, str, tuple[str, ...], datetime, datetime]]:
    """What each operator did with these cards: the operator, what, the roles for it, the first and the last time.

    There are few of these groups, so that only the events of a doubtful one are looked at.
    """
    cursor.execute(
        f"""
        SELECT card_event.operator, {_WHAT}, card_transition.role, card_transition.by_module,
               MIN(card_event.at), MAX(card_event.at)
          FROM card_event
          LEFT JOIN card_transition
            ON card_transition.from_status = card_event.from_status AND card_transition.to_status = card_event.to_status
         WHERE card_event.card_id BETWEEN %(first)s AND %(last)s
           AND (card_event.to_status IS NULL OR card_transition.what IS NOT NULL)
         GROUP BY 1, 2, 3, 4
        """,
        {"first": first, "last": last},
    )
    for operator, what, role, by_module, first_at, last_at in cursor.fetchall():
        roles = _ROLES_OF_EVENTS.get(what, ()) if role is None else (role, "module") if by_module else (role,)
        yield operator, what, roles, first_at, last_at


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
