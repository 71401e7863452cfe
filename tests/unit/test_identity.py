"""Whose usage a packet reports: Class, forged or true, and packets that carry none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeradius_module.rules.identity import Candidate, Claim, ReportedSession, fits, identify, make_class, read_class

KEY = b"k" * 32
CLAIMS = st.builds(
    Claim,
    st.integers(1, 2**32 - 1),
    st.integers(1, 2**32 - 1),
    st.integers(0, 2**33),
    st.integers(0, 2**32 - 1),
    st.just(True),
)
SERIALS = st.text(min_size=1, max_size=40)

# --- Class -----------------------------------------------------------------------------------------------


@given(CLAIMS, SERIALS)
def test_a_class_comes_back_as_what_it_said(claim, serial):
    assert read_class([make_class(claim, serial, KEY)], serial, KEY) == claim


@given(CLAIMS, SERIALS)
def test_a_class_fits_into_one_attribute(claim, serial):
    assert len(bytes.fromhex(make_class(claim, serial, KEY)[2:])) <= 253


@given(CLAIMS, SERIALS, SERIALS)
def test_a_class_is_true_of_one_user_only(claim, serial, other):
    value = make_class(claim, serial, KEY)
    read = read_class([value], other, KEY)
    assert read[:3] == claim[:3]
    assert read.is_named is (serial == other)


def test_a_class_of_another_installation_is_nobodys():
    assert read_class([make_class(Claim(1, 2, 3), "4000017", b"o" * 32)], "4000017", KEY) is None


@given(CLAIMS, st.integers(min_value=0), st.integers(1, 255))
def test_a_class_with_one_octet_changed_is_nobodys(claim, position, change):
    octets = bytearray.fromhex(make_class(claim, "4000017", KEY)[2:])
    octets[position % len(octets)] ^= change
    read = read_class(["0x" + octets.hex()], "4000017", KEY)
    # Only the last part may be wrong: it says no more than that another name was meant.
    assert read is None or not read.is_named


@given(st.lists(st.binary(max_size=253).map(lambda octets: "0x" + octets.hex()) | st.text(max_size=300)))
def test_whatever_stands_in_class_ours_is_found_among_it(others):
    ours = make_class(Claim(7, 3, 1_770_000_000), "4000017", KEY)
    assert read_class([*others, ours, *others], "4000017", KEY) == Claim(7, 3, 1_770_000_000)
    assert read_class(others, "4000017", KEY) is None


# --- Packets without Class -------------------------------------------------------------------------------

PHONE, LAPTOP = "02-00-00-00-00-01", "02-00-00-00-00-02"


def session(login_number=1, **changes) -> Candidate:
    """Logged in and started 1000 seconds ago; last heard of 100 seconds ago, at 900 seconds of use."""
    fields = {
        "login_number": login_number,
        "nas_id": 2,
        "acct_session_id": "8001",
        "device": PHONE,
        "is_open": True,
        "is_stopped": False,
        "login_age": 1000.5,
        "start_age": 1000.0,
        "heard_age": 100.0,
        "used_seconds": 900,
    }
    return Candidate(**fields | changes)


def login(login_number=2, **changes) -> Candidate:
    """A login of five seconds ago that waits for its first packet."""
    fields = {
        "login_number": login_number,
        "nas_id": 2,
        "acct_session_id": "",
        "device": PHONE,
        "is_open": True,
        "is_stopped": False,
        "login_age": 5.0,
        "start_age": None,
        "heard_age": None,
        "used_seconds": 0,
    }
    return Candidate(**fields | changes)


def packet(kind="Interim-Update", seconds: int | None = 1000, **changes) -> ReportedSession:
    fields = {
        "acct_session_id": "8001",
        "nas_id": 2,
        "device": PHONE,
        "kind": kind,
        "age_seconds": 0.0,
        "seconds": seconds,
        "claimed": None,
    }
    return ReportedSession(**fields | changes)


STOPPED = session(is_open=False, is_stopped=True)
LONG_AGO = session(is_open=False, login_age=90_000, start_age=90_000, heard_age=89_000)


@pytest.mark.parametrize(
    ("sign", "candidates", "number"),
    [
        pytest.param(packet(), [session()], 1, id="the running session"),
        pytest.param(packet(), [session(), login()], 1, id="the running session, not the login that waits"),
        pytest.param(packet(nas_id=3), [session()], 1, id="its NAS has another address now"),
        pytest.param(packet(), [STOPPED], 1, id="a late interim after the Stop"),
        pytest.param(packet("Stop", 900), [STOPPED], 1, id="a repeated Stop"),
        pytest.param(
            packet("Stop", 900, age_seconds=3.0), [STOPPED, login()], 1, id="a Stop repeated when the next login waits"
        ),
        pytest.param(
            packet(seconds=600, age_seconds=400),
            [STOPPED, login()],
            1,
            id="an old interim that was held back, when the next login waits",
        ),
        # The NAS has used the identifier again.
        pytest.param(packet("Start", None), [STOPPED, login()], 2, id="reused: Start"),
        pytest.param(packet(seconds=4), [STOPPED, login()], 2, id="reused: Start lost"),
        pytest.param(packet("Stop", 3), [STOPPED, login()], 2, id="reused: only a Stop"),
        pytest.param(
            packet("Start", None), [session(is_open=False), login()], 2, id="reused after a Stop that was lost"
        ),
        pytest.param(packet("Start", None), [STOPPED, login(nas_id=3)], 1, id="a login on another NAS is not meant"),
        pytest.param(
            packet("Start", None), [STOPPED, login(device=LAPTOP)], 1, id="a login of another device is not meant"
        ),
        pytest.param(packet("Start", None, device=""), [STOPPED, login()], 2, id="reused: the NAS names no device"),
        pytest.param(
            packet("Start", None), [session(heard_age=2.0), login()], 1, id="heard of after the login: it still runs"
        ),
        pytest.param(packet(), [session(1), session(4, start_age=50.0)], 4, id="the newest of those that had it"),
        pytest.param(
            packet("Stop", 96, age_seconds=863),
            [LONG_AGO, login(login_age=959, is_open=False)],
            2,
            id="reused: its first packet took longer than a login waits",
        ),
        pytest.param(
            packet("Start", None, age_seconds=387),
            [LONG_AGO, login(2, login_age=387, is_open=False), login(3, login_age=385)],
            2,
            id="reused: the login that was taken over meanwhile, not the one after it",
        ),
        pytest.param(
            packet("Start", None, age_seconds=48),
            [session(login_age=48, start_age=48, heard_age=48, used_seconds=0), login(login_age=46)],
            1,
            id="a Start that comes again, after another login",
        ),
        # An identifier that nobody has had.
        pytest.param(packet(acct_session_id="9"), [session(), login()], 2, id="the login that waits"),
        pytest.param(packet(acct_session_id="9"), [login(2), login(3)], 3, id="the newest login that waits"),
        pytest.param(packet(acct_session_id="9"), [login(2), login(3, device=LAPTOP)], 2, id="its own device's login"),
        pytest.param(packet(acct_session_id="9"), [login(2), login(3, nas_id=3)], 2, id="its own NAS' login first"),
        pytest.param(packet(acct_session_id="9"), [login(3, nas_id=3)], 3, id="the NAS' address changed at once"),
        pytest.param(packet(acct_session_id="9"), [login(is_open=False)], None, id="a login that was given up"),
        pytest.param(packet(acct_session_id="9"), [session()], None, id="nobody's: a session of its own"),
        pytest.param(packet(acct_session_id="9"), [], None, id="the card has none"),
        # A Class whose time does not fit.
        pytest.param(packet(claimed=2), [session(), login()], 1, id="a session that went on through a new login"),
        pytest.param(packet(acct_session_id="9", claimed=2), [session(), login()], 2, id="the login that Class names"),
        pytest.param(
            packet(claimed=2),
            [session(nas_id=3), session(2, login_age=999.5, start_age=999.0)],
            2,
            id="the login that Class names, though the device had the same identifier at another NAS a second before",
        ),
        pytest.param(
            packet("Stop", 1, age_seconds=90_000, claimed=2),
            [session(nas_id=3, login_age=90_003, start_age=90_003), login(login_age=90_001, is_open=False)],
            2,
            id="the same, and the Stop is its first packet",
        ),
        pytest.param(
            packet(claimed=2),
            [session(nas_id=3), login()],
            1,
            id="went on through a new login, and its NAS' address changed",
        ),
    ],
)
def test_a_packet_finds_its_session(sign, candidates, number):
    assert identify(sign, candidates) == number


IDENTIFIERS = st.sampled_from(["", "8001", "9"])
AGES = st.none() | st.floats(0, 10_000)
CANDIDATES = st.lists(
    st.builds(
        session,
        st.integers(1, 5),
        nas_id=st.integers(2, 3),
        acct_session_id=IDENTIFIERS,
        device=st.sampled_from(["", PHONE, LAPTOP]),
        is_open=st.booleans(),
        is_stopped=st.booleans(),
        login_age=AGES,
        start_age=AGES,
        heard_age=AGES,
        used_seconds=st.integers(0, 10_000),
    ),
    unique_by=lambda one: one.login_number,
)
PACKETS = st.builds(
    packet,
    st.sampled_from(["Start", "Interim-Update", "Stop"]),
    st.none() | st.integers(0, 10_000),
    acct_session_id=st.sampled_from(["8001", "9"]),
    nas_id=st.integers(2, 3),
    device=st.sampled_from(["", PHONE, LAPTOP]),
    age_seconds=st.floats(0, 1000),
)


@given(PACKETS, CANDIDATES)
def test_a_packet_never_goes_to_a_session_with_another_identifier(sign, candidates):
    number = identify(sign, candidates)
    chosen = {one.login_number: one for one in candidates}.get(number)
    assert number is None or chosen.acct_session_id in ("", sign.acct_session_id)


@given(PACKETS, CANDIDATES, st.randoms(use_true_random=False))
def test_the_order_in_which_sessions_were_read_does_not_matter(sign, candidates, random):
    number = identify(sign, candidates)
    random.shuffle(candidates)
    assert identify(sign, candidates) == number


# --- The edges of each rule ------------------------------------------------------------------------------


def new_packet(seconds=5, **changes) -> ReportedSession:
    """Of a session that no candidate has yet."""
    return packet(seconds=seconds, **{"acct_session_id": "9000", **changes})


@pytest.mark.parametrize(
    ("sign", "candidates", "number"),
    [
        # What continued through a new authentication is one device's.
        pytest.param(packet(claimed=5), [session(1, device=LAPTOP), login(5)], 5, id="the id was another device's"),
        # The address of the NAS changed, or a login of just then on this NAS is meant: up to ten seconds.
        pytest.param(
            packet(nas_id=3, seconds=5),
            [session(start_age=5.0), login(nas_id=3)],
            2,
            id="a login on this NAS just then",
        ),
        pytest.param(
            packet(nas_id=3, seconds=5),
            [session(start_age=5.0), login(nas_id=3, login_age=100.0)],
            1,
            id="a login on this NAS long before",
        ),
        pytest.param(
            packet(nas_id=3, seconds=5),
            [session(start_age=5.0), login(nas_id=3, login_age=15.0)],
            2,
            id="a login on this NAS ten seconds before",
        ),
        pytest.param(packet(nas_id=3), [session(start_age=1030.0)], 1, id="began thirty seconds apart"),
        pytest.param(packet(nas_id=3), [session(start_age=1031.0)], None, id="began more than thirty seconds apart"),
        # A login that is no longer open.
        pytest.param(new_packet(), [login(is_open=False, login_age=15.0)], 2, id="closed, ten seconds before"),
        pytest.param(new_packet(), [login(is_open=False, login_age=16.0)], None, id="closed, longer before"),
        # The nearest of several; those that are twenty seconds away and more are equally far.
        pytest.param(new_packet(), [login(2, login_age=18.0), login(3, login_age=23.0)], 2, id="the nearer one"),
        pytest.param(new_packet(), [login(2, login_age=27.0), login(3, login_age=30.0)], 3, id="both far: the newest"),
        pytest.param(
            new_packet(15),
            [login(2, login_age=40.0), login(3, login_age=5.0)],
            3,
            id="a login ten seconds after the start",
        ),
        pytest.param(
            new_packet(16), [login(2, login_age=40.0), login(3, login_age=5.0)], 2, id="a login eleven seconds after"
        ),
        # The NAS has used the identifier again, or it has not.
        pytest.param(
            packet("Start", None),
            [session(3, is_open=False, is_stopped=True), login(2)],
            3,
            id="the login was before the session",
        ),
        pytest.param(
            packet("Start", None),
            [session(is_open=False, is_stopped=True, heard_age=5.0), login(login_age=5.0)],
            2,
            id="the login was at the last packet",
        ),
        pytest.param(
            packet("Start", 5), [session(start_age=8.0, heard_age=6.0), login(login_age=2.0)], 2, id="equally near"
        ),
        pytest.param(
            packet("Start", 5),
            [session(start_age=11.0, heard_age=10.0), login(login_age=2.0)],
            2,
            id="the login is nearer",
        ),
        pytest.param(
            packet("Start", None, age_seconds=50.0),
            [STOPPED, login(login_age=30.0)],
            2,
            id="a Start, well before the login",
        ),
        pytest.param(packet(seconds=40), [STOPPED, login(login_age=30.0)], 2, id="began ten seconds before the login"),
        pytest.param(packet(seconds=50), [STOPPED, login(login_age=30.0)], 1, id="began well before the login"),
        pytest.param(packet("Stop", 50), [STOPPED, login(login_age=30.0)], 2, id="another Stop than it had"),
    ],
)
def test_the_edges_of_each_rule(sign, candidates, number):
    assert identify(sign, candidates) == number


@pytest.mark.parametrize(("reported", "known"), [("", PHONE), (PHONE, ""), (PHONE, PHONE)])
def test_a_session_without_a_device_may_be_any_devices(reported, known):
    assert fits(packet("Start", None, device=reported), login(device=known))
    assert not fits(packet("Start", None, device=LAPTOP), login(device=PHONE))


def test_a_packet_without_a_duration_begins_when_it_is_sent():
    assert packet("Start", None, age_seconds=3.0).start_age == 3.0


def test_a_class_of_an_earlier_version_is_still_true():
    """NAS return a Class days later, when the program may be a newer one."""
    made = make_class(Claim(7, 3, 1_770_000_000), "4000017", KEY)
    assert made == (
        "0x707265706169643a373a333a313737303030303030303a303a31656235"
        "3639626538366466623737323a32353032613235653562656233376362"
    )
    assert Claim(7, 3, 1_770_000_000).token == 0
