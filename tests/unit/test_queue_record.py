"""Records of the queue as FreeRADIUS writes them, and as a full disk or a power cut leaves them."""

import hypothesis
from hypothesis import strategies

from freeradius_module import attributes
from freeradius_module.queue_record import Record, Unreadable, parse, split, with_reason, without_reason
from tests.queue_writer import report


def record(*arguments, **options) -> str:
    return report(*arguments, **options).removesuffix("\n")


def test_a_record_gives_the_pairs_that_python_gets_in_freeradius():
    text = record("4000", "Stop", seconds=600, at=1764000000.5, Class="0x01")
    assert parse(text).pairs == [
        ("Tmp-String-1", "1764000000.500000"),
        ("Tmp-String-0", "127.0.0.1"),
        ("Class", "0x01"),
        ("User-Name", "4000"),
        ("Acct-Status-Type", "Stop"),
        ("Acct-Session-Id", "81000001"),
        ("Acct-Session-Time", "600"),
    ]


def test_a_packet_was_received_at_the_microsecond_that_the_site_noted():
    assert parse(record("4000", "Start", at=1764000000.25)).received_at == 1764000000.25


def test_a_text_that_is_not_utf8_keeps_its_octets_visible():
    text = record("x", "Stop").replace("User-Name=x", "User-Name=caf%e9")
    assert attributes.values(parse(text).pairs)["User-Name"] == "caf\\xe9"


def test_every_class_is_kept():
    text = record("4000", "Start", Class="0x01,0x02")
    assert [value for name, value in parse(text).pairs if name == "Class"] == ["0x01", "0x02"]


@hypothesis.given(strategies.text(strategies.characters(codec="utf-8"), min_size=1, max_size=100))
def test_whatever_a_nas_sends_as_text_comes_back_and_stays_on_its_line(text):
    written = record(text, "Start")
    assert "\n" not in written
    assert dict(parse(written).pairs)["User-Name"] == text


@hypothesis.given(strategies.integers(min_value=0))
def test_a_record_that_broke_off_anywhere_does_not_spoil_the_next(length):
    first, second = record("4000", "Stop", seconds=600), record("5000", "Stop", seconds=60)
    torn = first[: length % len(first)]
    *before, last = split(torn + second)
    assert isinstance(last, Record)
    assert dict(last.pairs)["User-Name"] == "5000"
    assert dict(last.pairs)["Acct-Session-Time"] == "60"
    assert all(isinstance(part, Unreadable) for part in before)


@hypothesis.given(strategies.integers(min_value=0))
def test_an_unfinished_record_is_unreadable(length):
    whole = record("4000", "Stop", seconds=600)
    (part,) = split(whole[: length % whole.index("&End=&")])
    assert isinstance(part, Unreadable)


def test_octets_that_a_power_cut_left_before_a_record_do_not_spoil_it():
    garbage, part = split("\0" * 100 + record("4000", "Stop"))
    assert isinstance(garbage, Unreadable)
    assert isinstance(part, Record)


@hypothesis.given(strategies.text())
def test_any_text_can_be_split(text):
    for part in split(text):
        assert part.text in text


def test_a_record_in_the_quarantine_has_its_reason_at_its_end():
    text = with_reason(record("4000", "Stop"), 'he said "no" & left = gone').removesuffix("\n")
    assert parse(text).reason == 'he said "no" & left = gone'
    assert "Quarantine-Reason" not in dict(parse(text).pairs)
    assert parse(without_reason(text)).pairs == parse(text).pairs


@hypothesis.given(strategies.integers(min_value=0))
def test_the_reason_does_not_turn_remains_into_a_record(length):
    whole = record("4000", "Stop", seconds=600)
    torn = whole[: length % whole.index("&End=&")]
    assert all(isinstance(part, Unreadable) for part in split(with_reason(torn, "torn").removesuffix("\n")))


@hypothesis.given(strategies.text(), strategies.text())
def test_whatever_goes_into_the_quarantine_is_a_line_of_full_length(text, reason):
    line = with_reason(text, reason)
    assert line.endswith("\n") and "\n" not in line[:-1]
    assert len(line.encode("utf-8", "surrogateescape")) % 2048 == 0
