r"""A record of the accounting queue: one packet on one line, as `raddb-config/` lets FreeRADIUS write it, read back.

    Tmp-String-1=1764000000.250000&Tmp-String-0=192.0.2.7&Tmp-String-2=&Class=0x01,0x02&User-Name=1234567897&…&End=&....

Values that others choose are quoted as in a URL, so no value holds a "&", a "=" or a line break, and whoever sends packets
cannot forge a line or a name.  An attribute with an empty value was not in the packet.  The line is filled with dots, so
that its length is a fraction of a page, and it is written as a whole or not at all, however full the disk is.

A record that a crash left unfinished was not answered.  It lacks its end, and the next record begins where it broke off:

>>> parts = split("Tmp-String-1=1764000000.250000&Tmp-String-0=192.0.2.7&User-Na" + EXAMPLE)
>>> [type(part).__name__ for part in parts]
['Unreadable', 'Record']
"""

from typing import NamedTuple
from urllib.parse import quote, unquote

from .attributes import RECEIVED_AT, received_at

# The length of each line, with its line break.
LINE_OCTETS = 2048
FILLING = "."
# Every record begins with this, which stands nowhere else, because no value holds a "=".
FIRST = f"{RECEIVED_AT}="
# Stands behind all attributes: a record that has it is complete.
END = "End"
CLASS = "Class"
REASON_NAME = "Quarantine-Reason"
# Longer than any record, its reason included.
RECORD_OCTETS_MAX = 65_536

NOT_FINISHED = "the record was not finished"

EXAMPLE = (
    "Tmp-String-1=1764000000.250000&Tmp-String-0=192.0.2.7&Class=0x01,0x02&User-Name=4000-%22A%22-%C3%A9"
    "&Acct-Status-Type=Stop&Acct-Session-Time=&End=&....."
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
    """The parts of a line: one record, and before it the remains of unfinished ones."""
    start = text.rfind(FIRST)
    if start <= 0:
        return [_read(text)]
    return [Unreadable(text[:start], NOT_FINISHED), _read(text[start:])]


def _read(text: str) -> Record | Unreadable:
    try:
        return parse(text)
    except ValueError as fault:
        return Unreadable(text, str(fault))


def parse(text: str) -> Record:
    """A complete record.  Raises ValueError, with the reason, for any other text.

    >>> record = parse(EXAMPLE)
    >>> record.received_at
    1764000000.25
    >>> record.pairs[2:]
    [('Class', '0x01'), ('Class', '0x02'), ('User-Name', '4000-"A"-é'), ('Acct-Status-Type', 'Stop')]
    >>> parse("Tmp-String-1=1764000000.250000&Tmp-String-0=192.0.2.7&User-Na")
    Traceback (most recent call last):
        ...
    ValueError: the record was not finished
    """
    if not text.startswith(FIRST) or f"&{END}=&" not in text:
        raise ValueError(NOT_FINISHED)
    pairs, reason = [], ""
    for field in text.rstrip(FILLING).removesuffix("&").split("&"):
        name, equals, value = field.partition("=")
        if not equals:
            raise ValueError(f"a field is not 'name=value' but {field[:40]!a}")
        if "%" in value:
            # Octets that are not UTF-8 stay visible as escapes, so that the packet can still be charged.
            value = unquote(value, errors="backslashreplace")
        if name == CLASS:
            pairs += [(CLASS, one) for one in value.split(",") if one]
        elif name == REASON_NAME:
            reason = value
        elif value:
            pairs.append((name, value))
    return Record(text, pairs, received_at(dict(pairs)), reason)


def as_line(text: str) -> str:
    """A record as a line of the queue.

    >>> line = as_line(EXAMPLE)
    >>> len(line), parse(line[:-1]) == parse(EXAMPLE)._replace(text=line[:-1])
    (2048, True)
    """
    kept = text.replace("\n", "").rstrip(FILLING)
    octets = len(kept.encode("utf-8", "surrogateescape")) + 1
    return kept + FILLING * (-octets % LINE_OCTETS) + "\n"


def with_reason(text: str, reason: str) -> str:
    """A record, or the remains of one, as a line of the quarantine: its length is a multiple of LINE_OCTETS.

    >>> line = with_reason(EXAMPLE, "no card")
    >>> len(line), parse(line[:-1]).reason
    (2048, 'no card')
    """
    kept = without_reason(text).replace("\n", "")[: RECORD_OCTETS_MAX // 2]
    # A field that broke off ends here, too.
    return as_line(f"{kept.removesuffix('&')}&{REASON_NAME}={quote(reason[:1000], safe=' ')}&")


def without_reason(text: str) -> str:
    """
    >>> without_reason("Tmp-String-1=1&User-Name=4000&Quarantine-Reason=no%20card&....")
    'Tmp-String-1=1&User-Name=4000&'
    """
    return text.partition(f"{REASON_NAME}=")[0].rstrip(FILLING)
