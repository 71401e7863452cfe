"""Serial numbers: what a slip of the finger does to them, and what a batch of them promises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeradius_module.rules import serial

DECIMAL_BODIES = st.text("0123456789", min_size=1, max_size=20)
PREFIXES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", max_size=6)


@given(DECIMAL_BODIES, st.data())
def test_every_single_wrong_digit_is_caught(body, data):
    right = serial.complete(body)
    at = data.draw(st.integers(0, len(right) - 1))
    wrong_digit = data.draw(st.sampled_from([d for d in "0123456789" if d != right[at]]))

    assert not serial.is_valid(right[:at] + wrong_digit + right[at + 1 :])


@given(DECIMAL_BODIES, st.data())
def test_every_exchange_of_two_neighbours_is_caught(body, data):
    right = serial.complete(body)
    at = data.draw(st.integers(0, len(right) - 2))
    swapped = right[:at] + right[at + 1] + right[at] + right[at + 2 :]

    assert serial.is_valid(swapped) == (swapped == right)


def test_the_table_catches_by_proof_and_not_by_luck():
    table = serial._TABLE
    digits = range(10)
    for row in table:
        assert sorted(row) == list(digits)
    for column in zip(*table, strict=True):
        assert sorted(column) == list(digits)
    for state in digits:
        assert table[state][state] == 0
        for x in digits:
            for y in digits:
                assert x == y or table[table[state][x]][y] != table[table[state][y]][x]


def test_most_wrong_letters_of_a_prefix_are_caught():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    right = serial.build("LIVRE", 42, digits=8)
    slips = [right[:at] + c + right[at + 1 :] for at in range(5) for c in letters if c != right[at]]

    caught = sum(not serial.is_valid(slip) for slip in slips)

    assert caught / len(slips) > 0.85


@given(PREFIXES, st.integers(0, 10**9 - 1), st.integers(9, 12))
def test_what_is_built_is_valid_and_read_back(prefix, number, digits):
    built = serial.build(prefix, number, digits)

    assert serial.validate(built) == built
    assert len(built) == len(prefix) + digits + 1
    assert int(built[len(prefix) : -1]) == number
    assert serial.compact(serial.format(built)) == built


@given(PREFIXES, st.integers(0, 99_000), st.integers(1, 1000), st.integers(5, 8))
def test_many_serials_are_those_built_one_by_one(prefix, first, count, digits):
    quick = list(serial.build_all(prefix, first, count, digits))

    assert quick == [serial.build(prefix, n, digits) for n in range(first, first + count)]
    # The database compares serials as text, so text must order them as numbers do.
    assert quick == sorted(quick)
    assert serial.count_range(quick[0], quick[-1]) == count


def test_short_numbers_are_built_to_the_last_one():
    for digits in (1, 2, 3):
        every = list(serial.build_all("B", 0, 10**digits, digits))
        assert len(set(every)) == 10**digits
        assert all(map(serial.is_valid, every))


@pytest.mark.parametrize(
    "typed",
    ["LIVRE000000424", "livre000000424", " LIVR E000 0004 24\n", "LIVRE-0000\u20110042-4", "LIVRE\u00a0000000424"],
)
def test_a_serial_is_understood_however_it_is_typed(typed):
    assert serial.validate(typed) == "LIVRE000000424"


@pytest.mark.parametrize(
    "text",
    ["", "4", "l\u0131vre000000424", "LIVRE00000042\uff14", "LIVRE00000042\u0664", "LIVR\u00c9000000424",
     "\u00df00", "A' OR '1", "A\x0012", "1" * 33, "572A"],
)  # fmt: skip
def test_what_is_no_serial_is_refused(text):
    with pytest.raises(ValueError):
        serial.validate(text)


@pytest.mark.parametrize(
    ("prefix", "number", "digits", "says"),
    [
        ("livre", 1, 8, "capital letters"),
        ("LI-VRE", 1, 8, "capital letters"),
        ("A" * 17, 1, 8, "at most 16"),
        ("A", 1, 0, "1 to 18 digits, not 0"),
        ("A" * 16, 1, 16, "more than 32 characters"),
        ("A", -1, 4, "not negative"),
        ("A", 10_000, 4, "the last one is 9999"),
    ],
)
def test_a_serial_that_cannot_be_is_not_built(prefix, number, digits, says):
    with pytest.raises(ValueError, match=says):
        serial.build(prefix, number, digits)


def test_a_batch_that_does_not_fit_is_refused_before_its_first_serial():
    with pytest.raises(ValueError, match="does not fit 3 digits"):
        serial.build_all("A", 990, count=11, digits=3)
    with pytest.raises(ValueError, match="at least one card"):
        serial.build_all("A", 0, count=0, digits=3)


@pytest.mark.parametrize(
    "text", ["A008-A024", " a008 - A024 ", "A0-08-A0-24", "A008\u2013A024", "A0\u201108-A0\u201124"]
)
def test_a_range_is_understood_however_it_is_typed(text):
    assert [serial.compact(end) for end in serial.split_range(text)] == ["A008", "A024"]


@pytest.mark.parametrize("text", ["A008", "A0-08-A024", "", "-A024", "A008-", "-"])
def test_what_is_not_a_range_is_refused(text):
    with pytest.raises(ValueError, match="Write it FIRST-LAST"):
        serial.split_range(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A009-A024", "A009 has a wrong check digit"),
        ("A024-A008", "write A008-A024"),
        ("A008-" + serial.build("B", 9, 2), "not of one batch"),
        ("A008-" + serial.build("A", 9, 3), "not of one batch"),
    ],
)
def test_serials_that_are_not_the_ends_of_a_range_are_not_counted(text, says):
    with pytest.raises(ValueError, match=says):
        serial.count_range(*serial.split_range(text))


def test_a_prefix_that_ends_in_digits_changes_no_count():
    first, last = serial.build("A1", 5, 3), serial.build("A1", 14, 3)

    assert serial.count_range(first, last) == 10


@pytest.mark.parametrize("digits", range(1, 7))
@pytest.mark.parametrize(
    ("first", "end"), [(0, 7), (1, 10), (95, 100), (0, 999), (985, 1000), (985, 1015), (1999, 3001)]
)
def test_serials_across_any_thousand_are_those_built_one_by_one(first, end, digits):
    if end > 10**digits:
        pytest.skip("they do not fit")
    built = [serial.build("AB", number, digits) for number in range(first, end)]
    assert list(serial.build_all("AB", first, end - first, digits)) == built


def test_the_shortest_and_the_longest_serial():
    assert serial.validate(serial.build("", 1, 1)) == serial.build("", 1, 1)
    assert len(serial.validate(serial.build("P" * 16, 1, 15))) == serial.MAX_LENGTH == 32
    assert len(serial.build("", 1, 18)) == 19
    with pytest.raises(ValueError):
        serial.build("P" * 16, 1, 16)


def test_a_serial_without_digits_before_its_check_digit_is_number_zero():
    assert serial.count_range(serial.complete("AB"), serial.complete("AB")) == 1
