"""Records of the queue as they are, and as a full disk or a power cut leaves them."""

import hypothesis
from hypothesis import strategies

from freeradius_module import attributes
from freeradius_module.queue_record import Record, Unreadable, escaped, parse, split
from tests.queue_writer import report


def record(*arguments, **options) -> str:
    return report(*arguments, **options).removesuffix("\n\n")


def test_a_record_gives_the_pairs_that_python_gets_in_freeradius():
    text = record("4000", "Stop", seconds=600, at=1764000000.5, Class="0x01")
    assert parse(text).pairs[4:9] == [
        ("User-Name", "4000"), ("Acct-Status-Type", "Stop"), ("Acct-Session-Id", "81000001"),
        ("Acct-Session-Time", "600"), ("Class", "0x01"),
    ]


def test_a_packet_was_received_at_the_microsecond_that_the_site_noted():
    assert parse(record("4000", "Start", at=1764000000.25)).received_at == 1764000000.25


def test_a_packet_that_never_reached_the_site_has_its_second_and_its_address():
    text = "1764000000\n\tPacket-Src-IP-Address = 192.0.2.7\n\tUser-Name = \"caf\\351\"\n\tTimestamp = 1764000000"
    parsed = parse(text)
    assert parsed.received_at == 1764000000
    request = attributes.values(parsed.pairs)
    assert request[attributes.SOURCE_ADDRESS] == "192.0.2.7"
    assert attributes.received_at(request) == 1764000000
    assert request["User-Name"] == "caf\\xe9"


def test_every_class_is_kept():
    text = record("4000", "Start", Class="0x01").replace("\tClass = 0x01\n", "\tClass = 0x01\n\tClass = 0x02\n")
    assert [value for name, value in parse(text).pairs if name == "Class"] == ["0x01", "0x02"]


@hypothesis.given(strategies.text(strategies.characters(codec="utf-8")))
def test_whatever_a_nas_sends_as_text_comes_back_and_stays_on_its_line(text):
    written = escaped(text)
    assert "\n" not in written and "\t" not in written
    assert dict(parse(record(written, "Start")).pairs)["User-Name"] == text


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
def test_a_record_that_broke_off_is_none(length):
    whole = record("4000", "Stop", seconds=600)
    (part,) = split(whole[: length % len(whole.rpartition("\n")[0])])
    assert isinstance(part, Unreadable)


def test_octets_that_a_power_cut_left_before_a_record_do_not_spoil_it():
    garbage, part = split("\0" * 100 + record("4000", "Stop"))
    assert isinstance(garbage, Unreadable)
    assert isinstance(part, Record)


@hypothesis.given(strategies.text())
def test_no_text_is_too_strange_to_be_looked_at(text):
    for part in split(text):
        assert part.text in text


def test_why_a_record_is_in_the_quarantine_stands_behind_it():
    text = record("4000", "Stop") + '\n\tQuarantine-Reason = "he said \\"no\\""'
    assert parse(text).reason == 'he said "no"'
    assert "Quarantine-Reason" not in dict(parse(text).pairs)
