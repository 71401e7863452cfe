"""CSV files that other people wrote: reads the rows, and collects the errors of many lines into one message."""

import csv
import os
from collections.abc import Iterator
from typing import TextIO

from . import errors
from .text import _

# So many errors of one file are shown.
MOST = 20
DELIMITERS = ",;\t"


class LineErrors:
    """Collects the errors of a file, each with the number of its line; `refuse` raises them as one error.

    >>> wrong = LineErrors("cards.csv")
    >>> wrong.add(7, "It has no PIN.")
    >>> wrong.raise_if_any()
    Traceback (most recent call last):
        ...
    admin.shell.errors.Refused: cards.csv has errors, and nothing was changed:
      line 7: It has no PIN.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = path
        self._lines: list[str] = []

    def add(self, line: int, sentence: str) -> None:
        self._lines.append(_("line {line}: {sentence}").format(line=line, sentence=sentence))

    @property
    def is_enough(self) -> bool:
        """Whether there are as many as are shown."""
        return len(self._lines) >= MOST

    def __bool__(self) -> bool:
        return bool(self._lines)

    def raise_if_any(self) -> None:
        """Raise Refused if there is any error: a file is taken as a whole or not at all."""
        if self._lines:
            heading = (
                _("{path} has at least {count} errors, and nothing was changed:")
                if self.is_enough
                else _("{path} has errors, and nothing was changed:")
            )
            raise errors.Refused("\n  ".join([heading.format(path=self.path, count=MOST), *self._lines[:MOST]]))


def rows(
    file: TextIO, wrong: LineErrors, needed: tuple[str, ...], known: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with a heading, each with the number of its line.

    Values have no spaces around them.  The delimiter is the comma, semicolon or tab, whichever is most frequent in the
    heading.  A line with a wrong number of fields is added to *wrong*; a file that is not CSV raises Refused.
    """
    try:
        heading = file.readline()
        delimiter = max(DELIMITERS, key=heading.count)
        names = [name.strip().lower() for name in next(csv.reader([heading], delimiter=delimiter), [])]
        _require_columns(wrong.path, names, needed, known)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            line = reader.line_num + 1
            if len(values) != len(names):
                wrong.add(
                    line,
                    _("it has {found} fields, and the heading has {expected}.").format(
                        found=len(values), expected=len(names)
                    ),
                )
            else:
                yield line, {name: value.strip() for name, value in zip(names, values, strict=True)}
            if wrong.is_enough:
                return
    except (csv.Error, UnicodeDecodeError) as error:
        raise errors.Refused(
            _("{path} is not a CSV file in UTF-8 or Windows-1252: {cause}. Nothing was changed."),
            path=wrong.path,
            cause=error,
        ) from None


def _require_columns(
    path: str | os.PathLike[str], names: list[str], needed: tuple[str, ...], known: tuple[str, ...]
) -> None:
    missing = [name for name in needed if name not in names]
    unknown = [name for name in names if name not in known]
    if missing or unknown or len(set(names)) < len(names):
        # Unknown names are not repeated: if the heading is missing, the first line is a card with its PIN.
        raise errors.Refused(
            _(
                "The first line of {path} must name its columns: {needed}, and optionally {optional}. It has {found} and "
                "{count} others. Nothing was changed."
            ),
            path=path,
            needed=", ".join(needed),
            optional=", ".join(name for name in known if name not in needed) or "-",
            found=", ".join(name for name in names if name in known) or "-",
            count=len(unknown),
        )
