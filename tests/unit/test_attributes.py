"""RADIUS' attributes in, plain values out, and replies that FreeRADIUS takes as they are."""

import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freeradius_module.attributes import (
    KINDS,
    ON_OFF,
    AttributeFault,
    checked_reply,
    device_of,
    report,
    serial_of,
    values,
)
from freeradius_module.rules.identity import Claim, make_class

KEY = b"k" * 32
STOP = {
    "User-Name": "4000017",
    "Acct-Status-Type": "Stop",
    "Acct-Session-Id": "8001",
    "Acct-Session-Time": "600",
    "Acct-Output-Octets": "705032704",
    "Acct-Output-Gigawords": "1",
    "Acct-Input-Octets": "1000",
    "Acct-Terminate-Cause": "User-Request",
    "Acct-Delay-Time": "7",
    "Calling-Station-Id": "0200.0000.0001",
    "Framed-IP-Address": "10.0.0.9",
}


def packet(**changes) -> list[tuple[str, str]]:
    """STOP with changes; None takes an attribute away.  Names with _ for -."""
    merged = STOP | {name.replace("_", "-"): value for name, value in changes.items()}
    return [(name, value) for name, value in merged.items() if value is not None]


# --- Reports ---------------------------------------------------------------------------------------------


def test_a_stop_says_all_there_is_to_charge():
    said = report(packet(), 2, KEY)
    assert (said.kind, said.serial, said.nas_id, said.acct_session_id) == ("Stop", "4000017", 2, "8001")
    assert (said.seconds, said.down_octets, said.up_octets) == (600, 5_000_000_000, 1000)
    assert (said.age_seconds, said.stop_cause, said.device) == (7, "User-Request", "02-00-00-00-00-01")
    assert (said.framed_ipv4, said.has_gigawords, said.claim) == ("10.0.0.9", True, None)


def test_what_the_customer_receives_is_the_nas_output():
    said = report(packet(Acct_Output_Octets="5", Acct_Output_Gigawords=None, Acct_Input_Octets="3"), 2, KEY)
    assert (said.down_octets, said.up_octets) == (5, 3)


def test_a_counter_that_is_not_there_is_not_zero():
    bare = report(
        packet(Acct_Session_Time=None, Acct_Output_Octets=None, Acct_Output_Gigawords=None, Acct_Input_Octets=None),
        2,
        KEY,
    )
    assert (bare.seconds, bare.down_octets, bare.up_octets) == (None, None, None)


def test_gigawords_alone_count_too():
    assert report(packet(Acct_Output_Octets=None), 2, KEY).down_octets == 2**32


@pytest.mark.parametrize("nonsense", ["-1", "12.5", "", "x", "1e3", "\u0663", "0x10"])
def test_a_counter_that_is_no_number_is_not_there(nonsense):
    assert report(packet(Acct_Session_Time=nonsense), 2, KEY).seconds is None


def test_the_time_in_a_queue_makes_a_packet_older():
    assert report(packet(), 2, KEY, queued_seconds=60.0).age_seconds == 67


@pytest.mark.parametrize(
    "changes",
    [
        {"Acct_Status_Type": "Modem-Start"},
        {"Acct_Status_Type": None},
        {"User_Name": None},
        {"User_Name": "  -"},
        {"Acct_Session_Id": None},
        {"Acct_Session_Id": ""},
    ],
)
def test_what_can_never_be_charged_says_so(changes):
    with pytest.raises(AttributeFault):
        report(packet(**changes), 2, KEY)


@pytest.mark.parametrize("kind", ON_OFF)
def test_a_nas_that_starts_names_no_user(kind):
    assert report(packet(Acct_Status_Type=kind, User_Name=None, Acct_Session_Id=None), 2, KEY).kind == kind


def test_our_class_is_found_among_others_and_only_if_it_is_this_users():
    ours = make_class(Claim(7, 3, 1_770_000_000), "4000017", KEY)
    classes = [("Class", "0x" + b"another server".hex()), ("Class", ours)]
    assert report([*packet(), *classes], 2, KEY).claim == Claim(7, 3, 1_770_000_000)
    assert not report([*packet(User_Name="4000025"), *classes], 2, KEY).claim.is_named


NUMBERS = st.integers(-5, 2**65) | st.sampled_from([0, 2**31, 2**32 - 1, 2**32])
ODD_ATTRIBUTES = st.tuples(
    st.sampled_from([*STOP, "Class", "Acct-Input-Gigawords", "Framed-IPv6-Prefix"]),
    st.text(max_size=300) | NUMBERS.map(str) | st.sampled_from(KINDS),
)


@given(st.lists(ODD_ATTRIBUTES))
@example([("Acct-Output-Gigawords", "4294967295"), ("Acct-Input-Gigawords", "4294967295")])
def test_whatever_a_packet_holds_its_report_fits_the_database(odd):
    try:
        said = report([*odd, *packet()], 2, KEY)
    except AttributeFault:
        return
    for number in (said.seconds, said.age_seconds):
        assert number is None or 0 <= number < 2**32
    # The sum of both directions is compared as a whole: it has to fit into 63 bits.
    assert 0 <= (said.down_octets or 0) + (said.up_octets or 0) < 2**63
    for text, length in (
        (said.acct_session_id, 253),
        (said.device, 64),
        (said.stop_cause or "", 32),
        (said.framed_ipv4 or "", 15),
        (said.framed_ipv6 or "", 43),
    ):
        assert len(text) <= length


def test_of_an_attribute_that_comes_twice_the_first_counts():
    assert values([("User-Name", "a"), ("User-Name", "b")]) == {"User-Name": "a"}
    assert values(None) == {}


# --- Serial and device -----------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["40000017", "4000 0017", " 4000-0017 ", "4-0-0-0-0-0-1-7"])
def test_a_serial_is_found_however_it_was_typed(typed):
    assert serial_of({"User-Name": typed}) == "40000017"


@pytest.mark.parametrize(
    "written",
    [
        "02:00:5e:10:00:0a",
        "02-00-5E-10-00-0A",
        "02005e10000a",
        "0200.5e10.000a",
        "02.00.5e.10.00.0A",
        " 02:00:5E:10:00:0A ",
    ],
)
def test_one_device_has_one_name_however_the_nas_writes_it(written):
    assert device_of({"Calling-Station-Id": written}) == "02-00-5E-10-00-0A"


@pytest.mark.parametrize("name", ["", "192.0.2.7", "02:00:5e:10:00", "02:00:5e:10:00:0a:0b", "02:00:5e:10:00:0g"])
def test_what_is_no_mac_address_stays_as_it_is(name):
    assert device_of({"Calling-Station-Id": name}) == name


@given(st.text(max_size=300))
@example("0" * 63 + " 0")
def test_a_device_of_any_name_has_the_same_name_twice(name):
    once = device_of({"Calling-Station-Id": name})
    assert len(once) <= 64
    assert device_of({"Calling-Station-Id": once}) == once


# --- Replies ---------------------------------------------------------------------------------------------


class Text(str):
    """A str that is not exactly str: rlm_python3 would drop it and accept."""


@pytest.mark.parametrize(
    "attribute",
    [
        ("Session-Timeout", ":=", 600),
        ("Session-Timeout", ":=", Text("600")),
        ("Session-Timeout", ":=", None),
        ("Session-Timeout", ":=", b"600"),
        ["Session-Timeout", ":=", "600"],
        ("Session-Timeout", "600"),
        ("Session-Timeout", "=", "600"),
        ("Session-Timeout", ":=", "0"),
        ("Session-Timeout", ":=", "-1"),
        ("Session-Timeout", ":=", "12.5"),
        ("Session-Timeout", ":=", ""),
        ("Session-Timeout", ":=", "4294967296"),
        ("Session-Timeout", ":=", "\u0663\u0663"),
        ("Reply-Message", ":=", "a\0b"),
        ("Reply-Message", ":=", "x" * 254),
        ("Reply-Message", ":=", "é" * 127),
    ],
)
def test_a_doubtful_reply_is_an_exception_and_never_an_accept(attribute):
    with pytest.raises(ValueError):
        checked_reply([("Acct-Interim-Interval", ":=", "300"), attribute])


def test_a_good_reply_goes_through_unchanged():
    reply = (("Session-Timeout", ":=", "4294967295"), ("Class", "+=", "0x" + "ab" * 252), ("Reply-Message", ":=", "é"))
    assert checked_reply(reply) == reply


# --- The same from the queue ----------------------------------------------------------------------------------


# As long as RADIUS allows, which not every text of so many characters is.
NAMES = st.text(st.sampled_from("4 -Aé\xa0\u2010\U0001f4b3"), max_size=253) | st.text(
    st.characters(min_codepoint=32, codec="utf-8")
)


@given(NAMES, NAMES)
def test_a_packet_means_the_same_directly_and_from_the_queue(user_name, device):
    direct = {"User-Name": user_name, "Calling-Station-Id": device}
    queued = {
        "User-Name": written(user_name, r"^(.{64}).", b"..."),
        "Calling-Station-Id": written(device, r"^ *(.{80})", b""),
    }
    assert device_of(queued) == device_of(direct)
    names = [serial_of(one) for one in (queued, direct)]
    assert names[0] == names[1] or all(name.endswith("...") for name in names)


def written(text: str, pattern: str, tail: bytes) -> str:
    """As raddb-config/policy.d/prepaid cuts it, and queue_record reads it."""
    octets = text.encode()
    if found := re.match(pattern.encode(), octets):
        octets = found[1] + tail
    return unquote(quote(octets), errors="backslashreplace")
