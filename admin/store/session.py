"""The statements about sessions: open ones, due ones, attempts to disconnect them, and who had an address.

A session is due when it must end.  Sessions are read by NAS and due time (index session_by_nas) or by card, never all.
"""

import json
from datetime import datetime

from freeradius_module.rules.login import GRACE_SECONDS, MISSED_INTERIMS
from freeradius_module.store.accounting import GRANT_IS_USED, QUEUE_LAG

from .rows import Cursor, Parameters, Row, StreamCursor, only_row

# For these causes the NAS itself ends the session by Session-Timeout, which it counts from the start, not from the login.
_COUNTED_FROM_START = "('time', 'money', 'longest')"
# A start that is later than this after the login is not believed.
_LATE_START_SECONDS = 60

IS_DUE = f"""
    session.due_at <= UTC_TIMESTAMP(3)
    AND (session.due_cause NOT IN {_COUNTED_FROM_START}
         OR session.due_at <= UTC_TIMESTAMP(3) - INTERVAL
            LEAST(GREATEST(COALESCE(TIMESTAMPDIFF(SECOND, session.login_at, session.started_at), 0), 0),
                  {_LATE_START_SECONDS}) SECOND)"""

# How long the session has sent no report, less the age of the oldest report in the queue, which may be one of its own.
SILENT_SECONDS = f"""(TIMESTAMPDIFF(MICROSECOND, COALESCE(session.heard_at, session.login_at), UTC_TIMESTAMP(3)) / 1e6
        - {QUEUE_LAG})"""
_IS_STALE = f"{SILENT_SECONDS} > {MISSED_INTERIMS} * session.interim_seconds + {GRACE_SECONDS}"


# --- A session's end -------------------------------------------------------------------------------------


def close(cursor: Cursor, session: Row, cause: str) -> int:
    """Close a session at the time of its last report, unless another report came meanwhile."""
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


def set_due(cursor: Cursor, card_id: int, login_number: int, cause: str, in_seconds: int) -> int:
    """Make an open session due in so many seconds."""
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


def make_due(cursor: Cursor, card_id: int, cause: str) -> int:
    """Make a card's open sessions due now; return how many were not due before."""
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


def lock_card_for_judgement(cursor: Cursor, card_id: int) -> Row:
    """Lock the card and return what decides whether its sessions may go on.

    The lock prevents that two enforcers each disconnect a session where one would be enough.
    """
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
    return only_row(cursor)


def open_sessions_of_card(cursor: Cursor, card_id: int, login_number: int) -> list[Row]:
    """The open sessions of a card that are not stale, in the order of their logins, and the one with this number."""
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
    return list(cursor.fetchall())


# --- Validity --------------------------------------------------------------------------------------------


def expired_cards(cursor: Cursor, limit: int) -> list[int]:
    """Lock some cards whose validity is over but whose status is not 'expired'; return their ids.

    The end is the card's own or, if it has none, its product's.  Cards that are locked already are skipped.
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


def expire(cursor: Cursor, card_ids: list[int]) -> int:
    """Set the status of cards to 'expired', and make their open sessions due."""
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


def not_allowed(cursor: Cursor, limit: int) -> list[Row]:
    """Open sessions that are not due, on cards that may not log in.

    A command that blocks a card, or takes it back, makes its sessions due.  This finds sessions that a login opened at
    the same moment.
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
    return list(cursor.fetchall())


def end_not_allowed(cursor: Cursor, session: Row) -> int:
    """Make such a session due now, if its card still may not log in."""
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


# --- Lists for people ------------------------------------------------------------------------------------


def open_sessions(cursor: Cursor | StreamCursor, wanted: Parameters) -> None:
    """Select the open sessions that pass the filters, at most `limit` if that is given; the caller fetches the rows.

    Without addresses: a question about an address must be recorded (`who_had`).
    """
    conditions = [sql for name, sql in _FILTERS.items() if wanted.get(name) is not None]
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
         {"LIMIT %(limit)s" if wanted.get("limit") is not None else ""}
        """,
        wanted,
    )


_FILTERS = {"serial": "card.serial = %(serial)s", "nas_id": "nas.id = %(nas_id)s"}


def anomalies(cursor: StreamCursor, wanted: Parameters) -> None:
    """Select the inconsistent reports that NAS sent, in the order of time; the caller fetches the rows."""
    conditions = [sql for name, sql in _FILTERS.items() if wanted.get(name) is not None]
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


def who_had(
    cursor: Cursor, address: str, port: int | None, moment_at: datetime, reason: str | None, forms: list[str]
) -> tuple[int, list[Row]]:
    """The number of the question, and the sessions that had an address at a moment (UTC).

    With a port the address is a public one, and the NAT log says who had it: there is a row for each of its records, without
    a session if no card had the private address then.

    The procedure records and commits the question before it answers.
    """
    cursor.execute(
        "CALL who_had(%(address)s, %(port)s, %(moment_at)s, %(reason)s, %(forms)s)",
        {"address": address, "port": port, "moment_at": moment_at, "reason": reason, "forms": json.dumps(forms)},
    )
    number = only_row(cursor)["query"]
    cursor.nextset()
    rows = list(cursor.fetchall())
    cursor.nextset()
    return number, rows
