"""The hash chain over the history: each hash covers a row, its place in the chain and the hash before it.

    hash(n) = SHA-256( hash(n-1), n, source, row id, sealed_at, the row's content )

A row that is changed, removed or inserted makes every later hash wrong.  Somebody who computes the whole chain again
cannot restore the last hash that was noted elsewhere.

A row's content is a JSON array of its values, times as ISO 8601.  The columns and their order are fixed here, so that a
column of a later version does not change the hashes of older rows.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from .rows import TupleRow

# The hash before the first row.
BEGINNING = bytes(32)

# The columns of each table of history that never change.  Export and confirmation of a voice credit come later, so they
# are not among them.  The prices of a note are rows of another table; audit.py adds them as the value `prices`.
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
    "batch_event": (
        "id",
        "batch_id",
        "at",
        "what",
        "operator",
        "reason",
        "card_count",
        "detail",
        "first_serial",
        "last_serial",
    ),
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
    "address_query": ("id", "asked_at", "operator", "address", "port", "moment_at", "reason"),
    "payment": (
        "id",
        "partner_id",
        "amount_cents",
        "paid_on",
        "idempotency_key",
        "note",
        "reverses_id",
        "reason",
        "recorded_at",
        "operator",
    ),
    "operator_role_event": ("id", "at", "operator", "role", "what", "changed_by"),
}
SOURCES = tuple(COLUMNS)

# The column with the time of a row.
MOMENT = {
    "card_event": "at",
    "batch_event": "at",
    "card_entry": "at",
    "note": "made_at",
    "voice_credit": "redeemed_at",
    "address_query": "asked_at",
    "payment": "recorded_at",
    "operator_role_event": "at",
}


class Link(NamedTuple):
    """A row of history_chain: the number in the chain, which row of which table it covers, when, and the hash."""

    seq: int
    source: str
    row_id: int
    sealed_at: datetime
    hash: bytes


def link_hash(before: bytes, seq: int, source: str, row_id: int, sealed_at: datetime, content: str) -> bytes:
    """The hash of one link, after the hash before it.

    >>> one = link_hash(BEGINNING, 1, "note", 7, datetime(2026, 3, 2), '[7]')
    >>> one.hex()[:16], link_hash(one, 2, "note", 8, datetime(2026, 3, 2), '[8]').hex()[:16]
    ('237ec68113dd84d7', 'e638a6ec7866eaf9')
    """
    place = f"\n{seq}\n{source}\n{row_id}\n{sealed_at.isoformat(timespec='milliseconds')}\n"
    return hashlib.sha256(before + place.encode() + content.encode()).digest()


def content(values: TupleRow) -> str:
    """A row's values as the text that is hashed.

    >>> content((7, "Grüße\\n", datetime(2026, 3, 2, 20, 30), None))
    '[7,"Grüße\\\\n","2026-03-02T20:30:00.000",null]'
    """
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=_plain)


def extend(before: bytes, last_seq: int, sealed_at: datetime, source: str, rows: Iterable[TupleRow]) -> Iterator[Link]:
    """The links for rows of one table, after the link with the number *last_seq* and the hash *before*."""
    for seq, values in enumerate(rows, last_seq + 1):
        before = link_hash(before, seq, source, values[0], sealed_at, content(values))
        yield Link(seq, source, values[0], sealed_at, before)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in the chain")
