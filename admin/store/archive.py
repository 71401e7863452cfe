"""The statements behind `prepaid db archive`.  With the rights of the schema's owner: nobody else removes a session.

Every step names its sessions by their key, so that it locks those rows and no gap between them: a login of the same
card goes on beside it.
"""

from freeradius_module.store.accounting import ARCHIVED_COLUMNS

# Ended long enough ago, and begun: the end is the NAS' word, and the module looks for no session of a younger login here,
# nor for one that was open a day ago.
# Whether they are posted is asked again once they are locked.
_IS_OLD = """
    session.due_at IS NULL
    AND COALESCE(session.login_at, session.started_at) < UTC_TIMESTAMP(3) - INTERVAL %(older_than_days)s DAY
    AND COALESCE(session.stopped_at, session.closed_at) < UTC_TIMESTAMP(3) - INTERVAL %(older_than_days)s DAY
    AND session.end_recorded_at < UTC_TIMESTAMP(3) - INTERVAL %(older_than_days)s DAY"""

_IS_SETTLED = """
    session.used_seconds = session.posted_seconds
    AND session.used_down_octets = session.posted_down_octets
    AND session.used_up_octets = session.posted_up_octets
    AND session.login_number <= (SELECT posted_login_number FROM card WHERE card.id = session.card_id)"""


def candidates(cursor, after: tuple[int, int], limit: int, older_than_days: int) -> list[tuple]:
    """The next ended sessions in the order of their key: card, number, whether all of it is on the card's row."""
    cursor.execute(
        f"""
        SELECT session.card_id, session.login_number, {_IS_SETTLED}
          FROM session
         WHERE (session.card_id > %(card_id)s
                OR (session.card_id = %(card_id)s AND session.login_number > %(login_number)s))
           AND {_IS_OLD}
         ORDER BY session.card_id, session.login_number
         LIMIT %(limit)s
        """,
        {"card_id": after[0], "login_number": after[1], "limit": limit, "older_than_days": older_than_days},
    )
    return cursor.fetchall()


def lock(cursor, keys: list[tuple[int, int]], older_than_days: int) -> list[tuple[int, int]]:
    """Those of the sessions that are still ended and posted, locked until the transaction ends.

    Whoever posts a card locks it before its sessions; so do we, but shared, as a login does that makes a session
    beside us.  What somebody else has locked is left for the next time: we never wait, so nobody deadlocks with us.
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
           AND {_IS_SETTLED}
           FOR UPDATE SKIP LOCKED
        """,
        {"older_than_days": older_than_days},
    )
    return list(cursor.fetchall())


def add_to_hours(cursor, keys: list[tuple[int, int]]) -> int:
    """Add the sessions to the hours at which they ended; of one that came back only what it brought."""
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


def copy(cursor, keys: list[tuple[int, int]]) -> int:
    """Write the sessions into the archive; one that came back for a late packet is brought up to date there."""
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


def remove(cursor, keys: list[tuple[int, int]]) -> int:
    """Remove what is in the archive now."""
    return cursor.execute(f"DELETE FROM session WHERE {_is_one_of(keys)}", ())


def forgettable(cursor, limit: int, older_than_days: int) -> list[tuple[int, int]]:
    """Archived sessions that nobody has to keep any more, locked; those that came back are not among them."""
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


def keep_sums(cursor, keys: list[tuple[int, int]]) -> int:
    """Add what is forgotten to the card's row number 0: how much it was, and no more when, where and with what."""
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


def forget(cursor, keys: list[tuple[int, int]]) -> int:
    return cursor.execute(f"DELETE FROM session_archive WHERE {_is_one_of(keys, 'session_archive')}", ())


def _is_one_of(keys: list[tuple[int, int]], table: str = "session") -> str:
    """Whole keys, which the optimizer finds one by one; a list of pairs it would not.

    >>> _is_one_of([(7, 1), (7, 2)])
    '(session.card_id = 7 AND session.login_number = 1) OR (session.card_id = 7 AND session.login_number = 2)'
    """
    return " OR ".join(
        f"({table}.card_id = {int(card_id)} AND {table}.login_number = {int(number)})" for card_id, number in keys
    )
