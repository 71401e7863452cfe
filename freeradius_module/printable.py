"""Text of strangers on a screen or in a log: nothing in it steers the terminal or turns the direction of reading.

A User-Name, a device or a session's name is whatever a customer or a NAS sends.  U+009B begins a command to the
terminal as ESC [ does, and U+202E lets the rest of a line read backwards.
"""

import re
import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# The escapes of JSON are of UTF-16 units, so a character beyond U+FFFF takes two.
_JSON_ESCAPE = re.compile(r"[\x7f-\U0010ffff]")


def printable(text: str, keep: str = "") -> str:
    """The text with a mark in the place of each character that is not printed; those in `keep` stay.

    >>> printable("a\\u009b2Jb"), printable("São João"), printable("one\\ntwo", keep="\\n")
    ('a\ufffd2Jb', 'São João', 'one\\ntwo')
    """
    if text.isprintable():
        return text
    return "".join(character if _is_printed(character) or character in keep else REPLACEMENT for character in text)


def one_line(text: str) -> str:
    """The same for a value in a table or a list, which has one line.

    >>> one_line("one\\ntwo\\tthree"), one_line("a\\x85b\\u202ec")
    ('one two three', 'a b\ufffdc')
    """
    if text.isprintable():
        return text
    return printable(" ".join(text.splitlines()).replace("\t", " "))


def json_escaped(json: str) -> str:
    """JSON that means the same, with escapes in the place of characters that are not printed.

    >>> json_escaped('["a\\u202eb é"]')
    '["a\\\\u202eb é"]'
    """
    if json.isprintable():
        return json
    return _JSON_ESCAPE.sub(lambda found: found[0] if _is_printed(found[0]) else _escape(found[0]), json)


def _is_printed(character: str) -> bool:
    # Python's isprintable() is false for blanks that are not U+0020, such as the no-break space in "2 h 13 min".
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
