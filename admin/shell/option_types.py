"""The types of options: a pure rule of freeradius_module reads the text; what it refuses is wrong usage (exit 2)."""

import contextlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import click

from freeradius_module.rules import hours, units
from freeradius_module.sentence import Sentence

from . import clock, text
from .text import _, fixed_word, in_context, translated


class Amount(click.ParamType[Any]):
    """A text that a function turns into a value; the message of its ValueError is shown."""

    def __init__(self, name: str, parse: Callable[[str], object]):
        self.name = name
        self.parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(translated(error), param, ctx)


class Word(click.Choice[str]):
    """A choice of fixed words, which may also be typed as the reader's language shows them."""

    def __init__(self, words: Iterable[str], context: str = "word"):
        super().__init__(list(words))
        self.context = context

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        word = fixed_word(str(value), self.choices, self.context)
        if word is None:
            shown = ", ".join(in_context(self.context, word) for word in self.choices)
            self.fail(_("{word!r} is not one of: {words}.").format(word=value, words=shown), param, ctx)
        return word


def _day(value: str) -> date:
    """A day in the fixed form, or in the form that the reader's language shows."""
    if text.language() == "pt_BR":
        with contextlib.suppress(ValueError):
            return datetime.strptime(value.strip(), "%d/%m/%Y").date()
    return date.fromisoformat(value)


def _date(value: str) -> date:
    try:
        return _day(value)
    except ValueError:
        raise ValueError(Sentence("{value!r} is not a date. Write it like 2026-12-31.", value=value)) from None


class Moment(NamedTuple):
    """A moment in UTC, and whether the time was typed with its offset from UTC."""

    at: datetime
    has_offset: bool


def _moment(value: str) -> datetime:
    """A moment in UTC, as the database stores it.  A time without an offset is in the office's time zone.

    >>> _moment("2026-03-02T17:30-03:00"), _moment("2026-03-02T20:30Z")
    (datetime.datetime(2026, 3, 2, 20, 30), datetime.datetime(2026, 3, 2, 20, 30))
    """
    return _moment_typed(value).at


def _moment_typed(value: str) -> Moment:
    try:
        typed = _time_as_shown(value) or datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            Sentence("{value!r} is not a time. Write it like 2026-12-31 18:00, or like 2026-12-31T21:00Z.", value=value)
        ) from None
    if typed.tzinfo is None:
        return Moment(clock.in_utc(typed), has_offset=False)
    return Moment(typed.astimezone(UTC).replace(tzinfo=None), has_offset=True)


def _time_as_shown(value: str) -> datetime | None:
    """A time in the form that the reader's language shows, with or without seconds and an offset; None if it is not."""
    if text.language() == "pt_BR":
        for form in ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y"):
            for offset in ("", "%z"):
                with contextlib.suppress(ValueError):
                    return datetime.strptime(value.strip(), form + offset)
    return None


def _day_or_moment(value: str) -> date | datetime:
    """A day or a moment (UTC)."""
    try:
        return _day(value)
    except ValueError:
        pass
    try:
        return _moment(value)
    except ValueError:
        raise ValueError(
            Sentence("{text!r} is neither a day (2026-12-31) nor a time (2026-12-31 18:00).", text=value)
        ) from None


def _hours(value: str) -> str:
    """The hours as they are stored: with the fixed names of the days.

    >>> _hours("mo-FR 08:00-18:00")
    'Mo-Fr 08:00-18:00'
    """
    value = unicodedata.normalize("NFC", value)
    words = {word: fixed_word(word, hours.DAYS) for word in _LETTERS.findall(value)}
    if None not in words.values():
        value = _LETTERS.sub(lambda found: words[found[0]] or "", value)
    # A word that is no day stays as it was typed, and the error repeats it.
    hours.parse(value)
    return value


_LETTERS = re.compile(r"[^\W\d_]+")


def _timezone(value: str) -> str:
    hours.zone(value)
    return value


DURATION = Amount("duration", units.parse_duration)
SIZE = Amount("size", units.parse_size)
MONEY = Amount("money", units.parse_money)
TARIFF = Amount("tariff", units.parse_tariff)
PERCENT = Amount("per cent", units.parse_percent)
DATE = Amount("date", _date)
MOMENT = Amount("time", _moment)
TYPED_MOMENT = Amount("time", _moment_typed)
DAY_OR_MOMENT = Amount("date", _day_or_moment)
HOURS = Amount("hours", _hours)
TIMEZONE = Amount("time zone", _timezone)


class _Cleared:
    """The value of an option whose text was `none`: the command that edits something removes the value."""

    def __repr__(self) -> str:
        return "CLEARED"


CLEARED = _Cleared()


class _Clearable(click.ParamType[Any]):
    def __init__(self, kind: click.ParamType[Any]):
        self.kind = kind
        self.name = kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value is CLEARED or isinstance(value, str) and value.strip().lower() == "none":
            return CLEARED
        return self.kind.convert(value, param, ctx)


def clearable(kind: click.ParamType[Any]) -> click.ParamType[Any]:
    """A type that also accepts the word `none`, which gives CLEARED."""
    return _Clearable(kind)


def _seconds(value: str) -> int:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else units.parse_duration(value)


# A number without a unit means seconds, because RADIUS attributes are in seconds.
SECONDS = Amount("seconds", _seconds)
