"""The decision on a login: every refusal, their order, every limit, and who shares with whom."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeradius_module.engine.logins import _reservation
from freeradius_module.rules import hours
from freeradius_module.rules.login import (
    Accept,
    Attempt,
    Card,
    Product,
    Refusal,
    Session,
    Standing,
    balance_of,
    counted_source,
    decide,
    is_locked_out,
    is_stale,
    source_of,
    taken_back,
)
from freeradius_module.rules.refusals import REFUSALS
from freeradius_module.rules.usage import Credit, Tariff, Usage
from freeradius_module.rules.vendors import Terms

PHONE = "02-00-00-00-00-01"
LAPTOP = "02-00-00-00-00-02"
NOON_MONDAY = 1_770_033_600  # 2026-02-02 12:00:00 UTC
NOTHING_ADDED = Credit(0, 0, 0, 0, 0)


def product(**changes) -> Product:
    fields = {
        "id": 1,
        "revision": 1,
        "name": "10 minutes",
        "kind": "internet",
        "credit": Credit(seconds=600),
        "tariff": Tariff(),
        "terms": Terms(),
        "fup_terms": None,
        "fup_octets": None,
        "hours": None,
        "timezone": "UTC",
        "max_sessions": 1,
        "replace_oldest": False,
        "bind_device": False,
    }
    return Product(**fields | changes)


def card(**changes) -> Card:
    fields = {
        "id": 7,
        "serial": "4000017",
        "status": "in_use",
        "version": 1,
        "product_id": 1,
        "product_revision": 1,
        "expires_in_seconds": None,
        "device": None,
        "added": NOTHING_ADDED,
        "used": Usage(),
        "last_login_number": 0,
        "sessions": (),
        "unposted": 0,
        "pin_sealed": b"sealed",
        "key_number": 1,
        "was_tried": False,
    }
    return Card(**fields | changes)


def session(login_number=1, **changes) -> Session:
    """An open session of the phone on NAS 2, heard of ten seconds ago."""
    fields = {
        "login_number": login_number,
        "nas_id": 2,
        "device": PHONE,
        "is_begun": True,
        "silent_seconds": 10.0,
        "interim_seconds": 300,
        "granted_left": Credit(),
    }
    return Session(**fields | changes)


def attempt(**changes) -> Attempt:
    return Attempt(**{"serial": "4000017", "nas_id": 2, "device": PHONE, "at": NOON_MONDAY} | changes)


# --- Refusals --------------------------------------------------------------------------------------------

# What makes each refusal hold, as changes of (card, product, attempt).  In the order of precedence; wrong_kind
# and those after it are told by the product, so they can hold together with all that come before.
CAUSES = {
    "locked_out": ({}, {}, {"is_locked_out": True}),
    "not_delivered": ({"status": "created"}, {}, {}),
    "blocked": ({"status": "blocked"}, {}, {}),
    "wrong_kind": ({}, {"kind": "telephony"}, {}),
    "expired": ({"expires_in_seconds": 0}, {}, {}),
    "exhausted": ({"used": Usage(600)}, {}, {}),
    "outside_hours": ({}, {"hours": hours.parse("Mo-Fr 14:00-18:00")}, {}),
    "wrong_device": ({"device": LAPTOP}, {"bind_device": True}, {}),
    "too_many_sessions": ({"sessions": (session(device=LAPTOP),)}, {}, {}),
}


def test_the_causes_are_in_the_order_of_the_refusals():
    assert ["unknown_card", "wrong_pin", *CAUSES] == list(REFUSALS)


@pytest.mark.parametrize("reason", CAUSES)
def test_each_refusal_has_its_own_word(reason):
    of_card, of_product, of_attempt = CAUSES[reason]
    assert decide(card(**of_card), product(**of_product), attempt(**of_attempt)) == Refusal(reason)


@pytest.mark.parametrize(("earlier", "later"), list(itertools.combinations(CAUSES, 2)))
def test_of_two_refusals_the_earlier_is_named(earlier, later):
    changes = [of_later | of_earlier for of_earlier, of_later in zip(CAUSES[earlier], CAUSES[later], strict=True)]
    assert decide(card(**changes[0]), product(**changes[1]), attempt(**changes[2])) == Refusal(earlier)


@pytest.mark.parametrize("status", ["expired", "exhausted"])
def test_a_status_of_the_database_refuses_whatever_the_numbers_say(status):
    assert decide(card(status=status), product(), attempt()) == Refusal(status)


@pytest.mark.parametrize("status", ["delivered", "in_use"])
def test_a_delivered_card_is_let_in(status):
    accept = decide(card(status=status), product(), attempt())
    assert isinstance(accept, Accept)
    assert accept.activates is (status == "delivered")


def test_a_redeemed_card_is_never_let_in_whatever_its_product():
    assert decide(card(status="redeemed"), product(), attempt()) == Refusal("wrong_kind")


@pytest.mark.parametrize("status", ["deleted", "something new"])
def test_a_status_without_a_rule_is_no_way_in(status):
    with pytest.raises(ValueError, match=status):
        decide(card(status=status), product(), attempt())


# --- Limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_card", "of_product", "seconds", "limited_by"),
    [
        ({}, {}, 600, "time"),
        ({"used": Usage(120)}, {}, 480, "time"),
        ({"used": Usage(599)}, {}, 1, "time"),
        ({"added": Credit(300, 0, 0, 0, 0)}, {}, 900, "time"),
        ({"expires_in_seconds": 599}, {}, 599, "validity"),
        ({"expires_in_seconds": 600}, {}, 600, "time"),
        ({}, {"hours": hours.parse("Mo 11:00-12:05")}, 300, "hours"),
        ({}, {"credit": Credit(octets=10**7)}, 86_400, "longest"),
        ({}, {"credit": Credit(seconds=10**6)}, 86_400, "longest"),
        ({}, {"credit": Credit(millicents=50_000), "tariff": Tariff(5000, 0)}, 600, "money"),
        ({}, {"credit": Credit(600, millicents=40_000), "tariff": Tariff(5000, 0)}, 480, "money"),
    ],
)
def test_the_smallest_limit_is_granted_and_named(of_card, of_product, seconds, limited_by):
    accept = decide(card(**of_card), product(**of_product), attempt())
    assert (accept.limits.session_seconds, accept.limited_by) == (seconds, limited_by)


@pytest.mark.parametrize(
    ("credit", "tariff", "used", "octets", "by"),
    [
        (Credit(octets=10**7), Tariff(), Usage(), 10**7, "traffic"),
        (Credit(octets=10**7), Tariff(), Usage(0, 3 * 10**6, 10**6), 6 * 10**6, "traffic"),
        (Credit(millicents=50_000), Tariff(0, 1000), Usage(), 50 * 10**6, "money"),
        (Credit(octets=10**6, millicents=50_000), Tariff(0, 1000), Usage(), 10**6, "traffic"),
        (Credit(seconds=600), Tariff(), Usage(), None, None),
    ],
)
def test_the_smallest_volume_is_granted_and_named(credit, tariff, used, octets, by):
    accept = decide(card(used=used), product(credit=credit, tariff=tariff), attempt())
    assert (accept.limits.octets, accept.volume_limited_by) == (octets, by)


def test_download_and_upload_are_limited_apart():
    accept = decide(card(used=Usage(0, 100, 200)), product(credit=Credit(None, None, 1000, 500)), attempt())
    assert (accept.limits.octets, accept.limits.down_octets, accept.limits.up_octets) == (None, 900, 300)


def test_a_session_time_fits_into_what_every_nas_reads():
    accept = decide(card(), product(credit=Credit(seconds=2**32 - 1)), attempt(), longest_session_seconds=2**32 - 1)
    assert accept.limits.session_seconds == 2**31 - 1


AMOUNT = st.none() | st.integers(1, 10**7)
LOGINS = st.builds(
    lambda credit, used, expires, longest: (
        card(used=Usage(*used), expires_in_seconds=expires),
        product(credit=Credit(*credit[:4], millicents=credit[4]), tariff=Tariff(60, 7) if credit[4] else Tariff()),
        longest,
    ),
    st.tuples(AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT),
    st.tuples(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7)),
    st.none() | st.integers(-5, 10**6),
    st.integers(1, 10**6),
)


@given(LOGINS)
def test_every_accept_has_a_time_above_zero_and_within_every_limit(login):
    of_card, of_product, longest = login
    decision = decide(of_card, of_product, attempt(), longest)
    balance = balance_of(of_card, of_product)
    if 0 in balance or (of_card.expires_in_seconds is not None and of_card.expires_in_seconds <= 0):
        assert isinstance(decision, Refusal)
        return
    seconds = decision.limits.session_seconds
    assert 0 < seconds <= longest
    assert balance.seconds is None or seconds <= balance.seconds
    assert of_card.expires_in_seconds is None or seconds <= of_card.expires_in_seconds
    for limit, remains in (
        (decision.limits.octets, balance.octets),
        (decision.limits.down_octets, balance.down_octets),
        (decision.limits.up_octets, balance.up_octets),
    ):
        assert (limit is None or limit > 0) and (remains is None or limit <= remains)


# --- Fair use --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "is_slow", "until_slow"), [(0, False, 800), (799, False, 1), (800, True, None), (999, True, None)]
)
def test_beyond_its_share_a_card_is_slow_and_not_disconnected(used, is_slow, until_slow):
    accept = decide(card(used=Usage(0, used)), product(credit=Credit(octets=1000), fup_octets=800), attempt())
    assert (accept.is_slowed_down, accept.fup_left_octets) == (is_slow, until_slow)


# --- The device ------------------------------------------------------------------------------------------


def test_the_first_device_is_bound_and_stays():
    bound = product(bind_device=True)
    assert decide(card(status="delivered"), bound, attempt()).binds_device
    assert not decide(card(device=PHONE), bound, attempt()).binds_device
    assert decide(card(device=PHONE), bound, attempt(device=LAPTOP)) == Refusal("wrong_device")
    assert decide(card(device=PHONE), bound, attempt(device="")) == Refusal("wrong_device")


def test_a_login_without_a_device_binds_nothing():
    assert not decide(card(), product(bind_device=True), attempt(device="")).binds_device


# --- Sessions of the same card ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_session", "of_attempt", "outcome"),
    [
        # The same device on the same NAS takes its own session over, however it stands.
        ({}, {}, "superseded"),
        ({"is_begun": False}, {}, "superseded"),
        # Another device, or another NAS, is somebody else.
        ({}, {"device": LAPTOP}, "too_many_sessions"),
        ({}, {"nas_id": 3}, "too_many_sessions"),
        ({"is_begun": False}, {"device": LAPTOP}, "too_many_sessions"),
        # Where no device is named, only a login that never began can be one's own.
        ({"device": ""}, {"device": ""}, "too_many_sessions"),
        ({"device": "", "is_begun": False}, {"device": ""}, "superseded"),
        # Two logins that arrived together are rivals, whoever they say they are.
        ({"is_begun": False, "silent_seconds": 0.09}, {}, "too_many_sessions"),
        ({"is_begun": False, "silent_seconds": 5.0}, {"asked_seconds_ago": 4.95}, "too_many_sessions"),
        ({"is_begun": False, "silent_seconds": 5.0}, {"asked_seconds_ago": 1.0}, "superseded"),
        # A device that comes again within a second of its first login is no rival, if the NAS names it.
        ({"is_begun": False, "silent_seconds": 0.3}, {}, "superseded"),
        ({"is_begun": False, "silent_seconds": 0.3, "device": ""}, {"device": ""}, "too_many_sessions"),
        # Silent for too long: three interims and a minute, or a minute where it never began.
        ({"silent_seconds": 960.0}, {"device": LAPTOP}, "too_many_sessions"),
        ({"silent_seconds": 960.1}, {"device": LAPTOP}, "stale"),
        ({"silent_seconds": 241.0, "interim_seconds": 60}, {"device": LAPTOP}, "stale"),
        ({"is_begun": False, "silent_seconds": 60.0}, {"device": LAPTOP}, "too_many_sessions"),
        ({"is_begun": False, "silent_seconds": 60.1}, {"device": LAPTOP}, "not_begun"),
        # The clock was put back by an hour between that login and this one.
        ({"is_begun": False, "silent_seconds": -3600.0}, {"device": LAPTOP}, "not_begun"),
        ({"is_begun": False, "silent_seconds": -3600.0}, {}, "not_begun"),
    ],
)
def test_an_open_session_is_taken_over_or_in_the_way(of_session, of_attempt, outcome):
    decision = decide(card(sessions=(session(**of_session),)), product(), attempt(**of_attempt))
    if outcome == "too_many_sessions":
        assert decision == Refusal("too_many_sessions")
    else:
        assert decision.closes == (((1, outcome),) if outcome else ())


def test_the_newest_login_replaces_the_oldest_where_the_product_says_so():
    others = (session(5, device=LAPTOP), session(4, device="02-00-00-00-00-03"))
    replacing = product(max_sessions=2, replace_oldest=True)
    accept = decide(card(sessions=others), replacing, attempt())
    assert accept.replaces == (4,)
    assert accept.closes == ()


def test_a_login_has_the_number_after_the_cards_last():
    assert decide(card(), product(), attempt()).login_number == 1
    assert decide(card(last_login_number=12), product(), attempt()).login_number == 13


def test_two_sessions_share_what_is_left():
    sharing = product(credit=Credit(seconds=601), max_sessions=2)
    first = decide(card(), sharing, attempt())
    assert first.limits.session_seconds == 301
    running = session(1, granted_left=Credit(seconds=301))
    second = decide(card(sessions=(running,)), sharing, attempt(device=LAPTOP))
    assert second.limits.session_seconds == 300


def test_who_comes_when_all_is_granted_has_to_wait():
    running = session(1, granted_left=Credit(seconds=600))
    decision = decide(card(sessions=(running,)), product(max_sessions=2), attempt(device=LAPTOP))
    assert decision == Refusal("too_many_sessions")


@given(st.integers(1, 10**6), st.integers(1, 8), st.lists(st.booleans(), max_size=30))
def test_sessions_together_are_never_granted_more_than_the_card_has(credit, places, acts):
    """Devices log in (True) and use up a third of their grant and stop (False), in any order."""
    rule = product(credit=Credit(seconds=credit), max_sessions=places)
    posted, running, number = 0, {}, 0
    for logs_in in acts:
        if logs_in:
            sessions = tuple(
                session(key, device=f"device {key}", granted_left=Credit(seconds=granted))
                for key, granted in running.items()
            )
            number += 1
            decision = decide(
                card(used=Usage(posted), sessions=sessions, last_login_number=number),
                rule,
                attempt(device=f"device {number}"),
            )
            if isinstance(decision, Accept):
                running[number] = decision.granted.seconds
        elif running:
            posted += running.pop(next(iter(running))) // 3
        assert len(running) <= places
        assert posted + sum(running.values()) <= credit


# --- The edges of each rule ------------------------------------------------------------------------------


def test_the_last_second_of_a_validity_is_granted():
    accept = decide(card(expires_in_seconds=1), product(), attempt())
    assert (accept.limits.session_seconds, accept.limited_by) == (1, "validity")
    assert decide(card(expires_in_seconds=0), product(), attempt()) == Refusal("expired")


@pytest.mark.parametrize(
    ("standing", "is_locked"),
    [
        (Standing(0, 49, 49), False),
        (Standing(0, 50, 50), True),
        (Standing(0, 0, 99), False),
        (Standing(0, 0, 100), True),
        (Standing(99, 99, 99, is_known=True), False),
        (Standing(100, 100, 100, is_known=True), True),
    ],
)
def test_how_many_wrong_pins_lock_out(standing, is_locked):
    assert is_locked_out(standing, 5, PHONE) is is_locked


def test_a_source_that_has_a_row_keeps_it():
    assert Standing(0, 0, 0).source_count == 0
    assert counted_source(Standing(1, 20, 20, 20), 3, PHONE, True) == source_of(3, PHONE)
    assert counted_source(Standing(0, 20, 20, 20, is_known=True), 3, PHONE, True) == source_of(3, PHONE)
    assert counted_source(Standing(0, 20, 20, 20), 3, "", True) == source_of(3, "")
    assert counted_source(Standing(0, 20, 20, 20), 3, PHONE, True) == source_of(3, "*")


def test_several_sessions_have_their_fair_use_checked_with_each_report():
    accept = decide(card(), product(credit=Credit(octets=1000), fup_octets=500, max_sessions=2), attempt())
    assert accept.fup_left_octets == 0
    accept = decide(card(), product(credit=Credit(octets=1000), fup_octets=500), attempt())
    assert accept.fup_left_octets == 500


def test_what_was_entered_for_one_kind_leaves_the_others():
    added = Credit(-600, None, 0, 0, 0)
    assert balance_of(card(added=added), product(credit=Credit(seconds=600, octets=1000))) == Credit(
        seconds=0, octets=1000
    )


@pytest.mark.parametrize(
    ("silent", "lag", "stale"),
    [(60.0, 0.0, False), (61.0, 0.0, True), (110.0, 100.0, False), (-60.0, 0.0, False), (-61.0, 0.0, True)],
)
def test_a_login_that_never_began_waits_a_minute(silent, lag, stale):
    assert is_stale(session(is_begun=False, silent_seconds=silent), lag) is stale


def test_a_login_a_tenth_of_a_second_ago_is_the_same_device_coming_back():
    known = session(is_begun=False, silent_seconds=0.1)
    assert decide(card(sessions=(known,)), product(), attempt()).closes == ((1, "superseded"),)
    rival = session(is_begun=False, silent_seconds=0.09)
    assert decide(card(sessions=(rival,)), product(), attempt()) == Refusal("too_many_sessions")


def test_nothing_is_taken_back_where_nothing_is_held_beyond():
    first = session(1, granted_left=Credit(seconds=300, octets=5))
    assert taken_back(Credit(seconds=300), [first]) == []
    without = session(2, granted_left=Credit())
    assert taken_back(Credit(seconds=250), [first, without]) == [(first, Credit(50, 0, 0, 0, 0))]


def test_a_session_is_due_a_quarter_of_a_minute_after_its_timeout():
    """So long the NAS has to end it by itself; the end of a validity is exact."""
    accepted = decide(card(), product(), attempt())
    for limited_by, grace_seconds in ((accepted.limited_by, 15), ("validity", 0), ("hours", 0)):
        one = _reservation(card(), product(), attempt(), accepted._replace(limited_by=limited_by))
        assert one.due_in_seconds == accepted.limits.session_seconds + grace_seconds
