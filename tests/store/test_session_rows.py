"""What the statement of accounting writes into a session's row beside its counters, and which limits it sees."""

from datetime import UTC, timedelta

import pytest

from freeradius_module import attributes, store
from freeradius_module.store.accounting import Charge
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


def test_a_session_began_at_the_earliest_start_that_was_reported(shop, engine):
    """A Start that was delayed comes after an interim, and is of an earlier moment than the interim's own calculation."""
    (card,) = shop.sell(1)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Interim-Update", 60, classes))
    (before,) = shop.sessions(card)
    engine.account(report(card, "Start", 0, classes, delay=120))
    (after,) = shop.sessions(card)
    assert timedelta(seconds=50) < before["started_at"] - after["started_at"] < timedelta(seconds=70)
    engine.account(report(card, "Interim-Update", 61, classes))
    (last,) = shop.sessions(card)
    assert last["started_at"] == after["started_at"]


@pytest.mark.parametrize("octets", [1000, 1200])
def test_one_packet_may_reach_the_fair_share_and_the_limit(shop, engine, octets):
    (card,) = shop.sell(1, credit_octets=1000, fup_share_percent=80, fup_down_kbit=200)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Interim-Update", 10, classes, down=octets))
    assert shop.status(card) == "exhausted"


def test_only_a_packet_from_after_the_end_reopens_a_closed_session(shop, engine, database, cursor):
    """One of the very moment of the end is older than it, or as old; both used more than before."""
    (card,) = shop.sell(1)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Interim-Update", 10, classes))
    (session,) = shop.sessions(card)
    key = session["card_id"], session["login_number"]
    ended_at = session["heard_at"].replace(microsecond=0)
    database.execute(
        "UPDATE session SET closed_at = %s, close_cause = 'stale', due_at = NULL WHERE card_id = %s",
        [ended_at, session["card_id"]],
    )
    for later_seconds, octets, is_open in ((0, 5, False), (1, 6, True)):
        cursor.execute("SET timestamp = %s", [ended_at.replace(tzinfo=UTC).timestamp() + later_seconds])
        packet = report(card, "Interim-Update", 10, classes, down=octets)
        asked = attributes.report(packet, session["nas_id"], b"", queued_seconds=0.0)
        (charged,) = store.accounting.charge(cursor, [Charge(*key, asked._replace(age_seconds=0.0))])
        assert (charged.used_down_octets, bool(charged.is_open)) == (octets, is_open)
