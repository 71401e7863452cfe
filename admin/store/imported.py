"""The statements about cards that were made elsewhere."""

_COLUMNS = (
    "serial",
    "pin_sealed",
    "key_number",
    "status",
    "status_before_block",
    "batch_id",
    "product_id",
    "first_login_at",
    "expires_at",
    "note",
    "posted_seconds",
    "posted_down_octets",
    "posted_up_octets",
)


def add_many(cursor, cards: list[dict]) -> int:
    """Cards with what was used of them, in one statement; a trigger archives that as each card's session number 0."""
    return cursor.executemany(
        f"INSERT INTO card ({', '.join(_COLUMNS)}) VALUES ({', '.join(f'%({column})s' for column in _COLUMNS)})", cards
    )


def batches_of(cursor, serials: list[str]) -> dict[str, int]:
    """Those of these serials that are taken, with the batch of each."""
    if not serials:
        return {}
    cursor.execute("SELECT serial, batch_id FROM card WHERE serial IN %(serials)s", {"serials": serials})
    return {row["serial"]: row["batch_id"] for row in cursor.fetchall()}
