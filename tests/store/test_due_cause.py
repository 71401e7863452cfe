"""Why a session is due, and what its later packets change."""

import pytest

from tests.engine_callers import LAPTOP, PHONE, class_of, log_in, report


def test_an_open_session_keeps_its_limit(shop, engine):
    """It is not taken for one that came back after its end, whatever its packets say."""
    (card,) = shop.sell(credit_seconds=600)
    classes = class_of(log_in(engine, card))
    for kind, seconds in (("Start", None), ("Interim-Update", 60), ("Interim-Update", 120)):
        engine.account(report(card, kind, seconds, classes, later_seconds=seconds))
        (session,) = shop.sessions(card)
        assert (session["due_cause"], session["due_at"] is not None) == ("time", True)


def test_a_session_is_due_a_quarter_of_a_minute_after_its_timeout(shop, engine):
    (card,) = shop.sell(credit_seconds=600)
    log_in(engine, card)
    (session,) = shop.sessions(card)
    assert (session["due_at"] - session["login_at"]).total_seconds() == 615


def test_a_closed_session_that_goes_on_is_due_at_once(shop, engine, database):
    (card,) = shop.sell(credit_seconds=600)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Interim-Update", 60, classes))
    database.execute(
        "UPDATE session SET closed_at = UTC_TIMESTAMP(3) - INTERVAL 5 SECOND, close_cause = 'stale', due_at = NULL"
    )
    engine.account(report(card, "Interim-Update", 120, classes, later_seconds=60))
    (session,) = shop.sessions(card)
    assert (session["closed_at"], session["close_cause"], session["due_cause"]) == (None, None, "revived")
    assert session["due_at"] is not None


def test_a_session_keeps_the_device_of_its_login(shop, engine):
    (card,) = shop.sell(credit_seconds=600)
    classes = class_of(log_in(engine, card, PHONE))
    engine.account(report(card, "Interim-Update", 60, classes, device=LAPTOP))
    assert [row["device"] for row in shop.sessions(card)] == [PHONE]


@pytest.mark.parametrize("packets", [((60, 60), (120, 0)), ((120, 0), (60, 60))])
def test_the_newest_packet_says_when_a_session_was_heard(shop, engine, packets):
    (card,) = shop.sell(credit_seconds=600)
    classes = class_of(log_in(engine, card))
    for seconds, delay in packets:
        engine.account(report(card, "Interim-Update", seconds, classes, delay=delay))
    (session,) = shop.sessions(card)
    assert abs((session["heard_at"] - session["login_at"]).total_seconds()) < 30


def test_what_two_sessions_have_not_posted_is_added(shop, engine):
    """Of two open sessions both usages count, not only the greater one."""
    (card,) = shop.sell(credit_seconds=600, max_sessions=3)
    for device, seconds in ((PHONE, 100), (LAPTOP, 150)):
        classes = class_of(log_in(engine, card, device))
        engine.account(
            report(
                card, "Interim-Update", seconds, classes, device=device, session_id=device, later_seconds=seconds,
                down=seconds, up=2 * seconds,
            )
        )  # fmt: skip
    assert shop.used(card) == (250, 250, 500)
    third = log_in(engine, card, "02-00-00-00-00-03")
    granted = sum(row["granted_seconds"] for row in shop.sessions(card))
    assert third.reply and granted <= 600
