"""What the screen reads: pages of cards that pass the filters."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from freeradius_module import attributes
from freeradius_module.rules import serial

from .. import cards, product, store
from ..shell import errors
from ..shell.find import find_batch, find_partner, find_product
from ..shell.option_types import DATE
from ..shell.text import _
from ..store.rows import Cursor, Row

# The names of the filters, in the order of the form.  Their values are what the operator typed.
FILTERS = ("serial", "status", "product", "partner", "batch", "note", "device", "made_from", "made_to")
PAGE = 100


class Page(NamedTuple):
    rows: list[Row]
    is_last: bool


def page(cursor: Cursor, filters: Mapping[str, str], after: Row | None) -> Page:
    """The cards that follow *after* (None: from the beginning), at most PAGE of them."""
    wanted = parameters(cursor, filters) | {"limit": PAGE + 1}
    if "first_serial" in wanted:
        wanted["after_serial"] = after["serial"] if after else ""
        store.card.ids_by_serial(cursor, wanted)
    else:
        wanted["after_id"] = after["id"] if after else None
        store.card.ids(cursor, wanted)
    card_ids = [row["id"] for row in cursor.fetchall()]
    found = {row["id"]: row for row in store.card.overviews(cursor, card_ids[:PAGE])} if card_ids else {}
    rows = [{"id": card_id, **cards.public(found[card_id])} for card_id in card_ids[:PAGE] if card_id in found]
    return Page(rows, len(card_ids) <= PAGE)


def parameters(cursor: Cursor, filters: Mapping[str, str]) -> dict[str, Any]:
    """The filters as parameters of `store.card.ids`.  A name that does not exist is an error, not an empty list."""
    wanted: dict[str, Any] = {}
    if typed := filters.get("serial"):
        begin = serial.compact(typed)
        wanted |= {"first_serial": begin, "last_serial": begin + "\uffff"}
    if status := filters.get("status"):
        wanted["status"] = [status]
    if name := filters.get("product"):
        wanted["product_id"] = find_product(cursor, name)["id"]
    if name := filters.get("partner"):
        wanted["partner_id"] = find_partner(cursor, name)["id"]
    if number := filters.get("batch"):
        wanted["batch_id"] = find_batch(cursor, _number(number))["id"]
    if words := filters.get("note"):
        wanted["note"] = f"%{_literal(words)}%"
    if device := filters.get("device"):
        wanted["device"] = f"{_literal(attributes.device_of({'Calling-Station-Id': device}))}%"
    if day := filters.get("made_from"):
        wanted["made_from"] = _day(day)
    if day := filters.get("made_to"):
        wanted["made_to"] = product.end_of_day(_day(day), "UTC")
    return wanted


def _literal(text: str) -> str:
    """The text as LIKE finds it literally.

    >>> _literal("50%_a")
    '50\\\\%\\\\_a'
    """
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise errors.WrongUsage(_("{text!r} is not the number of a batch."), text=text)
    return int(text)


def _day(text: str) -> Any:
    try:
        return DATE.convert(text, None, None)
    except click.UsageError as error:
        raise errors.WrongUsage("{message}", message=error.message) from None
