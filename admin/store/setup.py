"""The statements of `prepaid setup`: what the server has before, to take back what was made.

They need the rights of the schema's owner.  Changes of accounts and databases are not part of a transaction.
"""

from .rows import Cursor, only_row
from .schema import quoted


def accounts(cursor: Cursor) -> dict[tuple[str, str], tuple[str, str]]:
    """Every account and role, by name and host: its plug-in and the hash of its password.  A role has an empty host."""
    cursor.execute("SELECT user AS name, host AS host, plugin AS plugin, authentication_string AS hash FROM mysql.user")
    return {(row["name"], row["host"]): (row["plugin"], row["hash"]) for row in cursor.fetchall()}


def set_password_hash(cursor: Cursor, user: str, host: str, password_hash: str) -> None:
    """Set an account's password by its hash, because the server writes statements into its logs."""
    cursor.execute(
        "ALTER USER %(user)s@%(host)s IDENTIFIED BY PASSWORD %(hash)s",
        {"user": user, "host": host, "hash": password_hash},
    )


def drop_account(cursor: Cursor, user: str, host: str) -> None:
    """Drop an account, or a role if the host is empty."""
    if host:
        cursor.execute("DROP USER IF EXISTS %(user)s@%(host)s", {"user": user, "host": host})
    else:
        cursor.execute(f"DROP ROLE IF EXISTS {quoted(user)}")


def definition(cursor: Cursor, database: str) -> str | None:
    """The statement that creates the database as it is, without its tables; None if there is no such database."""
    cursor.execute("SELECT 1 FROM information_schema.schemata WHERE schema_name = %(name)s", {"name": database})
    if not cursor.fetchone():
        return None
    cursor.execute(f"SHOW CREATE DATABASE {quoted(database)}")
    return str(only_row(cursor)["Create Database"])


def tables(cursor: Cursor, database: str) -> set[str]:
    """The names of the tables of a database; none if there is no such database."""
    cursor.execute(
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = %(name)s", {"name": database}
    )
    return {row["name"] for row in cursor.fetchall()}


def has_cards(cursor: Cursor, database: str) -> bool:
    """Whether the database has cards, deleted ones included; such a database holds what people paid for."""
    if "card" not in tables(cursor, database):
        return False
    cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {quoted(database)}.card) AS has_cards")
    return bool(only_row(cursor)["has_cards"])


def drop_database(cursor: Cursor, database: str) -> None:
    cursor.execute(f"DROP DATABASE IF EXISTS {quoted(database)}")


def run_definition(cursor: Cursor, statement: str) -> None:
    """Run a statement that `definition` returned."""
    cursor.execute(statement.replace("%", "%%"), {})


def forget_key(cursor: Cursor, number: int) -> None:
    """Remove the fingerprint of a key with which nothing is sealed."""
    cursor.execute("DELETE FROM site WHERE name = %(name)s", {"name": f"key_{number}_fingerprint"})
