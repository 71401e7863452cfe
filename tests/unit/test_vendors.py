"""The words of each vendor's NAS: real numbers in, the exact attributes out, each known to FreeRADIUS."""

import os
import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin import nas
from freeradius_module.rules import vendors
from freeradius_module.rules.vendors import (
    Limits,
    SessionIdentity,
    Terms,
    disconnect_attributes,
    limit_attributes,
    speed_change_attributes,
    terms_attributes,
)

GIB = 2**30
WORD_MAX = 2**32 - 1

DICTIONARIES = Path(os.environ.get("FREERADIUS_DICTIONARIES", "/usr/share/freeradius"))
CHECKOUT = Path(__file__).parents[2]
OUR_DICTIONARY = CHECKOUT / "raddb-config" / "dictionary.prepaid"

SESSION = SessionIdentity(
    user_name="1234567897",
    acct_session_id="80a00001",
    nas_ip_address="192.0.2.1",
    framed_ip_address="10.5.0.7",
    calling_station_id="AA-BB-CC-00-11-22",
    nas_port=15728640,
)


def values(attributes):
    """The attributes as a dictionary, which also proves that no name is set twice."""
    names = [name for name, _, _ in attributes]
    assert len(names) == len(set(names))
    return {name: value for name, _, value in attributes}


def test_every_table_has_every_vendor():
    assert tuple(vendors.VOLUME) == tuple(vendors.IDENTITY) == vendors.VENDORS
    assert vendors.WITHOUT_SPEED_CHANGE < set(vendors.VENDORS)


def test_the_schema_the_command_and_the_manual_have_the_same_vendors():
    schema = (CHECKOUT / "sql" / "schema.sql").read_text(encoding="utf-8")
    (enum,) = re.findall(r"^    vendor +ENUM\(([^)]*)\)", schema, re.MULTILINE)
    assert tuple(re.findall(r"'(\w+)'", enum)) == vendors.VENDORS
    for command in (nas.add, nas.edit):
        (choice,) = [param.type for param in command.params if param.name == "vendor"]
        assert tuple(choice.choices) == vendors.VENDORS
    manual = (CHECKOUT / "docs" / "vendors.md").read_text(encoding="utf-8")
    in_short = manual[manual.index("## In short") : manual.index("## For every vendor")]
    assert tuple(re.findall(r"^\| (\w+) \|", in_short, re.MULTILINE))[1:] == vendors.VENDORS


def test_an_unknown_vendor_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="no vendor 'mikrotic'; the vendors are generic, mikrotik"):
        terms_attributes("mikrotic", Terms())
    with pytest.raises(ValueError, match="no vendor"):
        limit_attributes("mikrotic", Limits(60, octets=1))
    with pytest.raises(ValueError, match="no vendor"):
        disconnect_attributes("mikrotic", SESSION)


# --- speed: 10,240 kbit/s down, 2,048 kbit/s up ------------------------------------------------------

SPEEDS = {
    "generic": (("WISPr-Bandwidth-Max-Down", ":=", "10240000"), ("WISPr-Bandwidth-Max-Up", ":=", "2048000")),
    "mikrotik": (("Mikrotik-Rate-Limit", ":=", "2048k/10240k"),),
    "chilli": (
        ("WISPr-Bandwidth-Max-Down", ":=", "10240000"),
        ("WISPr-Bandwidth-Max-Up", ":=", "2048000"),
        ("ChilliSpot-Bandwidth-Max-Down", ":=", "10240"),
        ("ChilliSpot-Bandwidth-Max-Up", ":=", "2048"),
    ),
    "cisco": (
        ("Cisco-AVPair", "+=", "ip:sub-qos-policy-out=prepaid-down-10240k"),
        ("Cisco-AVPair", "+=", "ip:sub-qos-policy-in=prepaid-up-2048k"),
    ),
    "huawei": (("Huawei-Output-Average-Rate", ":=", "10240000"), ("Huawei-Input-Average-Rate", ":=", "2048000")),
    "juniper": (
        ("ERX-Egress-Policy-Name", ":=", "prepaid-down-10240k"),
        ("ERX-Ingress-Policy-Name", ":=", "prepaid-up-2048k"),
    ),
    "ubiquiti": (("WISPr-Bandwidth-Max-Down", ":=", "10240000"), ("WISPr-Bandwidth-Max-Up", ":=", "2048000")),
    "pfsense": (("pfSense-Bandwidth-Max-Down", ":=", "10240000"), ("pfSense-Bandwidth-Max-Up", ":=", "2048000")),
}


@pytest.mark.parametrize("vendor", vendors.VENDORS)
def test_a_product_of_ten_down_and_two_up(vendor):
    attributes = terms_attributes(vendor, Terms(10240, 2048, idle_seconds=600))
    assert attributes == (("Acct-Interim-Interval", ":=", "300"), ("Idle-Timeout", ":=", "600"), *SPEEDS[vendor])


@pytest.mark.parametrize("vendor", vendors.VENDORS)
def test_fair_use_is_over_for_a_running_session(vendor):
    expected = () if vendor in ("ubiquiti", "pfsense") else SPEEDS[vendor]
    assert speed_change_attributes(vendor, 10240, 2048) == expected


@pytest.mark.parametrize("vendor", vendors.VENDORS)
def test_without_a_speed_nothing_is_said_of_it(vendor):
    assert terms_attributes(vendor, Terms()) == (("Acct-Interim-Interval", ":=", "300"),)
    assert speed_change_attributes(vendor, None, None) == ()


@pytest.mark.parametrize("vendor", [vendor for vendor in vendors.VENDORS if vendor != "mikrotik"])
def test_a_speed_in_one_direction_leaves_the_other_alone(vendor):
    down = terms_attributes(vendor, Terms(speed_down_kbit=10240))[1:]
    up = terms_attributes(vendor, Terms(speed_up_kbit=2048))[1:]
    assert down and up
    assert set(down) | set(up) == set(SPEEDS[vendor])
    assert not set(down) & set(up)


def test_mikrotik_names_both_directions_even_if_one_is_free():
    assert terms_attributes("mikrotik", Terms(speed_up_kbit=2048))[1:] == (("Mikrotik-Rate-Limit", ":=", "2048k/0"),)


def test_ten_gigabit_is_clamped_and_does_not_wrap():
    assert values(terms_attributes("huawei", Terms(10_000_000)))["Huawei-Output-Average-Rate"] == str(WORD_MAX)
    assert values(terms_attributes("chilli", Terms(10_000_000)))["ChilliSpot-Bandwidth-Max-Down"] == "10000000"


# --- volume ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", vendors.VENDORS)
def test_time_alone_is_the_session_timeout(vendor):
    assert limit_attributes(vendor, Limits(3600)) == (("Session-Timeout", ":=", "3600"),)
    assert limit_attributes(vendor, Limits(1)) == (("Session-Timeout", ":=", "1"),)
    assert limit_attributes(vendor, Limits(WORD_MAX)) == (("Session-Timeout", ":=", "4294967295"),)


@pytest.mark.parametrize("vendor", ["generic", "cisco", "juniper", "ubiquiti"])
def test_a_nas_that_cannot_count_is_told_the_time_only(vendor):
    assert limit_attributes(vendor, Limits(60, 2_000_000, 2_000_000, 2_000_000)) == (("Session-Timeout", ":=", "60"),)


@pytest.mark.parametrize(
    ("octets", "low", "gigawords"),
    [
        (1, "1", None),
        (2_000_000, "2000000", None),
        (10_000_000, "10000000", None),
        (WORD_MAX, "4294967295", None),
        (4 * GIB, "4294967295", None),  # a low word of 0 would be no limit
        (4 * GIB + 1, "1", "1"),
        (5 * GIB, "1073741824", "1"),
        (8 * GIB, "4294967295", "1"),
        (1024 * GIB, "4294967295", "255"),
        (2**64, "4294967295", "4294967295"),
        (2**70 + 5, "4294967295", "4294967295"),
    ],
)
def test_mikrotik_volume_in_two_words(octets, low, gigawords):
    expected = {"Session-Timeout": "60", "Mikrotik-Total-Limit": low}
    if gigawords:
        expected["Mikrotik-Total-Limit-Gigawords"] = gigawords
    assert values(limit_attributes("mikrotik", Limits(60, octets=octets))) == expected


def test_mikrotik_receives_what_the_customer_sends():
    limits = Limits(60, octets=6 * GIB, down_octets=5 * GIB, up_octets=2_000_000)
    assert values(limit_attributes("mikrotik", limits)) == {
        "Session-Timeout": "60",
        "Mikrotik-Total-Limit": str(2 * GIB),
        "Mikrotik-Total-Limit-Gigawords": "1",
        "Mikrotik-Xmit-Limit": str(GIB),
        "Mikrotik-Xmit-Limit-Gigawords": "1",
        "Mikrotik-Recv-Limit": "2000000",
    }


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (2_000_000, "2000000"),
        (WORD_MAX - 1, "4294967294"),
        (WORD_MAX, "4294967294"),
        (4 * GIB, "4294967294"),
        (5 * GIB, "4294967294"),  # not 1 GiB, its low word
    ],
)
def test_one_word_is_all_that_pfsense_is_told(octets, said):
    assert values(limit_attributes("pfsense", Limits(60, octets=octets)))["pfSense-Max-Total-Octets"] == said


def test_chilli_input_is_what_the_customer_sends():
    assert values(limit_attributes("chilli", Limits(60, down_octets=10_000_000, up_octets=2_000_000))) == {
        "Session-Timeout": "60",
        "ChilliSpot-Max-Output-Octets": "10000000",
        "ChilliSpot-Max-Input-Octets": "2000000",
    }


def test_chilli_is_told_each_volume_in_two_words():
    limits = Limits(60, octets=6 * GIB, down_octets=5 * GIB, up_octets=9 * GIB)
    assert values(limit_attributes("chilli", limits)) == {
        "Session-Timeout": "60",
        "ChilliSpot-Max-Total-Octets": str(2 * GIB),
        "ChilliSpot-Max-Total-Gigawords": "1",
        "ChilliSpot-Max-Output-Octets": str(GIB),
        "ChilliSpot-Max-Output-Gigawords": "1",
        "ChilliSpot-Max-Input-Octets": str(GIB),
        "ChilliSpot-Max-Input-Gigawords": "2",
    }


@pytest.mark.parametrize(
    ("octets", "kib"),
    [(1, "1"), (2_000_000, "1954"), (4 * GIB, "4194304"), (5 * GIB, "5242880"), (2**50, "4294967294")],
)
def test_huawei_counts_in_kib_and_never_from_zero(octets, kib):
    assert values(limit_attributes("huawei", Limits(60, octets=octets)))["Huawei-Remanent-Volume"] == kib


@pytest.mark.parametrize(("vendor", "unit"), [("huawei", 1024), ("pfsense", 1)])
@pytest.mark.parametrize(
    ("limits", "total"),
    [
        (Limits(60, down_octets=500 * 1024), None),
        (Limits(60, up_octets=500 * 1024), None),
        (Limits(60, down_octets=500 * 1024, up_octets=100 * 1024), 600 * 1024),
        (Limits(60, 550 * 1024, 500 * 1024, 100 * 1024), 550 * 1024),
        (Limits(60, 900 * 1024, 500 * 1024, 100 * 1024), 600 * 1024),
        (Limits(60, 900 * 1024, 500 * 1024), 900 * 1024),
    ],
)
def test_one_direction_never_cuts_the_other_on_a_nas_that_adds_them(vendor, unit, limits, total):
    said = limit_attributes(vendor, limits)[1:]
    assert [int(value) * unit for _, _, value in said] == ([] if total is None else [total])


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "60"])
@pytest.mark.parametrize("field", Limits._fields)
@pytest.mark.parametrize("vendor", vendors.VENDORS)
def test_nothing_left_is_never_told_as_a_limit(vendor, field, wrong):
    with pytest.raises(ValueError, match=field):
        limit_attributes(vendor, Limits(60)._replace(**{field: wrong}))


@pytest.mark.parametrize("wrong", [None, WORD_MAX + 1])
def test_a_login_without_a_time_that_fits_is_refused(wrong):
    with pytest.raises(ValueError, match="session_seconds"):
        limit_attributes("generic", Limits(wrong))


@pytest.mark.parametrize("field", ["speed_down_kbit", "speed_up_kbit", "idle_seconds", "interim_seconds"])
@pytest.mark.parametrize("vendor", vendors.VENDORS)
def test_a_product_cannot_say_zero(vendor, field):
    with pytest.raises(ValueError, match=field):
        terms_attributes(vendor, Terms()._replace(**{field: 0}))


@given(octets=st.integers(1, 2**66))
def test_what_is_said_in_words_is_never_more_than_the_card_has_and_never_nothing(octets):
    low, high = (int(word) for word in vendors.two_words(octets))
    assert 0 < low <= WORD_MAX and 0 <= high <= WORD_MAX
    assert min(octets, 2**64 - 1) - 1 <= high * 2**32 + low <= octets
    assert 0 < int(vendors.one_word(octets)) < WORD_MAX


# --- a product's own attributes ----------------------------------------------------------------------

BURST = ("Mikrotik-Rate-Limit", ":=", "2048k/10240k 4096k/20480k 1536k/7680k 16/16")
GROUP = ("Mikrotik-Group", ":=", "guests")
LIST = ("Mikrotik-Address-List", "+=", "prepaid")


def test_a_burst_group_and_address_list_come_through():
    assert terms_attributes("mikrotik", Terms(10240, 2048, extra=(BURST, GROUP, LIST))) == (
        ("Acct-Interim-Interval", ":=", "300"),
        BURST,
        GROUP,
        LIST,
    )


def test_past_fair_use_the_burst_gives_way_and_the_rest_stays():
    assert terms_attributes("mikrotik", Terms(512, 128, extra=(BURST, GROUP, LIST), reduced=True)) == (
        ("Acct-Interim-Interval", ":=", "300"),
        ("Mikrotik-Rate-Limit", ":=", "128k/512k"),
        GROUP,
        LIST,
    )


def test_past_fair_use_cisco_keeps_its_pool_and_loses_its_gold_policy():
    pool = ("Cisco-AVPair", "+=", "ip:addr-pool=guests")
    gold = ("cisco-avpair", "+=", "ip:sub-qos-policy-out=gold")
    attributes = terms_attributes("cisco", Terms(512, extra=(pool, gold), reduced=True))
    assert attributes[1:] == (("Cisco-AVPair", "+=", "ip:sub-qos-policy-out=prepaid-down-512k"), pool)


@pytest.mark.parametrize(
    "name",
    [
        "Session-Timeout",
        "session-timeout",
        "Session-Timeout:1",
        "Class",
        "Termination-Action",
        "Mikrotik-Total-Limit-Gigawords",
        "Huawei-Remanent-Volume",
        "ChilliSpot-Max-Output-Octets",
    ],
)
def test_a_product_cannot_lengthen_what_a_login_is_granted(name):
    with pytest.raises(ValueError, match="set at each login"):
        terms_attributes("generic", Terms(extra=((name, ":=", "0"),)))


@pytest.mark.parametrize("name", ["reply:Session-Timeout", "&Session-Timeout", "&reply:Class", "", "A B"])
def test_a_name_cannot_smuggle_a_list(name):
    with pytest.raises(ValueError, match="not the name of a reply attribute"):
        vendors.check_extra((name, ":=", "0"))


def test_a_part_that_freeradius_would_drop_is_refused():
    with pytest.raises(ValueError, match="not a str"):
        vendors.check_extra(("Idle-Timeout", ":=", 600))
    with pytest.raises(ValueError, match="operator '='"):
        vendors.check_extra(("Idle-Timeout", "=", "600"))


# --- naming a session --------------------------------------------------------------------------------

NAMED_BY = {
    "generic": ["User-Name", "Acct-Session-Id", "NAS-IP-Address"],
    "mikrotik": ["User-Name", "Acct-Session-Id", "Framed-IP-Address", "NAS-IP-Address"],
    "chilli": ["User-Name", "Acct-Session-Id"],
    "cisco": ["User-Name", "Framed-IP-Address", "Acct-Session-Id", "NAS-IP-Address"],
    "huawei": ["User-Name", "Acct-Session-Id", "Framed-IP-Address", "NAS-IP-Address"],
    "juniper": ["User-Name", "Acct-Session-Id"],
    "ubiquiti": ["User-Name", "Acct-Session-Id", "NAS-IP-Address"],
    "pfsense": ["User-Name", "Acct-Session-Id", "NAS-IP-Address"],
}


@pytest.mark.parametrize("vendor", vendors.VENDORS)
def test_each_nas_gets_what_it_needs_to_find_the_session(vendor):
    said = disconnect_attributes(vendor, SESSION)
    assert [name for name, _, _ in said] == NAMED_BY[vendor]
    assert set(said) <= {
        ("User-Name", ":=", "1234567897"),
        ("Acct-Session-Id", ":=", "80a00001"),
        ("NAS-IP-Address", ":=", "192.0.2.1"),
        ("Framed-IP-Address", ":=", "10.5.0.7"),
    }


@pytest.mark.parametrize("vendor", vendors.VENDORS)
def test_what_the_nas_never_said_is_left_out(vendor):
    session = SessionIdentity(user_name="1234567897", acct_session_id="80a00001")
    assert values(disconnect_attributes(vendor, session)) == {"User-Name": "1234567897", "Acct-Session-Id": "80a00001"}


@pytest.mark.parametrize("vendor", vendors.VENDORS)
def test_without_a_session_id_the_device_names_the_session(vendor):
    assert disconnect_attributes(vendor, SESSION._replace(acct_session_id=None)) == (
        ("User-Name", ":=", "1234567897"),
        ("Framed-IP-Address", ":=", "10.5.0.7"),
        ("Calling-Station-Id", ":=", "AA-BB-CC-00-11-22"),
        ("NAS-Port", ":=", "15728640"),
        ("NAS-IP-Address", ":=", "192.0.2.1"),
    )


@pytest.mark.parametrize("vendor", vendors.VENDORS)
def test_a_request_that_would_end_every_session_of_a_card_is_not_made(vendor):
    with pytest.raises(ValueError, match="nothing identifies it"):
        disconnect_attributes(vendor, SessionIdentity("1234567897", nas_ip_address="192.0.2.1"))


def test_a_nas_with_an_ipv6_address():
    said = values(disconnect_attributes("generic", SESSION._replace(nas_ip_address="2001:db8::1")))
    assert said["NAS-IPv6-Address"] == "2001:db8::1"
    assert "NAS-IP-Address" not in said


# --- FreeRADIUS' dictionaries ------------------------------------------------------------------------


def dictionary_types(path):
    """The type of each attribute that FreeRADIUS would load from this file and those it includes."""
    types = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["ATTRIBUTE"]:
            types[words[1]] = words[3].lower()
        elif words[:1] == ["$INCLUDE"]:
            types |= dictionary_types(path.parent / words[1])
    return types


def fits(value, kind):
    match kind:
        case "integer":
            return value.isascii() and value.isdigit() and int(value) <= WORD_MAX and str(int(value)) == value
        case "string":
            return 0 < len(value.encode()) <= 247
        case "ipaddr":
            return bool(IPv4Address(value))
        case "ipv6addr":
            return bool(IPv6Address(value))
    return False


def everything_said(vendor):
    limits = Limits(WORD_MAX, 2**66, 2**66, 2**66)
    terms = Terms(10_000_000, 10_000_000, idle_seconds=600)
    yield from terms_attributes(vendor, terms)
    yield from limit_attributes(vendor, limits)
    yield from speed_change_attributes(vendor, 1, 1)
    for session in (SESSION, SESSION._replace(acct_session_id=None, nas_ip_address="2001:db8::1")):
        yield from disconnect_attributes(vendor, session)


@pytest.mark.skipif(not DICTIONARIES.is_dir(), reason="FreeRADIUS' dictionaries are not installed here")
@pytest.mark.parametrize("vendor", vendors.VENDORS)
def test_freeradius_knows_each_attribute_and_its_type(vendor):
    types = dictionary_types(DICTIONARIES / "dictionary") | dictionary_types(OUR_DICTIONARY)
    said = set(everything_said(vendor))
    table_names = {name for name, _, _ in vendors.SPEED[vendor]} | set(vendors.IDENTITY[vendor])
    table_names |= {name for low, high, _ in vendors.VOLUME[vendor] for name in (low, high) if name}
    assert table_names <= {name for name, _, _ in said}, "this test does not say everything the tables can"
    for name, operator, value in said:
        assert type(name) is type(operator) is type(value) is str
        assert name in types, f"FreeRADIUS would drop {name} and accept without it"
        assert operator in (":=", "+=")
        assert fits(value, types[name]), f"{name} is a {types[name]}, not {value!r}"


# --- the documentation -------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", vendors.VENDORS)
def test_the_manual_has_a_section_for_each_vendor_and_names_each_attribute(vendor):
    page = (CHECKOUT / "docs" / "vendors.md").read_text(encoding="utf-8")
    start = page.index(f"\n## {vendor}\n")
    end = page.find("\n## ", start + 1)
    section = page[start:end]
    names = {name for name, _, _ in vendors.SPEED[vendor]} | set(vendors.IDENTITY[vendor])
    names |= {name for low, high, _ in vendors.VOLUME[vendor] for name in (low, high) if name}
    missing = {name for name in names if f"`{name}`" not in section}
    assert not missing
