"""The statements of the enforcer: which sessions should be off, the attempts to disconnect them, and what became of them."""

from .rows import Cursor, Parameters, Row
from .session import IS_DUE, SILENT_SECONDS

# What the enforcer needs to decide and to send a request: the session, its NAS, and the last attempt of the action.
_CANDIDATE_COLUMNS = f"""
    session.card_id, session.login_number, card.serial, card.product_id, nas.id AS nas_id, nas.name AS nas,
    nas.address AS nas_network, nas.vendor, nas.secret_sealed, nas.key_number, nas.disconnect_port,
    session.nas_address, session.acct_session_id, session.framed_ipv4, session.due_cause, session.interim_seconds,
    session.heard_at,
    {SILENT_SECONDS} AS silent_seconds,
    last.attempt, last.outcome, last.error_cause,
    TIMESTAMPDIFF(MICROSECOND, last.at, session.heard_at) / 1e6 AS heard_after_seconds"""

_LAST_ATTEMPT = """
    LEFT JOIN disconnect_attempt AS last
           ON last.card_id = session.card_id
          AND last.login_number = session.login_number
          AND last.action = '{action}'
          AND last.attempt = (SELECT MAX(attempt)
                                FROM disconnect_attempt
                               WHERE disconnect_attempt.card_id = session.card_id
                                 AND disconnect_attempt.login_number = session.login_number
                                 AND disconnect_attempt.action = '{action}')"""


def due(cursor: Cursor, most_of_a_nas: int) -> list[Row]:
    """Due sessions whose next attempt may be made now, at most so many of each NAS, those without an attempt first."""
    cursor.execute(
        f"""
        SELECT *
          FROM (SELECT {_CANDIDATE_COLUMNS},
                       ROW_NUMBER() OVER (PARTITION BY nas.id ORDER BY last.attempt, session.due_at) AS place
                  FROM nas
                  JOIN session FORCE INDEX (session_by_nas) ON session.nas_id = nas.id
                  JOIN card ON card.id = session.card_id
                  {_LAST_ATTEMPT.format(action="disconnect")}
                 WHERE {IS_DUE}
                   AND (last.next_at IS NULL OR last.next_at <= UTC_TIMESTAMP(3))) AS candidate
         WHERE place <= %(most_of_a_nas)s
        """,
        {"most_of_a_nas": most_of_a_nas},
    )
    return list(cursor.fetchall())


def due_of_card(cursor: Cursor, card_id: int) -> list[Row]:
    """A card's due sessions, without those for which a request was sent and its answer may still come."""
    cursor.execute(
        f"""
        SELECT {_CANDIDATE_COLUMNS}
          FROM session
          JOIN nas ON nas.id = session.nas_id
          JOIN card ON card.id = session.card_id
          {_LAST_ATTEMPT.format(action="disconnect")}
         WHERE session.card_id = %(card_id)s
           AND session.due_at <= UTC_TIMESTAMP(3)
           AND (last.next_at IS NULL OR last.next_at <= UTC_TIMESTAMP(3) OR last.outcome <> 'sent')
         ORDER BY session.login_number
        """,
        {"card_id": card_id},
    )
    return list(cursor.fetchall())


def slow_downs(cursor: Cursor) -> list[Row]:
    """Running sessions that have reached the fair-use share, and whose NAS must get the reduced speed now."""
    cursor.execute(
        f"""
        SELECT {_CANDIDATE_COLUMNS}, product.fup_down_kbit, product.fup_up_kbit
          FROM session_slow_down AS slow_down
          JOIN session ON session.card_id = slow_down.card_id AND session.login_number = slow_down.login_number
          JOIN nas ON nas.id = session.nas_id
          JOIN card ON card.id = session.card_id
          JOIN product ON product.id = card.product_id
          {_LAST_ATTEMPT.format(action="slow_down")}
         WHERE slow_down.done_at IS NULL
           AND session.due_at > UTC_TIMESTAMP(3)
           AND session.acct_session_id <> ''
           AND (last.next_at IS NULL OR last.next_at <= UTC_TIMESTAMP(3))
         ORDER BY slow_down.reached_at
        """
    )
    return list(cursor.fetchall())


def still_on(cursor: Cursor) -> list[Row]:
    """Sessions that are due and did not end, and sessions that should be slower and are not."""
    columns = """card.serial, nas.name AS nas, session.acct_session_id, session.device, session.due_at,
                 session.due_cause, session.heard_at"""
    attempt = "last.attempt AS attempts, last.at AS tried_at, last.outcome, last.error_cause"
    cursor.execute(
        f"""
        SELECT 'disconnect' AS action, {columns}, {attempt}
          FROM nas
          JOIN session FORCE INDEX (session_by_nas) ON session.nas_id = nas.id
          JOIN card ON card.id = session.card_id
          {_LAST_ATTEMPT.format(action="disconnect")}
         WHERE {IS_DUE}
           AND session.acct_session_id <> ''
         UNION ALL
        SELECT 'slow_down', {columns}, {attempt}
          FROM session_slow_down AS slow_down
          JOIN session ON session.card_id = slow_down.card_id AND session.login_number = slow_down.login_number
          JOIN nas ON nas.id = session.nas_id
          JOIN card ON card.id = session.card_id
          {_LAST_ATTEMPT.format(action="slow_down")}
         WHERE slow_down.done_at IS NULL
           AND session.due_at > UTC_TIMESTAMP(3)
         ORDER BY due_at
        """
    )
    return list(cursor.fetchall())


def claim(cursor: Cursor, action: str, sessions: list[Row], seconds: int) -> set[tuple[int, int]]:
    """Insert the next attempt of each session; return the (card id, login number) of those that were inserted.

    Another enforcer has begun the others.  If this process ends before the answer, any enforcer may try again after
    *seconds*.
    """
    if not sessions:
        return set()
    values = []
    for session in sessions:
        values += [
            session["card_id"],
            session["login_number"],
            action,
            (session["attempt"] or 0) + 1,
            seconds,
            session["due_cause"] if action == "disconnect" else "fup",
        ]
    row = "(%s, %s, %s, %s, UTC_TIMESTAMP(3) + INTERVAL %s SECOND, %s)"
    cursor.execute(
        f"""
        INSERT IGNORE INTO disconnect_attempt (card_id, login_number, action, attempt, next_at, cause)
        VALUES {", ".join([row] * len(sessions))}
        RETURNING card_id, login_number
        """,
        values,
    )
    return {(row["card_id"], row["login_number"]) for row in cursor.fetchall()}


def record_outcome(cursor: Cursor, outcome: Parameters) -> int:
    """Record the result of an attempt, and when the next one may be made."""
    return cursor.execute(
        """
        UPDATE disconnect_attempt
           SET outcome = %(outcome)s,
               error_cause = %(error_cause)s,
               next_at = UTC_TIMESTAMP(3) + INTERVAL %(pause_seconds)s SECOND
         WHERE card_id = %(card_id)s
           AND login_number = %(login_number)s
           AND action = %(action)s
           AND attempt = %(attempt)s
        """,
        outcome,
    )


def slow_down_is_done(cursor: Cursor, card_id: int, login_number: int) -> int:
    return cursor.execute(
        """
        UPDATE session_slow_down
           SET done_at = UTC_TIMESTAMP(3)
         WHERE card_id = %(card_id)s
           AND login_number = %(login_number)s
           AND done_at IS NULL
        """,
        {"card_id": card_id, "login_number": login_number},
    )


def forget_ended_slow_downs(cursor: Cursor) -> int:
    """Mark the changes of speed of ended sessions as done."""
    return cursor.execute(
        """
        UPDATE session_slow_down AS slow_down
          LEFT JOIN session ON session.card_id = slow_down.card_id AND session.login_number = slow_down.login_number
           SET slow_down.done_at = UTC_TIMESTAMP(3)
         WHERE slow_down.done_at IS NULL
           AND session.due_at IS NULL
        """
    )


def disconnect_results(cursor: Cursor, card_id: int, login_numbers: list[int]) -> list[Row]:
    """The sessions that were to be disconnected: the last attempt, and whether each has ended."""
    cursor.execute(
        f"""
        SELECT card.serial, nas.name AS nas, session.acct_session_id, session.due_at IS NULL AS is_off,
               COALESCE(session.stopped_at, session.closed_at) AS ended_at, last.outcome, last.error_cause
          FROM session
          JOIN card ON card.id = session.card_id
          JOIN nas ON nas.id = session.nas_id
          {_LAST_ATTEMPT.format(action="disconnect")}
         WHERE session.card_id = %(card_id)s
           AND session.login_number IN %(login_numbers)s
         ORDER BY session.login_number
        """,
        {"card_id": card_id, "login_numbers": login_numbers},
    )
    rows = list(cursor.fetchall())
    for row in rows:
        row["is_off"] = bool(row["is_off"])
    return rows


def open_logins(cursor: Cursor, card_id: int) -> list[int]:
    """The numbers of a card's logins that have not ended."""
    cursor.execute(
        "SELECT login_number FROM session WHERE card_id = %(card_id)s AND due_at IS NOT NULL ORDER BY login_number",
        {"card_id": card_id},
    )
    return [row["login_number"] for row in cursor.fetchall()]


def record_disconnect(cursor: Cursor, card_id: int, reason: str | None) -> int:
    return cursor.execute(
        """
        INSERT INTO card_event (card_id, what, operator, reason)
        VALUES (%(card_id)s, 'disconnected', '', %(reason)s)
        """,
        {"card_id": card_id, "reason": reason},
    )
