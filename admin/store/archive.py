"""The statements of `prepaid db archive`.  Only the schema's owner may run them: nobody else may remove a session.

Each statement finds its sessions by their whole key.  So it locks those rows and no gaps between them, and does not
block a login of the same card.
"""

from freeradius_module.store import ARCHIVED_COLUMNS

from .rows import TupleCursor, TupleRow

# Sessions may be archived after so many days.  That is a day more than the engine's ARCHIVE_SECONDS: it looks into the
# archive only for sessions that are older than those.
YOUNGEST_DAYS = 2

# Both the login and the end are older than the limit, because the NAS reports the end and may report a wrong one.  The
# module relies on it: it does not look into the archive for a session that may be recent.
_IS_OLD = """
    session.due_at IS NULL
    AND COALESCE(session.login_at, session.started_at) < UTC_TIMESTAMP(3) - INTERVAL %(older_than_days)s DAY
    AND COALESCE(session.stopped_at, session.closed_at) < UTC_TIMESTAMP(3) - INTERVAL %(older_than_days)s DAY
    AND session.end_recorded_at < UTC_TIMESTAMP(3) - INTERVAL %(older_than_days)s DAY"""

# All of its usage is on the card's row.
_IS_POSTED = """
    session.used_seconds = session.posted_seconds
    AND session.used_down_octets = session.posted_down_octets
    AND session.used_up_octets = session.posted_up_octets
    AND session.login_number <= (SELECT posted_login_number FROM card WHERE card.id = session.card_id)"""


def candidates(cursor: TupleCursor, after: tuple[int, int], limit: int, older_than_days: int) -> list[TupleRow]:
    """The next ended sessions in the order of their key: card id, login number, whether the session is posted."""
    cursor.execute(
        f"""
        SELECT session.card_id, session.login_number, {_IS_POSTED}
          FROM session
         WHERE (session.card_id > %(card_id)s
                OR (session.card_id = %(card_id)s AND session.login_number > %(login_number)s))
           AND {_IS_OLD}
         ORDER BY session.card_id, session.login_number
         LIMIT %(limit)s
        """,
        {"card_id": after[0], "login_number": after[1], "limit": limit, "older_than_days": older_than_days},
    )
    return list(cursor.fetchall())


def lock(cursor: TupleCursor, keys: list[tuple[int, int]], older_than_days: int) -> list[tuple[int, int]]:
    """Lock those of the sessions that are still ended and posted until the transaction ends; return their keys.

    The card is locked before its sessions, in the same order as when a card is posted.  The lock is shared, so that a
    login can add a session meanwhile.  Locked rows are skipped: this transaction never waits, so it cannot deadlock.
    """
    cursor.execute(
        "SELECT id FROM card WHERE id IN %(card_ids)s ORDER BY id LOCK IN SHARE MODE SKIP LOCKED",
        {"card_ids": sorted({card_id for card_id, _number in keys})},
    )
    card_ids = {card_id for (card_id,) in cursor.fetchall()}
    keys = [key for key in keys if key[0] in card_ids]
    if not keys:
        return []
    cursor.execute(
        f"""
        SELECT session.card_id, session.login_number
          FROM session
         WHERE ({_is_one_of(keys)})
           AND {_IS_OLD}
           AND {_IS_POSTED}
           FOR UPDATE SKIP LOCKED
        """,
        {"older_than_days": older_than_days},
    )
    return list(cursor.fetchall())


def add_to_hours(cursor: TupleCursor, keys: list[tuple[int, int]]) -> int:
    """Add the sessions' usage to the hours at which they ended.

    A session that was archived before, and returned for a late packet, adds only what is new.
    """
    return cursor.execute(
        f"""
        INSERT INTO usage_hour (hour_at, product_id, partner_id, session_count, used_seconds, used_down_octets,
                                used_up_octets)
        SELECT * FROM (
            SELECT DATE_FORMAT(COALESCE(session.heard_at, session.stopped_at, session.closed_at), '%%Y-%%m-%%d %%H:00:00')
                       AS hour_at,
                   card.product_id, COALESCE(card.partner_id, 0) AS partner_id,
                   SUM(archived.card_id IS NULL) AS session_count,
                   SUM(session.used_seconds - COALESCE(archived.used_seconds, 0)) AS used_seconds,
                   SUM(session.used_down_octets - COALESCE(archived.used_down_octets, 0)) AS used_down_octets,
                   SUM(session.used_up_octets - COALESCE(archived.used_up_octets, 0)) AS used_up_octets
              FROM session
              JOIN card ON card.id = session.card_id
              LEFT JOIN session_archive AS archived
                ON archived.card_id = session.card_id AND archived.login_number = session.login_number
             WHERE ({_is_one_of(keys)})
               AND session.acct_session_id <> ''
             GROUP BY 1, 2, 3) AS ended
            ON DUPLICATE KEY UPDATE
               session_count = usage_hour.session_count + VALUES(session_count),
               used_seconds = usage_hour.used_seconds + VALUES(used_seconds),
               used_down_octets = usage_hour.used_down_octets + VALUES(used_down_octets),
               used_up_octets = usage_hour.used_up_octets + VALUES(used_up_octets)
        """,
        (),
    )


def copy(cursor: TupleCursor, keys: list[tuple[int, int]]) -> int:
    """Copy the sessions into the archive; the row of a session that was archived before is updated."""
    updated = ",\n".join(
        f"               {name} = VALUES({name})"
        for name in ARCHIVED_COLUMNS.split(", ")
        if name not in _KEPT_AS_ARCHIVED
    )
    return cursor.execute(
        f"""
        INSERT INTO session_archive ({ARCHIVED_COLUMNS}, ended_at, end_cause)
        SELECT {ARCHIVED_COLUMNS}, COALESCE(stopped_at, closed_at), COALESCE(stop_cause, close_cause)
          FROM session
         WHERE {_is_one_of(keys)}
            ON DUPLICATE KEY UPDATE
               started_at = LEAST(COALESCE(session_archive.started_at, VALUES(started_at)), VALUES(started_at)),
               ended_at = GREATEST(session_archive.ended_at, VALUES(ended_at)),
               end_cause = VALUES(end_cause),
{updated}
        """,
        (),
    )


_KEPT_AS_ARCHIVED = ("card_id", "login_number", "started_at")


def remove(cursor: TupleCursor, keys: list[tuple[int, int]]) -> int:
    """Remove sessions, which must be in the archive."""
    return cursor.execute(f"DELETE FROM session WHERE {_is_one_of(keys)}", ())


def forgettable(cursor: TupleCursor, limit: int, older_than_days: int) -> list[tuple[int, int]]:
    """Lock archived sessions that are older than the limit; return their keys.

    Without those that also have a row in `session`: they returned for a late packet.
    """
    cursor.execute(
        """
        SELECT archived.card_id, archived.login_number
          FROM session_archive AS archived
         WHERE archived.ended_at < UTC_TIMESTAMP(3) - INTERVAL %(older_than_days)s DAY
           AND archived.login_number > 0
           AND NOT EXISTS (SELECT 1
                             FROM session
                            WHERE session.card_id = archived.card_id
                              AND session.login_number = archived.login_number)
         LIMIT %(limit)s
           FOR UPDATE SKIP LOCKED
        """,
        {"older_than_days": older_than_days, "limit": limit},
    )
    return list(cursor.fetchall())


def keep_sums(cursor: TupleCursor, keys: list[tuple[int, int]]) -> int:
    """Add the sessions' usage to row number 0 of their cards, which has no time, NAS, device or address."""
    return cursor.execute(
        f"""
        INSERT INTO session_archive (card_id, login_number, nas_id, acct_session_id, device, ended_at, end_cause,
                                     used_seconds, used_down_octets, used_up_octets)
        SELECT card_id, 0, 1, '', '', MAX(ended_at), 'opening',
               SUM(used_seconds), SUM(used_down_octets), SUM(used_up_octets)
          FROM session_archive
         WHERE {_is_one_of(keys, "session_archive")}
         GROUP BY card_id
            ON DUPLICATE KEY UPDATE
               ended_at = GREATEST(session_archive.ended_at, VALUES(ended_at)),
               used_seconds = session_archive.used_seconds + VALUES(used_seconds),
               used_down_octets = session_archive.used_down_octets + VALUES(used_down_octets),
               used_up_octets = session_archive.used_up_octets + VALUES(used_up_octets)
        """,
        (),
    )


def forget(cursor: TupleCursor, keys: list[tuple[int, int]]) -> int:
    return cursor.execute(f"DELETE FROM session_archive WHERE {_is_one_of(keys, 'session_archive')}", ())


def _is_one_of(keys: list[tuple[int, int]], table: str = "session") -> str:
    """A condition on whole keys.  The optimizer uses the key for it, but not for `(a, b) IN (...)`.

    >>> _is_one_of([(7, 1), (7, 2)])
    '(session.card_id = 7 AND session.login_number = 1) OR (session.card_id = 7 AND session.login_number = 2)'
    """
    return " OR ".join(
        f"({table}.card_id = {int(card_id)} AND {table}.login_number = {int(number)})" for card_id, number in keys
    )
