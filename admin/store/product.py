"""The statements about products."""

from freeradius_module.rules.usage import CREDIT_COLUMNS

COLUMNS = (
    "name",
    "kind",
    *(f"credit_{kind}" for kind in CREDIT_COLUMNS),
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


def add(cursor, values: dict) -> int:
    """A new product from the columns that are given; the rest has the schema's defaults."""
    columns = [column for column in COLUMNS if column in values]
    cursor.execute(
        f"INSERT INTO product ({', '.join(columns)}) VALUES ({', '.join(f'%({column})s' for column in columns)})",
        values,
    )
    return cursor.lastrowid


def change(cursor, product_id: int, values: dict) -> int:
    """Set what is given and leave the rest.  The terms of a product that has cards are refused by the database."""
    columns = ", ".join(f"{column} = %({column})s" for column in COLUMNS if column in values)
    return cursor.execute(
        f"UPDATE product SET {columns} WHERE id = %(product_id)s", {**values, "product_id": product_id}
    )


def retire(cursor, product_id: int) -> int:
    """Off sale; whether it was on sale before."""
    return cursor.execute(
        "UPDATE product SET retired_at = UTC_TIMESTAMP(3) WHERE id = %(product_id)s AND retired_at IS NULL",
        {"product_id": product_id},
    )


def named(cursor, name: str) -> dict | None:
    cursor.execute(f"SELECT id, {', '.join(COLUMNS)}, retired_at FROM product WHERE name = %(name)s", {"name": name})
    row = cursor.fetchone()
    return row and _with_flags(row)


def listed(cursor, retired_too: bool = False) -> list[dict]:
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


def replies(cursor, product_id: int) -> list[dict]:
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
    return cursor.fetchall()


def remove_replies(cursor, product_id: int) -> int:
    return cursor.execute("DELETE FROM product_reply WHERE product_id = %(product_id)s", {"product_id": product_id})


def add_replies(cursor, product_id: int, attributes) -> None:
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


def _with_flags(row: dict) -> dict:
    for column in _FLAGS:
        row[column] = bool(row[column])
    return row
