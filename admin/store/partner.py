"""The statements about partners."""


def add(cursor, values: dict) -> int:
    cursor.execute(
        """
        INSERT INTO partner (name, document, contact, commission_basis_points)
        VALUES (%(name)s, %(document)s, %(contact)s, %(commission_basis_points)s)
        """,
        values,
    )
    return cursor.lastrowid


def change(cursor, partner_id: int, values: dict) -> int:
    """Set what is given and leave the rest."""
    columns = ", ".join(f"{column} = %({column})s" for column in values if column in _COLUMNS)
    return cursor.execute(
        f"UPDATE partner SET {columns} WHERE id = %(partner_id)s", {**values, "partner_id": partner_id}
    )


def retire(cursor, partner_id: int) -> int:
    """No more deliveries; whether it was not retired before."""
    return cursor.execute(
        "UPDATE partner SET retired_at = UTC_TIMESTAMP(3) WHERE id = %(partner_id)s AND retired_at IS NULL",
        {"partner_id": partner_id},
    )


def named(cursor, name: str) -> dict | None:
    cursor.execute(
        """
        SELECT id, name, document, contact, commission_basis_points, retired_at
          FROM partner
         WHERE name = %(name)s
        """,
        {"name": name},
    )
    return cursor.fetchone()


def listed(cursor, retired_too: bool = False) -> list[dict]:
    cursor.execute(
        """
        SELECT id, name, document, contact, commission_basis_points, retired_at
          FROM partner
         WHERE retired_at IS NULL OR %(retired_too)s
         ORDER BY name
        """,
        {"retired_too": retired_too},
    )
    return cursor.fetchall()


_COLUMNS = ("name", "document", "contact", "commission_basis_points")
