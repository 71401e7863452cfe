"""The statements of `prepaid metrics`.  Each reads an index or the live sessions once; none locks anything."""

from .rows import Cursor, Row, only_row

# The NAS refused so often, or did not answer, that more than a lost packet is behind it.
REFUSED_ATTEMPTS = 3


def cards_by_status(cursor: Cursor) -> dict[str, int]:
    """How many cards there are in each status, those without cards included."""
    cursor.execute(
        """
        SELECT statuses.status, COALESCE(counted.cards, 0) AS cards
          FROM (SELECT DISTINCT from_status AS status FROM card_transition
                 UNION SELECT to_status FROM card_transition) AS statuses
          LEFT JOIN (SELECT status, COUNT(*) AS cards FROM card GROUP BY status) AS counted
            ON counted.status = statuses.status
        """
    )
    return {row["status"]: int(row["cards"]) for row in cursor.fetchall()}


def sessions(cursor: Cursor) -> Row:
    """The live sessions: open, stale (no report for three interims and a minute), reserved (no report yet), ended (not
    archived yet), and overdue (should have ended; a minute is left to the enforcer)."""
    cursor.execute(
        """
        SELECT COALESCE(SUM(is_on AND NOT is_silent AND is_begun), 0) AS open,
               COALESCE(SUM(is_on AND is_silent AND is_begun), 0) AS stale,
               COALESCE(SUM(is_on AND NOT is_begun), 0) AS reserved,
               COALESCE(SUM(NOT is_on), 0) AS ended,
               COALESCE(SUM(is_on AND is_begun AND NOT is_silent AND is_overdue), 0) AS overdue
          FROM (SELECT due_at IS NOT NULL AS is_on,
                       acct_session_id <> '' AS is_begun,
                       COALESCE(heard_at <= (SELECT charged_until_at FROM accounting_state)
                                            - INTERVAL (3 * interim_seconds + 60) SECOND, FALSE) AS is_silent,
                       COALESCE(due_at <= UTC_TIMESTAMP(3) - INTERVAL 60 SECOND, FALSE) AS is_overdue
                  FROM session) AS live
        """
    )
    return only_row(cursor)


def refusing_sessions(cursor: Cursor) -> int:
    """How many sessions should be off and go on although their NAS was asked several times to end them."""
    cursor.execute(
        """
        SELECT COUNT(*) AS sessions
          FROM nas
          JOIN session FORCE INDEX (session_by_nas) ON session.nas_id = nas.id
         WHERE session.due_at <= UTC_TIMESTAMP(3)
           AND session.acct_session_id <> ''
           AND (SELECT COUNT(*)
                  FROM disconnect_attempt
                 WHERE disconnect_attempt.card_id = session.card_id
                   AND disconnect_attempt.login_number = session.login_number
                   AND disconnect_attempt.action = 'disconnect') >= %(attempts)s
        """,
        {"attempts": REFUSED_ATTEMPTS},
    )
    return int(only_row(cursor)["sessions"])


def queues(cursor: Cursor) -> list[Row]:
    """How far each charger is: name, lag_seconds, and when it last said so (seconds since 1970)."""
    cursor.execute(
        """
        SELECT name,
               GREATEST(TIMESTAMPDIFF(MICROSECOND, charged_until_at, UTC_TIMESTAMP(3)) / 1e6, 0) AS lag_seconds,
               UNIX_TIMESTAMP(recorded_at) AS recorded_at
          FROM accounting_queue
         WHERE recorded_at > UTC_TIMESTAMP(3) - INTERVAL 7 DAY
         ORDER BY name
         LIMIT 100
        """
    )
    return list(cursor.fetchall())
