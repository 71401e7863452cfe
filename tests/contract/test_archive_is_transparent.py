"""Wherever a session's row lies, among the live ones or in the archive, a packet of it means the same."""

import json

import pytest

from tests.engine_callers import LAPTOP, class_of, log_in, nas_restart, report

DAY_SECONDS = 86_400


def in_queue(engine, clock, packet, waited_seconds):
    """Charge a packet that came so long ago and waited in the queue since."""
    packet = [*packet, ("Tmp-String-1", f"{int(clock.now - waited_seconds)}.0")]
    assert engine.charges.queued([(packet, float(waited_seconds))]) == [None]


def overview(database, shop, card) -> list[dict]:
    """The card's sessions as people ask for them."""
    return database.query(
        "SELECT * FROM session_overview WHERE card_id = %s AND login_number > 0 ORDER BY login_number", [shop.id(card)]
    )


def archive_all(office, clock):
    """As the office does each night, until all that has ended is archived."""
    for _ in range(3):
        clock.advance(DAY_SECONDS)
        office.must("db", "archive")


# --- Charged once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["Accounting-On", "Accounting-Off"])
def test_a_session_that_a_restart_ended_at_an_old_report_is_charged_once_though_it_is_archived_at_once(
    engine, shop, clock, office, ends
):
    """The report had waited in the queue for three days, so the session's end lies three days back."""
    (card,) = shop.sell(1, credit_seconds=36_000)
    classes = class_of(log_in(engine, card))
    interim = report(card, "Interim-Update", 3000, classes)
    clock.advance(3000 + 3 * DAY_SECONDS)
    in_queue(engine, clock, interim, 3 * DAY_SECONDS)
    engine.account(nas_restart(ends))
    office.must("db", "archive")
    in_queue(engine, clock, interim, 3 * DAY_SECONDS)
    assert shop.used(card)[0] == 3000


@pytest.mark.parametrize("knows", [True, False], ids=["same server", "another server"])
@pytest.mark.parametrize("has_class", [True, False], ids=["class", "no class"])
def test_a_login_that_was_archived_before_it_began_is_charged_once(
    engine, new_engine, shop, clock, office, database, has_class, knows
):
    """Its Stop waited in the queue while another login took its place and the night's archive ran; then it comes twice."""
    (card,) = shop.sell(1, credit_seconds=36_000)
    classes = class_of(log_in(engine, card))
    clock.advance(610)
    stop = report(card, "Stop", 600, classes if has_class else (), session_id="first")
    clock.advance(90)
    other = class_of(log_in(engine, card, LAPTOP))
    engine.account(report(card, "Stop", 10, other, session_id="other", device=LAPTOP))
    archive_all(office, clock)
    waited_seconds = 3 * DAY_SECONDS + 90
    for _ in range(2):
        in_queue(engine, clock, stop, waited_seconds)
        if not knows:
            engine = new_engine()
        assert shop.used(card)[0] == 610
        archive_all(office, clock)
        waited_seconds += 3 * DAY_SECONDS
    rows = overview(database, shop, card)
    assert [(row["login_number"], row["acct_session_id"], row["used_seconds"]) for row in rows] == [
        (1, "first", 600),
        (2, "other", 10),
    ]
    assert rows[0]["login_at"] is not None


# --- It goes on ---------------------------------------------------------------------------------------------


@pytest.fixture
def going_on(engine, shop, clock, office):
    """A card whose first session was taken for ended, with all that was used by then archived; and its Class.

    Its NAS was cut off for three days and comes back. The customer has been online all the time.
    """
    (card,) = shop.sell(1, credit_seconds=20 * DAY_SECONDS, max_sessions=2)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, classes))
    clock.advance(300)
    engine.account(report(card, "Interim-Update", 300, classes))
    clock.advance(1000)
    # Takes its place, because it is silent.
    other = class_of(log_in(engine, card, LAPTOP))
    engine.account(report(card, "Stop", 10, other, session_id="other", device=LAPTOP))
    archive_all(office, clock)
    assert shop.sessions(card) == []
    return card, classes


BACK_AFTER_SECONDS = 1300 + 3 * DAY_SECONDS


@pytest.mark.parametrize("knows", [True, False], ids=["same server", "another server"])
def test_an_archived_session_that_goes_on_is_open_again(
    engine, new_engine, shop, clock, enforcer, office, database, going_on, knows
):
    card, classes = going_on
    engine = engine if knows else new_engine()
    engine.account(report(card, "Interim-Update", BACK_AFTER_SECONDS, classes))
    assert shop.used(card)[0] == BACK_AFTER_SECONDS + 10
    (session,) = shop.sessions(card)
    assert session["due_at"] is not None
    assert session["granted_seconds"] == 10 * DAY_SECONDS
    rows = overview(database, shop, card)
    assert [(row["login_number"], row["is_open"]) for row in rows] == [(1, 1), (2, 0)]
    assert [row["serial"] for row in office.json("sessions")] == [card.serial]


def test_an_archived_session_that_goes_on_counts_for_the_next_login(engine, shop, going_on):
    """It holds one of the two places, and what is left of its grant."""
    card, classes = going_on
    engine.account(report(card, "Interim-Update", BACK_AFTER_SECONDS, classes))
    laptop = log_in(engine, card, LAPTOP)
    assert laptop.is_accepted
    granted = shop.sessions(card)[-1]["granted_seconds"]
    # 20 days less what is used, less what the first may still use of its ten days.
    assert granted == 20 * DAY_SECONDS - (BACK_AFTER_SECONDS + 10) - (10 * DAY_SECONDS - BACK_AFTER_SECONDS)
    engine.account(report(card, "Start", None, class_of(laptop), session_id="second", device=LAPTOP))
    assert log_in(engine, card, "02-00-00-00-00-03").reason == "too_many_sessions"


def test_an_archived_session_that_goes_on_is_limited_and_disconnected(engine, shop, clock, enforcer, going_on):
    card, classes = going_on
    card_id = shop.id(card)
    engine.account(report(card, "Interim-Update", BACK_AFTER_SECONDS, classes))
    # `prepaid enforce` decides until when it may go on.
    enforcer.look()
    enforcer.look()
    (session,) = shop.sessions(card)
    assert session["due_at"] is not None and session["due_cause"] in ("time", "longest")
    assert enforcer.exchange.disconnected(card_id) == set()
    # It uses more than it was granted.
    clock.advance(7 * DAY_SECONDS)
    engine.account(report(card, "Interim-Update", BACK_AFTER_SECONDS + 7 * DAY_SECONDS, classes))
    enforcer.look()
    enforcer.look()
    assert enforcer.exchange.disconnected(card_id) == {1}


def test_an_archived_session_that_goes_on_and_whose_card_is_blocked_is_disconnected(
    engine, shop, enforcer, office, going_on
):
    card, classes = going_on
    engine.account(report(card, "Interim-Update", BACK_AFTER_SECONDS, classes))
    shop.set_status(card, "blocked")
    enforcer.look()
    enforcer.look()
    assert enforcer.exchange.disconnected(shop.id(card)) == {1}


def test_an_archived_session_that_comes_back_and_ends_is_archived_again_with_all_that_it_used(
    engine, shop, clock, office, database, going_on
):
    card, classes = going_on
    engine.account(report(card, "Interim-Update", BACK_AFTER_SECONDS, classes))
    clock.advance(300)
    engine.account(report(card, "Stop", BACK_AFTER_SECONDS + 300, classes))
    archive_all(office, clock)
    assert shop.sessions(card) == []
    assert shop.used(card)[0] == BACK_AFTER_SECONDS + 310
    first, _ = overview(database, shop, card)
    assert (first["used_seconds"], first["end_cause"], first["is_open"]) == (BACK_AFTER_SECONDS + 300, "unknown", 0)
    # The cards of this test came to their partner without a note, and its clock is before the accounts got their roles.
    faults = json.loads(office.run("reconcile", "--json").stdout)["faults"]
    assert [fault for fault in faults if fault["check"] not in ("custody", "history")] == []


@pytest.mark.parametrize("kind", ["Interim-Update", "Stop"])
def test_track_and_reports_count_a_session_that_came_back_once(engine, shop, clock, office, database, going_on, kind):
    card, classes = going_on
    engine.account(report(card, kind, BACK_AFTER_SECONDS, classes))
    tracked = [row for row in office.json("track", card.serial) if row["what"] == "session"]
    assert [row["seconds"] for row in tracked] == [BACK_AFTER_SECONDS, 10]
    usage = office.json("report", "usage", "--from", "2020-01-01", "--by", "product")
    assert sum(row["used_seconds"] for row in usage) == BACK_AFTER_SECONDS + 10
    assert sum(row["sessions"] for row in usage) == 2


def test_a_repeated_packet_of_an_archived_session_does_not_open_it(engine, shop, clock, going_on):
    """The last report that was charged, sent again by a NAS that did not see the answer."""
    card, classes = going_on
    engine.account(report(card, "Interim-Update", 300, classes, delay=BACK_AFTER_SECONDS - 300))
    assert [session for session in shop.sessions(card) if session["due_at"] is not None] == []
    assert shop.used(card)[0] == 310


# --- What a packet says of the past, before and after ------------------------------------------------------------


@pytest.mark.parametrize("is_archived", [False, True], ids=["live", "archived"])
@pytest.mark.parametrize("end", ["Stop", "stale", "Accounting-On", "superseded"])
@pytest.mark.parametrize("kind", ["Start", "Interim-Update", "Stop"])
@pytest.mark.parametrize("when", ["sent before its end", "sent after its end"])
def test_a_late_packet_has_the_same_effect_on_a_row_wherever_it_lies(
    engine, shop, clock, office, is_archived, end, kind, when
):
    """How much is charged and whether the session is open: 300 seconds were charged before it ended."""
    (card,) = shop.sell(1, credit_seconds=20 * DAY_SECONDS, max_sessions=3)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, classes))
    clock.advance(300)
    engine.account(report(card, "Interim-Update", 300, classes))
    clock.advance(1000 if end == "stale" else 900)
    match end:
        case "Stop":
            engine.account(report(card, "Stop", 300, classes))
        case "stale":
            other = class_of(log_in(engine, card, LAPTOP))
            engine.account(report(card, "Stop", 0, other, session_id="other", device=LAPTOP))
        case "Accounting-On":
            engine.account(nas_restart())
        case "superseded":
            other = class_of(log_in(engine, card))
            engine.account(report(card, "Stop", 0, other, session_id="other"))
    ended = clock.now
    if is_archived:
        archive_all(office, clock)
        assert shop.sessions(card) == []
    else:
        clock.advance(3 * DAY_SECONDS)
    sent = ended - 300 if when == "sent before its end" else ended + 300
    seconds = None if kind == "Start" else 800 if when == "sent before its end" else 1400
    engine.account(report(card, kind, seconds, classes, delay=int(clock.now - sent)))
    assert shop.used(card)[0] == max(seconds or 0, 300)
    is_open = any(session["due_at"] is not None for session in shop.sessions(card))
    # Of one that was only silent, any packet shows that it was on after it was last heard of.
    may_go_on = end == "stale" or (end != "Stop" and when == "sent after its end")
    assert is_open == (may_go_on and kind == "Interim-Update")


# --- Several together -------------------------------------------------------------------------------------------


def test_late_packets_of_several_cards_sessions_are_charged_together(engine, shop, clock, office):
    """Each names a login by its Class, of another number; their cards have archived sessions with the other's number, too."""
    first, second = shop.sell(2, credit_seconds=20 * DAY_SECONDS, max_sessions=2)
    classes = {}
    for card in (first, second):
        for number in (1, 2):
            classes[card, number] = class_of(log_in(engine, card))
            engine.account(report(card, "Stop", 10, classes[card, number], session_id=f"id {card.serial} {number}"))
            clock.advance(100)
    archive_all(office, clock)
    packets = [
        report(card, "Stop", 20, classes[card, number], session_id=f"id {card.serial} {number}")
        for card, number in ((first, 1), (second, 2))
    ]
    assert engine.charges.queued([(packet, 10.0) for packet in packets]) == [None, None]
    assert (shop.used(first)[0], shop.used(second)[0]) == (30, 30)


def test_a_class_of_an_archived_session_under_another_identifier_is_charged(engine, shop, clock, office):
    """A NAS that sends an old login's Class with a new session."""
    (card,) = shop.sell(1, credit_seconds=20 * DAY_SECONDS, max_sessions=2)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Stop", 10, classes, session_id="old"))
    archive_all(office, clock)
    engine.account(report(card, "Stop", 20, classes, session_id="new"))
    assert shop.used(card)[0] == 30
