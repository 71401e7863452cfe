"""Lines of CSV (RFC 4180) in UTF-8, and texts that no spreadsheet runs as a formula."""

import csv
import io
import re
from collections.abc import Iterable

# A spreadsheet takes a cell for a formula if it begins with one of these; the wide ones with East Asian settings.
FORMULA_CHARACTERS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def lines(rows: Iterable[Iterable[object]], delimiter: str = ",") -> bytes:
    r"""Rows as lines that end with CRLF; a field is quoted where it has to be, and None is empty.

    >>> lines([("serial", "product"), ("A17", "10 h; 1 GB"), (None, 'a "b", c')])
    b'serial,product\r\nA17,10 h; 1 GB\r\n,"a ""b"", c"\r\n'
    """
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def defused(text: str) -> str:
    """A text that no spreadsheet runs.

    >>> defused("=cmd|' /C calc'!A0"), defused("10 hours")
    ("'=cmd|' /C calc'!A0", '10 hours')
    """
    return "'" + text if text.startswith(FORMULA_CHARACTERS) else text


def defused_code(code: str) -> str:
    """A code that people or programs read literally: changed only where a spreadsheet would run it.

    >>> defused_code("+551133334444"), defused_code("=cmd|' /C calc'!A0")
    ('+551133334444', "'=cmd|' /C calc'!A0")
    """
    return defused(code) if is_formula(code) else code


def is_formula(code: str) -> bool:
    """Whether a spreadsheet could run a code.  Without brackets, quotes and bars it cannot call a function.

    >>> is_formula("-00123"), is_formula("00123"), is_formula("=A1+cmd|'x'!A0"), is_formula("@SUM(1)")
    (False, False, True, True)
    """
    return code.startswith(FORMULA_CHARACTERS) and _HARMLESS.fullmatch(code) is None


_HARMLESS = re.compile("[=+@-][A-Za-z0-9._@-]*")
