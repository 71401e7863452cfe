"""Tables and records on a terminal: what fits its width.

A value that must be read as one (a serial, a date, the name of a status, an amount) is never broken.  Running text is
wrapped between words.  If a table is still too wide, it leaves out its least important columns, in the order that its
command declares; if that is not enough, each row becomes a record, with a line for each value.
"""

import shutil
from collections.abc import Sequence
from typing import NamedTuple

# Columns of running text: their values may be wrapped between words.
TEXT = {
    "cause",
    "check",
    "contact",
    "detail",
    "fields",
    "may",
    "message",
    "name",
    "partner",
    "path",
    "product",
    "reason",
    "roles",
    "sentence",
    "what_to_do",
}
# A longer value is wrapped in any column: no serial, date, status or amount has so many characters.
LONGEST_WHOLE = 48
# Text is wrapped to this width before a column is left out, or to its longest word if that is shorter.
NARROWEST_TEXT = 16
# Between two columns.
GAP = 2


class Column(NamedTuple):
    """A column as it is shown; *total* is its sum, for the last line."""

    name: str
    heading: str
    is_number: bool = False
    total: str = ""


class Layout(NamedTuple):
    """The columns that are shown, by their place in the table, each with its width; and the headings of the others."""

    widths: dict[int, int]
    hidden: list[str]


def terminal_size() -> tuple[int, int]:
    """Columns and lines of the terminal; 80 and 24 if it does not say."""
    return shutil.get_terminal_size()


def laid_out(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int,
    least_important: Sequence[str] = (),
    gap: int = GAP,
) -> Layout | None:
    """What fits the width; None if the table does not fit without the columns that may be left out.

    >>> columns = [Column("serial", "serial"), Column("product", "product"), Column("device", "device")]
    >>> rows = [["LIVRE000000016", "10 hours of internet", "02-00-00-00-00-01"]]
    >>> laid_out(columns, rows, 80)
    Layout(widths={0: 14, 1: 20, 2: 17}, hidden=[])
    >>> laid_out(columns, rows, 52)
    Layout(widths={0: 14, 1: 17, 2: 17}, hidden=[])
    >>> laid_out(columns, rows, 40, ["device"])
    Layout(widths={0: 14, 1: 20}, hidden=['device'])
    >>> laid_out(columns, rows, 40) is None
    True
    """
    limits = [
        _limits(column, [row[at] for row in rows] + [column.total] * bool(column.total))
        for at, column in enumerate(columns)
    ]
    shown = dict(enumerate(limits))
    places = {column.name: at for at, column in enumerate(columns)}
    droppable = [places[name] for name in least_important if name in places]
    while sum(least for least, _most in shown.values()) + gap * (len(shown) - 1) > width:
        if not droppable:
            return None
        shown.pop(droppable.pop(0))
    spare = width - gap * (len(shown) - 1) - sum(least for least, _most in shown.values())
    widths = {}
    for at, (least, most) in shown.items():
        added = min(spare, most - least)
        widths[at] = least + added
        spare -= added
    return Layout(widths, [column.heading for at, column in enumerate(columns) if at not in shown])


def _limits(column: Column, values: Sequence[str]) -> tuple[int, int]:
    """The least width that breaks nothing but text, and the width that wraps nothing."""
    widest = max(map(cells, values), default=0)
    most = max(widest, cells(column.heading))
    heading = max(map(cells, column.heading.split(" ")), default=0)
    if column.name in TEXT or widest > LONGEST_WHOLE:
        longest_word = max((cells(word) for value in values for word in value.split(" ")), default=0)
        return max(heading, min(widest, max(NARROWEST_TEXT, min(longest_word, LONGEST_WHOLE // 2)))), most
    return max(heading, widest), most


def record_lines(values: Sequence[tuple[str, str]], width: int) -> list[str]:
    """A line for each value, after its title; a value that is too long continues below its beginning.

    >>> print("\\n".join(record_lines([("serial", "LIVRE000000016"), ("note", "sold at the fair of March")], 25)))
    serial  LIVRE000000016
    note    sold at the fair
            of March
    """
    titles = max((cells(title) for title, _value in values), default=0)
    room = max(width - titles - GAP, NARROWEST_TEXT)
    lines = []
    for title, value in values:
        first, *others = wrapped(value, room)
        lines.append(f"{padded(title, titles)}{' ' * GAP}{first}")
        lines += [" " * (titles + GAP) + line for line in others]
    return lines


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most so many columns, broken between words; a longer word is broken.

    >>> wrapped("Use a wider terminal", 10), wrapped("0123456789ab", 10), wrapped("", 10)
    (['Use a', 'wider', 'terminal'], ['0123456789', 'ab'], [''])
    """
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cells(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if cells(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return lines


def padded(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def cells(text: str) -> int:
    """How many columns a text takes on a terminal: some characters take two, and some none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
