"""Text from strangers, made safe for a terminal or a log.

A User-Name, a device or the name of a session is whatever a customer or a NAS sends.  It may contain control characters
that a terminal obeys (U+009B begins a command as ESC [ does) or characters that reverse the reading direction (U+202E).
"""

import re
import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# JSON escapes UTF-16 code units, so a character beyond U+FFFF takes two escapes.
_JSON_ESCAPE = re.compile(r"[\x7f-\U0010ffff]")


def printable(text: str, keep: str = "") -> str:
    """The text with U+FFFD for each character that cannot be printed; the characters in `keep` stay.

    >>> printable("a\\u009b2Jb"), printable("São João"), printable("one\\ntwo", keep="\\n")
    ('a\ufffd2Jb', 'São João', 'one\\ntwo')
    """
    if text.isprintable():
        return text
    return "".join(character if _is_printed(character) or character in keep else REPLACEMENT for character in text)


def one_line(text: str) -> str:
    """The same on one line, for a value in a table or a list: a line break or a tab becomes a space.

    >>> one_line("one\\ntwo\\tthree"), one_line("a\\x85b\\u202ec")
    ('one two three', 'a b\ufffdc')
    """
    if text.isprintable():
        return text
    return printable(" ".join(text.splitlines()).replace("\t", " "))


def json_escaped(json: str) -> str:
    """The same JSON value, with characters that cannot be printed escaped.

    >>> json_escaped('["a\\u202eb é"]')
    '["a\\\\u202eb é"]'
    """
    if json.isprintable():
        return json
    return _JSON_ESCAPE.sub(lambda found: found[0] if _is_printed(found[0]) else _escape(found[0]), json)


def _is_printed(character: str) -> bool:
    # str.isprintable() is false for spaces other than U+0020, such as the no-break space in "2 h 13 min".
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
