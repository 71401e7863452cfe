"""The cards as text: with commas for spreadsheets, or with any other delimiter for other programs."""

import itertools
from collections.abc import Iterable
from decimal import Decimal

from ..files import Target, csv
from ..shell import errors, output
from ..shell.text import _, heading_in
from .fields import Cards, Fields


def write(
    file: Target,
    fields: Fields,
    count: int,
    chunks: Iterable[Cards],
    delimiter: str = ",",
    bom: bool = False,
    excel_brazil: bool = False,
) -> None:
    """Write a heading and a line for each card, chunk by chunk; `bom` puts a byte order mark first."""
    if bom:
        file.write(csv.BYTE_ORDER_MARK)
    headings = [heading_in("pt_BR", output.untranslated_title(name)) for name in fields.names]
    file.write(csv.lines([headings if excel_brazil else fields.names], delimiter))
    # Converted to text once, not for every card.
    values = fields.in_brazil() if excel_brazil else fields.shared
    shared = {name: _shared(value, excel_brazil) for name, value in values.items()}
    for cards in chunks:
        _refuse_formulas(cards)
        file.write(csv.lines(fields.rows(cards, shared), delimiter))


def _shared(value: object, excel_brazil: bool) -> str:
    """A value as a text that no spreadsheet runs.

    >>> _shared(Decimal("10.00"), True), _shared(Decimal("10.00"), False), _shared(None, True)
    ('10,00', '10.00', '')
    """
    if value is None:
        return ""
    if excel_brazil and isinstance(value, Decimal):
        return str(value).replace(".", ",")
    return csv.defused(str(value))


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
