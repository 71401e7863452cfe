"""The statements about products."""

from collections.abc import Iterable

from .rows import Cursor, Parameters, Row

COLUMNS = (
    "name",
    "kind",
    "credit_seconds",
    "credit_octets",
    "credit_down_octets",
    "credit_up_octets",
    "credit_cents",
    "tariff_minute_millicents",
    "tariff_mb_millicents",
    "valid_days",
    "sell_by",
    "valid_until_at",
    "allowed_hours",
    "timezone",
    "speed_down_kbit",
    "speed_up_kbit",
    "fup_share_percent",
    "fup_down_kbit",
    "fup_up_kbit",
    "max_sessions",
    "replace_oldest",
    "bind_device",
    "interim_seconds",
    "idle_seconds",
    "price_cents",
    "commission_basis_points",
)
_FLAGS = ("replace_oldest", "bind_device")


def add(cursor: Cursor, values: Parameters) -> int:
    """Insert a product; columns that are not given get the schema's defaults.  Return its number."""
    columns = [column for column in COLUMNS if column in values]
    cursor.execute(
        f"INSERT INTO product ({', '.join(columns)}) VALUES ({', '.join(f'%({column})s' for column in columns)})",
        values,
    )
    return cursor.lastrowid


def change(cursor: Cursor, product_id: int, values: Parameters) -> int:
    """Set these columns and leave the others.  The database refuses to change credit or tariff once there are cards."""
    columns = ", ".join(f"{column} = %({column})s" for column in COLUMNS if column in values)
    return cursor.execute(
        f"UPDATE product SET {columns} WHERE id = %(product_id)s", {**values, "product_id": product_id}
    )


def retire(cursor: Cursor, product_id: int) -> int:
    """Take a product off sale; return 0 if it was already."""
    return cursor.execute(
        "UPDATE product SET retired_at = UTC_TIMESTAMP(3) WHERE id = %(product_id)s AND retired_at IS NULL",
        {"product_id": product_id},
    )


def find(cursor: Cursor, name: str) -> Row | None:
    cursor.execute(f"SELECT id, {', '.join(COLUMNS)}, retired_at FROM product WHERE name = %(name)s", {"name": name})
    row = cursor.fetchone()
    return _with_flags(row) if row else None


def listed(cursor: Cursor, retired_too: bool = False) -> list[Row]:
    cursor.execute(
        f"""
        SELECT id, {", ".join(COLUMNS)}, retired_at
          FROM product
         WHERE retired_at IS NULL OR %(retired_too)s
         ORDER BY name
        """,
        {"retired_too": retired_too},
    )
    return [_with_flags(row) for row in cursor.fetchall()]


def replies(cursor: Cursor, product_id: int) -> list[Row]:
    """The free reply attributes, in their order."""
    cursor.execute(
        """
        SELECT attribute, operator, value
          FROM product_reply
         WHERE product_id = %(product_id)s
         ORDER BY position
        """,
        {"product_id": product_id},
    )
    return list(cursor.fetchall())


def remove_replies(cursor: Cursor, product_id: int) -> int:
    return cursor.execute("DELETE FROM product_reply WHERE product_id = %(product_id)s", {"product_id": product_id})


def add_replies(cursor: Cursor, product_id: int, attributes: Iterable[tuple[str, str, str]]) -> None:
    """Add reply attributes: (name, operator, value)."""
    cursor.executemany(
        """
        INSERT INTO product_reply (product_id, position, attribute, operator, value)
        VALUES (%(product_id)s, %(position)s, %(attribute)s, %(operator)s, %(value)s)
        """,
        [
            {"product_id": product_id, "position": position, "attribute": name, "operator": operator, "value": value}
            for position, (name, operator, value) in enumerate(attributes)
        ],
    )


def _with_flags(row: Row) -> Row:
    """The row with booleans where MariaDB returns 0 and 1."""
    for column in _FLAGS:
        row[column] = bool(row[column])
    return row
