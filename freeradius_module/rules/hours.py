"""The hours at which a card may be used: "Mo-Fr 08:00-18:00, Sa 09:00-13:00".

    windows  = window, window, ...
    window   = [days] HH:MM-HH:MM
    days     = Mo Tu We Th Fr Sa Su, as one day, as Mo-Fr, or as Mo, We, Fr; none means every day

A window that ends at or before its start runs past midnight and belongs to the day on which it starts:
"Fr 22:00-06:00" ends on Saturday morning.  Windows that touch become one window.

The hours are local time at the provider.  When the clock is put forward, a window that starts or ends in the skipped hour
starts or ends at the change.  When the clock is put back, a window opens the first time the clock shows its start, and
closes the last time it shows its end: an hour too much is better than to refuse a paid card.

>>> office = parse("Mo-Fr 08:00-18:00")
>>> seconds_left(office, datetime(2026, 3, 2, 20, 30), "America/Sao_Paulo")  # Monday, 17:30 there
1800
>>> seconds_left(office, datetime(2026, 3, 2, 21, 0), "America/Sao_Paulo")
0
>>> next_opening(office, datetime(2026, 3, 2, 21, 0), "America/Sao_Paulo").isoformat()
'2026-03-03T08:00:00-03:00'
"""

import re
from bisect import bisect_right
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from ..sentence import Sentence

# (start, end), merged and sorted, in minutes since Monday 00:00 local time.  An end beyond 10080 is in the next week.
Windows = tuple[tuple[int, int], ...]

DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
ALWAYS: Windows = ((0, 10080),)


def seconds_left(windows: Windows, now_utc: datetime | float, timezone: str) -> int | None:
    """Elapsed seconds until the current window closes; 0 outside the hours, None if they never end.

    A datetime without a time zone is UTC; a float is seconds since 1970.  ValueError if the time zone does not exist.

    >>> seconds_left(parse("00:00-24:00"), 0, "UTC") is None
    True
    >>> seconds_left(parse("22:00-06:00"), datetime(2026, 3, 2, 23, 0), "UTC")
    25200
    """
    if windows == ALWAYS:
        return None
    now = _epoch(now_utc)
    openings, closings = _schedule(windows, timezone, int(now // 86400))
    latest = bisect_right(openings, now) - 1
    return max(int(closings[latest] - now), 0) if latest >= 0 else 0


def next_opening(windows: Windows, now_utc: datetime | float, timezone: str) -> datetime:
    """When a login is possible again, in local time; now, if it is possible now.

    >>> next_opening(parse("Sa 09:00-13:00"), datetime(2026, 3, 2), "Europe/Lisbon").isoformat()
    '2026-03-07T09:00:00+00:00'
    """
    now = _epoch(now_utc)
    opens_at = now
    if seconds_left(windows, now, timezone) == 0:
        openings, _ = _schedule(windows, timezone, int(now // 86400))
        opens_at = openings[bisect_right(openings, now)]
    return datetime.fromtimestamp(opens_at, zone(timezone))


@lru_cache(maxsize=1024)
def parse(text: str) -> Windows:
    """The windows in minutes of the week; ValueError with a Sentence if the text is something else.

    >>> parse("Mo 08:00-18:00")
    ((480, 1080),)
    >>> parse("Sa, Su 10:00-24:00")  # Saturday's and Sunday's, which do not touch
    ((7800, 8640), (9240, 10080))
    >>> parse("Fr-Mo 00:00-24:00")  # from Friday over the end of the week to Tuesday
    ((5760, 11520),)
    >>> parse("Mo-Fr 8-18")
    Traceback (most recent call last):
        ...
    ValueError: '8-18' is not a time of day from and to. Write it like 08:00-18:00.
    """
    spans = []
    days_so_far: list[int] = []  # of "Mo, We 08:00-12:00", Monday until Wednesday's hours are read
    items = [item.strip() for item in re.split("[,;]", text)]
    for item in items:
        if not item:
            raise ValueError(
                Sentence("{text!r} has an empty window. Write it like {example!r}.", text=text, example=_EXAMPLE)
            )
        days, times = _split(item)
        days_so_far += days
        if times:
            start, end = _times(times)
            spans += [(1440 * day + start, 1440 * day + end) for day in days_so_far or range(7)]
            days_so_far = []
    if days_so_far:
        raise ValueError(Sentence("{item!r} has no hours. Write it like {item} 08:00-18:00.", item=items[-1]))
    return _merged(spans)


@lru_cache(maxsize=64)
def zone(name: str) -> tzinfo:
    """The time zone of this name.

    >>> zone("Brasilia")
    Traceback (most recent call last):
        ...
    ValueError: There is no time zone 'Brasilia'. Write it like America/Sao_Paulo.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            Sentence("There is no time zone {name!r}. Write it like America/Sao_Paulo.", name=name)
        ) from None


def _split(item: str) -> tuple[list[int], str]:
    """The days of one item, and its hours as text.

    >>> _split("Sa-Mo 08:00-12:00")
    ([5, 6, 0], '08:00-12:00')
    """
    first_digit = _DIGIT.search(item)
    times_at = first_digit.start() if first_digit else len(item)
    words, times = item[:times_at].strip(), item[times_at:]
    if not words:
        return [], times
    match = _DAY_RANGE.fullmatch(words)
    if match is None:
        raise ValueError(
            Sentence("{day!r} is not a day. The days are {days}, or Mo-Fr.", day=words, days=_NAMES_OF_DAYS)
        )
    first = _DAY_NUMBERS[match["first"].lower()]
    last = _DAY_NUMBERS[(match["last"] or match["first"]).lower()]
    return [day % 7 for day in range(first, last + 1 if last >= first else last + 8)], times


def _times(text: str) -> tuple[int, int]:
    """Start and end in minutes of the day; an end past midnight is beyond 1440.

    >>> _times("08:00-18:00"), _times("22:00-06:00"), _times("00:00-24:00")
    ((480, 1080), (1320, 1800), (0, 1440))
    """
    match = _TIMES.fullmatch(text)
    if match is None:
        raise ValueError(Sentence("{text!r} is not a time of day from and to. Write it like 08:00-18:00.", text=text))
    start_hour, start_minute, end_hour, end_minute = map(int, match.groups())
    start, end = 60 * start_hour + start_minute, 60 * end_hour + end_minute
    if start >= 1440 or end > 1440 or max(start_minute, end_minute) > 59:
        raise ValueError(Sentence("{text!r} has a time that no clock shows. They go from 00:00 to 24:00.", text=text))
    if start == end:
        raise ValueError(Sentence("{text!r} starts when it ends. Write 00:00-24:00 for a whole day.", text=text))
    return start, end if end > start else end + 1440


def _merged(spans: list[tuple[int, int]]) -> Windows:
    """The spans with those that touch or overlap joined, also across the end of the week.

    >>> _merged([(60, 120), (120, 180), (10000, 10100)])
    ((60, 180), (10000, 10100))
    >>> _merged([(0, 120), (10000, 10080)])
    ((10000, 10200),)
    """
    # Three weeks in a row: a span that starts in the middle one has all its neighbours.
    merged = _unions([(start + shift, end + shift) for shift in (0, _WEEK, 2 * _WEEK) for start, end in spans])
    if any(end - start >= _WEEK for start, end in merged):
        return ALWAYS
    return tuple((start - _WEEK, end - _WEEK) for start, end in merged if _WEEK <= start < 2 * _WEEK)


def _unions(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    unions: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if unions and start <= unions[-1][1]:
            unions[-1] = (unions[-1][0], max(end, unions[-1][1]))
        else:
            unions.append((start, end))
    return unions


@lru_cache(maxsize=1024)
def _schedule(windows: Windows, timezone: str, utc_day: int) -> tuple[list[int], list[int]]:
    """When the windows around one day open and close, in seconds since 1970.

    It is computed once a day for each product, so that a login only has to search the list.  The schedule reaches more than
    two weeks ahead, because the only window of a week may fall into an hour that the clock skips.
    """
    place = zone(timezone)
    today = datetime(1970, 1, 1) + timedelta(days=utc_day)
    monday = today - timedelta(days=today.weekday())
    spans = []
    for week in range(-2, 4):
        for start, end in windows:
            opens_at = _instant(monday + timedelta(weeks=week, minutes=start), place, fold=0)
            closes_at = _instant(monday + timedelta(weeks=week, minutes=end), place, fold=1)
            if opens_at < closes_at:
                spans.append((opens_at, closes_at))
    unions = _unions(spans)
    return [opens_at for opens_at, _ in unions], [closes_at for _, closes_at in unions]


def _instant(wall: datetime, place: tzinfo, fold: int) -> int:
    """When the local clock shows this time, for the first (fold 0) or the last time (fold 1).

    A time that the clock skips when it is put forward is the moment of that change.
    """
    shown = wall.replace(tzinfo=place, fold=fold)
    instant = int(shown.timestamp())
    if datetime.fromtimestamp(instant, place).replace(tzinfo=None) == wall:
        return instant
    # Python interprets a skipped time with the offset before (fold 0) or after the change (fold 1).  The first is too
    # late and the second too early; the change lies between them.
    late = int(wall.replace(tzinfo=place, fold=0).timestamp())
    early = int(wall.replace(tzinfo=place, fold=1).timestamp())
    while late - early > 1:
        middle = (early + late) // 2
        if datetime.fromtimestamp(middle, place).replace(tzinfo=None) < wall:
            early = middle
        else:
            late = middle
    return late


def _epoch(moment: datetime | float) -> float:
    """Seconds since 1970; a datetime without a zone is UTC, as the database's are."""
    if not isinstance(moment, datetime):
        return moment
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_WEEK = 7 * 1440
_EXAMPLE = Sentence("Mo-Fr 08:00-18:00, Sa 09:00-13:00")
_NAMES_OF_DAYS = Sentence("Mo Tu We Th Fr Sa Su")
_DAY_NUMBERS = {day.lower(): number for number, day in enumerate(DAYS)}
_DIGIT = re.compile("[0-9]")
_DAY = "(?:" + "|".join(DAYS) + ")"
_DAY_RANGE = re.compile(rf"(?P<first>{_DAY})(?:\s*-\s*(?P<last>{_DAY}))?", re.IGNORECASE)
_TIMES = re.compile(r"([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})")
