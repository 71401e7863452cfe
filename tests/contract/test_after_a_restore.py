"""The database comes back as it was some time ago: login numbers are given again, and packets of the lost time still come."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from freeradius_module.connection import RowLocked
from tests.engine_callers import LAPTOP, class_of, log_in, report


def restore_to_before_the_logins(shop, card) -> None:
    """As a restored backup is: it knows nothing of the card's logins."""
    shop.database.execute("DELETE FROM session WHERE card_id = %s", [shop.id(card)])


def used_by_login(shop, card) -> dict[str, int]:
    return {session["acct_session_id"]: session["used_seconds"] for session in shop.sessions(card)}


@pytest.mark.parametrize("knows", [True, False], ids=["same server", "another server"])
@pytest.mark.parametrize("kind", ["Start", "Interim-Update", "Stop"])
@pytest.mark.parametrize("reports_before", [1, 2, 3])
def test_a_class_of_the_lost_time_charges_no_other_login(engine, new_engine, shop, clock, reports_before, kind, knows):
    """Both logins are number 1. The one of the lost time goes on, and a server still knows it."""
    (card,) = shop.sell(1, credit_seconds=36_000, max_sessions=2)
    lost = class_of(log_in(engine, card))
    for seconds in range(100, 100 * reports_before + 1, 100):
        clock.advance(100)
        engine.account(report(card, "Interim-Update", seconds, lost, session_id="lost"))
    restore_to_before_the_logins(shop, card)
    clock.advance(100)
    elsewhere = new_engine()
    new = class_of(log_in(elsewhere, card, LAPTOP))
    elsewhere.account(report(card, "Start", None, new, session_id="new", device=LAPTOP))
    clock.advance(10)
    elsewhere.account(report(card, "Interim-Update", 10, new, session_id="new", device=LAPTOP))
    engine = engine if knows else new_engine()
    seconds = None if kind == "Start" else 100 * reports_before + 110
    for _ in range(2):
        engine.account(report(card, kind, seconds, lost, session_id="lost"))
        elsewhere.account(report(card, "Interim-Update", 10, new, session_id="new", device=LAPTOP))
        assert used_by_login(shop, card) == {"new": 10, "lost": seconds or 0}
    clock.advance(90)
    elsewhere.account(report(card, "Stop", 100, new, session_id="new", device=LAPTOP))
    assert shop.used(card)[0] == 100 + (seconds or 0)
    new_session, lost_session = shop.sessions(card)
    assert (new_session["device"], new_session["acct_session_id"]) == (LAPTOP, "new")
    assert (new_session["stopped_at"] is not None, lost_session["stopped_at"] is not None) == (True, kind == "Stop")


@pytest.mark.parametrize("knows", [True, False], ids=["same server", "another server"])
def test_a_class_of_the_lost_time_does_not_take_a_login_that_has_not_begun(engine, new_engine, shop, clock, knows):
    """The new login's first packet comes after a packet of the lost one, which has its number."""
    (card,) = shop.sell(1, credit_seconds=36_000, max_sessions=2)
    lost = class_of(log_in(engine, card))
    for seconds in (100, 200):
        clock.advance(100)
        engine.account(report(card, "Interim-Update", seconds, lost, session_id="lost"))
    restore_to_before_the_logins(shop, card)
    clock.advance(50)
    new = class_of(log_in(new_engine(), card, LAPTOP))
    engine = engine if knows else new_engine()
    engine.account(report(card, "Interim-Update", 250, lost, session_id="lost"))
    clock.advance(60)
    engine.account(report(card, "Interim-Update", 60, new, session_id="new", device=LAPTOP))
    assert used_by_login(shop, card) == {"new": 60, "lost": 250}
    assert shop.sessions(card)[0]["acct_session_id"] == "new"


@pytest.mark.parametrize("seed", range(6))
def test_two_chargers_of_one_queue_that_lag_charge_as_one_that_does_not(
    engine, new_engine, shop, clock, database, seed
):
    """Each takes some of the packets, some both, in any order, and says how long they waited."""
    chance = random.Random(seed)
    cards = shop.sell(3, credit_seconds=10**6, max_sessions=2)
    packets, totals = [], {}
    for card in cards:
        for device in ("02-00-00-00-00-01", LAPTOP):
            classes = class_of(log_in(engine, card, device)) if chance.random() < 0.7 else ()
            if not classes:
                log_in(engine, card, device)
            last = chance.randrange(3, 9) * 100
            for seconds in range(0, last + 1, 100):
                kind = "Start" if not seconds else "Stop" if seconds == last else "Interim-Update"
                packet = report(
                    card,
                    kind,
                    seconds,
                    classes,
                    session_id=f"id {device}",
                    device=device,
                    down=seconds * 1000,
                    received_at=clock.now + seconds,
                )
                packets += [(packet, clock.now + seconds)] * chance.choice([1, 1, 2])
            totals[card.serial] = totals.get(card.serial, 0) + last
    clock.advance(1800)
    chance.shuffle(packets)
    chargers = [new_engine(), new_engine()]
    heaps = [[], []]
    for packet, came_at in packets:
        for heap in chance.choice([heaps[:1], heaps[1:], heaps]):
            heap.append((packet, clock.now - came_at))

    def charge(charger, heap):
        while heap:
            results = charger.charges.queued(heap[:7])
            # A row that the other one has locked just then: that packet's turn comes again.
            assert all(result is None or isinstance(result, RowLocked) for result in results)
            heap[:7] = [one for one, result in zip(heap[:7], results, strict=True) if result]

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(charge, *pair) for pair in zip(chargers, heaps, strict=True)]:
            done.result()
    for card in cards:
        sessions = shop.sessions(card)
        assert len(sessions) == 2
        assert shop.used(card)[:2] == (totals[card.serial], totals[card.serial] * 1000)
        assert all(session["due_at"] is None and session["stopped_at"] is not None for session in sessions)
        assert all(
            (session["stopped_at"] - session["login_at"]).total_seconds() == session["used_seconds"]
            for session in sessions
        )
