"""The statements that remove records of refused logins when nobody needs them any more."""

TABLES = ("login_refusal", "unknown_login")


def forget(cursor, table: str, older_than_days: int, limit: int) -> int:
    """Remove some rows whose quarter of an hour is so many days past; how many.  In the order of the key by time, so
    that rows which logins write now are not locked."""
    if table not in TABLES:
        raise ValueError(f"{table} holds no refused logins")
    return cursor.execute(
        f"""
        DELETE FROM {table}
         WHERE window_at < UTC_TIMESTAMP() - INTERVAL %(days)s DAY
         ORDER BY window_at
         LIMIT %(limit)s
        """,
        {"days": older_than_days, "limit": limit},
    )
