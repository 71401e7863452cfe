"""The statements that import cards which another system made."""

from .rows import Cursor, Row

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


def add_many(cursor: Cursor, cards: list[Row]) -> None:
    """Insert cards with their usage so far; a trigger archives the usage as session number 0 of each card."""
    cursor.executemany(
        f"INSERT INTO card ({', '.join(_COLUMNS)}) VALUES ({', '.join(f'%({column})s' for column in _COLUMNS)})", cards
    )


def batches_of(cursor: Cursor, serials: list[str]) -> dict[str, int]:
    """Those of these serials that exist, each with its batch."""
    if not serials:
        return {}
    cursor.execute("SELECT serial, batch_id FROM card WHERE serial IN %(serials)s", {"serials": serials})
    return {row["serial"]: row["batch_id"] for row in cursor.fetchall()}
