"""Whose usage it is: with our Class, without it, with others', and with identifiers that NAS use again."""

import pytest

PHONE, LAPTOP = "02-00-00-00-00-01", "02-00-00-00-00-02"

CLASSES = {
    "echoed": lambda ours: ours,
    "absent": lambda ours: [],
    "another server's": lambda ours: [b"another server's"],
    "among others": lambda ours: [b"first", *ours, b"last"],
    "twice": lambda ours: ours * 2,
    "cut off": lambda ours: [bytes(ours[0])[:-1]],
    "forged": lambda ours: [bytes(ours[0])[:-1] + (b"0" if bytes(ours[0])[-1:] != b"0" else b"1")],
}


@pytest.mark.parametrize("send_back", CLASSES.values(), ids=CLASSES.keys())
def test_a_session_is_charged_once_whatever_comes_back_as_class(shop, radius, send_back):
    (card,) = shop.sell(1, credit_seconds=600)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    session.class_values = send_back(session.class_values)
    radius.start(session)
    radius.interim(session, 60)
    radius.interim(session, 60)
    radius.stop(session, 90)
    assert shop.used(card) == (90, 0, 0)
    assert len(shop.sessions(card)) == 1
    assert radius.login(card.serial, card.pin)["Session-Timeout"] == 510


@pytest.mark.parametrize("kind", ["Start", "Interim-Update", "Stop"])
def test_a_nas_that_sends_class_only_at_times_is_charged_once(shop, radius, kind):
    (card,) = shop.sell(1)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    ours = session.class_values
    for status, seconds in (("Start", None), ("Interim-Update", 60), ("Stop", 90)):
        session.class_values = ours if status == kind else []
        radius.report(session, status, seconds=seconds)
    assert shop.used(card) == (90, 0, 0)
    assert len(shop.sessions(card)) == 1


def test_a_class_that_fits_decides_over_another_cards_user_name(shop, radius):
    """With EAP the name outside the tunnel is what the customer likes it to be."""
    used, named = shop.sell(2)
    session = radius.session(named.serial, radius.login(used.serial, used.pin))
    radius.start(session)
    radius.interim(session, 1)
    # The other one's session, and memory of it, change nothing.
    other = radius.session(
        named.serial, radius.login(named.serial, named.pin, calling_station_id=LAPTOP), calling_station_id=LAPTOP
    )
    radius.interim(other, 1)
    radius.stop(session, 2)
    radius.stop(other, 3)
    assert (shop.used(used), shop.used(named)) == ((2, 0, 0), (3, 0, 0))


@pytest.mark.parametrize("what_differs", ["the device", "the NAS", "the session"])
def test_a_class_that_a_nas_returns_for_another_session_charges_the_card_that_is_named(
    shop, radius, known_nas, what_differs
):
    named, other = shop.sell(2)
    difference = {
        "the device": lambda: {"calling_station_id": LAPTOP},
        "the NAS": lambda: {"nas_ip": known_nas("generic")[0]},
        "the session": dict,
    }[what_differs]()
    ended = radius.session(other.serial, radius.login(other.serial, other.pin, **difference), **difference)
    if not difference:
        radius.stop(ended, 1)
    session = radius.session(named.serial, radius.login(named.serial, named.pin))
    session.class_values = ended.class_values
    radius.stop(session, 2)
    assert (shop.used(named), shop.used(other)) == ((2, 0, 0), (0 if difference else 1, 0, 0))


@pytest.mark.parametrize("echo_class", [True, False], ids=["with Class", "without Class"])
@pytest.mark.parametrize(
    "packets",
    [["Start", "Interim-Update", "Stop"], ["Interim-Update", "Stop"], ["Stop"]],
    ids=["all packets", "Start lost", "only the Stop"],
)
def test_an_identifier_that_is_used_again_is_a_new_session(shop, radius, echo_class, packets):
    (card,) = shop.sell(1, credit_seconds=36_000)
    for use_seconds in (600, 300, 900):
        accept = radius.login(card.serial, card.pin)
        session = radius.session(card.serial, accept, echo_class=echo_class, session_id="00000001")
        # The session takes as long as it says.
        for status in packets:
            if status == "Stop":
                shop.age(card, use_seconds)
            radius.report(session, status, seconds={"Start": None, "Interim-Update": 1}.get(status, use_seconds))
        shop.age(card, 10)
    assert shop.used(card) == (1800, 0, 0)
    assert [row["used_seconds"] for row in shop.sessions(card)] == [600, 300, 900]


def test_two_cards_with_one_identifier_are_two_sessions(shop, radius):
    one, two = shop.sell(2)
    for card, seconds in ((one, 60), (two, 90)):
        radius.login(card.serial, card.pin)
        radius.stop(radius.session(card.serial, session_id="00000001"), seconds)
    assert (shop.used(one)[0], shop.used(two)[0]) == (60, 90)


def test_two_sessions_with_one_class_are_both_charged(shop, radius):
    """A NAS that begins a new session without asking again, and goes on sending the Class of the old one."""
    (card,) = shop.sell(1)
    accept = radius.login(card.serial, card.pin)
    radius.stop(radius.session(card.serial, accept, session_id="00000001"), 60)
    radius.stop(radius.session(card.serial, accept, session_id="00000002"), 90)
    radius.stop(radius.session(card.serial, accept, session_id="00000001"), 60)
    assert shop.used(card) == (150, 0, 0)
    assert len(shop.sessions(card)) == 2


@pytest.mark.parametrize("echo_class", [True, False], ids=["with Class", "without Class"])
def test_a_session_goes_on_when_its_nas_gets_another_address(shop, radius, known_nas, echo_class):
    """A second session would charge its time twice."""
    before, after = known_nas("generic", "generic")
    (card,) = shop.sell(1, credit_seconds=600)
    accept = radius.login(card.serial, card.pin, nas_ip=before)
    session = radius.session(card.serial, accept, echo_class=echo_class, nas_ip=before)
    radius.start(session)
    radius.interim(session, 60)
    shop.age(card, 60)
    session.nas_ip = after
    radius.interim(session, 120)
    radius.stop(session, 150)
    assert shop.used(card) == (150, 0, 0)
    assert len(shop.sessions(card)) == 1


def test_a_session_that_authenticates_anew_while_it_runs_is_one_session(shop, radius):
    """The NAS counts on from where it was, and sends the new login's Class."""
    (card,) = shop.sell(1, credit_seconds=3600)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    radius.start(session)
    shop.age(card, 300)
    radius.interim(session, 300)
    session.class_values = radius.session(card.serial, radius.login(card.serial, card.pin)).class_values
    shop.age(card, 10)
    radius.interim(session, 310)
    shop.age(card, 50)
    radius.stop(session, 360)
    assert shop.used(card) == (360, 0, 0)


def test_a_class_goes_with_its_card_through_a_restart_of_freeradius(shop, radius, stack):
    (card,) = shop.sell(1)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    radius.interim(session, 60)
    stack.freeradius.stop()
    stack.start_freeradius()
    radius.stop(session, 90)
    assert shop.used(card) == (90, 0, 0)
    assert len(shop.sessions(card)) == 1


def test_the_addresses_of_a_session_are_kept(shop, radius):
    (card,) = shop.sell(1)
    session = radius.session(card.serial, radius.login(card.serial, card.pin), framed_ip="100.64.7.9")
    radius.start(session)
    radius.stop(session, 60)
    (row,) = shop.sessions(card)
    assert (row["framed_ipv4"], row["device"], row["nas_id"] > 0) == ("100.64.7.9", PHONE, True)


def test_accounting_under_an_outer_identity_is_charged_to_the_card_of_its_class(shop, radius):
    (card,) = shop.sell(1)
    session = radius.session("anonymous", radius.login(card.serial, card.pin))
    assert radius.start(session).is_acknowledged
    assert radius.interim(session, 30).is_acknowledged
    assert radius.stop(session, 60).is_acknowledged
    assert shop.used(card) == (60, 0, 0)


def test_a_class_used_for_two_sessions_under_an_outer_identity_is_charged_for_both(shop, radius):
    (card,) = shop.sell(1)
    accept = radius.login(card.serial, card.pin)
    for name, seconds in (("a", 60), ("b", 40)):
        radius.stop(radius.session("anonymous", accept, session_id=f"twice-{name}"), seconds)
    assert shop.used(card) == (100, 0, 0)
