r"""A record of the accounting queue: one packet, as FreeRADIUS' detail writer puts it down, read back.

    1764000000
        Packet-Src-IP-Address = 192.0.2.7
        User-Name = "1234567897"
        Acct-Status-Type = Stop
        Timestamp = 1764000000
    (an empty line)

A line is a tabulator, a name, " = " and a value: text in quotes with \", \\, \n, \r, \t and octal escapes, octets
as 0x…, named numbers by their names, as Python gets them inside FreeRADIUS.  No text holds a line break or a
tabulator of its own, so nobody who sends packets can write a line.

A record that was not finished (a full disk, a crash) was not answered.  It lacks its end, and the
next record begins wherever it broke off:

>>> parts = split("1764000000\n\tPacket-Src-IP-Address = 192.0.2.7\n\tUser-Na" + EXAMPLE)
>>> [type(part).__name__ for part in parts]
['Unreadable', 'Record']
"""

import re
from typing import NamedTuple

from .attributes import RECEIVED_AT, SOURCE_ADDRESS, received_at

# The line that begins every packet, and the one that ends it.
FIRST_LINE = "\tPacket-Src-IP"
LAST_NAME = "Timestamp = "
# What the quarantine adds behind the last line.
REASON_NAME = "Quarantine-Reason"
# Longer than any packet's text can be: 4096 octets, each as an escape of four.
RECORD_OCTETS_MAX = 65_536

NOT_FINISHED = "the record was not finished"

EXAMPLE = (
    "1764000000\n\tPacket-Src-IP-Address = 192.0.2.7\n"
    '\tUser-Name = "4000-\\"A\\"-\\303\\251"\n'
    '\tTmp-String-1 = "1764000000.250000"\n'
    "\tTimestamp = 1764000000"
)


class Record(NamedTuple):
    """A packet, and when FreeRADIUS received it (seconds since 1970)."""

    text: str
    pairs: list[tuple[str, str]]
    received_at: float
    reason: str = ""  # why it is in the quarantine, if it is


class Unreadable(NamedTuple):
    text: str
    reason: str


def split(text: str) -> list[Record | Unreadable]:
    """What stands between two empty lines: one record, and before it what is left of unfinished ones."""
    start = text.rfind(FIRST_LINE)
    if start < 0 or text[:start].strip().isdigit():
        return [_read(text)]
    header = _HEADER.search(text, 0, start).start()
    return [Unreadable(text[:header], NOT_FINISHED), _read(text[header:])]


def _read(text: str) -> Record | Unreadable:
    try:
        return parse(text)
    except ValueError as fault:
        return Unreadable(text, str(fault))


def parse(text: str) -> Record:
    r"""A whole record; ValueError if it is none.

    >>> record = parse(EXAMPLE)
    >>> record.received_at, record.pairs[1]
    (1764000000.25, ('User-Name', '4000-"A"-é'))
    >>> parse("1764000000\n\tPacket-Src-IP-Address = 192.0.2.7\n\tUser-Name = ")
    Traceback (most recent call last):
        ...
    ValueError: the record was not finished
    """
    _, *lines = text.split("\n\t")
    reason = ""
    if lines and lines[-1].startswith(REASON_NAME):
        reason = _unescaped(lines.pop().partition(" = ")[2][1:-1])
    if not lines or not lines[-1].startswith(LAST_NAME):
        raise ValueError(NOT_FINISHED)
    has_escapes = "\\" in text
    pairs = []
    for line in lines:
        name, equals, value = line.partition(" = ")
        if not equals:
            raise ValueError(f"a line is not 'name = value' but {line[:40]!a}")
        if value[:1] == '"':
            value = value[1:-1]
            if has_escapes and "\\" in value:
                value = _unescaped(value)
        pairs.append((name, value))
    # A packet that was put aside before the site could note where and when it came.
    if f"\n\t{SOURCE_ADDRESS} = " not in text:
        pairs += ((SOURCE_ADDRESS, value) for name, value in pairs[:1] if name.startswith(FIRST_LINE.strip()))
    if f"\n\t{RECEIVED_AT} = " not in text:
        pairs.append((RECEIVED_AT, f"{lines[-1][len(LAST_NAME):]}.0"))
    return Record(text, pairs, received_at(dict(pairs)), reason)


def escaped(text: str) -> str:
    """A value as it stands between quotes.

    >>> escaped('say "no"'), _unescaped(escaped('say "no"'))
    ('say \\\\"no\\\\"', 'say "no"')
    """
    return re.sub(r'[\\"\0-\x1f\x7f]', lambda found: _ESCAPES.get(found[0]) or f"\\{ord(found[0]):03o}", text)


# The second of arrival, alone on its line, where what is searched ends.
_HEADER = re.compile(r"\d*\n?\Z")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CONTROLS = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def _unescaped(value: str) -> str:
    r"""The text behind the escapes.  What is no UTF-8 keeps its octets visible, instead of making the packet worthless.

    >>> _unescaped(r"a\"b\\c\303\251"), _unescaped(r"caf\351")
    ('a"b\\cé', 'caf\\xe9')
    """
    octets = re.sub(
        rb"\\(?:([0-7]{3})|(.))",
        lambda found: bytes([int(found[1], 8) & 255]) if found[1] else _CONTROLS.get(found[2], found[2]),
        value.encode("utf-8", "surrogateescape"),
    )
    return octets.decode("utf-8", "backslashreplace")
