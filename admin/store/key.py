"""The statements about the keys that PINs and NAS secrets are sealed with, by the keys' numbers."""


def sealed_by_key(cursor) -> dict[int, dict[str, int]]:
    """How many cards and NAS each key has sealed; deleted cards have no PIN any more."""
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


def cards_of_other_keys(cursor, number: int, after_id: int, limit: int) -> list[dict]:
    """Some cards that are not sealed with this key, in the order of their ids; nobody is made to wait for this."""
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
    return cursor.fetchall()


def reseal_cards(cursor, number: int, cards: list[dict]) -> int:
    """Put the new seals in the place of the old ones; a card that was deleted or sealed anew meanwhile stays as it is."""
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


def nas_of_other_keys(cursor, number: int) -> list[dict]:
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
    return cursor.fetchall()


def reseal_nas(cursor, number: int, nas: dict) -> int:
    """The same for a NAS; one whose secret was changed meanwhile keeps the new one."""
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


def note_resealed(cursor) -> None:
    """Remember when something was sealed anew last."""
    cursor.execute(
        """
        INSERT INTO site (name, value)
        VALUES ('resealed_at', UTC_TIMESTAMP(3))
            ON DUPLICATE KEY UPDATE value = VALUES(value)
        """
    )


def seconds_since_resealed(cursor) -> int | None:
    cursor.execute(
        "SELECT TIMESTAMPDIFF(SECOND, value, UTC_TIMESTAMP(3)) AS seconds FROM site WHERE name = 'resealed_at'"
    )
    row = cursor.fetchone()
    return row and row["seconds"]


def take_key(cursor, number: int) -> None:
    """Wait until nobody seals with this key, and let nobody begin: see store.hold_key."""
    cursor.execute("SELECT name FROM site WHERE name = %(name)s FOR UPDATE", {"name": f"key_{number}_fingerprint"})
    cursor.fetchall()


def note_retired(cursor, number: int) -> int:
    return cursor.execute(
        "INSERT IGNORE INTO site (name, value) VALUES (%(name)s, UTC_TIMESTAMP(3))", {"name": f"key_{number}_retired"}
    )
