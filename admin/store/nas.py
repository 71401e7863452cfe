"""The statements about NAS."""

from .rows import Cursor, Parameters, Row, only_row


def add(cursor: Cursor, values: Parameters) -> int:
    """Insert a NAS; return its number."""
    cursor.execute(
        """
        INSERT INTO nas (name, address, secret_sealed, key_number, vendor, disconnect_port,
                         require_message_authenticator, counter_rule)
        VALUES (%(name)s, %(address)s, %(secret_sealed)s, %(key_number)s, %(vendor)s, %(disconnect_port)s,
                %(require_message_authenticator)s, %(counter_rule)s)
        """,
        values,
    )
    return cursor.lastrowid


def change(cursor: Cursor, nas_id: int, values: Parameters) -> int:
    """Set these columns and leave the others."""
    columns = ", ".join(f"{column} = %({column})s" for column in values if column in _COLUMNS)
    return cursor.execute(f"UPDATE nas SET {columns} WHERE id = %(nas_id)s", {**values, "nas_id": nas_id})


def remove(cursor: Cursor, nas_id: int) -> int:
    return cursor.execute("DELETE FROM nas WHERE id = %(nas_id)s", {"nas_id": nas_id})


def has_sessions(cursor: Cursor, nas_id: int) -> bool:
    """Whether it has sessions, live or archived: the law requires those records, so such a NAS must stay."""
    cursor.execute(
        """
        SELECT EXISTS (SELECT 1 FROM session WHERE nas_id = %(nas_id)s)
               OR EXISTS (SELECT 1 FROM session_archive WHERE nas_id = %(nas_id)s) AS has_sessions
        """,
        {"nas_id": nas_id},
    )
    return bool(only_row(cursor)["has_sessions"])


def listed(cursor: Cursor) -> list[Row]:
    """All NAS by name, without 'unlisted', which stands for all NAS that FreeRADIUS has in its own files."""
    cursor.execute(
        """
        SELECT id, name, address, vendor, disconnect_port, require_message_authenticator, counter_rule, key_number
          FROM nas
         WHERE address <> ''
         ORDER BY name
        """
    )
    rows = list(cursor.fetchall())
    for row in rows:
        row["require_message_authenticator"] = bool(row["require_message_authenticator"])
    return rows


_COLUMNS = (
    "address",
    "secret_sealed",
    "key_number",
    "vendor",
    "disconnect_port",
    "require_message_authenticator",
    "counter_rule",
)
