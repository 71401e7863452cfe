"""The statements of `prepaid db`: the database itself, its tables, its accounts."""

from collections.abc import Mapping


def take_turn(cursor) -> bool:
    """One `prepaid db` at a time; the turn ends with the connection."""
    cursor.execute("SELECT GET_LOCK('prepaid_db', 10) AS taken")
    return cursor.fetchone()["taken"] == 1


def create_database(cursor, name: str) -> bool:
    """Make the database; whether it was missing."""
    cursor.execute("SELECT 1 FROM information_schema.schemata WHERE schema_name = %(name)s", {"name": name})
    if cursor.fetchone():
        return False
    cursor.execute(f"CREATE DATABASE {quoted(name)} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
    return True


def use(cursor, name: str) -> None:
    cursor.execute(f"USE {quoted(name)}")


def tables(cursor) -> list[str]:
    cursor.execute(
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name"
    )
    return [row["name"] for row in cursor.fetchall()]


def create_account(cursor, user: str, host: str, password: str) -> bool:
    """Make an account; whether it was missing.  Without a password its socket must prove it."""
    cursor.execute("SELECT 1 FROM mysql.user WHERE user = %(user)s AND host = %(host)s", {"user": user, "host": host})
    if cursor.fetchone():
        return False
    if password:
        cursor.execute(
            "CREATE USER %(user)s@%(host)s IDENTIFIED BY %(password)s", {"user": user, "host": host, "password": password}
        )
    else:
        cursor.execute("CREATE USER %(user)s@%(host)s IDENTIFIED VIA unix_socket", {"user": user, "host": host})
    return True


def account(connection, user: str, host: str) -> str:
    """An account as GRANT writes it."""
    return f"{connection.escape(user)}@{connection.escape(host)}"


def filled_grants(grants: str, database: str, accounts: Mapping[str, str]) -> str:
    """grants.sql with its placeholders filled in.

    >>> filled_grants("GRANT SELECT ON {database}.* TO {admin};", "my_cards", {"admin": "'a'@'localhost'"})
    "GRANT SELECT ON `my\\\\_cards`.* TO 'a'@'localhost';"
    """
    # A whole database is granted by pattern, and _ and % are its wildcards.
    pattern = quoted(database.replace("_", "\\_").replace("%", "\\%"))
    grants = grants.replace("{database}.*", f"{pattern}.*").replace("{database}", quoted(database))
    for role, name in accounts.items():
        grants = grants.replace("{" + role + "}", name)
    return grants


def quoted(name: str) -> str:
    """A name as SQL writes it.

    >>> quoted("pre`paid")
    '`pre``paid`'
    """
    return "`" + name.replace("`", "``") + "`"
