"""The statements about partners."""

from .rows import Cursor, Parameters, Row


def add(cursor: Cursor, values: Parameters) -> int:
    cursor.execute(
        """
        INSERT INTO partner (name, document, contact, commission_basis_points)
        VALUES (%(name)s, %(document)s, %(contact)s, %(commission_basis_points)s)
        """,
        values,
    )
    return cursor.lastrowid


def change(cursor: Cursor, partner_id: int, values: Parameters) -> int:
    """Set these columns and leave the others."""
    columns = ", ".join(f"{column} = %({column})s" for column in values if column in _COLUMNS)
    return cursor.execute(
        f"UPDATE partner SET {columns} WHERE id = %(partner_id)s", {**values, "partner_id": partner_id}
    )


def retire(cursor: Cursor, partner_id: int) -> int:
    """Allow no more deliveries; return 0 if the partner was already retired."""
    return cursor.execute(
        "UPDATE partner SET retired_at = UTC_TIMESTAMP(3) WHERE id = %(partner_id)s AND retired_at IS NULL",
        {"partner_id": partner_id},
    )


def find(cursor: Cursor, name: str) -> Row | None:
    cursor.execute(
        """
        SELECT id, name, document, contact, commission_basis_points, retired_at
          FROM partner
         WHERE name = %(name)s
        """,
        {"name": name},
    )
    return cursor.fetchone()


def listed(cursor: Cursor, retired_too: bool = False) -> list[Row]:
    cursor.execute(
        """
        SELECT id, name, document, contact, commission_basis_points, retired_at
          FROM partner
         WHERE retired_at IS NULL OR %(retired_too)s
         ORDER BY name
        """,
        {"retired_too": retired_too},
    )
    return list(cursor.fetchall())


_COLUMNS = ("name", "document", "contact", "commission_basis_points")
