"""What the statement of accounting writes into a session's row beside its counters."""

from tests.engine_callers import LAPTOP, PHONE, class_of, log_in, report


def test_a_session_keeps_the_device_of_its_login(shop, engine):
    """A NAS that names another device later does not change what a return of the first one finds."""
    (card,) = shop.sell(1)
    classes = class_of(log_in(engine, card, PHONE))
    engine.account(report(card, "Start", 0, classes, device=PHONE))
    engine.account(report(card, "Interim-Update", 9, classes, device=LAPTOP, later_seconds=9))
    (session,) = shop.sessions(card)
    assert session["device"] == PHONE


def test_a_session_without_a_device_gets_the_one_that_accounting_names(shop, engine):
    (card,) = shop.sell(1)
    classes = class_of(log_in(engine, card, ""))
    engine.account(report(card, "Start", 0, classes, device=PHONE))
    (session,) = shop.sessions(card)
    assert session["device"] == PHONE
