"""An export as CSV: UTF-8, a heading, fields quoted where they need it."""

import csv
import io
from collections.abc import Iterable

# What a spreadsheet takes for a formula at the start of a cell.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def write(file, fields: list[str], rows: Iterable[dict]) -> None:
    """Write the rows as they come, one at a time."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    for row in rows:
        writer.writerow([defused(row[field]) for field in fields])
    text.flush()
    text.detach()


def defused(value):
    """A text that no spreadsheet runs.

    >>> defused("=cmd|' /C calc'!A0"), defused("10 hours"), defused(7)
    ("'=cmd|' /C calc'!A0", '10 hours', 7)
    """
    if isinstance(value, str) and value.startswith(FORMULA_SIGNS):
        return "'" + value
    return value
