"""The cards that a command works on: found by serials, by batch or by range, locked, and checked for their status."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import click

from freeradius_module.rules import serial

from .. import store
from ..store.rows import Cursor, Row
from . import errors, output, scanned
from .command import option
from .scanned import Given
from .text import _, in_context, plural, translated

# A message names at most so many ranges, and so many similar serials.
RANGES_NAMED = 4
# More would not fit on a screen; --json has all of them.
RANGES_SHOWN = 20
SUGGESTIONS = 3


class Selection(NamedTuple):
    """Cards that were found; their batches are locked against other office commands until the transaction ends."""

    choice: store.card.Choice
    batch_ids: list[int]
    # How messages name these cards.
    words: str
    # How many cards were asked for; None if that is not known, as of a batch.
    expected: int | None = None
    # The ranges that the cards form: batch, first_serial, last_serial, count.  Only of cards that this program chose.
    ranges: Sequence[Row] = ()
    # The line of each serial, if they were scanned.
    lines: Mapping[str, int] = {}


batch_option = option("--batch", "batch_id", type=click.IntRange(1), help="All cards of this batch.")
range_option = option(
    "--range",
    "range_text",
    metavar="FIRST-LAST",
    help="The cards from FIRST to LAST, all of one batch; the check digits may be left out.",
)


serials_argument = click.argument("serials", nargs=-1, metavar="[SERIAL]...")


def by_batch_or_range(cursor: Cursor, batch_id: int | None, range_text: str | None) -> Selection:
    if batch_id is not None and range_text is None:
        return _batch(cursor, batch_id)
    if range_text is not None and batch_id is None:
        return _range(cursor, range_text)
    raise errors.WrongUsage(_("Name the cards with either --batch B or --range FIRST-LAST."))


def oldest_in_stock(cursor: Cursor, product: Row, count: int) -> Selection:
    """The cards of a product in stock that were made first: exactly *count*, or Refused.

    A card is chosen only when its batch is locked, so that another command cannot take it.  While this command waits for a
    batch, the command before may take the cards that were chosen; then the next cards are chosen.
    """
    locked: set[int] = set()
    while True:
        cards = store.card.oldest_in_stock(cursor, product["id"], count)
        if len(cards) < count:
            raise errors.Refused(
                plural(
                    "Only {found} card of {product!r} is in stock, not {count}. Nothing was changed.",
                    "Only {found} cards of {product!r} are in stock, not {count}. Nothing was changed.",
                    len(cards),
                )
                if cards
                else _("No card of {product!r} is in stock. Nothing was changed."),
                found=len(cards),
                product=product["name"],
                count=count,
            )
        wanted = {card["batch_id"] for card in cards}
        if wanted <= locked:
            break
        store.batch.lock(cursor, wanted - locked)
        locked |= wanted
    return Selection(
        store.card.oldest(product["id"], cards[-1]["id"]),
        sorted(wanted),
        _("product {product!r}").format(product=product["name"]),
        count,
        _ranges(cards),
    )


def _ranges(cards: Iterable[Row]) -> list[Row]:
    """The ranges that cards form, within each batch; the batches in the order of the cards."""
    of_batch: dict[int, list[str]] = {}
    for card in cards:
        of_batch.setdefault(card["batch_id"], []).append(card["serial"])
    return [
        {"batch": batch_id, "first_serial": first, "last_serial": last, "count": count}
        for batch_id, serials in of_batch.items()
        for first, last, count in serial.ranges(sorted(serials))
    ]


def print_ranges(selection: Selection) -> None:
    """Print the ranges of the selected cards on stderr, for the person who confirms or fetches them."""
    lines = [
        plural(
            "  {first}-{last}  ({count} card, batch {batch})",
            "  {first}-{last}  ({count} cards, batch {batch})",
            row["count"],
        ).format(first=row["first_serial"], last=row["last_serial"], count=row["count"], batch=row["batch"])
        for row in selection.ranges[:RANGES_SHOWN]
    ]
    more = len(selection.ranges) - len(lines)
    if more:
        lines.append("  " + plural("and {count} more range", "and {count} more ranges", more).format(count=more))
    output.print_notice("\n".join(lines))


def by_any(cursor: Cursor, serials: Given, batch_id: int | None, range_text: str | None) -> Selection:
    if sum((bool(serials.texts), batch_id is not None, range_text is not None)) != 1:
        raise errors.WrongUsage(_("Name the cards with serials, or --batch B, or --range FIRST-LAST."))
    if not serials.texts:
        return by_batch_or_range(cursor, batch_id, range_text)
    lines = scanned.cards(cursor, serials) if serials.lines else {}
    found = scanned.rows(cursor, list(lines)) if lines else (find(cursor, text) for text in serials.texts)
    cards = {card["serial"]: card for card in found}
    selection = Selection(
        store.card.of_serials(list(cards)),
        sorted({card["batch_id"] for card in cards.values()}),
        _("card {serial}").format(serial=next(iter(cards)))
        if len(cards) == 1
        else _("{count} cards").format(count=len(cards)),
        len(cards),
        _ranges(cards.values()),
        lines,
    )
    store.batch.lock(cursor, selection.batch_ids)
    return selection


def require_lines(cursor: Cursor, selection: Selection, objection: Callable[[Row], str | None]) -> None:
    """Refuse scanned cards line by line, each with its *objection*.  Other selections pass."""
    if selection.lines:
        scanned.require(cursor, selection.lines, objection)


def other_status(card: Row, status: str) -> str | None:
    """The objection to a card that does not have this status."""
    if card["status"] == status:
        return None
    return _("card {serial} is {found}, but must be {status}.").format(
        serial=card["serial"], found=in_context("word", card["status"]), status=in_context("word", status)
    )


def find(cursor: Cursor, text: str) -> Row:
    """The card with this serial: exactly as typed, or else without hyphens and spaces.

    UnknownCard names the cards that may be meant.
    """
    typed = text.strip()
    compacted = serial.compact(text)
    cards = store.card.find(cursor, [typed, compacted])
    for card in cards:
        if card["serial"] == typed:
            return card
    if cards:
        return cards[0]
    raise errors.UnknownCard(serial=compacted or repr(text), hint=_what_was_meant(cursor, compacted))


def counted(cursor: Cursor, selection: Selection) -> dict[str, Row]:
    """The selected cards by status: count, first_serial, last_serial.  Refused if some of them do not exist."""
    found = {row["status"]: row for row in store.card.survey(cursor, selection.choice)}
    total = sum(row["count"] for row in found.values())
    if total == 0:
        raise errors.NotFound(_("There are no such cards: {words}."), words=selection.words)
    if selection.expected is not None and total != selection.expected:
        raise errors.Refused(
            _("{words} should be {expected} cards, but only {total} of them exist. Nothing was changed."),
            words=selection.words,
            expected=selection.expected,
            total=total,
        )
    return found


def require_only(
    cursor: Cursor, selection: Selection, found: dict[str, Row], status: str, partner_id: int | None = None
) -> Row:
    """Refuse the selection unless all its cards have this status; return their row of *found*.

    The message says how many cards have which status, and names ranges that would be accepted.
    """
    if set(found) == {status}:
        return found[status]
    if selection.expected == 1:
        name, row = next(iter(found.items()))
        raise errors.Refused(
            _("Card {serial} is {found}, but must be {status}. Nothing was changed."),
            serial=row["first_serial"],
            found=in_context("word", name),
            status=in_context("word", status),
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
        ),
        status=in_context("word", status),
        words=selection.words,
        others=others,
        first=first,
        hint=" " + _("You can use {ranges}.").format(ranges=", ".join(fitting[:RANGES_NAMED])) if fitting else "",
    )


def _find_batch(cursor: Cursor, batch_id: int) -> Row:
    batch = store.batch.find(cursor, batch_id)
    if batch is None:
        raise errors.UnknownBatch(batch=batch_id)
    return batch


def _batch(cursor: Cursor, batch_id: int) -> Selection:
    _find_batch(cursor, batch_id)
    store.batch.lock(cursor, [batch_id])
    return Selection(store.card.of_batch(batch_id), [batch_id], _("batch {batch}").format(batch=batch_id))


def _range(cursor: Cursor, text: str) -> Selection:
    """A range must lie within one batch: there every number from the first to the last is a card."""
    first, last = find_ends(cursor, text)
    words = _("range {first}-{last}").format(first=first["serial"], last=last["serial"])
    if first["batch_id"] != last["batch_id"]:
        one, other = _find_batch(cursor, first["batch_id"]), _find_batch(cursor, last["batch_id"])
        raise errors.Refused(
            _(
                "{words} crosses batches: {first} is of batch {one}, {last} of batch {other}. Take them one by one: "
                "--range {first}-{one_end}, then --range {other_start}-{last}."
            ),
            words=words,
            first=first["serial"],
            last=last["serial"],
            one=one["id"],
            other=other["id"],
            one_end=one["last_serial"],
            other_start=other["first_serial"],
        )
    if first["serial"] > last["serial"]:
        raise errors.Refused(
            _("{words} runs backwards: write {last}-{first}."), words=words, first=first["serial"], last=last["serial"]
        )
    store.batch.lock(cursor, [first["batch_id"]])
    return Selection(
        store.card.of_range(first["batch_id"], first["serial"], last["serial"]),
        [first["batch_id"]],
        words,
        _length(first["serial"], last["serial"]),
    )


def find_ends(cursor: Cursor, text: str) -> tuple[Row, Row]:
    """The first and the last card of a range FIRST-LAST, each typed with or without its check digit.

    A text may be one card's serial and, without the check digit, another card's.  Then the other end decides, because both
    ends are of one batch.  If that leaves several ranges, the range is refused.
    """
    try:
        ends = serial.split_range(text)
    except ValueError as error:
        raise errors.WrongUsage(translated(error)) from None
    firsts, lasts = (_readings(cursor, end) for end in ends)
    fitting = [(first, last) for first in firsts for last in lasts if first["batch_id"] == last["batch_id"]]
    if len(fitting) > 1:
        raise errors.Refused(
            _(
                "{text!r} may mean {ranges}: the check digit can be left out only if one range is possible. Nothing was "
                "changed. Write both serials as they are on the cards, with the check digit at the end; if that is what you "
                "wrote, name the cards one by one or with --batch."
            ),
            text=text.strip(),
            ranges=_(" or ").join(f"{first['serial']}-{last['serial']}" for first, last in fitting),
        )
    return fitting[0] if fitting else (firsts[0], lasts[0])


def _readings(cursor: Cursor, text: str) -> list[Row]:
    """The cards that an end of a range may mean: with this serial, or with this serial and a check digit after it."""
    compacted = serial.compact(text)
    try:
        completed = serial.complete(compacted)
    except ValueError:
        return [find(cursor, text)]
    cards = {card["serial"]: card for card in store.card.find(cursor, [text.strip(), compacted, completed])}
    exact = cards.get(text.strip()) or cards.get(compacted)
    found = [card for card in (exact, cards.get(completed)) if card is not None]
    return found or [find(cursor, text)]


def _length(first: str, last: str) -> int | None:
    """How many cards a range names; None if its serials have no check digit, as those of imported cards may not."""
    try:
        return serial.count_range(first, last)
    except ValueError:
        return None


def _what_was_meant(cursor: Cursor, compacted: str) -> str:
    """Sentences about a serial that does not exist: whether its check digit is wrong, and which serials are similar."""
    near = store.card.find(cursor, similar_serials(compacted)) if 2 <= len(compacted) <= serial.MAX_LENGTH else []
    names = [card["serial"] for card in near if card["status"] != "deleted"][:SUGGESTIONS]
    hint = "" if serial.is_valid(compacted) else " " + _("Its check digit is wrong; compare it with the card.")
    return hint + (" " + _("Did you mean {names}?").format(names=", ".join(names)) if names else "")


def similar_serials(compacted: str) -> list[str]:
    """All serials with one digit changed, or two neighbours exchanged: the typing errors that a check digit detects.

    >>> "A017" in similar_serials("A071"), "A017" in similar_serials("A018"), "A018" in similar_serials("A018")
    (True, True, False)
    """
    slips = {
        compacted[:at] + digit + compacted[at + 1 :]
        for at, character in enumerate(compacted)
        if character in "0123456789"
        for digit in "0123456789"
    } | {compacted[:at] + compacted[at + 1] + compacted[at] + compacted[at + 2 :] for at in range(len(compacted) - 1)}
    return sorted(slips - {compacted}) or [compacted]
