"""Which cards a command means: serials, a batch, or a range; and what is said when they are not what it needs."""

from typing import NamedTuple

import click

from freeradius_module.rules import serial

from .. import store
from . import errors
from .command import option
from .text import _, in_context, told

RANGES_NAMED = 4
SUGGESTIONS = 3


class Selection(NamedTuple):
    """Cards that were found and locked against other office commands."""

    choice: store.card.Choice
    batch_ids: list[int]
    words: str
    # How many cards there must be; None where a batch has as many as it has.
    expected: int | None = None


def batch_option(command):
    return option("--batch", "batch_id", type=click.IntRange(1), help="All cards of this batch.")(command)


def range_option(command):
    return option("--range", "range_text", metavar="FIRST-LAST", help="The cards from FIRST to LAST, of one batch.")(
        command
    )


def by_batch_or_range(cursor, batch_id: int | None, range_text: str | None) -> Selection:
    if (batch_id is None) == (range_text is None):
        raise errors.WrongUsage(_("Say which cards: either --batch B or --range FIRST-LAST."))
    return _batch(cursor, batch_id) if batch_id is not None else _range(cursor, range_text)


def by_any(cursor, serials: tuple[str, ...], batch_id: int | None, range_text: str | None) -> Selection:
    if sum((bool(serials), batch_id is not None, range_text is not None)) != 1:
        raise errors.WrongUsage(_("Say which cards: serials, or --batch B, or --range FIRST-LAST."))
    if not serials:
        return by_batch_or_range(cursor, batch_id, range_text)
    cards = {card["serial"]: card for card in (find(cursor, text) for text in serials)}
    selection = Selection(
        store.card.of_serials(list(cards)),
        sorted({card["batch_id"] for card in cards.values()}),
        _("card {serial}").format(serial=next(iter(cards)))
        if len(cards) == 1
        else _("{count} cards").format(count=len(cards)),
        len(cards),
    )
    store.batch.lock(cursor, selection.batch_ids)
    return selection


def find(cursor, text: str) -> dict:
    """The card of a serial as it was typed, or what it might have been meant to be."""
    typed = text.strip()
    compacted = serial.compact(text)
    cards = store.card.find(cursor, [typed, compacted])
    for card in cards:
        if card["serial"] == typed:
            return card
    if cards:
        return cards[0]
    raise errors.UnknownCard(serial=compacted or repr(text), hint=_what_was_meant(cursor, compacted))


def counted(cursor, selection: Selection) -> dict[str, dict]:
    """The selection by status; a range or list that has fewer cards than it names is refused."""
    found = {row["status"]: row for row in store.card.survey(cursor, selection.choice)}
    total = sum(row["count"] for row in found.values())
    if total == 0:
        raise errors.NotFound(_("There are no such cards: {words}.").format(words=selection.words))
    if selection.expected is not None and total != selection.expected:
        raise errors.Refused(
            _("{words} should be {expected} cards, but {total} of them exist. Nothing was changed.").format(
                words=selection.words, expected=selection.expected, total=total
            )
        )
    return found


def require_only(
    cursor, selection: Selection, found: dict[str, dict], status: str, partner_id: int | None = None
) -> dict:
    """All or nothing: every card has the status, or the refusal says how many have which, and what would work."""
    if set(found) == {status}:
        return found[status]
    if selection.expected == 1:
        name, row = next(iter(found.items()))
        raise errors.Refused(
            _("Card {serial} is {found}, and only cards that are {status} will do. Nothing was changed.").format(
                serial=row["first_serial"], found=in_context("word", name), status=in_context("word", status)
            )
        )
    others = ", ".join(
        _("{count} {status}").format(count=row["count"], status=in_context("word", name))
        for name, row in found.items()
        if name != status
    )
    first = min(row["first_serial"] for name, row in found.items() if name != status)
    fitting = (
        [
            f"--range {run['first_serial']}-{run['last_serial']}"
            for batch_id in selection.batch_ids
            for run in store.card.runs(cursor, batch_id, status, partner_id, RANGES_NAMED)
        ]
        if status in found
        else []
    )
    raise errors.Refused(
        _(
            "Not all of these cards are {status}: {words} has {others} (the first is {first}). Nothing was changed.{hint}"
        ).format(
            status=in_context("word", status),
            words=selection.words,
            others=others,
            first=first,
            hint=" " + _("What would do: {ranges}.").format(ranges=", ".join(fitting[:RANGES_NAMED]))
            if fitting
            else "",
        )
    )


def _batch(cursor, batch_id: int) -> Selection:
    if store.batch.find(cursor, batch_id) is None:
        raise errors.UnknownBatch(batch=batch_id)
    store.batch.lock(cursor, [batch_id])
    return Selection(store.card.of_batch(batch_id), [batch_id], _("batch {batch}").format(batch=batch_id))


def _range(cursor, text: str) -> Selection:
    """A range lies within one batch: its serials are counted on, so every number in it is a card."""
    first_text, last_text = split_range(text)
    first, last = find(cursor, first_text), find(cursor, last_text)
    words = _("range {first}-{last}").format(first=first["serial"], last=last["serial"])
    if first["batch_id"] != last["batch_id"]:
        one, other = (store.batch.find(cursor, card["batch_id"]) for card in (first, last))
        raise errors.Refused(
            _(
                "{words} crosses batches: {first} is of batch {one}, {last} of batch {other}. Take them one by one: "
                "--range {first}-{one_end}, then --range {other_start}-{last}."
            ).format(
                words=words,
                first=first["serial"],
                last=last["serial"],
                one=one["id"],
                other=other["id"],
                one_end=one["last_serial"],
                other_start=other["first_serial"],
            )
        )
    if first["serial"] > last["serial"]:
        raise errors.Refused(
            _("{words} runs backwards: write {last}-{first}.").format(
                words=words, first=first["serial"], last=last["serial"]
            )
        )
    store.batch.lock(cursor, [first["batch_id"]])
    return Selection(
        store.card.of_range(first["batch_id"], first["serial"], last["serial"]),
        [first["batch_id"]],
        words,
        _length(first["serial"], last["serial"]),
    )


def split_range(text: str) -> tuple[str, str]:
    """The two ends of FIRST-LAST, as they were typed."""
    try:
        return serial.split_range(text)
    except ValueError as error:
        raise errors.WrongUsage(told(error)) from None


def _length(first: str, last: str) -> int | None:
    """How many cards a range names, where its serials are numbers with a check digit; of others nobody knows."""
    try:
        return serial.count_range(first, last)
    except ValueError:
        return None


def _what_was_meant(cursor, compacted: str) -> str:
    """For a serial that does not exist: whether it was mistyped, and which card is one slip away."""
    near = store.card.find(cursor, one_slip_away(compacted)) if 2 <= len(compacted) <= serial.MAX_LENGTH else []
    names = [card["serial"] for card in near if card["status"] != "deleted"][:SUGGESTIONS]
    hint = "" if serial.is_valid(compacted) else " " + _("Its check digit is wrong: please compare it with the card.")
    return hint + (" " + _("Did you mean {names}?").format(names=", ".join(names)) if names else "")


def one_slip_away(compacted: str) -> list[str]:
    """A serial with one digit changed, or two neighbours exchanged: the slips that the check digit catches.

    >>> "A017" in one_slip_away("A071"), "A017" in one_slip_away("A018"), "A018" in one_slip_away("A018")
    (True, True, False)
    """
    slips = {
        compacted[:at] + digit + compacted[at + 1 :]
        for at, sign in enumerate(compacted)
        if sign in "0123456789"
        for digit in "0123456789"
    } | {compacted[:at] + compacted[at + 1] + compacted[at] + compacted[at + 2 :] for at in range(len(compacted) - 1)}
    return sorted(slips - {compacted}) or [compacted]
