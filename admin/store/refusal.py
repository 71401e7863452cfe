"""The statement that removes old records of refused logins."""

from .rows import Cursor

TABLES = ("login_refusal", "unknown_login")


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
