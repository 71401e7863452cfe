"""The statements about refused logins: where wrong PINs came from, and what removes old records."""

from .rows import Cursor, Row

TABLES = ("login_refusal", "unknown_login")


def sources_of_wrong_pins(cursor: Cursor, card_id: int) -> list[Row]:
    """Where wrong PINs for a card came from in this quarter of an hour, how many, and when they count no longer."""
    cursor.execute(
        """
        SELECT login_refusal.source, login_refusal.nas_id, nas.name AS nas, login_refusal.tries,
               login_refusal.window_at + INTERVAL 15 MINUTE AS ends_at
          FROM login_refusal
          LEFT JOIN nas ON nas.id = login_refusal.nas_id
         WHERE login_refusal.card_id = %(card_id)s
           AND login_refusal.reason = 'wrong_pin'
           AND login_refusal.window_at > UTC_TIMESTAMP() - INTERVAL 15 MINUTE
           AND login_refusal.window_at <= UTC_TIMESTAMP()
           AND login_refusal.source NOT LIKE 'office/%%'
         ORDER BY login_refusal.source
        """,
        {"card_id": card_id},
    )
    return list(cursor.fetchall())


def forget(cursor: Cursor, table: str, older_than_days: int, limit: int) -> int:
    """Remove at most *limit* rows that are older than so many days; return how many.

    Oldest first, by the index on the time, so that rows which logins write now are not locked.
    """
    if table not in TABLES:
        raise ValueError(f"{table} is not a table of refused logins")
    return cursor.execute(
        f"""
        DELETE FROM {table}
         WHERE window_at < UTC_TIMESTAMP() - INTERVAL %(days)s DAY
         ORDER BY window_at
         LIMIT %(limit)s
        """,
        {"days": older_than_days, "limit": limit},
    )
