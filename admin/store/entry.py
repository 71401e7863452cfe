"""The statements about compensating entries: credit added or moved, validity extended, a card released from its device."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

from freeradius_module.rules.login import GRACE_SECONDS, MISSED_INTERIMS, RESERVATION_SECONDS
from freeradius_module.rules.usage import CREDIT_COLUMNS

from .rows import Cursor, Row, only_row

NO_CREDIT: Mapping[str, int] = MappingProxyType({})


def lock(cursor: Cursor, card_ids: Iterable[int]) -> None:
    """Lock these cards against office commands, logins and posting until the transaction ends.

    In the order of their numbers, so that two commands cannot deadlock.
    """
    cursor.execute("SELECT id FROM card WHERE id IN %(ids)s ORDER BY id FOR UPDATE", {"ids": sorted(set(card_ids))})
    cursor.fetchall()


def add(
    cursor: Cursor,
    card_id: int,
    what: str,
    reason: str,
    added: Mapping[str, int] = NO_CREDIT,
    key: str | None = None,
    other_card_id: int | None = None,
    expires_at: datetime | None = None,
) -> int:
    """Insert an entry; a trigger changes the card.  Return the entry's number.

    *added* is by kind, in seconds, octets or cents; it is negative for credit that is taken away.
    """
    cursor.execute(
        f"""
        INSERT INTO card_entry (card_id, what, reason, idempotency_key, other_card_id, expires_at,
                                {", ".join(f"added_{kind}" for kind in CREDIT_COLUMNS)})
        VALUES (%(card_id)s, %(what)s, %(reason)s, %(key)s, %(other_card_id)s, %(expires_at)s,
                {", ".join(f"%({kind})s" for kind in CREDIT_COLUMNS)})
        """,
        {
            "card_id": card_id,
            "what": what,
            "reason": reason,
            "key": key,
            "other_card_id": other_card_id,
            "expires_at": expires_at,
            **{kind: added.get(kind, 0) for kind in CREDIT_COLUMNS},
        },
    )
    return cursor.lastrowid


def made_with_key(cursor: Cursor, card_id: int, key: str) -> Row | None:
    """The entry of this card that has this idempotency key."""
    cursor.execute(
        f"""
        SELECT id AS entry, at, what, operator, other_card_id, expires_at,
               {", ".join(f"added_{kind} AS {kind}" for kind in CREDIT_COLUMNS)}
          FROM card_entry
         WHERE card_id = %(card_id)s
           AND idempotency_key = %(key)s
        """,
        {"card_id": card_id, "key": key},
    )
    return cursor.fetchone()


def unbound_since(cursor: Cursor, card_id: int, days: int) -> list[datetime]:
    """The times (UTC) within the last *days* at which the card was released from its device, oldest first."""
    cursor.execute(
        """
        SELECT at
          FROM card_entry
         WHERE card_id = %(card_id)s
           AND what = 'unbound'
           AND at > UTC_TIMESTAMP(3) - INTERVAL %(days)s DAY
         ORDER BY at
        """,
        {"card_id": card_id, "days": days},
    )
    return [row["at"] for row in cursor.fetchall()]


def set_status(cursor: Cursor, card_id: int, status: str) -> int:
    """Set a card's status; a trigger refuses a change that is not allowed, and writes the history."""
    return cursor.execute(
        "UPDATE card SET status = %(status)s WHERE id = %(card_id)s", {"card_id": card_id, "status": status}
    )


def open_sessions(cursor: Cursor, card_id: int) -> int:
    """How many sessions may still use the card: open and not stale, or reserved by a login and not started."""
    cursor.execute(
        """
        SELECT COUNT(*) AS count
          FROM session
         WHERE card_id = %(card_id)s
           AND due_at IS NOT NULL
           AND IF(acct_session_id = '',
                  login_at > UTC_TIMESTAMP(3) - INTERVAL %(reserved)s SECOND,
                  heard_at > UTC_TIMESTAMP(3) - INTERVAL (%(missed)s * interim_seconds + %(grace)s) SECOND)
        """,
        {"card_id": card_id, "reserved": RESERVATION_SECONDS, "missed": MISSED_INTERIMS, "grace": GRACE_SECONDS},
    )
    return int(only_row(cursor)["count"])


def lock_sessions(cursor: Cursor, card_id: int) -> None:
    """Lock a card's sessions until the transaction ends, so that its balance does not change after it was read."""
    cursor.execute("SELECT login_number FROM session WHERE card_id = %(card_id)s FOR UPDATE", {"card_id": card_id})
    cursor.fetchall()
