"""The statements about the keys that seal PINs and NAS secrets; a key is known by its number."""

from .rows import Cursor, Row


def sealed_by_key(cursor: Cursor) -> dict[int, dict[str, int]]:
    """How many cards and NAS each key seals: {number: {"cards": …, "nas": …}}.  Deleted cards have no PIN."""
    cursor.execute(
        """
        SELECT key_number AS number, COUNT(*) AS cards, 0 AS nas
          FROM card
         WHERE status <> 'deleted'
         GROUP BY key_number
         UNION ALL
        SELECT key_number, 0, COUNT(*)
          FROM nas
         WHERE address <> ''
         GROUP BY key_number
        """
    )
    counts: dict[int, dict[str, int]] = {}
    for row in cursor.fetchall():
        of_key = counts.setdefault(row["number"], {"cards": 0, "nas": 0})
        of_key["cards"] += row["cards"]
        of_key["nas"] += row["nas"]
    return counts


def cards_of_other_keys(cursor: Cursor, number: int, after_id: int, limit: int) -> list[Row]:
    """The next cards that another key seals, in the order of their ids, without locking them."""
    cursor.execute(
        """
        SELECT id, serial, pin_sealed, key_number
          FROM card
         WHERE id > %(after_id)s
           AND key_number <> %(number)s
           AND status <> 'deleted'
         ORDER BY id
         LIMIT %(limit)s
        """,
        {"number": number, "after_id": after_id, "limit": limit},
    )
    return list(cursor.fetchall())


def reseal_cards(cursor: Cursor, number: int, cards: list[Row]) -> int:
    """Replace the sealed PINs; a card that was deleted or sealed with another key meanwhile keeps its own."""
    fresh = " UNION ALL ".join(["SELECT %s AS id, %s AS old_number, %s AS sealed"] * len(cards))
    return cursor.execute(
        f"""
        UPDATE ({fresh}) AS fresh
          STRAIGHT_JOIN card ON card.id = fresh.id
           SET card.pin_sealed = fresh.sealed, card.key_number = %s
         WHERE card.key_number = fresh.old_number
           AND card.status <> 'deleted'
        """,
        [value for card in cards for value in (card["id"], card["key_number"], card["sealed"])] + [number],
    )


def nas_of_other_keys(cursor: Cursor, number: int) -> list[Row]:
    cursor.execute(
        """
        SELECT id, name, secret_sealed, key_number
          FROM nas
         WHERE address <> ''
           AND key_number <> %(number)s
         ORDER BY id
        """,
        {"number": number},
    )
    return list(cursor.fetchall())


def reseal_nas(cursor: Cursor, number: int, nas: Row) -> int:
    """Replace the sealed secret of a NAS; a secret that was changed meanwhile stays."""
    return cursor.execute(
        """
        UPDATE nas
           SET secret_sealed = %(sealed)s, key_number = %(number)s
         WHERE id = %(id)s
           AND key_number = %(key_number)s
           AND secret_sealed = %(secret_sealed)s
        """,
        {**nas, "number": number},
    )


def record_resealed(cursor: Cursor) -> None:
    """Record the time at which PINs or secrets were last sealed with another key."""
    cursor.execute(
        """
        INSERT INTO site (name, value)
        VALUES ('resealed_at', UTC_TIMESTAMP(3))
            ON DUPLICATE KEY UPDATE value = VALUES(value)
        """
    )


def seconds_since_resealed(cursor: Cursor) -> int | None:
    cursor.execute(
        "SELECT TIMESTAMPDIFF(SECOND, value, UTC_TIMESTAMP(3)) AS seconds FROM site WHERE name = 'resealed_at'"
    )
    row = cursor.fetchone()
    return row["seconds"] if row else None


def lock_key(cursor: Cursor, number: int) -> None:
    """Lock this key exclusively: wait for transactions that seal with it, and block new ones (connection.hold_key)."""
    cursor.execute("SELECT name FROM site WHERE name = %(name)s FOR UPDATE", {"name": f"key_{number}_fingerprint"})
    cursor.fetchall()


def record_retired(cursor: Cursor, number: int) -> int:
    return cursor.execute(
        "INSERT IGNORE INTO site (name, value) VALUES (%(name)s, UTC_TIMESTAMP(3))", {"name": f"key_{number}_retired"}
    )
