"""The statements of `prepaid doctor`: settings of the server, rights of the accounts, work that nobody does."""

from .rows import Cursor, Row, only_row

# The rights of the account that asks.
_RIGHTS = """
    SELECT privilege_type AS privilege, '' AS table_name, '' AS column_name
      FROM information_schema.schema_privileges
     WHERE table_schema = DATABASE()
     UNION ALL
    SELECT privilege_type, table_name, ''
      FROM information_schema.table_privileges
     WHERE table_schema = DATABASE()
     UNION ALL
    SELECT privilege_type, table_name, column_name
      FROM information_schema.column_privileges
     WHERE table_schema = DATABASE()
     UNION ALL
    SELECT privilege_type, '*', ''
      FROM information_schema.user_privileges
     WHERE privilege_type <> 'USAGE'"""


def rights(cursor: Cursor) -> set[tuple[str, str, str]]:
    """The rights of this connection's account: privilege, table ('': the whole schema, '*': all schemas), column ('': all)."""
    cursor.execute(_RIGHTS)
    return {(str(row["privilege"]), str(row["table_name"]), str(row["column_name"])) for row in cursor.fetchall()}


def settings(cursor: Cursor) -> dict[str, str]:
    """The server's settings that decide whether commits survive a power failure, and whether its clock can be trusted."""
    cursor.execute(
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'innodb_doublewrite', 'log_bin',"
        " 'sync_binlog', 'event_scheduler', 'secure_timestamp')"
    )
    return {row["Variable_name"]: row["Value"] for row in cursor.fetchall()}


def holders(cursor: Cursor, idle_seconds: int) -> list[Row]:
    """Idle connections that hold locks: id, user, seconds.

    Empty for an account without the right PROCESS, which may not see other accounts' connections.
    """
    cursor.execute(
        """
        SELECT process.id, process.user, process.time AS seconds
          FROM information_schema.innodb_trx AS trx
          JOIN information_schema.processlist AS process ON process.id = trx.trx_mysql_thread_id
         WHERE trx.trx_lock_structs > 0
           AND process.command = 'Sleep'
           AND process.time >= %(idle_seconds)s
         UNION
        SELECT process.id, process.user, process.time
          FROM information_schema.processlist AS process
         WHERE process.id = IS_USED_LOCK('prepaid_db')
           AND process.command = 'Sleep'
           AND process.time >= %(idle_seconds)s
         ORDER BY seconds DESC
        """,
        {"idle_seconds": idle_seconds},
    )
    return list(cursor.fetchall())


def far_counters(cursor: Cursor) -> list[str]:
    """Tables whose next automatic number is beyond half of the column's range: somebody inserted a chosen number."""
    cursor.execute(
        """
        SELECT tables.table_name AS name
          FROM information_schema.tables
          JOIN information_schema.columns
            ON columns.table_schema = tables.table_schema
           AND columns.table_name = tables.table_name
           AND columns.extra = 'auto_increment'
         WHERE tables.table_schema = DATABASE()
           AND tables.auto_increment > IF(columns.data_type = 'bigint', 9e18, 2e9)
         ORDER BY tables.table_name
        """
    )
    return [row["name"] for row in cursor.fetchall()]


def unenforced_since_seconds(cursor: Cursor) -> int | None:
    """How long the oldest due session has waited for a first attempt to disconnect it; None if there is none."""
    cursor.execute(
        """
        SELECT TIMESTAMPDIFF(SECOND, MIN(due_at), UTC_TIMESTAMP(3)) AS seconds
          FROM session
         WHERE due_at <= UTC_TIMESTAMP(3)
           AND acct_session_id <> ''
           AND NOT EXISTS (SELECT 1
                             FROM disconnect_attempt
                            WHERE disconnect_attempt.card_id = session.card_id
                              AND disconnect_attempt.login_number = session.login_number)
        """
    )
    seconds: int | None = only_row(cursor)["seconds"]
    return seconds


def unsealed_since_hours(cursor: Cursor) -> int | None:
    """The age of the oldest card event that is not in the hash chain; None if there is none."""
    cursor.execute(
        """
        SELECT TIMESTAMPDIFF(HOUR, card_event.at, UTC_TIMESTAMP()) AS hours
          FROM card_event
          LEFT JOIN history_chain ON history_chain.source = 'card_event' AND history_chain.row_id = card_event.id
         WHERE card_event.id > (SELECT row_id FROM history_floor WHERE source = 'card_event')
           AND history_chain.seq IS NULL
         ORDER BY card_event.id
         LIMIT 1
        """
    )
    row = cursor.fetchone()
    return row["hours"] if row else None
