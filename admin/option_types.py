"""What options accept, read by the pure rules of freeradius_module; what they refuse is wrong usage (exit 2)."""

from collections.abc import Callable
from datetime import date

import click

from freeradius_module import hours, units

from .text import _


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
            self.fail(str(error), param, ctx)


def _date(value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError(_("{value!r} is not a date. Write it like 2026-12-31.").format(value=value)) from None


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
HOURS = Amount("hours", _hours)
TIMEZONE = Amount("time zone", _timezone)
