"""The statements that all commands share: set up a connection, read the schema's version, use the table `site`."""

from datetime import UTC, datetime

from .rows import Cursor, only_row


def set_up_connection(cursor: Cursor) -> None:
    """UTC, READ COMMITTED, strict mode, and the collation of the columns: with another one, indexes are not used."""
    cursor.execute(
        """
        SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin,
            SESSION time_zone = '+00:00',
            SESSION sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'
        """
    )
    cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")


def is_node_ready(cursor: Cursor) -> bool:
    """Whether this node of a Galera cluster accepts statements."""
    cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_ready'")
    return (cursor.fetchone() or {}).get("Value") == "ON"


def begin_snapshot(cursor: Cursor) -> None:
    """Begin a read-only transaction whose statements all see the state of this moment."""
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")


def set_reason(cursor: Cursor, reason: str | None, note_id: int | None) -> None:
    """Set the reason and the number of the note that triggers write into the history of the next changes."""
    cursor.execute(
        "SET @prepaid_reason = %(reason)s, @prepaid_note = %(note_id)s", {"reason": reason, "note_id": note_id}
    )


def schema_version(cursor: Cursor) -> int:
    """The version of the schema; 0 if its creation did not finish."""
    cursor.execute("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version")
    return int(only_row(cursor)["version"])


def set_clock(cursor: Cursor, moment: datetime | None) -> None:
    """Make statements of this connection see this moment (UTC) as the current time; None: the real time."""
    if moment is None:
        cursor.execute("SET timestamp = DEFAULT")
    else:
        cursor.execute("SET timestamp = %(at)s", {"at": moment.replace(tzinfo=UTC).timestamp()})


def now(cursor: Cursor) -> datetime:
    """The time (UTC) of the database, which both packages use."""
    cursor.execute("SELECT UTC_TIMESTAMP(3) AS now")
    moment: datetime = only_row(cursor)["now"]
    return moment


def key_fingerprints(cursor: Cursor) -> dict[int, str]:
    """The fingerprints of this database's keys, by the number of the key."""
    cursor.execute("SELECT name, value FROM site WHERE name LIKE 'key\\_%%\\_fingerprint'", {})
    return {int(row["name"].split("_")[1]): row["value"] for row in cursor.fetchall()}


def hold_key(cursor: Cursor, number: int) -> bool:
    """Prevent that this key is retired until the transaction ends; return whether it is still in use.

    Transactions that seal something share a lock on the key's row; `prepaid key retire` needs an exclusive lock.
    """
    cursor.execute(
        "SELECT name FROM site WHERE name IN (%(fingerprint)s, %(retired)s) LOCK IN SHARE MODE",
        {"fingerprint": f"key_{number}_fingerprint", "retired": f"key_{number}_retired"},
    )
    return not any(row["name"].endswith("_retired") for row in cursor.fetchall())


def remember_key(cursor: Cursor, number: int, fingerprint: str) -> int:
    """Record a key as this database's; a number that is recorded keeps its fingerprint."""
    return cursor.execute(
        "INSERT IGNORE INTO site (name, value) VALUES (%(name)s, %(fingerprint)s)",
        {"name": f"key_{number}_fingerprint", "fingerprint": fingerprint},
    )
