"""The statements that every command shares: the connection, the schema's version, the site.

One statement a function; callers open and commit the transaction.  The rest lies by noun in the files beside this one.
"""

from datetime import UTC


def set_up_connection(cursor) -> None:
    """UTC, read committed, strict, and the collation of the columns (another one could not use their indexes)."""
    cursor.execute(
        """
        SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin,
            SESSION time_zone = '+00:00',
            SESSION sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'
        """
    )
    cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")


def is_node_ready(cursor) -> bool:
    """Whether this node of a Galera cluster serves."""
    cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_ready'")
    return (cursor.fetchone() or {}).get("Value") == "ON"


def begin_snapshot(cursor) -> None:
    """Begin a read that sees one moment."""
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")


def say_why(cursor, reason: str | None, note_id: int | None) -> None:
    """Tell the triggers that write the history what reason and note stand behind the next changes."""
    cursor.execute(
        "SET @prepaid_reason = %(reason)s, @prepaid_note = %(note_id)s", {"reason": reason, "note_id": note_id}
    )


def schema_version(cursor) -> int:
    """The version of the schema; 0 if it was begun and not finished."""
    cursor.execute("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version")
    return cursor.fetchone()["version"]


def set_clock(cursor, moment) -> None:
    """Let this connection's statements see the database's clock stand at a moment (UTC); None: as it is."""
    if moment is None:
        cursor.execute("SET timestamp = DEFAULT")
    else:
        cursor.execute("SET timestamp = %(at)s", {"at": moment.replace(tzinfo=UTC).timestamp()})


def now(cursor):
    """The database's clock, which is everybody's clock."""
    cursor.execute("SELECT UTC_TIMESTAMP(3) AS now")
    return cursor.fetchone()["now"]


def key_fingerprints(cursor) -> dict[int, str]:
    """The fingerprints of the keys that belong to this database, by the key's number."""
    cursor.execute("SELECT name, value FROM site WHERE name LIKE 'key\\_%%\\_fingerprint'", {})
    return {int(row["name"].split("_")[1]): row["value"] for row in cursor.fetchall()}


def hold_key(cursor, number: int) -> bool:
    """Let nobody retire this key until this transaction ends, because something is being sealed with it.

    Whether it still seals.  The key's row is shared by all who seal; `prepaid key retire` wants it alone.
    """
    cursor.execute(
        "SELECT name FROM site WHERE name IN (%(fingerprint)s, %(retired)s) LOCK IN SHARE MODE",
        {"fingerprint": f"key_{number}_fingerprint", "retired": f"key_{number}_retired"},
    )
    return not any(row["name"].endswith("_retired") for row in cursor.fetchall())


def remember_key(cursor, number: int, fingerprint: str) -> int:
    """Remember a key as this database's; the first fingerprint of a number stays."""
    return cursor.execute(
        "INSERT IGNORE INTO site (name, value) VALUES (%(name)s, %(fingerprint)s)",
        {"name": f"key_{number}_fingerprint", "fingerprint": fingerprint},
    )
