"""What options accept, read by the pure rules of freeradius_module; what they refuse is wrong usage (exit 2)."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import click

from freeradius_module.rules import hours, units

from .text import _, told


class Amount(click.ParamType):
    """A text that a rule turns into a number; the rule's sentence is the error."""

    def __init__(self, name: str, parse: Callable[[str], object]):
        self.name = name
        self.parse = parse

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(told(error), param, ctx)


def _date(value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError(_("{value!r} is not a date. Write it like 2026-12-31.").format(value=value)) from None


def _moment(value: str) -> datetime:
    """A moment as the database has it: in UTC.  Without an offset it is UTC already.

    >>> _moment("2026-03-02T17:30-03:00"), _moment("2026-03-02")
    (datetime.datetime(2026, 3, 2, 20, 30), datetime.datetime(2026, 3, 2, 0, 0))
    """
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            _(
                "{value!r} is not a time. Write it like 2026-12-31T18:00-03:00, or in UTC like 2026-12-31T21:00Z."
            ).format(value=value)
        ) from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _day_or_moment(value: str) -> date | datetime:
    """A day, which lasts to its end, or a moment."""
    try:
        return date.fromisoformat(value)
    except ValueError:
        pass
    try:
        return _moment(value)
    except ValueError:
        raise ValueError(
            _("{text!r} is neither a day (2026-12-31) nor a moment (2026-12-31T18:00Z).").format(text=value)
        ) from None


def _hours(value: str) -> str:
    hours.parse(value)
    return value


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
DAY_OR_MOMENT = Amount("date", _day_or_moment)
HOURS = Amount("hours", _hours)
TIMEZONE = Amount("time zone", _timezone)


class _Cleared:
    """What `none` means when something is edited: the value goes away."""

    def __repr__(self):
        return "CLEARED"


CLEARED = _Cleared()


class _Clearable(click.ParamType):
    def __init__(self, kind: click.ParamType):
        self.kind = kind
        self.name = kind.name

    def convert(self, value, param, ctx):
        if value is CLEARED or isinstance(value, str) and value.strip().lower() == "none":
            return CLEARED
        return self.kind.convert(value, param, ctx)


def clearable(kind: click.ParamType) -> click.ParamType:
    """The same, and the word `none`."""
    return _Clearable(kind)


def _seconds(value: str) -> int:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else units.parse_duration(value)


# RADIUS counts seconds, so a bare number is seconds here.
SECONDS = Amount("seconds", _seconds)
