"""The statements of `prepaid db`: the database, its tables, its accounts."""

from collections.abc import Mapping
from hashlib import sha1
from typing import Any

import pymysql
from pymysql.constants import ER

from .rows import Connection, Cursor, only_row

# The size of an InnoDB extent.
ROOM_OCTETS = 2**20
# For each table, an INSERT of rows of the greatest length, and enough rows to fill an extent.
ROOM_ROWS: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "card": (
        "INSERT INTO card (serial, pin_sealed, key_number, batch_id, product_id, note) VALUES (%s, %s, 0, 0, 0, %s)",
        [(f"room {number}", "-" * 96, "-" * 255) for number in range(4_000)],
    ),
    "session": (
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, device) VALUES (0, %s, 0, %s, %s)",
        [(number, "-" * 253, "-" * 64) for number in range(4_000)],
    ),
}


def take_lock(cursor: Cursor) -> bool:
    """Take the lock that allows one `prepaid db` at a time; return whether it was free.  It ends with the connection."""
    cursor.execute("SELECT GET_LOCK('prepaid_db', 10) AS taken")
    return bool(only_row(cursor)["taken"] == 1)


def create_database(cursor: Cursor, name: str) -> bool:
    """Create the database; return whether it was missing."""
    cursor.execute("SELECT 1 FROM information_schema.schemata WHERE schema_name = %(name)s", {"name": name})
    if cursor.fetchone():
        return False
    cursor.execute(f"CREATE DATABASE {quoted(name)} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
    return True


def use(cursor: Cursor, name: str) -> None:
    cursor.execute(f"USE {quoted(name)}")


def tables(cursor: Cursor) -> list[str]:
    cursor.execute(
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name"
    )
    return [row["name"] for row in cursor.fetchall()]


def give_room(cursor: Cursor) -> None:
    """Make the files of the tables whose rows grow larger than an extent, so that a full disk loses no row.

    In a smaller file InnoDB does not reserve the pages that an update needs.  On a full disk another connection may take
    them meanwhile; then the growing row is lost, or the server crashes in the rollback.  A file never shrinks, so it is
    enough to insert rows and roll back.  That is not replicated: each node of a cluster and each replica needs it.
    """
    for table, (statement, rows) in ROOM_ROWS.items():
        if _size_octets(cursor, table) >= ROOM_OCTETS:
            continue
        cursor.execute("SET foreign_key_checks = 0")
        cursor.execute("BEGIN")
        try:
            cursor.executemany(statement, rows)
        finally:
            cursor.execute("ROLLBACK")
            cursor.execute("SET foreign_key_checks = 1")


def cluster_size(cursor: Cursor) -> int:
    """How many nodes the cluster has; 1 if the server is not in a cluster."""
    cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_cluster_size'")
    return max(int((cursor.fetchone() or {}).get("Value") or 0), 1)


def wait_for_other_nodes(cursor: Cursor) -> None:
    """Wait until this node has applied the changes of the others, now and before each later read."""
    cursor.execute("SET SESSION wsrep_sync_wait = 1")
    cursor.execute("SELECT COUNT(*) FROM information_schema.schemata")


def count_from_one(cursor: Cursor) -> None:
    """Let the first card be number 1 again: the rollback of `give_room` does not reset the counter."""
    cursor.execute("ALTER TABLE card AUTO_INCREMENT = 1, ALGORITHM = INPLACE")


def _size_octets(cursor: Cursor, table: str) -> int:
    cursor.execute(
        """
        SELECT data_length + index_length + data_free AS octets
          FROM information_schema.tables
         WHERE table_schema = DATABASE()
           AND table_name = %(table)s
        """,
        {"table": table},
    )
    return int(only_row(cursor)["octets"])


def create_account(cursor: Cursor, user: str, host: str, password: str) -> bool:
    """Create an account; return whether it was missing.  Without a password it logs in by the Unix socket."""
    cursor.execute("SELECT 1 FROM mysql.user WHERE user = %(user)s AND host = %(host)s", {"user": user, "host": host})
    if cursor.fetchone():
        return False
    if password:
        create_user(cursor, user, host, password)
    else:
        cursor.execute("CREATE USER %(user)s@%(host)s IDENTIFIED VIA unix_socket", {"user": user, "host": host})
    return True


def create_user(cursor: Cursor, user: str, host: str, password: str) -> None:
    """Create an account with a password.

    The statement contains only the hash of the password, because the server writes statements into its logs, and the
    binary log is copied to replicas and backups.
    """
    names = {"user": user, "host": host}
    try:
        cursor.execute(
            "CREATE USER %(user)s@%(host)s IDENTIFIED BY PASSWORD %(hash)s", {**names, "hash": password_hash(password)}
        )
    except pymysql.MySQLError as error:
        # With strict_password_validation the server refuses hashes, because it checks the password itself.
        if error.args[0] != ER.OPTION_PREVENTS_STATEMENT:
            raise
        cursor.execute("CREATE USER %(user)s@%(host)s IDENTIFIED BY %(password)s", {**names, "password": password})


def password_hash(password: str) -> str:
    """The hash that MariaDB's function PASSWORD() returns.

    >>> password_hash("password")
    '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19'
    """
    # MariaDB's mysql_native_password uses SHA-1.
    return "*" + sha1(sha1(password.encode()).digest()).hexdigest().upper()  # noqa: S324


def account(connection: Connection, user: str, host: str) -> str:
    """An account's name as a literal for GRANT."""
    return f"{connection.escape(user)}@{connection.escape(host)}"


def filled_grants(grants: str, database: str, accounts: Mapping[str, str]) -> str:
    """The text of grants.sql with values in the place of its placeholders.

    >>> filled_grants("GRANT SELECT ON {database}.* TO {admin};", "my_cards", {"admin": "'a'@'localhost'"})
    "GRANT SELECT ON `my\\\\_cards`.* TO 'a'@'localhost';"
    """
    # GRANT takes the name of a database as a pattern, in which _ and % are wildcards.
    pattern = quoted(database.replace("_", "\\_").replace("%", "\\%"))
    grants = grants.replace("{database}.*", f"{pattern}.*").replace("{database}", quoted(database))
    for role, name in accounts.items():
        grants = grants.replace("{" + role + "}", name)
    return grants


def quoted(name: str) -> str:
    """A name as a quoted identifier.

    >>> quoted("pre`paid")
    '`pre``paid`'
    """
    return "`" + name.replace("`", "``") + "`"
