"""What a card has used is the sum of its sessions, and a session's row has the values of its newest packet."""

import pytest

from freeradius_module import store
from tests.engine_callers import LAPTOP, PHONE, class_of, log_in, report, session_timeout


def used(cursor, card) -> tuple:
    return tuple(store.logins.read_cards(cursor, [card.serial])[card.serial].used)


@pytest.fixture
def card_with_two_sessions(shop, engine):
    """Both ended, of 60 and 40 seconds, 1,000 and 300 octets down, 500 and 70 octets up."""
    (card,) = shop.sell(1, credit_seconds=3600)
    for number, (seconds, down, up) in enumerate(((60, 1000, 500), (40, 300, 70))):
        answer = log_in(engine, card)
        engine.account(report(card, "Start", classes=class_of(answer), session_id=f"80{number}"))
        engine.account(report(card, "Stop", seconds, class_of(answer), down=down, up=up, session_id=f"80{number}"))
    return card


def test_unposted_use_is_the_sum_of_all_sessions(shop, cursor, card_with_two_sessions):
    assert used(cursor, card_with_two_sessions) == (100, 1300, 570)


def test_what_is_posted_is_the_sum_of_all_sessions(shop, cursor, card_with_two_sessions):
    store.posting.post(cursor, [shop.id(card_with_two_sessions)])
    row = shop.card(card_with_two_sessions)
    assert (row["posted_seconds"], row["posted_down_octets"], row["posted_up_octets"]) == (100, 1300, 570)
    assert used(cursor, card_with_two_sessions) == (100, 1300, 570)


@pytest.mark.parametrize(
    ("column", "expected"),
    [("used_seconds", (105, 1300, 570)), ("used_down_octets", (100, 1305, 570)), ("used_up_octets", (100, 1300, 575))],
)
def test_what_an_old_posted_session_used_since_is_seen_whatever_it_is(
    shop, cursor, database, card_with_two_sessions, column, expected
):
    card_id = shop.id(card_with_two_sessions)
    store.posting.post(cursor, [card_id])
    database.execute(f"UPDATE session SET {column} = {column} + 5 WHERE card_id = %s AND login_number = 1", [card_id])
    assert used(cursor, card_with_two_sessions) == expected


def test_an_open_session_is_seen_although_all_of_it_is_posted(shop, engine, cursor):
    (card,) = shop.sell(1, credit_seconds=3600, max_sessions=2)
    first = log_in(engine, card, PHONE)
    engine.account(report(card, "Start", classes=class_of(first), device=PHONE))
    second = log_in(engine, card, LAPTOP)
    engine.account(report(card, "Stop", 60, class_of(second), session_id="8002", device=LAPTOP))
    store.posting.post(cursor, [shop.id(card)])
    found = store.logins.read_cards(cursor, [card.serial])[card.serial]
    assert [session.login_number for session in found.sessions] == [1]
    # So the next login gets half of what is left, and not all of it.
    assert session_timeout(log_in(engine, card, LAPTOP)) < 3600 - 60


@pytest.mark.parametrize("kind", ["Interim-Update", "Stop"])
def test_the_newest_packet_tells_when_a_session_was_heard_of(shop, engine, kind):
    (card,) = shop.sell(1, credit_seconds=3600)
    answer = log_in(engine, card)
    engine.account(report(card, "Start", classes=class_of(answer), delay=300))
    started_at = shop.sessions(card)[0]["heard_at"]
    engine.account(report(card, kind, 200, class_of(answer), delay=10))
    heard_at = shop.sessions(card)[0]["heard_at"]
    assert 200 < (heard_at - started_at).total_seconds() < 300
    for late in ("Interim-Update", kind):
        engine.account(report(card, late, 100, class_of(answer), delay=200))
        assert shop.sessions(card)[0]["heard_at"] == heard_at


@pytest.mark.parametrize("kind", ["Start", "Interim-Update"])
def test_a_packet_does_not_change_why_an_open_session_is_to_end(shop, engine, kind):
    (card,) = shop.sell(1, credit_seconds=600)
    answer = log_in(engine, card)
    engine.account(report(card, kind, 0, class_of(answer)))
    engine.account(report(card, "Interim-Update", 60, class_of(answer)))
    assert shop.sessions(card)[0]["due_cause"] == "time"


def test_an_ended_session_is_not_revived_by_the_packets_that_ended_it(shop, engine):
    (card,) = shop.sell(1, credit_seconds=600)
    answer = log_in(engine, card)
    engine.account(report(card, "Stop", 60, class_of(answer)))
    engine.account(report(card, "Stop", 60, class_of(answer)))
    (row,) = shop.sessions(card)
    assert (row["due_at"], row["due_cause"]) == (None, "time")
