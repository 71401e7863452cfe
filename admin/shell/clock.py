"""The office's time zone: the setting `timezone` of [prepaid], or else the system's.

The database and JSON have UTC.  Everything that people write or read is in the office's time zone: the options
--expires, --from, --to and --at, times on a screen, and the days of reports.
"""

import os
from datetime import UTC, date, datetime, timedelta, tzinfo
from datetime import time as clock

import click

from freeradius_module.rules import hours
from freeradius_module.sentence import Sentence

# Where Linux says what the system's time zone is.
LOCALTIME = "/etc/localtime"


def zone() -> tzinfo:
    return hours.zone(zone_name())


def zone_name() -> str:
    """The name of the office's time zone, such as America/Sao_Paulo."""
    context = click.get_current_context(silent=True)
    found = getattr(context.obj, "timezone", None) if context is not None else None
    return system_zone_name() if found is None else str(found)


def system_zone_name() -> str:
    """The name of the system's time zone: $TZ, or what /etc/localtime points to, or else UTC."""
    _folder, _found, linked = os.path.realpath(LOCALTIME).partition("/zoneinfo/")
    for name in (os.environ.get("TZ", "").removeprefix(":"), linked):
        try:
            hours.zone(name)
        except ValueError:
            continue
        return "UTC" if name == "Etc/UTC" else name
    return "UTC"


def today() -> date:
    return datetime.now(zone()).date()


def local(moment: datetime, place: tzinfo | None = None) -> datetime:
    """A moment (UTC) of the database, as the office's clock shows it.

    >>> local(datetime(2026, 3, 2, 20, 30), hours.zone("America/Sao_Paulo")).isoformat()
    '2026-03-02T17:30:00-03:00'
    """
    return moment.replace(tzinfo=UTC).astimezone(place or zone())


def in_utc(wall: datetime, place: tzinfo | None = None) -> datetime:
    """The moment (UTC) at which the office's clock shows this time; ValueError if it shows it twice or never.

    >>> in_utc(datetime(2026, 3, 2, 17, 30), hours.zone("America/Sao_Paulo"))
    datetime.datetime(2026, 3, 2, 20, 30)
    >>> in_utc(datetime(2019, 2, 16, 23, 30), hours.zone("America/Sao_Paulo"))
    Traceback (most recent call last):
        ...
    ValueError: In America/Sao_Paulo the clock was changed and showed 2019-02-16 23:30:00 twice or never. Add the offset from UTC.
    """
    place = place or zone()
    early, late = (wall.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early != late:
        raise ValueError(
            Sentence(
                "In {zone} the clock was changed and showed {time} twice or never. Add the offset from UTC.",
                zone=str(place),
                time=str(wall),
            )
        )
    return early.replace(tzinfo=None)


def begin_of(day: date, place: tzinfo | None = None) -> datetime:
    """The moment (UTC) at which a day begins.

    >>> begin_of(date(2026, 12, 31), hours.zone("America/Sao_Paulo"))
    datetime.datetime(2026, 12, 31, 3, 0)
    """
    return datetime.combine(day, clock(), tzinfo=place or zone()).astimezone(UTC).replace(tzinfo=None)


def end_of(day: date, place: tzinfo | None = None) -> datetime:
    """The moment (UTC) at which a day ends.

    >>> end_of(date(2026, 12, 31), hours.zone("America/Sao_Paulo"))
    datetime.datetime(2027, 1, 1, 3, 0)
    """
    return begin_of(day + timedelta(days=1), place)
