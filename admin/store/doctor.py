"""The statements behind `prepaid doctor`: how the server is set, what the accounts may, what has not run lately."""

# An account's rights as the server knows them; each account may see its own.
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


def rights(cursor) -> set[tuple[str, str, str]]:
    """What this connection's account may: privilege, table ('' is the whole schema, '*' every one), column ('' is all)."""
    cursor.execute(_RIGHTS)
    return {tuple(str(value) for value in row.values()) for row in cursor.fetchall()}


def settings(cursor) -> dict[str, str]:
    """The server's settings that decide whether a commit outlives a power cut."""
    cursor.execute(
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'innodb_doublewrite', 'log_bin',"
        " 'sync_binlog', 'event_scheduler', 'secure_timestamp')"
    )
    return {row["Variable_name"]: row["Value"] for row in cursor.fetchall()}


def holders(cursor, idle_seconds: int) -> list[dict]:
    """Connections that hold rows, or the turn of `prepaid db`, and do nothing: id, account and for how long.

    Who may not see other accounts' connections (the right PROCESS) sees none of these.
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
    return cursor.fetchall()


def far_counters(cursor) -> list[str]:
    """Tables whose next number is beyond half of what its column holds: somebody chose it."""
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


def unenforced_since_seconds(cursor) -> int | None:
    """For how long the session that should have been disconnected first has waited without any attempt; None if none waits."""
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
    return cursor.fetchone()["seconds"]


def unsealed_since_hours(cursor) -> int | None:
    """For how many hours already the oldest card event waits that is not in the hash chain."""
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
    return row and row["hours"]
