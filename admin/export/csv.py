"""The cards as text: with commas for spreadsheets, or with any other delimiter for other programs."""

import itertools
from collections.abc import Iterable

from ..files import Target, csv
from ..shell import errors
from ..shell.text import _
from .fields import Cards, Fields


def write(
    file: Target, fields: Fields, count: int, chunks: Iterable[Cards], delimiter: str = ",", bom: bool = False
) -> None:
    """Write a heading and a line for each card, chunk by chunk; `bom` puts a byte order mark first."""
    if bom:
        file.write(csv.BYTE_ORDER_MARK)
    file.write(csv.lines([fields.names], delimiter))
    # Converted to text once, not for every card.
    shared = {name: "" if value is None else csv.defused(str(value)) for name, value in fields.shared.items()}
    for cards in chunks:
        _refuse_formulas(cards)
        file.write(csv.lines(fields.rows(cards, shared), delimiter))


def delimiter(text: str) -> str:
    r"""A delimiter as the operator types it.

    >>> delimiter(";"), delimiter("\\t"), delimiter("tab")
    (';', '\t', '\t')
    """
    character = {"\\t": "\t", "tab": "\t", "space": " "}.get(text, text)
    if len(character) != 1 or character in '"\r\n\0':
        raise ValueError(_("a delimiter is one character, or the word tab or space; not a quote or a line end."))
    return character


def _refuse_formulas(cards: Cards) -> None:
    """A name may get a quote in front of it; a serial or PIN may not, because people type it as it is printed."""
    for codes in (cards.serials, cards.pins):
        if not any(map(str.startswith, codes, itertools.repeat(csv.FORMULA_CHARACTERS))):
            continue
        for at, code in enumerate(codes):
            if csv.is_formula(code):
                raise errors.Refused(
                    _(
                        "The code of card {serial} would be a formula in a spreadsheet, and a code cannot be changed. "
                        "Export this batch with --format xlsx or pdf, where it stays a text."
                    ),
                    serial=cards.serials[at],
                )
