"""Values reach SQL as literals that the connection made, in the mode that it was set up with."""

import pymysql
import pytest

from freeradius_module import connection

HOSTILE = [
    "'",
    "''",
    '"',
    "\\",
    "\\'",
    "\\\\'",
    "' OR 1=1 -- ",
    "%s",
    "%(a)s",
    "\n\r\t\x1a",
    "a\0b",
    "é漢\U0001f600",
    "`",
    "/*",
    ";",
]


@pytest.mark.parametrize("mode", [connection.SQL_MODE, f"{connection.SQL_MODE},NO_BACKSLASH_ESCAPES"])
def test_a_literal_is_the_text_that_it_was_made_of(cursor, mode):
    """Also if somebody changes the mode later: the driver looks at what the server last said of it."""
    cursor.execute(f"SET sql_mode = '{mode}'")
    for text in HOSTILE:
        cursor.execute(f"SELECT {cursor.connection.escape(text)}")
        assert cursor.fetchone() == (text,)
        cursor.execute("SELECT %s", [text])
        assert cursor.fetchone() == (text,)


def test_a_connection_in_another_mode_is_not_used(module_settings, monkeypatch):
    """A proxy between us and the server gave us somebody else's session."""
    connect = pymysql.connect

    def through_a_proxy(**options):
        made = connect(**options)
        with made.cursor() as cursor:
            cursor.execute("SET sql_mode = 'NO_BACKSLASH_ESCAPES'")
        return made

    monkeypatch.setattr(pymysql, "connect", through_a_proxy)
    with pytest.raises(connection.WrongSchema, match="NO_BACKSLASH_ESCAPES"):
        connection.connect(module_settings)
