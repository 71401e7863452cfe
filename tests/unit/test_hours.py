"""Allowed hours: what is open when, by the clock on the wall, through changes of that clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeradius_module.rules import hours

LISBON = "Europe/Lisbon"
OFFICE = hours.parse("Mo-Fr 08:00-18:00, Sa 09:00-13:00")
DAY = st.integers(0, 1439)
WINDOWS = st.tuples(st.sampled_from(hours.DAYS), DAY, DAY).filter(lambda window: window[1] != window[2])
WINDOW_LISTS = st.lists(WINDOWS, min_size=1, max_size=6)


def left(text, local, timezone=LISBON, fold=0):
    """Seconds left when the clock on the wall there shows this."""
    now = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(timezone), fold=fold)
    return hours.seconds_left(hours.parse(text), now.astimezone(UTC), timezone)


@pytest.mark.parametrize(
    ("local", "seconds"),
    [
        ("2026-03-02 07:59:59", 0),
        ("2026-03-02 08:00:00", 36000),
        ("2026-03-02 17:59:59", 1),
        ("2026-03-02 18:00:00", 0),
        ("2026-03-07 08:30:00", 0),
        ("2026-03-07 12:00:00", 3600),
        ("2026-03-08 12:00:00", 0),
    ],
)
def test_the_office_s_hours(local, seconds):
    assert left("Mo-Fr 08:00-18:00, Sa 09:00-13:00", local) == seconds


@pytest.mark.parametrize(
    ("local", "seconds"),
    [("2026-03-06 22:00", 8 * 3600), ("2026-03-07 05:00", 3600), ("2026-03-07 22:00", 0), ("2026-03-06 05:00", 0)],
)
def test_a_window_past_midnight_belongs_to_the_day_it_starts(local, seconds):
    assert left("Fr 22:00-06:00", local) == seconds


def test_sunday_night_runs_into_monday():
    assert left("Su 22:00-06:00", "2026-03-01 23:00") == 7 * 3600
    assert left("Su 22:00-06:00", "2026-03-02 05:59") == 60


def test_windows_that_touch_are_one():
    assert left("Fr 20:00-24:00, Sa 00:00-02:00", "2026-03-06 21:00") == 5 * 3600
    assert left("Mo 08:00-12:00, Mo 12:00-18:00", "2026-03-02 08:00") == 10 * 3600
    assert left("Su 20:00-24:00, Mo 00:00-04:00", "2026-03-01 20:00") == 8 * 3600


@pytest.mark.parametrize(
    "text", ["00:00-24:00", "Mo-Su 00:00-24:00", "00:00-12:00, 12:00-24:00", "06:00-05:59, 05:00-07:00"]
)
def test_hours_that_never_end(text):
    assert hours.parse(text) == hours.ALWAYS
    assert left(text, "2026-03-02 12:00") is None
    assert hours.next_opening(hours.ALWAYS, 1_800_000_000, LISBON) == datetime.fromtimestamp(1_800_000_000, UTC)


def test_days_may_be_listed_and_run_over_the_week_s_end():
    assert hours.parse("Mo, We, Fr 08:00-12:00") == hours.parse("mo 8:00-12:00; WE 8:00-12:00; fr 8:00-12:00")
    assert hours.parse("Sa-Mo 10:00-11:00") == hours.parse("Sa 10:00-11:00, Su 10:00-11:00, Mo 10:00-11:00")
    assert hours.parse("10:00-11:00") == hours.parse("Mo-Su 10:00-11:00")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty window"),
        ("Mo 08:00-18:00,", "empty window"),
        ("Mo-Fr", "has no hours"),
        ("Xx 08:00-18:00", "'Xx' is not a day"),
        ("Mo-Fr-Sa 08:00-18:00", "not a day"),
        ("Mo 8-18", "Write it like 08:00-18:00"),
        ("Mo 08:00", "Write it like 08:00-18:00"),
        ("Mo 25:00-26:00", "no clock shows"),
        ("Mo 08:60-09:00", "no clock shows"),
        ("Mo 24:00-08:00", "no clock shows"),
        ("Mo 08:00-24:01", "no clock shows"),
        ("Mo 08:00-08:00", "starts when it ends"),
        ("Mo 08:00-18:00 Tu", "Write it like"),
        ("Mo 08:00-\n18:00 x", "Write it like"),
    ],
)
def test_hours_that_cannot_be_are_refused_with_a_sentence(text, says):
    with pytest.raises(ValueError, match=says):
        hours.parse(text)


@given(st.text(max_size=40))
def test_no_text_does_worse_than_a_sentence(text):
    try:
        hours.parse(text)
    except ValueError as refusal:
        assert str(refusal).endswith(".")


@pytest.mark.parametrize("name", ["Brasilia", "", "../etc/passwd", "America", "/etc/passwd", "x\x00"])
def test_a_time_zone_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="no time zone"):
        hours.seconds_left(OFFICE, 0, name)


# Lisbon puts its clock forward on 2026-03-29 at 01:00 (to 02:00) and back on 2026-10-25 at 02:00 (to 01:00).


def test_a_night_is_an_hour_shorter_in_spring_and_longer_in_autumn():
    assert left("Sa 22:00-06:00", "2026-03-21 22:00") == 8 * 3600
    assert left("Sa 22:00-06:00", "2026-03-28 22:00") == 7 * 3600
    assert left("Sa 22:00-06:00", "2026-10-24 22:00") == 9 * 3600


def test_a_window_that_ends_in_the_hour_left_out_ends_at_the_change():
    assert left("Sa 22:00-01:30", "2026-03-28 22:00") == 3 * 3600
    assert left("Sa 22:00-01:30", "2026-03-29 02:00") == 0


def test_a_window_that_starts_in_the_hour_left_out_starts_at_the_change():
    assert left("Su 01:30-04:00", "2026-03-29 00:59:59") == 0
    assert left("Su 01:30-04:00", "2026-03-29 02:00") == 2 * 3600


def test_a_window_within_the_hour_left_out_is_not_that_day():
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    window = hours.parse("Su 01:15-01:45")

    assert hours.seconds_left(window, datetime(2026, 3, 29, 1, 0, tzinfo=UTC), LISBON) == 0
    assert hours.next_opening(window, before, LISBON).isoformat() == "2026-04-05T01:15:00+01:00"


def test_a_gap_within_the_hour_left_out_is_no_gap():
    assert left("Su 00:00-01:00, Su 02:00-04:00", "2026-03-29 00:00") == 3 * 3600


def test_a_window_that_ends_in_the_hour_shown_twice_ends_the_second_time():
    assert left("Sa 22:00-01:30", "2026-10-24 22:00") == 4 * 3600 + 1800
    assert left("Sa 22:00-01:30", "2026-10-25 01:45", fold=0) == 2700
    assert left("Sa 22:00-01:30", "2026-10-25 01:45", fold=1) == 0


def test_a_window_that_starts_in_the_hour_shown_twice_starts_the_first_time():
    assert left("Su 01:30-04:00", "2026-10-25 01:30", fold=0) == 3 * 3600 + 1800
    assert left("Su 01:30-04:00", "2026-10-25 01:15", fold=1) == 2 * 3600 + 2700


def test_a_day_without_midnight():
    """Brazil used to put its clock forward at midnight: 2018-11-04 began at 01:00."""
    assert left("Su 00:00-08:00", "2018-11-04 01:00", "America/Sao_Paulo") == 7 * 3600
    assert left("Sa 20:00-24:00", "2018-11-03 20:00", "America/Sao_Paulo") == 4 * 3600


def test_the_next_opening_is_told_by_the_clock_on_the_wall():
    friday_evening = datetime(2026, 3, 6, 22, 0)

    assert hours.next_opening(OFFICE, friday_evening, LISBON).isoformat() == "2026-03-07T09:00:00+00:00"
    sunday = datetime(2026, 3, 29, 12, 0)
    assert hours.next_opening(OFFICE, sunday, LISBON).isoformat() == "2026-03-30T08:00:00+01:00"


def test_a_moment_is_the_same_however_it_is_given():
    naive = datetime(2026, 3, 2, 9, 0)
    aware = naive.replace(tzinfo=UTC)
    elsewhere = aware.astimezone(ZoneInfo("Asia/Tokyo"))

    for moment in (naive, aware, elsewhere, aware.timestamp(), int(aware.timestamp())):
        assert hours.seconds_left(OFFICE, moment, LISBON) == 9 * 3600


def test_the_last_fraction_of_a_second_is_closed():
    """A Session-Timeout of 0 would mean "no limit" to some NAS; so the last second grants nothing."""
    assert hours.seconds_left(OFFICE, datetime(2026, 3, 2, 17, 59, 59, 500_000), LISBON) == 0


@given(WINDOW_LISTS, st.integers(0, 10079))
def test_any_windows_at_any_minute_agree_with_counting_minutes(window_list, minute):
    """The model: a list of the week's 10,080 minutes, each open or not."""
    text = ", ".join(f"{day} {a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for day, a, b in window_list)
    is_open = [False] * 10080
    for day, start, end in window_list:
        for m in range(start, end if end > start else end + 1440):
            is_open[(1440 * hours.DAYS.index(day) + m) % 10080] = True
    expected = 0
    while is_open[(minute + expected) % 10080] and expected < 10080:
        expected += 1
    until_open = 0
    while not is_open[(minute + until_open) % 10080]:
        until_open += 1
    now = datetime(2026, 1, 12, tzinfo=UTC) + timedelta(minutes=minute)  # A Monday; no change near.

    windows = hours.parse(text)
    left_seconds = hours.seconds_left(windows, now, "UTC")

    assert left_seconds == (None if expected == 10080 else 60 * expected)
    assert hours.next_opening(windows, now, "UTC") == now + timedelta(minutes=until_open)


@given(
    WINDOW_LISTS,
    st.sampled_from([LISBON, "America/Sao_Paulo", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.integers(1_500_000_000, 1_900_000_000),
)
def test_what_is_left_runs_out_second_by_second_whatever_the_clock_does(window_list, timezone, now):
    text = ", ".join(f"{day} {a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for day, a, b in window_list)
    windows = hours.parse(text)

    left_seconds = hours.seconds_left(windows, now, timezone)

    if left_seconds is None:
        return
    if left_seconds > 0:
        assert hours.seconds_left(windows, now + 1, timezone) == left_seconds - 1
        assert hours.seconds_left(windows, now + left_seconds - 1, timezone) == 1
        assert hours.seconds_left(windows, now + left_seconds, timezone) == 0
    else:
        opens_at = hours.next_opening(windows, now, timezone).timestamp()
        assert opens_at > now
        assert hours.seconds_left(windows, opens_at, timezone) > 0
        assert hours.seconds_left(windows, opens_at - 1, timezone) == 0


def test_windows_by_the_minutes_of_the_week():
    assert hours.parse("00:00-24:00") == ((0, 10080),)
    # Sunday's window ends a minute before Monday's begins: they do not touch.
    assert hours.parse("Mo 00:00-06:00, Su 10:00-23:59") == ((0, 360), (9240, 10079))
    assert hours.parse("Mo 00:00-06:00, Su 10:00-24:00") == ((9240, 10440),)


@pytest.mark.parametrize("minute", range(60))
def test_every_minute_that_the_clock_skips_is_the_moment_of_the_change(minute):
    change = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert hours.next_opening(hours.parse(f"Su 01:{minute:02}-12:00"), datetime(2026, 3, 28, 12), LISBON) == change
