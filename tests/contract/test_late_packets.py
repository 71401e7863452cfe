"""A packet counts from when it was sent, whenever it comes: one that an ended session sent before its end reopens nothing."""

import pytest

from tests.engine_callers import LAPTOP, class_of, log_in, nas_restart, report

TV = "02-00-00-00-00-03"


# How it is known that a packet was sent fifteen seconds before it is charged.
def by_its_delay(engine, clock, made):
    return engine.account(made(delay=15))


def by_its_arrival(engine, clock, made):
    """It waited in FreeRADIUS, or for the database."""
    return engine.account(made(received_at=clock.now - 15))


def by_both(engine, clock, made):
    return engine.account(made(delay=10, received_at=clock.now - 5))


def by_its_queue(engine, clock, made):
    assert engine.charges.queued([(made(received_at=clock.now - 15), 15.0)]) == [None]


WAYS = [by_its_delay, by_its_arrival, by_both, by_its_queue]


def open_numbers(shop, card) -> list[int]:
    return [session["login_number"] for session in shop.sessions(card) if session["due_at"] is not None]


def look(enforcer) -> None:
    """Twice: what the first look judges to be due, the second sends."""
    enforcer.look()
    enforcer.look()


@pytest.mark.parametrize("knows", [True, False], ids=["same server", "another server"])
@pytest.mark.parametrize("has_class", [True, False], ids=["class", "no class"])
@pytest.mark.parametrize("comes_late", WAYS)
def test_a_late_interim_of_a_session_that_was_taken_over_reopens_nothing(
    engine, new_engine, shop, clock, enforcer, comes_late, has_class, knows
):
    """Its use is charged. The live session is not disconnected for it."""
    (card,) = shop.sell(1, credit_seconds=36_000)
    first = class_of(log_in(engine, card)) if has_class else log_in(engine, card) and ()
    engine.account(report(card, "Start", None, first, session_id="old"))
    clock.advance(300)
    engine.account(report(card, "Interim-Update", 300, first, session_id="old"))
    clock.advance(105)
    second = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, second, session_id="new"))
    clock.advance(5)
    server = engine if knows else new_engine()
    comes_late(server, clock, lambda **when: report(card, "Interim-Update", 395, first, session_id="old", **when))
    assert shop.used(card)[0] == 395
    assert open_numbers(shop, card) == [2]
    look(enforcer)
    assert enforcer.exchange.disconnected(shop.id(card)) == set()
    assert open_numbers(shop, card) == [2]


@pytest.mark.parametrize("comes_late", WAYS)
def test_a_late_stop_of_a_session_that_was_taken_over_charges_and_ends_it_for_good(
    engine, shop, clock, enforcer, comes_late
):
    (card,) = shop.sell(1, credit_seconds=36_000)
    first = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, first, session_id="old"))
    clock.advance(405)
    second = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, second, session_id="new"))
    clock.advance(5)
    comes_late(engine, clock, lambda **when: report(card, "Stop", 395, first, session_id="old", **when))
    assert shop.used(card)[0] == 395
    assert open_numbers(shop, card) == [2]


@pytest.mark.parametrize("adds", [True, False], ids=["with more use", "with the same use"])
def test_a_packet_that_was_sent_after_the_takeover_shows_that_the_session_goes_on(engine, shop, clock, adds):
    """With more use it does. The same use once more may be a copy whose age its NAS does not tell."""
    (card,) = shop.sell(1, credit_seconds=36_000, max_sessions=2)
    first = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, first, session_id="old"))
    clock.advance(300)
    engine.account(report(card, "Interim-Update", 300, first, session_id="old"))
    log_in(engine, card)
    clock.advance(60)
    engine.account(report(card, "Interim-Update", 360 if adds else 300, first, session_id="old", delay=30))
    assert open_numbers(shop, card) == ([1, 2] if adds else [2])


def test_what_was_used_after_the_takeover_is_charged_whoever_is_on(engine, shop, clock):
    """A late packet of each session, in every order: both are charged, and the live one stays open."""
    (card,) = shop.sell(1, credit_seconds=36_000)
    first = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, first, session_id="old"))
    clock.advance(600)
    second = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, second, session_id="new"))
    clock.advance(300)
    for delay, classes, seconds, session_id in (
        (320, first, 580, "old"),
        (0, second, 300, "new"),
        (305, first, 595, "old"),
    ):
        engine.account(report(card, "Interim-Update", seconds, classes, session_id=session_id, delay=delay))
    assert shop.used(card)[0] == 595 + 300
    assert open_numbers(shop, card) == [2]


@pytest.mark.parametrize("kind", ["Accounting-On", "Accounting-Off"])
@pytest.mark.parametrize("comes_late", WAYS)
def test_a_restart_of_a_nas_that_comes_late_ends_what_was_on_then_and_nothing_that_began_since(
    engine, shop, clock, comes_late, kind
):
    (card,) = shop.sell(1, credit_seconds=36_000, max_sessions=2)
    before = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, before, session_id="before"))
    clock.advance(300)
    engine.account(report(card, "Interim-Update", 300, before, session_id="before"))
    # The restart was ten seconds later; five seconds after it somebody is on again, and it comes after ten more.
    clock.advance(15)
    since = class_of(log_in(engine, card, LAPTOP))
    engine.account(report(card, "Start", None, since, session_id="since", device=LAPTOP))
    clock.advance(10)
    comes_late(engine, clock, lambda **when: nas_restart(kind, **when))
    assert open_numbers(shop, card) == [2]
    assert shop.sessions(card)[0]["close_cause"] == "nas_reboot"


# --- Who goes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credit", "added", "down"),
    [
        ({"credit_seconds": 3000}, {"added_seconds": 9000}, 0),
        ({"credit_octets": 60_000}, {"added_octets": 90_000}, 31_000),
        ({"credit_down_octets": 60_000}, {"added_down_octets": 90_000}, 31_000),
        ({"credit_cents": 300, "tariff_minute_millicents": 6000}, {"added_cents": 900}, 0),
    ],
)
def test_of_too_many_sessions_the_one_that_used_more_than_it_was_granted_goes(
    engine, shop, clock, enforcer, credit, added, down
):
    """It was silent, another login got its place, and it comes back beyond its grant: the newest is not the one to disconnect.

    The card has enough for all of them, because the office has added some meanwhile.
    """
    (card,) = shop.sell(1, max_sessions=2, **credit)
    phone = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, phone, session_id="phone"))
    clock.advance(60)
    laptop = class_of(log_in(engine, card, LAPTOP))
    engine.account(report(card, "Start", None, laptop, session_id="laptop", device=LAPTOP))
    for seconds in range(300, 1500, 300):
        clock.advance(300)
        engine.account(report(card, "Interim-Update", seconds, laptop, session_id="laptop", device=LAPTOP))
    shop.add_credit(card, **added)
    # The phone has been silent for more than three interims.
    tv = log_in(engine, card, TV)
    assert tv.is_accepted
    engine.account(report(card, "Start", None, class_of(tv), session_id="tv", device=TV))
    clock.advance(240)
    engine.account(report(card, "Interim-Update", 1500, phone, session_id="phone", down=down))
    assert shop.status(card) == "in_use"
    look(enforcer)
    assert enforcer.exchange.disconnected(shop.id(card)) == {1}


@pytest.mark.parametrize(("credit", "down"), [({"credit_seconds": 3000}, 0), ({"credit_octets": 60_000}, 31_000)])
def test_a_session_that_came_back_beyond_its_grant_and_is_silent_again_may_not_go_on_for_a_day(
    engine, shop, clock, enforcer, credit, down
):
    """A late packet brings it back; by the time that somebody looks it has been silent for half an hour."""
    (card,) = shop.sell(1, max_sessions=2, **credit)
    phone = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, phone, session_id="phone"))
    clock.advance(1600)
    laptop = class_of(log_in(engine, card, LAPTOP))
    engine.account(report(card, "Stop", 0, laptop, session_id="laptop", device=LAPTOP))
    clock.advance(1700)
    engine.account(report(card, "Interim-Update", 1600, phone, session_id="phone", down=down, delay=1700))
    assert open_numbers(shop, card) == [1]
    look(enforcer)
    assert all(
        session["due_at"] is None or session["due_at"] <= shop.database.value("SELECT UTC_TIMESTAMP(3)")
        for session in shop.sessions(card)
    )
