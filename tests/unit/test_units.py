"""Time, traffic and money: exact on the way in, never too much on the way out."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeradius_module.rules import units

LANGS = st.sampled_from(["en", "pt_BR"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("10h", 36000), ("3600s", 3600), ("2h30m", 9000), ("1d", 86400), ("1d2h3m4s", 93784),
     ("10H", 36000), (" 5 min ", 300), ("0s", 0)],
)  # fmt: skip
def test_durations(text, seconds):
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "h", "-5m", "1.5h", "30m2h", "5x", "٣h", "1h1h", "1e3s", "9" * 30 + "s"])
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="2h30m"):
        units.parse_duration(text)


def test_a_duration_without_a_unit_is_asked_back():
    with pytest.raises(ValueError, match="90s, 90m, 90h or 90d"):
        units.parse_duration("90")


def test_a_duration_beyond_a_lifetime_is_refused():
    with pytest.raises(ValueError, match="the most is 100 years"):
        units.parse_duration("999999d")


@pytest.mark.parametrize(
    ("text", "octets"),
    [("500MB", 500_000_000), ("1GiB", 2**30), ("10 kB", 10_000), ("2TB", 2 * 10**12), ("512KiB", 2**19),
     ("1.5GB", 1_500_000_000), ("1,5gb", 1_500_000_000), ("1048576", 2**20), ("7B", 7), ("0.5KiB", 512)],
)  # fmt: skip
def test_sizes(text, octets):
    assert units.parse_size(text) == octets


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "500M", "5 cows", "1..5MB", "500MBit", "1.5", "0.1KiB", "٣MB"])
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="500MB"):
        units.parse_size(text)


@pytest.mark.parametrize("text", ["1.500MB", "1,500GB"])
def test_a_size_that_could_be_a_thousand_times_another_is_refused(text):
    with pytest.raises(ValueError, match="could be 1.50? or 1500"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "cents"),
    [("20.00", 2000), ("20,00", 2000), ("20", 2000), ("0.01", 1), ("0,1", 10), ("1234.56", 123456), (" 5.00 ", 500)],
)
def test_money(text, cents):
    assert units.parse_money(text) == cents


@pytest.mark.parametrize("text", ["", "R$ 20", "-1", "1.234,56", "1e3", "NaN", ".50", "5.", "٣", "1_000"])
def test_what_is_no_money_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="Write it like 20.00"):
        units.parse_money(text)


@pytest.mark.parametrize("text", ["0.005", "1.234", "20,000"])
def test_money_with_more_than_two_decimals_is_refused(text):
    with pytest.raises(ValueError, match="at most two decimals"):
        units.parse_money(text)


@given(st.integers(0, units.MAX_CENTS))
def test_every_cent_survives_being_written_and_read(cents):
    text = units.plain_money(cents)

    assert units.parse_money(text) == cents
    assert units.parse_money(text.replace(".", ",")) == cents
    assert Decimal(text) * 100 == cents


@given(st.integers(0, units.MAX_TARIFF_MILLICENTS), LANGS)
def test_every_millicent_of_a_tariff_survives_being_written_and_read(millicents, lang):
    text = units.format_tariff(millicents, lang, currency="")
    without_thousands = text.replace("." if lang == "pt_BR" else ",", "")

    assert units.parse_tariff(without_thousands) == millicents


@given(st.integers(0, 10_000), LANGS)
def test_every_basis_point_survives_being_written_and_read(basis_points, lang):
    assert units.parse_percent(units.format_percent(basis_points, lang)) == basis_points


@pytest.mark.parametrize("parse", [units.parse_tariff, units.parse_percent])
@pytest.mark.parametrize("text", ["", "-1", "abc", "1e2", "0.1234567", "999999999"])
def test_tariffs_and_shares_that_cannot_be_are_refused(parse, text):
    with pytest.raises(ValueError):
        parse(text)


@given(st.integers(0, 10**9))
def test_a_displayed_duration_never_promises_more_than_is_left(seconds):
    shown = units.parse_duration(units.format_duration(seconds))

    assert 0 <= seconds - shown < 60


@given(st.integers(0, units.MAX_OCTETS), LANGS)
def test_a_displayed_size_never_promises_more_than_is_left(octets, lang):
    shown = units.parse_size(units.format_size(octets, lang))

    assert 0 <= octets - shown <= octets // 100 or octets - shown < 1000 or octets < 10**9
    assert shown <= octets


@pytest.mark.parametrize(
    ("octets", "shown"),
    [(0, "0 B"), (999, "999 B"), (1999, "1 kB"), (999_999, "999 kB"), (350_000_000, "350 MB"), (999_999_999, "999 MB"),
     (1_009_999_999, "1 GB"), (1_010_000_000, "1.01 GB"), (10_500_000_000, "10.5 GB"), (2 * 10**12, "2 TB"),
     (-350_000_000, "-350 MB")],
)  # fmt: skip
def test_sizes_as_they_are_read(octets, shown):
    assert units.format_size(octets) == shown


def test_money_in_the_reader_s_form():
    assert units.format_money(420, "pt_BR", "R$") == "R$ 4,20"
    assert units.format_money(420, "en", "R$") == "R$ 4.20"
    assert units.format_money(123_456, "pt_BR.UTF-8", "R$") == "R$ 1.234,56"
    assert units.format_money(-123_456, "en", "US$") == "-US$ 1,234.56"
    assert units.format_money(5, "pt_BR", "") == "0,05"


@pytest.mark.parametrize(
    ("text", "credit"),
    [("10m", ("seconds", 600)), ("500MB", ("octets", 500_000_000)), ("5.00", ("cents", 500)), ("5", ("cents", 500)),
     ("7B", ("octets", 7)), ("1d", ("seconds", 86400))],
)  # fmt: skip
def test_credit_is_told_apart_by_its_unit(text, credit):
    assert units.parse_credit(text) == credit


@given(st.text(max_size=30))
def test_no_text_does_worse_than_a_sentence(text):
    for parse in (units.parse_duration, units.parse_size, units.parse_money, units.parse_tariff,
                  units.parse_percent, units.parse_credit):  # fmt: skip
        try:
            parse(text)
        except ValueError as refusal:
            assert str(refusal).endswith((".", "?"))


@pytest.mark.parametrize(
    ("parse", "most", "more"),
    [
        (units.parse_duration, "36600d", "36600d1s"),
        (units.parse_size, "1000TB", "1001TB"),
        (units.parse_money, "1000000000.00", "1000000000.01"),
        (units.parse_tariff, "42949.67295", "42949.67296"),
        (units.parse_percent, "100", "100.01"),
    ],
)
def test_the_most_of_each_unit(parse, most, more):
    parse(most)
    with pytest.raises(ValueError, match="the most is"):
        parse(more)


def test_a_percentage_has_two_decimals():
    with pytest.raises(ValueError):
        units.parse_percent("12.345")


def test_units_begin_where_they_fit():
    assert [units.format_duration(seconds) for seconds in (59, 60, 3600)] == ["59 s", "1 min", "1 h"]
    assert [units.format_size(10**power) for power in (3, 6, 9, 12)] == ["1 kB", "1 MB", "1 GB", "1 TB"]
    assert [units.parse_size(f"1{unit}iB") for unit in "KMGT"] == [2**10, 2**20, 2**30, 2**40]
