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


def variables(cursor: Cursor, *names: str) -> dict[str, str]:
    """Some of the server's settings by name."""
    cursor.execute(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({', '.join(['%s'] * len(names))})", names)
    return {row["Variable_name"]: row["Value"] for row in cursor.fetchall()}


def most_used_connections(cursor: Cursor) -> int:
    """The most connections at a time since the server's start."""
    cursor.execute("SHOW GLOBAL STATUS LIKE 'Max_used_connections'")
    return int(only_row(cursor)["Value"])


def live_octets(cursor: Cursor) -> int:
    """The size of the tables that logins and accounting read: all but the archive and the history."""
    cursor.execute(
        """
        SELECT COALESCE(SUM(data_length + index_length), 0) AS octets
          FROM information_schema.tables
         WHERE table_schema = DATABASE()
           AND table_name NOT IN ('session_archive', 'usage_hour', 'card_event', 'batch_event', 'history_chain',
                                  'disconnect_attempt', 'address_query', 'address_query_form')
        """
    )
    return int(only_row(cursor)["octets"])


def installed_seconds(cursor: Cursor) -> float:
    """How long ago the schema was made."""
    cursor.execute("SELECT TIMESTAMPDIFF(SECOND, MIN(applied_at), UTC_TIMESTAMP()) AS seconds FROM schema_version")
    return float(only_row(cursor)["seconds"] or 0)


def nas_habits(cursor: Cursor) -> list[Row]:
    """By NAS, of the sessions that are not archived: how many there are; how many came without a login; how many open ones
    are longer than three interims, and how many of these have sent nothing after their beginning; and whether the NAS has
    sent anything in the last hour (one that is off sends no interims, either)."""
    cursor.execute(
        """
        SELECT nas.name, counted.*
          FROM nas
          JOIN (SELECT nas_id,
                       COUNT(*) AS sessions,
                       SUM(login_at IS NULL) AS without_login,
                       COALESCE(SUM(is_long), 0) AS long_sessions,
                       COALESCE(SUM(is_long AND heard_at <= started_at + INTERVAL (interim_seconds DIV 2) SECOND), 0)
                           AS without_interim,
                       MAX(heard_at) > UTC_TIMESTAMP(3) - INTERVAL 1 HOUR AS is_alive
                  FROM (SELECT nas_id, login_at, started_at, heard_at, interim_seconds,
                               due_at IS NOT NULL
                               AND started_at <= UTC_TIMESTAMP(3) - INTERVAL (3 * interim_seconds + 60) SECOND AS is_long
                          FROM session
                         WHERE acct_session_id <> '') AS begun
                 GROUP BY nas_id) AS counted ON counted.nas_id = nas.id
         ORDER BY nas.name
        """
    )
    return list(cursor.fetchall())


def fallen_counters(cursor: Cursor) -> list[Row]:
    """The NAS whose octets have fallen within a session in the last 30 days although they are said to send Gigawords."""
    cursor.execute(
        """
        SELECT nas.name, COUNT(*) AS sessions
          FROM session_anomaly AS anomaly
          LEFT JOIN session ON session.card_id = anomaly.card_id AND session.login_number = anomaly.login_number
          LEFT JOIN session_archive AS archived
            ON archived.card_id = anomaly.card_id AND archived.login_number = anomaly.login_number
          JOIN nas ON nas.id = COALESCE(session.nas_id, archived.nas_id) AND nas.counter_rule = 'gigawords'
         WHERE anomaly.what = 'octets_fell'
           AND anomaly.last_at > UTC_TIMESTAMP(3) - INTERVAL 30 DAY
         GROUP BY nas.id
         ORDER BY nas.name
        """
    )
    return list(cursor.fetchall())
