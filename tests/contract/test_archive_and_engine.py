"""An archived session and a packet of it that comes after all: whatever the packet says, its usage is counted once."""

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from freeradius_module import store
from freeradius_module.engine import accounting
from freeradius_module.engine.engine import Engine
from tests.engine_callers import class_of, log_in, report

DAYS_AGO = 3
DAY_SECONDS = 86_400


@pytest.fixture
def archived(office, engine, shop, database):
    """A card, the Class of its only session, and how long ago that session's packets came: 100 seconds, archived."""
    (card,) = shop.sell(1, credit_seconds=10_000)
    classes = class_of(log_in(engine, card))
    for kind, seconds in ("Start", None), ("Interim-Update", 50), ("Stop", 100):
        engine.account(report(card, kind, seconds, classes))
    shift_into_the_past(database)
    assert office.json("db", "archive")["archived"] == 1
    return card, classes


# A Class, and what a server remembers, is as old as its login: then the packet comes later, too.
HOW_IT_COMES = {
    "as it was": {},
    "with its delay": {"delay": DAYS_AGO * DAY_SECONDS},
    "later": {"later_seconds": DAYS_AGO * DAY_SECONDS},
    "later, with its delay": {"delay": DAYS_AGO * DAY_SECONDS, "later_seconds": DAYS_AGO * DAY_SECONDS},
}


@pytest.mark.parametrize(
    ("how", "is_named", "is_restarted"),
    [
        (how, is_named, is_restarted)
        for how in HOW_IT_COMES
        for is_named in (False, True)
        for is_restarted in (False, True)
        if how.startswith("later") or (is_restarted and not is_named)
    ],
)
@pytest.mark.parametrize("kind", ["Start", "Interim-Update", "Stop"])
def test_a_repeated_packet_of_an_archived_session_adds_nothing(
    archived, engine, module_settings, shop, kind, how, is_named, is_restarted
):
    """As it was; with the delay that it had; at a later time; with Class and without; by a server that knows the session."""
    card, classes = archived
    if is_restarted:
        engine = Engine(module_settings)
    seconds = {"Start": None, "Interim-Update": 50, "Stop": 100}[kind]
    engine.account(report(card, kind, seconds, classes if is_named else (), **HOW_IT_COMES[how]))
    assert shop.used(card)[0] == 100


@pytest.mark.parametrize("is_named", [False, True])
def test_what_a_late_packet_adds_is_counted(archived, engine, shop, is_named):
    card, classes = archived
    engine.account(
        report(
            card,
            "Stop",
            130,
            classes if is_named else (),
            delay=DAYS_AGO * DAY_SECONDS,
            later_seconds=DAYS_AGO * DAY_SECONDS,
        )
    )
    assert shop.used(card)[0] == 130


def test_an_archived_session_under_an_outer_identity_is_counted_once(archived, engine, shop):
    card, classes = archived
    engine.account(
        report(
            replace(card, serial="anonymous"),
            "Stop",
            100,
            classes,
            delay=DAYS_AGO * DAY_SECONDS,
            later_seconds=DAYS_AGO * DAY_SECONDS,
        )
    )
    assert shop.used(card)[0] == 100


def test_a_nas_that_claims_an_event_of_long_ago_archives_no_session_of_today(office, engine, shop, database):
    """Its Class says that the login was today, so its packets are not looked for in the archive."""
    (card,) = shop.sell(1, credit_seconds=10_000)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Stop", 100, classes, delay=DAYS_AGO * DAY_SECONDS))
    office.must("db", "archive")
    engine.account(report(card, "Stop", 100, classes, later_seconds=200))
    assert shop.used(card)[0] == 100


@pytest.mark.parametrize("reports_before", [1, 2])
def test_a_session_of_several_days_is_looked_for_once_and_not_for_each_report(
    engine, shop, monkeypatch, reports_before
):
    (card,) = shop.sell(1, credit_seconds=10_000)
    classes = class_of(log_in(engine, card))
    for seconds in (50, 100)[:reports_before]:
        engine.account(report(card, "Interim-Update", seconds, classes, later_seconds=DAYS_AGO * DAY_SECONDS))
    monkeypatch.setattr(store.accounting, "find_candidates", None)
    engine.account(report(card, "Interim-Update", 150, classes, later_seconds=DAYS_AGO * DAY_SECONDS))
    assert shop.used(card)[0] == 150


def test_a_session_that_was_open_when_it_was_charged_last_may_be_archived_since(
    office, engine, module_settings, shop, database, monkeypatch
):
    """It ended at another server, and days have passed."""
    (card,) = shop.sell(1, credit_seconds=10_000)
    classes = class_of(log_in(engine, card))
    for seconds in (50, 60):
        engine.account(report(card, "Interim-Update", seconds, classes))
    Engine(module_settings).account(report(card, "Stop", 100, classes))
    shift_into_the_past(database)
    assert office.json("db", "archive")["archived"] == 1
    now = time.monotonic()
    monkeypatch.setattr(accounting, "time", SimpleNamespace(monotonic=lambda: now + DAYS_AGO * DAY_SECONDS))
    engine.account(report(card, "Interim-Update", 60, classes, later_seconds=DAYS_AGO * DAY_SECONDS))
    assert shop.used(card)[0] == 100


@pytest.mark.parametrize("days", ["0", "1"])
def test_sessions_are_not_archived_younger_than_the_module_looks_for_them(office, days):
    refused = office.run("db", "archive", "--older-than", days)
    assert refused.exit_status == 2
    assert "x>=2" in refused.stderr


def shift_into_the_past(database):
    database.execute(
        f"UPDATE session SET login_at = login_at - INTERVAL {DAYS_AGO} DAY, started_at = started_at - INTERVAL {DAYS_AGO} DAY,"
        f" heard_at = heard_at - INTERVAL {DAYS_AGO} DAY, stopped_at = stopped_at - INTERVAL {DAYS_AGO} DAY,"
        f" end_recorded_at = end_recorded_at - INTERVAL {DAYS_AGO} DAY"
    )
