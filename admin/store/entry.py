"""The statements about compensating entries: credit added or moved by hand, devices set free."""

from freeradius_module.rules.login import GRACE_SECONDS, MISSED_INTERIMS, RESERVATION_SECONDS
from freeradius_module.rules.usage import CREDIT_COLUMNS as KINDS


def lock(cursor, card_ids) -> None:
    """Let nobody change these cards until this transaction ends: no office command, no login, no posting.

    In the order of their numbers, so that two commands wait for each other in one direction only.
    """
    cursor.execute("SELECT id FROM card WHERE id IN %(ids)s ORDER BY id FOR UPDATE", {"ids": sorted(set(card_ids))})
    cursor.fetchall()


def add(
    cursor,
    card_id: int,
    what: str,
    reason: str,
    added: dict[str, int],
    key: str | None = None,
    other_card_id: int | None = None,
    expires_at=None,
) -> int:
    """An entry; its trigger brings the card up to date.  `added` is by kind, negative where credit goes away."""
    cursor.execute(
        f"""
        INSERT INTO card_entry (card_id, what, reason, idempotency_key, other_card_id, expires_at,
                                {", ".join(f"added_{kind}" for kind in KINDS)})
        VALUES (%(card_id)s, %(what)s, %(reason)s, %(key)s, %(other_card_id)s, %(expires_at)s,
                {", ".join(f"%({kind})s" for kind in KINDS)})
        """,
        {
            "card_id": card_id,
            "what": what,
            "reason": reason,
            "key": key,
            "other_card_id": other_card_id,
            "expires_at": expires_at,
            **{kind: added.get(kind, 0) for kind in KINDS},
        },
    )
    return cursor.lastrowid


def made_with_key(cursor, card_id: int, key: str) -> dict | None:
    """The entry that was made on this card with this key."""
    cursor.execute(
        f"""
        SELECT id AS entry, at, what, operator, other_card_id, expires_at,
               {", ".join(f"added_{kind} AS {kind}" for kind in KINDS)}
          FROM card_entry
         WHERE card_id = %(card_id)s
           AND idempotency_key = %(key)s
        """,
        {"card_id": card_id, "key": key},
    )
    return cursor.fetchone()


def unbound_since(cursor, card_id: int, days: int) -> list:
    """When the card was set free from its device within the last days, oldest first."""
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


def set_status(cursor, card_id: int, status: str) -> int:
    """Whether the database allows it is its own rule; the history has it."""
    return cursor.execute(
        "UPDATE card SET status = %(status)s WHERE id = %(card_id)s", {"card_id": card_id, "status": status}
    )


def open_sessions(cursor, card_id: int) -> int:
    """How many sessions may still use the card: begun and heard of lately, or about to begin."""
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
    return cursor.fetchone()["count"]


def lock_sessions(cursor, card_id: int) -> None:
    """Let nobody charge a card's sessions until this transaction ends, so that what is left stays what was read."""
    cursor.execute("SELECT login_number FROM session WHERE card_id = %(card_id)s FOR UPDATE", {"card_id": card_id})
    cursor.fetchall()
