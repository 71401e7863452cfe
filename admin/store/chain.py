"""The chain over the history: each row's hash covers the row, its place and the hash before it.

    hash(n) = SHA-256( hash(n-1), n, source, row id, sealed_at, the row's content )

So a row that is changed, removed or put in between leaves every hash after it wrong, and whoever noted the last hash
elsewhere sees even that the whole chain was computed anew.

A row's content is the text of a JSON array of its values, times as ISO 8601.  The columns are named here, in their
order: a column that a later version adds does not change what is chained already.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

# What is before the first row.
BEGINNING = bytes(32)

# What never changes of each table of history.  A voice credit is exported and confirmed later: that is not in it.
# A note's prices belong to the note (audit.py adds them as the value `prices`).
COLUMNS = {
    "card_event": (
        "id",
        "card_id",
        "at",
        "what",
        "from_status",
        "to_status",
        "operator",
        "reason",
        "note_id",
        "entry_id",
    ),
    "batch_event": ("id", "batch_id", "at", "what", "operator", "reason", "card_count", "detail"),
    "card_entry": (
        "id",
        "card_id",
        "at",
        "what",
        "operator",
        "reason",
        "idempotency_key",
        "other_card_id",
        "added_seconds",
        "added_octets",
        "added_down_octets",
        "added_up_octets",
        "added_cents",
        "expires_at",
    ),
    "note": (
        "id",
        "kind",
        "partner_id",
        "card_count",
        "first_serial",
        "last_serial",
        "reason",
        "made_at",
        "operator",
        "prices",
    ),
    "voice_credit": ("id", "card_id", "account", "credit_cents", "credit_seconds", "redeemed_at", "operator"),
    "address_query": ("id", "asked_at", "operator", "address", "moment_at", "reason"),
}
SOURCES = tuple(COLUMNS)

# The moment of a row, to see that it was not put into the past.
MOMENT = {
    "card_event": "at",
    "batch_event": "at",
    "card_entry": "at",
    "note": "made_at",
    "voice_credit": "redeemed_at",
    "address_query": "asked_at",
}


def link(before: bytes, seq: int, source: str, row_id: int, sealed_at: datetime, content: str) -> bytes:
    """The hash of one row.

    >>> one = link(BEGINNING, 1, "note", 7, datetime(2026, 3, 2), '[7]')
    >>> one.hex()[:16], link(one, 2, "note", 8, datetime(2026, 3, 2), '[8]').hex()[:16]
    ('237ec68113dd84d7', 'e638a6ec7866eaf9')
    """
    place = f"\n{seq}\n{source}\n{row_id}\n{sealed_at.isoformat(timespec='milliseconds')}\n"
    return hashlib.sha256(before + place.encode() + content.encode()).digest()


def content(values: tuple) -> str:
    """A row's values as text.

    >>> content((7, "Grüße\\n", datetime(2026, 3, 2, 20, 30), None))
    '[7,"Grüße\\\\n","2026-03-02T20:30:00.000",null]'
    """
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=_plain)


def extend(before: bytes, last_seq: int, sealed_at: datetime, rows: list[tuple[str, tuple]]) -> Iterator[tuple]:
    """The links for rows that were found: (seq, source, row id, sealed_at, hash)."""
    for seq, (source, values) in enumerate(rows, last_seq + 1):
        before = link(before, seq, source, values[0], sealed_at, content(values))
        yield seq, source, values[0], sealed_at, before


def _plain(value):
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in the chain")
