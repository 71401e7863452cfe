"""Serials from a scanner: one on each line of standard input, if the only serial that a command was given is `-`.

A scanner types what the code on a card holds.  A bar code holds the serial.  The QR code of our own sheets holds the
serial and the PIN, or the hotspot's login address with both.  A PIN is never repeated in a message.
"""

import sys
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import click

from freeradius_module.rules import serial

from .. import store
from ..store.rows import Cursor, Row
from . import errors, output
from .line_errors import LineErrors
from .text import _

STANDARD_INPUT = "-"
# The server finds so many serials by the index; for more of them it may read the whole table.
MOST = 10_000
SERIALS_A_STATEMENT = 200

Part = TypeVar("Part")


class Given(NamedTuple):
    """The serials of a command, as they were typed; `lines` has the number of each line if they were scanned."""

    texts: tuple[str, ...]
    lines: tuple[int, ...] = ()


def given(serials: tuple[str, ...], must_ask: bool = False) -> Given:
    """The arguments of a command, or the lines of standard input if the argument is `-`.

    With *must_ask* the command will ask a question, which only a terminal can answer after the serials were read.
    """
    if STANDARD_INPUT not in serials:
        return Given(serials)
    if len(serials) > 1:
        raise errors.WrongUsage(_("- stands for the serials on standard input: give either - or serials."))
    if sys.stdin.isatty():
        output.print_notice(_("Scan the cards, one on each line. End with Ctrl-D on a line of its own."))
    elif must_ask:
        raise errors.WrongUsage(_("The serials come from standard input, so nobody can be asked. Confirm with --yes."))
    lines: dict[str, int] = {}
    for line, text in enumerate(click.open_file(STANDARD_INPUT, encoding="utf-8", errors="replace"), start=1):
        text = text.strip().removeprefix("\ufeff")
        before = lines.setdefault(text, line) if text else line
        if before != line:
            output.print_notice(
                _("Line {line} repeats line {before}; the card counts once.").format(line=line, before=before)
            )
        if len(lines) > MOST:
            raise errors.WrongUsage(
                _("At most {most} serials are read at once. Use --range, or several commands."), most=MOST
            )
    if not lines:
        raise errors.WrongUsage(_("Standard input has no serials."))
    return Given(tuple(lines), tuple(lines.values()))


def cards(cursor: Cursor, scanned: Given) -> dict[str, int]:
    """The serials of the cards that were scanned, each with its line; all lines without a card are refused at once."""
    found: dict[str, int] = {}
    wrong = _errors()
    for some in _chunks(list(zip(scanned.texts, scanned.lines, strict=True))):
        readings = [readings_of(text) for text, _line in some]
        known = {
            card["serial"]
            for card in store.card.find(
                cursor, sorted({word for reading in readings for words in reading for word in words})
            )
        }
        for (text, line), reading in zip(some, readings, strict=True):
            fitting = next((fits for words in reading if (fits := known.intersection(words))), set())
            if len(fitting) == 1:
                found.setdefault(fitting.pop(), line)
            elif fitting:
                wrong.add(line, _("it names several cards: {serials}.").format(serials=", ".join(sorted(fitting))))
            elif len(text.split()) == 1 and "/" not in text:
                wrong.add(
                    line, _("there is no card {serial}.").format(serial=ascii(serial.compact(text)[:64]).strip("'"))
                )
            else:
                wrong.add(line, _("there is no card with this serial."))
        if wrong.is_enough:
            break
    wrong.raise_if_any()
    return found


def require(cursor: Cursor, lines: Mapping[str, int], objection: Callable[[Row], str | None]) -> None:
    """Refuse scanned cards line by line: *objection* says what is wrong with a card, or None."""
    wrong = _errors()
    for card in sorted(rows(cursor, list(lines)), key=lambda card: lines[card["serial"]]):
        sentence = objection(card)
        if sentence is not None and not wrong.is_enough:
            wrong.add(lines[card["serial"]], sentence)
    wrong.raise_if_any()


def rows(cursor: Cursor, serials: list[str]) -> list[Row]:
    """The cards with these serials."""
    return [card for some in _chunks(serials) for card in store.card.find(cursor, some)]


def readings_of(text: str) -> list[list[str]]:
    """What the serial in a scanned line may be, the most likely reading first.

    >>> readings_of("livre 0000-0042-4")[0]
    ['livre 0000-0042-4', 'LIVRE000000424']
    >>> readings_of("LIVRE000000424 1234567890")[1]
    ['LIVRE000000424', 'LIVRE000000424']
    >>> readings_of("https://wifi.example/login?username=LIVRE000000424&password=1234567890")[2]
    ['LIVRE000000424', '1234567890']
    """
    first_word = text.split()[0]
    values = (
        [value for _name, value in urllib.parse.parse_qsl(urllib.parse.urlsplit(text).query)] if "://" in text else []
    )
    return [[text, serial.compact(text)], [first_word, serial.compact(first_word)], values]


def _errors() -> LineErrors:
    return LineErrors(_("Standard input"))


def _chunks(parts: list[Part]) -> Iterator[list[Part]]:
    for start in range(0, len(parts), SERIALS_A_STATEMENT):
        yield parts[start : start + SERIALS_A_STATEMENT]
