"""While accounting waits in a queue, a session is not silent: its silence is counted up to where the chargers are."""

import pytest

from tests.engine_callers import LAPTOP, class_of, log_in, report


@pytest.fixture
def charged_until(database, clock):
    """Say that a charger has charged all that came until so many seconds ago, as `prepaid charge --watch` says it."""

    def say(ago_seconds: float, name: str = "radius1:/var/spool/prepaid-cards") -> None:
        database.execute(
            "REPLACE INTO accounting_queue (name, charged_until_at, recorded_at)"
            " VALUES (%s, UTC_TIMESTAMP(3) - INTERVAL %s SECOND, UTC_TIMESTAMP(3))",
            [name, ago_seconds],
        )

    return say


def look(enforcer) -> None:
    enforcer.look()
    enforcer.look()


def in_queue(engine, clock, packet, came_at) -> None:
    packet = [*packet, ("Tmp-String-1", f"{int(came_at)}.0")]
    assert engine.charges.queued([(packet, clock.now - came_at)]) == [None]


def test_a_login_whose_start_may_be_in_the_queue_keeps_its_place(engine, shop, clock, charged_until, enforcer):
    """The charger is two minutes behind, and a reservation lasts one."""
    (card,) = shop.sell(1, credit_seconds=36_000)
    classes = class_of(log_in(engine, card))
    clock.advance(1)
    start, came_at = report(card, "Start", None, classes), clock.now
    clock.advance(119)
    charged_until(130)
    assert log_in(engine, card, LAPTOP).reason == "too_many_sessions"
    look(enforcer)
    (session,) = shop.sessions(card)
    assert session["due_at"] is not None
    in_queue(engine, clock, start, came_at)
    charged_until(0)
    assert log_in(engine, card, LAPTOP).reason == "too_many_sessions"


def test_a_login_that_never_began_gives_its_place_away_once_the_queue_is_charged(engine, shop, clock, charged_until):
    (card,) = shop.sell(1, credit_seconds=36_000)
    log_in(engine, card)
    clock.advance(120)
    charged_until(100)
    # The charger has seen 20 seconds of what may have come of it.
    assert log_in(engine, card, LAPTOP).reason == "too_many_sessions"
    clock.advance(30)
    charged_until(60)
    assert log_in(engine, card, LAPTOP).is_accepted


def test_a_session_whose_interims_may_be_in_the_queue_is_not_stale(engine, shop, clock, charged_until):
    """The charger is half an hour behind; a session is stale after three interims and a minute."""
    (card,) = shop.sell(1, credit_seconds=36_000)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, classes))
    clock.advance(300)
    engine.account(report(card, "Interim-Update", 300, classes))
    waiting = []
    for seconds in range(600, 2100, 300):
        clock.advance(300)
        waiting.append((report(card, "Interim-Update", seconds, classes), clock.now))
    charged_until(1400)
    assert log_in(engine, card, LAPTOP).reason == "too_many_sessions"
    for packet, came_at in waiting:
        in_queue(engine, clock, packet, came_at)
    charged_until(0)
    assert shop.used(card)[0] == 1800
    assert log_in(engine, card, LAPTOP).reason == "too_many_sessions"
    (session,) = shop.sessions(card)
    assert session["due_at"] is not None


@pytest.mark.parametrize("cause", ["blocked", "exhausted"])
def test_a_session_that_is_to_be_disconnected_is_not_taken_for_gone_while_its_packets_may_be_in_the_queue(
    engine, shop, clock, charged_until, enforcer, cause
):
    """A NAS that does not answer is asked again, as long as the session may be on."""
    (card,) = shop.sell(1, credit_seconds=36_000)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, classes))
    clock.advance(300)
    engine.account(report(card, "Interim-Update", 300, classes))
    shop.database.execute(
        "UPDATE session SET due_at = UTC_TIMESTAMP(3), due_cause = %s WHERE card_id = %s", [cause, shop.id(card)]
    )
    look(enforcer)
    assert enforcer.exchange.disconnected(shop.id(card)) == {1}
    clock.advance(1500)
    charged_until(1400)
    look(enforcer)
    (session,) = shop.sessions(card)
    assert session["due_at"] is not None
    clock.advance(1500)
    charged_until(0)
    look(enforcer)
    (session,) = shop.sessions(card)
    assert (session["due_at"], session["close_cause"]) == (None, "stale")


def test_the_slowest_of_several_chargers_counts(engine, shop, clock, charged_until):
    (card,) = shop.sell(1, credit_seconds=36_000)
    log_in(engine, card)
    clock.advance(120)
    charged_until(0, "radius1:/var/spool/prepaid-cards")
    charged_until(115, "radius2:/var/spool/prepaid-cards")
    assert log_in(engine, card, LAPTOP).reason == "too_many_sessions"


def test_a_packet_that_waited_in_the_queue_makes_nobody_heard_of_now(engine, shop, clock):
    """Its session was heard of when it was sent: charged half an hour later, it holds no place for half an hour more."""
    (card,) = shop.sell(1, credit_seconds=36_000)
    classes = class_of(log_in(engine, card))
    start, came_at = report(card, "Start", None, classes), clock.now
    clock.advance(1800)
    in_queue(engine, clock, start, came_at)
    assert log_in(engine, card, LAPTOP).is_accepted
