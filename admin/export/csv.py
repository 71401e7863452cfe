"""An export as text: csv for spreadsheets, or fields between any delimiter for other programs.

UTF-8, a heading, CRLF at the end of a line (RFC 4180), fields quoted where they need it.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterable

from ..shell import errors
from ..shell.text import _
from .fields import Cards, Fields

# What a spreadsheet takes for a formula at the start of a cell; the wide ones by East Asian settings.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def write(file, fields: Fields, count: int, chunks: Iterable[Cards], delimiter: str = ",", bom: bool = False) -> None:
    """Write the cards as they come, some at a time."""
    if bom:
        file.write(BYTE_ORDER_MARK)
    file.write(lines([fields.names], delimiter))
    # As texts, once: the csv module would make each anew for each card.
    shared = {name: "" if value is None else defused(str(value)) for name, value in fields.shared.items()}
    for cards in chunks:
        _refuse_formulas(cards)
        file.write(lines(fields.rows(cards, shared), delimiter))


def defused(text: str) -> str:
    """A text that no spreadsheet runs.

    >>> defused("=cmd|' /C calc'!A0"), defused("10 hours")
    ("'=cmd|' /C calc'!A0", '10 hours')
    """
    return "'" + text if text.startswith(FORMULA_SIGNS) else text


def defused_code(code: str) -> str:
    """A code that people or programs read as it is: altered only where a spreadsheet would run it.

    >>> defused_code("+551133334444"), defused_code("=cmd|' /C calc'!A0")
    ('+551133334444', "'=cmd|' /C calc'!A0")
    """
    return defused(code) if is_formula(code) else code


def one_sign(text: str) -> str:
    r"""A delimiter as it is typed.

    >>> one_sign(";"), one_sign("\\t"), one_sign("tab")
    (';', '\t', '\t')
    """
    delimiter = {"\\t": "\t", "tab": "\t", "space": " "}.get(text, text)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise ValueError(_("a delimiter is one sign, or the word tab or space; quotes and line ends are none."))
    return delimiter


def is_formula(code: str) -> bool:
    """Whether a code could do something in a spreadsheet.  One without brackets, quotes and bars calls no function.

    >>> is_formula("-00123"), is_formula("00123"), is_formula("=A1+cmd|'x'!A0"), is_formula("@SUM(1)")
    (False, False, True, True)
    """
    return code.startswith(FORMULA_SIGNS) and _HARMLESS.fullmatch(code) is None


_HARMLESS = re.compile("[=+@-][A-Za-z0-9._@-]*")


def _refuse_formulas(cards: Cards) -> None:
    """A name may get a quote in front of it; a serial or PIN may not, because people type it as it is printed."""
    for codes in (cards.serials, cards.pins):
        if not any(map(str.startswith, codes, itertools.repeat(FORMULA_SIGNS))):
            continue
        for at, code in enumerate(codes):
            if is_formula(code):
                raise errors.Refused(
                    _(
                        "The code of card {serial} would be a formula in a spreadsheet, and a code cannot be altered. "
                        "Export this batch with --format xlsx or pdf, where it stays a text."
                    ),
                    serial=cards.serials[at],
                )


def lines(rows: Iterable, delimiter: str = ",") -> bytes:
    """Lines of a CSV file (RFC 4180)."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
