"""The statements about sessions: who is on, who has to be off, what was tried, who had an address.

Sessions are read by NAS and due time (`session_by_nas`) or by card, never by reading all of them.
"""

import json

from freeradius_module.rules.login import GRACE_SECONDS, MISSED_INTERIMS
from freeradius_module.store.accounting import GRANT_IS_USED, QUEUE_LAG

# What the NAS itself ends by Session-Timeout, which it counts from the session's start, not from the login.
_COUNTED_FROM_START = "('time', 'money', 'longest')"
# The start is at most this much later than the login; what claims more has another story.
_LATE_START_SECONDS = 60

_IS_DUE = f"""
    session.due_at <= UTC_TIMESTAMP(3)
    AND (session.due_cause NOT IN {_COUNTED_FROM_START}
         OR session.due_at <= UTC_TIMESTAMP(3) - INTERVAL
            LEAST(GREATEST(COALESCE(TIMESTAMPDIFF(SECOND, session.login_at, session.started_at), 0), 0),
                  {_LATE_START_SECONDS}) SECOND)"""

# What waits in a queue may be the session's report, so its silence is counted up to what is charged.
_SILENT_SECONDS = f"""(TIMESTAMPDIFF(MICROSECOND, COALESCE(session.heard_at, session.login_at), UTC_TIMESTAMP(3)) / 1e6
        - {QUEUE_LAG})"""
_IS_STALE = f"{_SILENT_SECONDS} > {MISSED_INTERIMS} * session.interim_seconds + {GRACE_SECONDS}"

# A session, its NAS, and the last attempt of an action: what a step is decided on and a request is made of.
_CANDIDATE_COLUMNS = f"""
    session.card_id, session.login_number, card.serial, card.product_id, nas.id AS nas_id, nas.name AS nas,
    nas.address AS nas_network, nas.vendor, nas.secret_sealed, nas.key_number, nas.disconnect_port,
    session.nas_address, session.acct_session_id, session.framed_ipv4, session.due_cause, session.interim_seconds,
    session.heard_at,
    {_SILENT_SECONDS} AS silent_seconds,
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


# --- What has to be done ---------------------------------------------------------------------------------


def due(cursor, most_of_a_nas: int) -> list[dict]:
    """Sessions that have to be off and are to be tried now, of each NAS so many, those not tried yet first."""
    cursor.execute(
        f"""
        SELECT *
          FROM (SELECT {_CANDIDATE_COLUMNS},
                       ROW_NUMBER() OVER (PARTITION BY nas.id ORDER BY last.attempt, session.due_at) AS place
                  FROM nas
                  JOIN session FORCE INDEX (session_by_nas) ON session.nas_id = nas.id
                  JOIN card ON card.id = session.card_id
                  {_LAST_ATTEMPT.format(action="disconnect")}
                 WHERE {_IS_DUE}
                   AND (last.next_at IS NULL OR last.next_at <= UTC_TIMESTAMP(3))) AS candidate
         WHERE place <= %(most_of_a_nas)s
        """,
        {"most_of_a_nas": most_of_a_nas},
    )
    return cursor.fetchall()


def due_of_card(cursor, card_id: int) -> list[dict]:
    """A card's sessions that have to be off, except those that somebody is asking their NAS about just now."""
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
    return cursor.fetchall()


def slow_downs(cursor) -> list[dict]:
    """Running sessions beyond their fair use whose NAS is to be told the reduced speed now."""
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
    return cursor.fetchall()


def still_on(cursor) -> list[dict]:
    """What should be off and is not, as far as we know; and what should be slower."""
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
         WHERE {_IS_DUE}
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
    return cursor.fetchall()


# --- Attempts --------------------------------------------------------------------------------------------


def claim(cursor, action: str, sessions: list[dict], seconds: int) -> set[tuple[int, int]]:
    """Write the next attempt of each session, and say which of them are ours: the others somebody else has begun.

    If we die before the answer, another enforcer tries again after `seconds`.
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


def record_outcome(cursor, outcome: dict) -> int:
    """What came of an attempt, and when the next one may be made."""
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


def slow_down_is_done(cursor, card_id: int, login_number: int) -> int:
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


def forget_ended_slow_downs(cursor) -> int:
    """A session that has ended needs no other speed."""
    return cursor.execute(
        """
        UPDATE session_slow_down AS slow_down
          LEFT JOIN session ON session.card_id = slow_down.card_id AND session.login_number = slow_down.login_number
           SET slow_down.done_at = UTC_TIMESTAMP(3)
         WHERE slow_down.done_at IS NULL
           AND session.due_at IS NULL
        """
    )


# --- A session's end -------------------------------------------------------------------------------------


def close(cursor, session: dict, cause: str) -> int:
    """Say that a session ended when it was last heard of; not if it was heard of again meanwhile."""
    return cursor.execute(
        """
        UPDATE session
           SET closed_at = COALESCE(heard_at, login_at),
               close_cause = %(cause)s,
               due_at = NULL
         WHERE card_id = %(card_id)s
           AND login_number = %(login_number)s
           AND due_at <= UTC_TIMESTAMP(3)
           AND heard_at <=> %(heard_at)s
        """,
        {**session, "cause": cause},
    )


def set_due(cursor, card_id: int, login_number: int, cause: str, in_seconds: int) -> int:
    """Say when an open session has to be off at the latest."""
    return cursor.execute(
        """
        UPDATE session
           SET due_at = UTC_TIMESTAMP(3) + INTERVAL %(in_seconds)s SECOND,
               due_cause = %(cause)s
         WHERE card_id = %(card_id)s
           AND login_number = %(login_number)s
           AND due_at IS NOT NULL
        """,
        {"card_id": card_id, "login_number": login_number, "cause": cause, "in_seconds": in_seconds},
    )


def make_due(cursor, card_id: int, cause: str) -> int:
    """Say that a card's sessions have to be off now; how many were still allowed."""
    return cursor.execute(
        """
        UPDATE session
           SET due_at = UTC_TIMESTAMP(3),
               due_cause = %(cause)s
         WHERE card_id = %(card_id)s
           AND due_at > UTC_TIMESTAMP(3)
        """,
        {"card_id": card_id, "cause": cause},
    )


def lock_card_for_judgement(cursor, card_id: int) -> dict:
    """What decides whether a session may go on, with the card locked, so that two enforcers do not disconnect twice."""
    cursor.execute("SELECT id FROM card WHERE id = %(card_id)s FOR UPDATE", {"card_id": card_id})
    cursor.fetchone()
    cursor.execute(
        """
        SELECT card.status,
               TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(3), COALESCE(card.expires_at, product.valid_until_at))
                   AS expires_in_seconds,
               product.allowed_hours, product.timezone, product.max_sessions, product.replace_oldest,
               UTC_TIMESTAMP(3) AS now
          FROM card
          JOIN product ON product.id = card.product_id
         WHERE card.id = %(card_id)s
        """,
        {"card_id": card_id},
    )
    return cursor.fetchone()


def open_sessions_of_card(cursor, card_id: int, login_number: int) -> list[dict]:
    """Sessions that are on as far as we know, in the order of their logins; the one that is judged is among them."""
    cursor.execute(
        f"""
        SELECT login_number, due_cause, due_at <= UTC_TIMESTAMP(3) AS is_due,
               CAST(granted_seconds AS SIGNED) - CAST(used_seconds AS SIGNED) AS granted_left_seconds,
               {GRANT_IS_USED} AS is_over
          FROM session
         WHERE card_id = %(card_id)s
           AND due_at IS NOT NULL
           AND acct_session_id <> ''
           AND (login_number = %(login_number)s OR NOT ({_IS_STALE}))
         ORDER BY login_number
        """,
        {"card_id": card_id, "login_number": login_number},
    )
    return cursor.fetchall()


def disconnect_results(cursor, card_id: int, login_numbers: list[int]) -> list[dict]:
    """What became of the sessions that were to be disconnected: the last attempt, and whether they are off."""
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
    rows = cursor.fetchall()
    for row in rows:
        row["is_off"] = bool(row["is_off"])
    return rows


def open_logins(cursor, card_id: int) -> list[int]:
    """The numbers of a card's logins that have not ended."""
    cursor.execute(
        "SELECT login_number FROM session WHERE card_id = %(card_id)s AND due_at IS NOT NULL ORDER BY login_number",
        {"card_id": card_id},
    )
    return [row["login_number"] for row in cursor.fetchall()]


def record_disconnect(cursor, card_id: int, reason: str | None) -> int:
    return cursor.execute(
        """
        INSERT INTO card_event (card_id, what, operator, reason)
        VALUES (%(card_id)s, 'disconnected', '', %(reason)s)
        """,
        {"card_id": card_id, "reason": reason},
    )


# --- Validity --------------------------------------------------------------------------------------------


def expired_cards(cursor, limit: int) -> list[int]:
    """Some cards whose validity is over and whose status does not say so yet, locked; not those others hold.

    By their own end, or, where they have none, by their product's.
    """
    cursor.execute(
        """
        SELECT id
          FROM card FORCE INDEX (card_by_expiry)
         WHERE status IN ('delivered', 'in_use')
           AND expires_at <= UTC_TIMESTAMP(3)
         LIMIT %(limit)s
           FOR UPDATE SKIP LOCKED
        """,
        {"limit": limit},
    )
    found = [row["id"] for row in cursor.fetchall()]
    cursor.execute("SELECT id FROM product WHERE valid_until_at <= UTC_TIMESTAMP(3)")
    for product in cursor.fetchall():
        if len(found) >= limit:
            break
        cursor.execute(
            """
            SELECT id
              FROM card FORCE INDEX (card_by_product)
             WHERE product_id = %(product_id)s
               AND status IN ('delivered', 'in_use')
               AND expires_at IS NULL
             LIMIT %(limit)s
               FOR UPDATE SKIP LOCKED
            """,
            {"product_id": product["id"], "limit": limit - len(found)},
        )
        found += [row["id"] for row in cursor.fetchall()]
    return sorted(set(found))


def expire(cursor, card_ids: list[int]) -> int:
    """Turn cards to expired; what is still on has to be off."""
    cursor.execute(
        """
        UPDATE session
           SET due_at = UTC_TIMESTAMP(3),
               due_cause = 'validity'
         WHERE card_id IN %(card_ids)s
           AND due_at > UTC_TIMESTAMP(3)
        """,
        {"card_ids": card_ids},
    )
    return cursor.execute(
        "UPDATE card SET status = 'expired' WHERE id IN %(card_ids)s AND status IN ('delivered', 'in_use')",
        {"card_ids": card_ids},
    )


def not_allowed(cursor, limit: int) -> list[dict]:
    """Sessions that are open and not yet due on cards that may not log in, whoever opened them and when.

    Whoever blocks a card, or takes one back, ends its sessions; this finds what came to be at the same moment.
    """
    cursor.execute(
        """
        SELECT session.card_id, session.login_number, card.status
          FROM nas
          JOIN session FORCE INDEX (session_by_nas) ON session.nas_id = nas.id AND session.due_at > UTC_TIMESTAMP(3)
          JOIN card ON card.id = session.card_id
         WHERE card.status NOT IN ('delivered', 'in_use')
         LIMIT %(limit)s
        """,
        {"limit": limit},
    )
    return cursor.fetchall()


def end_not_allowed(cursor, session: dict) -> int:
    """Say that such a session has to be off now, if its card still may not log in."""
    return cursor.execute(
        """
        UPDATE session
           SET due_at = UTC_TIMESTAMP(3),
               due_cause = %(status)s
         WHERE card_id = %(card_id)s
           AND login_number = %(login_number)s
           AND due_at > UTC_TIMESTAMP(3)
           AND (SELECT status FROM card WHERE card.id = session.card_id) = %(status)s
        """,
        session,
    )


# --- What people ask -------------------------------------------------------------------------------------


def open_sessions(cursor, wanted: dict) -> None:
    """Begin the list of sessions that are on; the rows are the cursor's to fetch.

    Without addresses: who had which is a question of its own, which leaves a record.
    """
    conditions = [sql for name, sql in _OPEN_FILTERS.items() if wanted.get(name) is not None]
    by = "" if wanted.get("serial") is not None else "FORCE INDEX (session_by_nas)"
    cursor.execute(
        f"""
        SELECT card.serial, nas.name AS nas, session.acct_session_id, session.device, session.login_at,
               session.started_at, session.heard_at, session.due_at, session.due_cause, session.used_seconds,
               session.used_down_octets + session.used_up_octets AS used_octets, session.used_down_octets,
               session.used_up_octets,
               session.due_at <= UTC_TIMESTAMP(3) AS is_due,
               {_IS_STALE} AS is_stale
          FROM nas
          JOIN session {by} ON session.nas_id = nas.id
          JOIN card ON card.id = session.card_id
         WHERE session.due_at IS NOT NULL
           AND session.acct_session_id <> ''
           {" ".join("AND " + condition for condition in conditions)}
        """,
        wanted,
    )


_OPEN_FILTERS = {"serial": "card.serial = %(serial)s", "nas_id": "nas.id = %(nas_id)s"}


def anomalies(cursor, wanted: dict) -> None:
    """Begin the list of what NAS reported that does not add up, in the order of time."""
    conditions = [sql for name, sql in _ANOMALY_FILTERS.items() if wanted.get(name) is not None]
    cursor.execute(
        f"""
        SELECT anomaly.at, card.serial, nas.name AS nas,
               COALESCE(session.acct_session_id, archived.acct_session_id) AS acct_session_id,
               anomaly.what, anomaly.detail
          FROM session_anomaly AS anomaly
          JOIN card ON card.id = anomaly.card_id
          LEFT JOIN session ON session.card_id = anomaly.card_id AND session.login_number = anomaly.login_number
          LEFT JOIN session_archive AS archived
            ON archived.card_id = anomaly.card_id AND archived.login_number = anomaly.login_number
          LEFT JOIN nas ON nas.id = COALESCE(session.nas_id, archived.nas_id)
         WHERE {" AND ".join(conditions) or "TRUE"}
         ORDER BY anomaly.id
        """,
        wanted,
    )


_ANOMALY_FILTERS = {"serial": "card.serial = %(serial)s", "nas_id": "nas.id = %(nas_id)s"}


def who_had(cursor, address: str, moment_at, reason: str | None, forms: list[str]) -> tuple[int, list[dict]]:
    """The sessions that had an address at a moment.  The question is recorded, and committed, before it is answered: its
    number comes first."""
    cursor.execute(
        "CALL who_had(%(address)s, %(moment_at)s, %(reason)s, %(forms)s)",
        {"address": address, "moment_at": moment_at, "reason": reason, "forms": json.dumps(forms)},
    )
    number = cursor.fetchone()["query"]
    cursor.nextset()
    rows = list(cursor.fetchall())
    cursor.nextset()
    return number, rows
