"""What a packet changes in its session's row, and what the card is looked at for."""

import pytest

from freeradius_module import attributes, store
from tests.engine_callers import LAPTOP, PHONE, class_of, log_in, report

NAS_ID = 1
# Moments, as MariaDB takes them for its own time.
NOW = 1_900_000_000.5


def charge(cursor, shop, card, kind, seconds, **options):
    """The row after one statement that charges this packet of the card's first session, at this moment."""
    one = attributes.report(report(card, kind, seconds, **options), NAS_ID, b"")._replace(age_seconds=0.0)
    (row,) = store.accounting.charge(cursor, [store.accounting.Charge(shop.id(card), 1, one)])
    return row


@pytest.mark.parametrize("kind", ["Interim-Update", "Stop"])
def test_a_session_began_at_the_earliest_start_that_was_reported(shop, engine, new_engine, kind):
    """As a server that remembers the session writes it, and as another one does."""
    for other in (lambda: engine, new_engine):
        (card,) = shop.sell(1, credit_seconds=3600)
        classes = class_of(log_in(engine, card))
        for seconds in (100, 101):
            engine.account(report(card, "Interim-Update", seconds, classes))
        (before,) = shop.sessions(card)
        # An earlier start, and a later one, as of a packet whose delay its NAS does not tell.
        other().account(report(card, "Interim-Update", 300, classes))
        (earlier,) = shop.sessions(card)
        assert 150 < (before["started_at"] - earlier["started_at"]).total_seconds() < 201
        other().account(report(card, kind, 250, classes))
        (after,) = shop.sessions(card)
        assert after["started_at"] == earlier["started_at"]


@pytest.mark.parametrize(("sooner_ms", "goes_on"), [(1, True), (0, False), (-1, False)])
def test_a_packet_of_the_millisecond_of_a_sessions_end_was_sent_before_it(
    shop, engine, database, cursor, sooner_ms, goes_on
):
    """So its use is charged, and the session stays ended: `prepaid enforce` is not to disconnect whoever is on now."""
    (card,) = shop.sell(1, credit_seconds=3600)
    engine.account(report(card, "Interim-Update", 60))
    database.execute(
        "UPDATE session SET closed_at = FROM_UNIXTIME(%s) - INTERVAL %s MICROSECOND, close_cause = 'superseded', due_at = NULL"
        " WHERE card_id = %s",
        [NOW, sooner_ms * 1000, shop.id(card)],
    )
    cursor.execute("SET timestamp = %s", [NOW])
    row = charge(cursor, shop, card, "Interim-Update", 90)
    assert (row.used_seconds, bool(row.is_open)) == (90, goes_on)


@pytest.mark.parametrize("more", [{"seconds": 61}, {"down": 1001}, {"up": 501}])
def test_an_ended_session_goes_on_whatever_it_used_more(shop, engine, database, more):
    """Nobody who uses the card stays unseen, though only one counter has risen."""
    (card,) = shop.sell(1, credit_seconds=3600)
    first = {"seconds": 60, "down": 1000, "up": 500}
    engine.account(report(card, "Interim-Update", **first))
    database.execute(
        "UPDATE session SET closed_at = UTC_TIMESTAMP(3) - INTERVAL 5 SECOND, close_cause = 'stale', due_at = NULL"
        " WHERE card_id = %s",
        [shop.id(card)],
    )
    engine.account(report(card, "Interim-Update", **first))
    assert [row["due_at"] for row in shop.sessions(card)] == [None]
    engine.account(report(card, "Interim-Update", **(first | more)))
    ((due_at, cause),) = [(row["due_at"], row["due_cause"]) for row in shop.sessions(card)]
    assert (due_at is not None, cause) == (True, "revived")


def test_one_packet_may_use_up_the_credit_and_the_fair_use_share(shop, engine):
    """It exhausts the card, as it would without a share."""
    (card,) = shop.sell(1, credit_octets=1000, fup_share_percent=80, fup_down_kbit=200)
    engine.account(report(card, "Interim-Update", 60, class_of(log_in(engine, card)), down=900, up=100))
    assert shop.status(card) == "exhausted"
    assert {row["due_cause"] for row in shop.sessions(card)} == {"exhausted"}


@pytest.mark.parametrize(
    ("product", "octets", "reached"),
    [
        ({"credit_octets": 1000}, 499, 0),
        ({"credit_octets": 1000}, 1000, store.accounting.REACHED_LIMIT),
        ({"credit_octets": 1000, "fup_share_percent": 80, "fup_down_kbit": 200}, 799, 0),
        ({"credit_octets": 1000, "fup_share_percent": 80, "fup_down_kbit": 200}, 800, store.accounting.REACHED_FUP),
    ],
)
def test_a_card_is_looked_at_only_after_a_packet_that_reached_something(shop, engine, cursor, product, octets, reached):
    """An ordinary packet costs one statement."""
    (card,) = shop.sell(1, **product)
    log_in(engine, card)
    assert charge(cursor, shop, card, "Interim-Update", 60, down=octets, up=0).reached == reached


def test_a_session_whose_row_is_lost_is_charged_by_its_class(shop, engine, database):
    """The database was restored from before the login."""
    (card,) = shop.sell(1, credit_seconds=3600)
    classes = class_of(log_in(engine, card))
    database.execute("DELETE FROM session WHERE card_id = %s", [shop.id(card)])
    assert engine.account(report(card, "Interim-Update", 60, classes)) is None
    assert shop.used(card)[0] == 60


def test_two_packets_of_one_session_in_one_group_need_not_be_alike(shop, engine):
    """With and without Class, with and without a counter: both are charged."""
    (card,) = shop.sell(1, credit_seconds=3600)
    classes = class_of(log_in(engine, card))
    packets = [
        report(card, "Interim-Update", 60, classes, down=500, up=5),
        report(card, "Interim-Update", 50, (), down=None, up=7),
        report(card, "Interim-Update", None, (), down=600, up=None),
    ]
    assert engine.charges.queued([(packet, 0.0) for packet in packets]) == [None] * 3
    assert shop.used(card) == (60, 600, 7)


@pytest.mark.parametrize("kinds", [("Start", "Interim-Update"), ("Interim-Update", "Interim-Update"), ("Stop", "Stop")])
def test_a_packet_without_counters_uses_nothing(shop, engine, kinds):
    (card,) = shop.sell(1, credit_seconds=3600)
    classes = class_of(log_in(engine, card))
    for kind in kinds:
        engine.account(report(card, kind, None, classes))
    assert shop.used(card) == (0, 0, 0)


def test_an_interim_that_comes_late_tells_when_it_was_sent(shop, engine):
    """Only its counters are new, so that it is written by the short statement."""
    (card,) = shop.sell(1, credit_seconds=3600)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Interim-Update", 60, classes, delay=300, down=10, up=20))
    (before,) = shop.sessions(card)
    engine.account(report(card, "Interim-Update", 200, classes, delay=100, down=7, up=30))
    (after,) = shop.sessions(card)
    assert 195 < (after["heard_at"] - before["heard_at"]).total_seconds() < 260
    engine.account(report(card, "Interim-Update", 190, classes, delay=200, down=8, up=25))
    ((heard_at, *used),) = [
        (row["heard_at"], row["used_seconds"], row["used_down_octets"], row["used_up_octets"])
        for row in shop.sessions(card)
    ]
    assert (heard_at, used) == (after["heard_at"], [200, 10, 30])


# --- A NAS whose counters wrap ---------------------------------------------------------------------------


def wrapping(card, seconds, down, up, nas, **options):
    """A packet without Gigawords."""
    packet = report(card, "Interim-Update", seconds, down=down, up=up, nas=nas, **options)
    return [pair for pair in packet if "Gigawords" not in pair[0]]


def test_the_counters_of_each_session_are_followed_by_themselves(shop, engine):
    """Two sessions of a card, and one of another card that has the same number and identifier."""
    nas = shop.nas(counter_rule="wraps")
    card, other = shop.sell(2, credit_seconds=36_000, max_sessions=2)
    full = 2**32 - 100
    for one, device, session_id, octets in (
        (other, PHONE, "one", 5), (card, PHONE, "one", full), (card, LAPTOP, "two", 70)
    ):  # fmt: skip
        log_in(engine, one, device, nas=nas)
        assert engine.account(wrapping(one, 60, octets, octets, nas, session_id=session_id, device=device)) is None
    assert engine.account(wrapping(card, 120, 50, full + 1, nas, session_id="one")) is None
    assert engine.account(wrapping(card, 120, 80, 90, nas, session_id="two", device=LAPTOP)) is None
    assert engine.account(wrapping(other, 120, 6, 7, nas, session_id="one")) is None
    used = [[(row["used_down_octets"], row["used_up_octets"]) for row in shop.sessions(one)] for one in (card, other)]
    assert used == [[(2**32 + 50, full + 1), (80, 90)], [(6, 7)]]
    raw = [[(row["raw_down_octets"], row["raw_up_octets"]) for row in shop.sessions(one)] for one in (card, other)]
    assert raw == [[(50, full + 1), (80, 90)], [(6, 7)]]
