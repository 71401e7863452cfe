"""Posting: moves what sessions have used to their card, and acts on what that uses up."""

from collections.abc import Iterable, Sequence

from pymysql.cursors import Cursor

from ..rules.login import TIMEOUT_GRACE_SECONDS, balance_of, taken_back
from . import catalogue, logins
from .accounting import GRANT_IS_USED
from .sql import placeholders

# When a session has used the time that it was granted, if it uses it without a pause.
GRANT_ENDS_AT = f"(COALESCE(started_at, login_at) + INTERVAL (granted_seconds + {TIMEOUT_GRACE_SECONDS}) SECOND)"


def post(cursor: Cursor, card_ids: Iterable[int]) -> dict[int, str]:
    """Post what the cards' sessions have used to the cards themselves; return each card's status by its id.

    A card whose credit is used up becomes exhausted, and its open sessions are due to be disconnected.  The card is
    locked first, so that no login is written meanwhile.  Then its sessions are locked, so that exactly what is summed is
    posted, and nothing of a session that is written in between.
    """
    wanted = sorted(set(card_ids))
    cursor.execute("BEGIN")
    cursor.execute(f"SELECT id, status FROM card WHERE id IN ({placeholders(wanted)}) ORDER BY id FOR UPDATE", wanted)
    statuses = dict(cursor.fetchall())
    cursor.execute(
        f"""
        SELECT card_id,
               SUM(used_seconds - posted_seconds),
               SUM(used_down_octets - posted_down_octets),
               SUM(used_up_octets - posted_up_octets),
               MAX(login_number),
               GROUP_CONCAT(IF(used_seconds > posted_seconds
                               OR used_down_octets > posted_down_octets
                               OR used_up_octets > posted_up_octets, login_number, NULL))
          FROM session
         WHERE card_id IN ({placeholders(wanted)})
         GROUP BY card_id
           FOR UPDATE
        """,
        wanted,
    )
    for card_id, seconds, down_octets, up_octets, last_number, unposted_numbers in cursor.fetchall():
        if unposted_numbers:
            numbers = [int(number) for number in unposted_numbers.split(",")]
            cursor.execute(
                f"""
                UPDATE session
                   SET posted_seconds = used_seconds,
                       posted_down_octets = used_down_octets,
                       posted_up_octets = used_up_octets
                 WHERE card_id = %s
                   AND login_number IN ({placeholders(numbers)})
                """,
                (card_id, *numbers),
            )
        cursor.execute(
            """
            UPDATE card
               SET posted_seconds = posted_seconds + %s,
                   posted_down_octets = posted_down_octets + %s,
                   posted_up_octets = posted_up_octets + %s,
                   posted_login_number = GREATEST(posted_login_number, %s)
             WHERE id = %s
            """,
            (int(seconds), int(down_octets), int(up_octets), last_number, card_id),
        )
    for card_id, status in statuses.items():
        # A session that no login of ours began (seen in accounting only) has used the card, too.
        if status == "delivered" and logins.activate(cursor, card_id):
            statuses[card_id] = "in_use"
    in_use = [card_id for card_id, status in statuses.items() if status == "in_use"]
    for card_id, limit in _used_up(cursor, in_use) if in_use else ():
        _exhaust(cursor, card_id, limit)
        statuses[card_id] = "exhausted"
    cursor.execute("COMMIT")
    return statuses


def _used_up(cursor: Cursor, card_ids: Sequence[int]) -> list[tuple[int, str]]:
    """Which of these cards, just posted, have no credit left, and which of their credits ended: the first one in the order
    of a login's limits.  See usage.left and usage.is_used_up."""
    cursor.execute(
        f"""
        SELECT card.id,
               CASE WHEN card.posted_seconds >= CAST(product.credit_seconds AS SIGNED) + card.added_seconds
                    THEN 'time'
                    WHEN card.posted_down_octets + card.posted_up_octets
                         >= CAST(product.credit_octets AS SIGNED) + card.added_octets
                    THEN 'traffic'
                    WHEN card.posted_down_octets
                         >= CAST(product.credit_down_octets AS SIGNED) + card.added_down_octets
                    THEN 'download'
                    WHEN card.posted_up_octets >= CAST(product.credit_up_octets AS SIGNED) + card.added_up_octets
                    THEN 'upload'
                    WHEN CAST(card.posted_seconds AS DECIMAL(30)) * product.tariff_minute_millicents * 1000000
                         + CAST(card.posted_down_octets + card.posted_up_octets AS DECIMAL(30))
                           * product.tariff_mb_millicents * 60
                         >= CAST(CAST(product.credit_cents AS SIGNED) + card.added_cents AS DECIMAL(30)) * 60000000000
                    THEN 'money'
               END AS ended_by
          FROM card
          JOIN product ON product.id = card.product_id
         WHERE card.id IN ({placeholders(card_ids)})
        HAVING ended_by IS NOT NULL
        """,
        card_ids,
    )
    return [(card_id, limit) for card_id, limit in cursor.fetchall()]


def _exhaust(cursor: Cursor, card_id: int, limit: str) -> None:
    """Set a card's status to exhausted; its history names the credit that ended."""
    cursor.execute("SET @prepaid_reason = %s", (limit,))
    try:
        cursor.execute("UPDATE card SET status = 'exhausted' WHERE id = %s AND status = 'in_use'", (card_id,))
    finally:
        # The connection serves other cards, whose changes have other reasons.
        cursor.execute("SET @prepaid_reason = NULL")
    cursor.execute(
        """
        UPDATE session
           SET due_at = UTC_TIMESTAMP(3),
               due_cause = 'exhausted'
         WHERE card_id = %s
           AND due_at > UTC_TIMESTAMP(3)
        """,
        (card_id,),
    )


def disconnect_beyond_grant(cursor: Cursor, card_id: int, login_number: int) -> None:
    """Have a session disconnected that has used all that it was granted: what its card has left is granted to others."""
    cursor.execute(
        f"""
        UPDATE session
           SET due_at = UTC_TIMESTAMP(3),
               due_cause = 'granted'
         WHERE card_id = %s
           AND login_number = %s
           AND login_at IS NOT NULL
           AND due_at > UTC_TIMESTAMP(3)
           AND {GRANT_IS_USED}
        """,
        (card_id, login_number),
    )


def lower_grants(cursor: Cursor, card_id: int) -> None:
    """Take back what open sessions were granted and the card no longer has, from the newest first.

    A session that has ended may report more than it was known to have used, when others were granted what it had left; a
    session that runs may use more than it was granted.  All open sessions of a card together must hold no more than is
    left.  The card gets a new version, so that a login that was decided before is decided again.
    """
    cursor.execute("BEGIN")
    cursor.execute("SELECT serial FROM card WHERE id = %s FOR UPDATE", (card_id,))
    (serial,) = cursor.fetchone() or (None,)
    cursor.execute("UPDATE card SET version = version + 1 WHERE id = %s", (card_id,))
    card = logins.read_cards(cursor, [serial], with_pins=False).get(serial) if serial is not None else None
    if card is not None and card.sessions:
        balance = balance_of(card, catalogue.read_product(cursor, card.product_id))
        for session, taken in taken_back(balance, card.sessions):
            cursor.execute(
                f"""
                UPDATE session
                   SET granted_seconds = granted_seconds - %(seconds)s,
                       granted_octets = granted_octets - %(octets)s,
                       granted_down_octets = granted_down_octets - %(down_octets)s,
                       granted_up_octets = granted_up_octets - %(up_octets)s,
                       granted_millicents = granted_millicents - %(millicents)s,
                       due_cause = IF(%(seconds)s > 0 AND {GRANT_ENDS_AT} < due_at, 'time', due_cause),
                       due_at = IF(%(seconds)s > 0 AND {GRANT_ENDS_AT} < due_at, {GRANT_ENDS_AT}, due_at)
                 WHERE card_id = %(card_id)s
                   AND login_number = %(login_number)s
                   AND due_at IS NOT NULL
                """,
                {"card_id": card_id, "login_number": session.login_number, **taken._asdict()},
            )
    cursor.execute("COMMIT")


def slow_down(cursor: Cursor, card_id: int) -> None:
    """If a card has passed its fair-use share, have each of its sessions that runs at full speed slowed down, once;
    `prepaid enforce` sends it to the NAS.

    The share is the card's: it is compared with what all its sessions together have used.  For a card that bought only
    download, only the download is compared (see login.fair_use_octets).

    A session of a card for one device has a limit of its own (fup_octets), which its login computed as if nobody else used
    the share.  If another session of the card reports usage that this login did not know, the limit becomes 0: from
    then on each report is compared with the share.
    """
    is_passed, has_own_limit = _fair_use(cursor, card_id)
    if has_own_limit and not is_passed:
        cursor.execute(
            "UPDATE session SET fup_octets = 0 WHERE card_id = %s AND due_at IS NOT NULL AND fup_octets > 0", (card_id,)
        )
        # Again, because reports before this update were not compared with the share.
        is_passed, _ = _fair_use(cursor, card_id)
    if not is_passed:
        return
    cursor.execute(
        """
        INSERT IGNORE INTO session_slow_down (card_id, login_number)
        SELECT card_id, login_number
          FROM session
         WHERE card_id = %s
           AND due_at IS NOT NULL
           AND fup_octets IS NOT NULL
        """,
        (card_id,),
    )
    # Only theirs: a session that has ended keeps its limit, because it may go on, and is then slowed down, too.
    cursor.execute(
        """
        UPDATE session
          JOIN session_slow_down AS slow_down
            ON slow_down.card_id = session.card_id
           AND slow_down.login_number = session.login_number
           SET session.fup_octets = NULL
         WHERE session.card_id = %s
           AND session.fup_octets IS NOT NULL
        """,
        (card_id,),
    )


def _fair_use(cursor: Cursor, card_id: int) -> tuple[bool, bool]:
    """Whether a card has passed its fair-use share, and whether an open session of it has a limit of its own."""
    cursor.execute(
        """
        SELECT IF(product.credit_octets IS NOT NULL,
                  card.posted_down_octets + card.posted_up_octets + unposted.down_octets + unposted.up_octets,
                  card.posted_down_octets + unposted.down_octets)
               >= COALESCE(product.credit_octets, product.credit_down_octets) * product.fup_share_percent DIV 100,
               unposted.has_own_limit
          FROM card
          JOIN product ON product.id = card.product_id
          JOIN (SELECT COALESCE(SUM(used_down_octets - posted_down_octets), 0) AS down_octets,
                       COALESCE(SUM(used_up_octets - posted_up_octets), 0) AS up_octets,
                       COALESCE(MAX(due_at IS NOT NULL AND fup_octets > 0), FALSE) AS has_own_limit
                  FROM session
                 WHERE card_id = %s) AS unposted
         WHERE card.id = %s
        """,
        (card_id, card_id),
    )
    is_passed, has_own_limit = cursor.fetchone() or (0, 0)
    return bool(is_passed), bool(has_own_limit)
