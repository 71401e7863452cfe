"""The statements of `prepaid db`: the database itself, its tables, its accounts."""

from collections.abc import Mapping
from hashlib import sha1

import pymysql
from pymysql.constants import ER

# An extent of InnoDB's.
ROOM_OCTETS = 2**20
# Rows as long as they can be, and enough of them to fill that.
ROOM_ROWS = {
    "card": (
        "INSERT INTO card (serial, pin_sealed, key_number, batch_id, product_id, note) VALUES (%s, %s, 0, 0, 0, %s)",
        [(f"room {number}", "-" * 96, "-" * 255) for number in range(4_000)],
    ),
    "session": (
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, device) VALUES (0, %s, 0, %s, %s)",
        [(number, "-" * 253, "-" * 64) for number in range(4_000)],
    ),
}


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


def give_room(cursor) -> None:
    """Let the files of the tables whose rows grow be larger than an extent, whatever they hold.

    In a smaller one, InnoDB looks for the pages of an update and does not reserve them.  On a full disk another
    connection may take them meanwhile; then the row that was to grow is gone, or the server ends in a rollback.  A
    file keeps the size that it had once, so rows that are never committed are enough.  They are nobody's but this
    server's: a cluster's other nodes and replicas need their own.
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


def cluster_size(cursor) -> int:
    """How many nodes there are; one, of a server that is in no cluster."""
    cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_cluster_size'")
    return max(int((cursor.fetchone() or {}).get("Value") or 0), 1)


def wait_for_other_nodes(cursor) -> None:
    """Until this node has what was done on others before, and from now on before each read."""
    cursor.execute("SET SESSION wsrep_sync_wait = 1")
    cursor.execute("SELECT COUNT(*) FROM information_schema.schemata")


def count_from_one(cursor) -> None:
    """Numbers are not rolled back; the first card of all shall be number one."""
    cursor.execute("ALTER TABLE card AUTO_INCREMENT = 1, ALGORITHM = INPLACE")


def _size_octets(cursor, table: str) -> int:
    cursor.execute(
        """
        SELECT data_length + index_length + data_free AS octets
          FROM information_schema.tables
         WHERE table_schema = DATABASE()
           AND table_name = %(table)s
        """,
        {"table": table},
    )
    return cursor.fetchone()["octets"]


def create_account(cursor, user: str, host: str, password: str) -> bool:
    """Make an account; whether it was missing.  Without a password its socket must prove it."""
    cursor.execute("SELECT 1 FROM mysql.user WHERE user = %(user)s AND host = %(host)s", {"user": user, "host": host})
    if cursor.fetchone():
        return False
    if password:
        create_user(cursor, user, host, password)
    else:
        cursor.execute("CREATE USER %(user)s@%(host)s IDENTIFIED VIA unix_socket", {"user": user, "host": host})
    return True


def create_user(cursor, user: str, host: str, password: str) -> None:
    """Make an account with a password.

    The server is told its hash, as mysql.global_priv keeps it: statements stand in its logs as they came, in the
    binary log, too, which is copied to replicas and backups.
    """
    names = {"user": user, "host": host}
    try:
        cursor.execute(
            "CREATE USER %(user)s@%(host)s IDENTIFIED BY PASSWORD %(hash)s", {**names, "hash": password_hash(password)}
        )
    except pymysql.MySQLError as error:
        # strict_password_validation: this server wants to see passwords, to refuse weak ones.
        if error.args[0] != ER.OPTION_PREVENTS_STATEMENT:
            raise
        cursor.execute("CREATE USER %(user)s@%(host)s IDENTIFIED BY %(password)s", {**names, "password": password})


def password_hash(password: str) -> str:
    """As the server's function PASSWORD() makes it.

    >>> password_hash("password")
    '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19'
    """
    # The choice of SHA-1 is MariaDB's, not ours.
    return "*" + sha1(sha1(password.encode()).digest()).hexdigest().upper()  # noqa: S324


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
