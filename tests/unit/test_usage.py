"""Counters, cost and what is left: the arithmetic that decides about money."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeradius_module.rules.usage import (
    CREDIT_COLUMNS,
    WORD_MAX,
    Credit,
    Tariff,
    Usage,
    cost_millicents,
    counted_octets,
    followed,
    is_used_up,
    left,
    octets_for,
    seconds_for,
)

SQL = Path(__file__).parents[2] / "sql"
SCHEMA = (SQL / "schema.sql").read_text(encoding="utf-8")
COUNTERS = st.integers(0, 2**40)
USAGES = st.builds(Usage, st.integers(0, 10**8), COUNTERS, COUNTERS)
TARIFFS = st.builds(Tariff, st.integers(0, 10**6), st.integers(0, 10**6))
AMOUNTS = st.none() | st.integers(0, 2**40)
CREDITS = st.builds(Credit, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_gigaword_is_the_upper_half_of_a_counter(octets, gigawords):
    assert divmod(counted_octets(octets, gigawords), 2**32) == (gigawords, octets)


@given(USAGES, TARIFFS)
def test_a_cost_is_exact_and_rounded_down_once(used, tariff):
    exact = Fraction(used.seconds * tariff.minute_millicents, 60) + Fraction(used.octets * tariff.mb_millicents, 10**6)
    assert exact - 1 < cost_millicents(used, tariff) <= exact


@given(st.lists(USAGES, min_size=1, max_size=20), TARIFFS)
def test_many_sessions_cost_what_one_long_one_costs(sessions, tariff):
    together = Usage(*map(sum, zip(*sessions, strict=True)))
    apart = sum(cost_millicents(session, tariff) for session in sessions)
    # Never more than the sum of the parts rounded up: a card is charged by its sum, not session by session.
    assert apart <= cost_millicents(together, tariff) < apart + len(sessions)


@given(CREDITS, USAGES, TARIFFS)
def test_nothing_left_is_below_zero_and_what_was_not_bought_is_not_limited(credit, used, tariff):
    balance = left(credit, used, tariff)
    for bought, remains in zip(credit, balance, strict=True):
        assert (remains is None) == (bought is None)
        assert remains is None or 0 <= remains <= bought


@given(CREDITS, USAGES, USAGES, TARIFFS)
def test_more_usage_never_leaves_more(credit, used, more, tariff):
    before = left(credit, used, tariff)
    after = left(credit, Usage(*map(sum, zip(used, more, strict=True))), tariff)
    assert all(one is None or two <= one for one, two in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("credit", "used", "is_over"),
    [
        (Credit(seconds=600), Usage(599), False),
        (Credit(seconds=600), Usage(600), True),
        (Credit(seconds=600), Usage(601), True),
        (Credit(octets=1000), Usage(0, 500, 499), False),
        (Credit(octets=1000), Usage(0, 500, 500), True),
        (Credit(down_octets=1000), Usage(0, 999, 5000), False),
        (Credit(down_octets=1000), Usage(0, 1000, 0), True),
        (Credit(up_octets=1000), Usage(0, 5000, 1000), True),
        (Credit(seconds=600, octets=1000), Usage(1, 1000, 0), True),  # the first credit that ends, ends the card
        (Credit(), Usage(10**9, 10**12, 10**12), False),
    ],
)
def test_a_card_ends_with_its_first_credit_that_ends(credit, used, is_over):
    assert is_used_up(left(credit, used)) is is_over


@given(st.integers(1, 10**10), st.integers(1, 10**6))
def test_time_for_money_spends_the_last_cent_and_no_second_more(millicents, minute_millicents):
    tariff = Tariff(minute_millicents=minute_millicents)
    seconds = seconds_for(millicents, tariff)
    assert is_used_up(left(Credit(millicents=millicents), Usage(seconds), tariff))
    assert not is_used_up(left(Credit(millicents=millicents), Usage(seconds - 1), tariff))


@given(st.integers(1, 10**10), st.integers(1, 10**6))
def test_traffic_for_money_spends_the_last_cent_and_no_octet_more(millicents, mb_millicents):
    tariff = Tariff(mb_millicents=mb_millicents)
    octets = octets_for(millicents, tariff)
    assert is_used_up(left(Credit(millicents=millicents), Usage(0, octets), tariff))
    assert not is_used_up(left(Credit(millicents=millicents), Usage(0, octets - 1), tariff))


def test_what_costs_nothing_is_not_limited_by_money():
    assert seconds_for(1000, Tariff(mb_millicents=5)) is None
    assert octets_for(1000, Tariff(minute_millicents=5)) is None


def columns(table: str, prefix: str) -> list[str]:
    """The endings of a table's columns with this prefix, in the order of the schema."""
    start = SCHEMA.index(f"\nCREATE TABLE {table} (")
    return re.findall(rf"^    {prefix}_(\w+) +\w*INT ", SCHEMA[start : SCHEMA.index("\n)", start)], re.MULTILINE)


def test_the_schema_has_every_kind_of_credit():
    assert columns("product", "credit") == list(CREDIT_COLUMNS)
    assert columns("card", "added") == columns("card_entry", "added") == list(CREDIT_COLUMNS)
    assert columns("session", "granted") == list(Credit._fields)


@pytest.mark.parametrize("name", ["grants.sql", "roles.sql"])
@pytest.mark.parametrize("prefix", ["credit", "added"])
def test_who_may_use_one_kind_of_credit_may_use_all(name, prefix):
    statements = (SQL / name).read_text(encoding="utf-8").split(";")
    lists = [one for statement in statements for one in re.findall(rf"\([^)]*\b{prefix}_seconds\b[^)]*\)", statement)]
    assert lists
    for one in lists:
        assert {f"{prefix}_{kind}" for kind in CREDIT_COLUMNS} <= set(re.findall(r"\w+", one)), one


@pytest.mark.parametrize(
    ("total", "raw", "last_raw", "rule", "counted"),
    [
        (300, 1000, None, "gigawords", 1000),
        (1000, 300, None, "gigawords", 1000),
        (5, 7, 7, "wraps", 5),
        (5, 7, 7, "resets", 5),
        (5, 6, 7, "wraps", 5 + 6 + 2**32 - 7),
        (5, 6, 7, "resets", 11),
    ],
)
def test_a_counter_that_is_followed(total, raw, last_raw, rule, counted):
    assert followed(total, raw, last_raw, rule) == counted


def test_the_largest_number_of_a_counter():
    assert WORD_MAX == 0xFFFFFFFF
