"""The statements about cards that were made elsewhere."""

_COLUMNS = (
    "serial", "pin_sealed", "key_number", "status", "status_before_block", "batch_id", "product_id", "first_login_at",
    "expires_at", "note", "settled_seconds", "settled_down_octets", "settled_up_octets",
)


def add_many(cursor, cards: list[dict]) -> int:
    """Cards with what was used of them, in one statement."""
    return cursor.executemany(
        f"INSERT INTO card ({', '.join(_COLUMNS)}) VALUES ({', '.join(f'%({column})s' for column in _COLUMNS)})", cards
    )


def add_opening(cursor, batch_id: int) -> int:
    """What was used elsewhere, as each card's archived session number 0: so its sessions are the sum of its usage."""
    return cursor.execute(
        """
        INSERT INTO session_archive (card_id, login_number, nas_id, acct_session_id, device, ended_at, end_cause,
                                     used_seconds, used_down_octets, used_up_octets)
        SELECT id, 0, 1, '', '', UTC_TIMESTAMP(3), 'opening', settled_seconds, settled_down_octets, settled_up_octets
          FROM card
         WHERE batch_id = %(batch_id)s
           AND (settled_seconds > 0 OR settled_down_octets > 0 OR settled_up_octets > 0)
        """,
        {"batch_id": batch_id},
    )


def batches_of(cursor, serials: list[str]) -> dict[str, int]:
    """Those of these serials that are taken, with the batch of each."""
    if not serials:
        return {}
    cursor.execute("SELECT serial, batch_id FROM card WHERE serial IN %(serials)s", {"serials": serials})
    return {row["serial"]: row["batch_id"] for row in cursor.fetchall()}


def set_extent(cursor, batch_id: int, card_count: int, first_serial: str, last_serial: str) -> int:
    """How many cards a batch has turned out to have, and which."""
    return cursor.execute(
        """
        UPDATE batch
           SET card_count = %(card_count)s, first_serial = %(first_serial)s, last_serial = %(last_serial)s
         WHERE id = %(batch_id)s
        """,
        {"batch_id": batch_id, "card_count": card_count, "first_serial": first_serial, "last_serial": last_serial},
    )
