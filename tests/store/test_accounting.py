"""What a packet changes in its session's row, and what the card is looked at for."""

import pytest

from freeradius_module import attributes, store
from freeradius_module.connection import RowLocked
from freeradius_module.engine.accounting import Packet
from freeradius_module.rules.identity import Claim
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


def test_a_nas_whose_counters_wrap_may_report_a_session_that_no_login_began(shop, engine):
    """Its first packet may be of no time and no octets, or of some octets in no time."""
    nas = shop.nas(counter_rule="wraps")
    for octets in (0, 5):
        (card,) = shop.sell(1)
        assert engine.account(wrapping(card, 0, octets, octets, nas)) is None
        assert shop.used(card) == (0, octets, octets)


@pytest.mark.parametrize("rule", ["wraps", "resets"])
@pytest.mark.parametrize(
    ("seconds", "down", "expected"),
    [
        (60, 900, 900),  # the same packet again
        (120, 900, 900),
        (60, 950, 950),  # the same second, and more
        (60, 50, 900),  # less in the same second: an older packet
        (50, 50, 900),
        (None, 50, 900),  # less at no time that is told
        (120, None, 900),
        (None, 950, 950),
    ],
)
def test_a_counter_that_did_not_fall_later_is_no_fall(shop, engine, rule, seconds, down, expected):
    nas = shop.nas(counter_rule=rule)
    (card,) = shop.sell(1, credit_octets=10**12)
    log_in(engine, card, nas=nas)
    engine.account(wrapping(card, 60, 900, 900, nas))
    engine.account(wrapping(card, seconds, down, 900, nas))
    assert shop.used(card)[1:] == (expected, 900)
    assert shop.anomalies(card) == []


def test_a_counter_that_falls_at_no_time_that_is_told_is_no_fall(shop, engine):
    """Nor where nothing was told of time before."""
    nas = shop.nas(counter_rule="wraps")
    (card,) = shop.sell(1, credit_octets=10**12)
    log_in(engine, card, nas=nas)
    engine.account(wrapping(card, None, 900, 900, nas))
    engine.account(wrapping(card, None, 50, 900, nas))
    assert shop.used(card) == (0, 900, 900)
    assert shop.anomalies(card) == []


def test_a_packet_of_before_a_reset_is_not_counted_again_after_it(shop, engine):
    nas = shop.nas(counter_rule="resets")
    (card,) = shop.sell(1, credit_octets=10**12)
    log_in(engine, card, nas=nas)
    engine.account(wrapping(card, 60, 1000, 10, nas))
    engine.account(wrapping(card, 120, 50, 20, nas))
    engine.account(wrapping(card, 50, 900, 9, nas))
    engine.account(wrapping(card, 130, 60, 30, nas))
    assert shop.used(card) == (130, 1060, 30)
    assert shop.anomalies(card) == ["resets"]


def test_a_session_that_is_archived_while_it_is_charged_is_not_made_again_beside_others(
    shop, engine, database, monkeypatch
):
    """The card has another session, and another card has one of the same number."""
    card, other = shop.sell(2, credit_seconds=10**6)
    for one, session_id in ((card, "8001"), (card, "8002"), (other, "8001")):
        engine.account(report(one, "Stop", 60, delay=3 * 86_400, session_id=session_id))
    find = store.accounting.find_archived

    def archived_meanwhile(cursor, reports):
        monkeypatch.setattr(store.accounting, "find_archived", find)
        found = find(cursor, reports)
        database.execute("DELETE FROM session WHERE card_id = %s AND login_number = 1", [shop.id(card)])
        return found

    monkeypatch.setattr(store.accounting, "find_archived", archived_meanwhile)
    (result,) = engine.charges.submit_all([Packet(report(card, "Stop", 60, delay=3 * 86_400))])
    assert isinstance(result, RowLocked)
    assert [row["login_number"] for row in shop.sessions(card)] == [2]


# --- Which sessions a packet may belong to ---------------------------------------------------------------


def packet(card, session_id="8001", **options):
    return attributes.report(report(card, "Interim-Update", 60, session_id=session_id, **options), NAS_ID, b"")


def test_the_candidates_are_the_cards_own_sessions_that_are_not_posted_or_have_the_identifier(shop, engine, cursor):
    card, other, deleted = shop.sell(3, credit_seconds=10_000, max_sessions=3)
    for one in (card, other):
        for number, kind in enumerate(("Stop", "Stop", "Interim-Update"), 1):
            device = f"02-00-00-00-00-0{number}"
            classes = class_of(log_in(engine, one, device))
            engine.account(report(one, kind, 60, classes, session_id=f"800{number}", device=device))
    shop.set_status(deleted, "created")
    shop.set_status(deleted, "deleted")
    reports = [packet(card), packet(deleted)]
    found = store.accounting.find_candidates(cursor, reports)
    assert list(found) == [card.serial]
    of_card = found[card.serial]
    assert (of_card.card_id, of_card.next_number) == (shop.id(card), 4)
    assert sorted((one.login_number, one.is_open, one.is_stopped) for one in of_card.sessions) == [
        (1, False, True), (2, False, True), (3, True, False)
    ]  # fmt: skip
    store.posting.post(cursor, [shop.id(card)])
    found = store.accounting.find_candidates(cursor, reports)
    assert [one.login_number for one in found[card.serial].sessions] == [1]
    assert found[card.serial].next_number == 4
    assert store.accounting.find_candidates(cursor, [packet(card, "other")])[card.serial].sessions == []


def archive(database, shop, card, *numbers, keeps_session=False):
    for number in numbers:
        key = [shop.id(card), number]
        names = store.accounting.ARCHIVED_COLUMNS
        database.execute(
            f"INSERT INTO session_archive ({names}, ended_at) SELECT {names}, heard_at FROM session"
            " WHERE card_id = %s AND login_number = %s",
            key,
        )
        if not keeps_session:
            database.execute("DELETE FROM session WHERE card_id = %s AND login_number = %s", key)


def test_the_archive_is_searched_by_card_and_identifier(shop, engine, cursor, database):
    card, other = shop.sell(2, credit_seconds=10_000)
    for one in (card, other):
        for number in (1, 2, 3):
            engine.account(report(one, "Stop", 60, session_id=f"800{number}", down=number, up=7))
    archive(database, shop, card, 1, 2)
    archive(database, shop, card, 3, keeps_session=True)
    archive(database, shop, other, 1, 2)
    card_id = shop.id(card)
    # Number 0 is no session: it is what the card's sessions used whose rows are gone.
    names = store.accounting.ARCHIVED_COLUMNS
    database.execute(
        f"INSERT INTO session_archive ({names}, ended_at)"
        f" SELECT {names.replace('login_number', '0').replace('acct_session_id', chr(39) * 2)}, ended_at"
        " FROM session_archive WHERE card_id = %s AND login_number = 1",
        [card_id],
    )
    assert store.accounting.find_archived(cursor, [packet(card, "8001")]) == [(card_id, 1)]
    # Its session is there: it is charged, and not brought back.
    assert store.accounting.find_archived(cursor, [packet(card, "8003")]) == []
    assert store.accounting.find_archived(cursor, [packet(card, "8009")]) == []
    claim = Claim(card_id=card_id, login_number=2, login_epoch=0)
    assert store.accounting.find_archived(cursor, [packet(card, "8009")._replace(claim=claim)]) == [(card_id, 2)]
    store.accounting.unarchive(cursor, [(card_id, 1)])
    assert [row["login_number"] for row in shop.sessions(card)] == [1, 3]
    assert [row["login_number"] for row in shop.sessions(other)] == [3]
    assert [row["posted_down_octets"] for row in shop.sessions(card)] == [1, 3]


# --- A NAS that starts -----------------------------------------------------------------------------------


def test_a_restart_ends_the_sessions_of_that_nas_and_no_others(shop, engine, cursor):
    one, two = shop.nas(), shop.nas()
    here, there, ended = shop.sell(3)
    engine.account(report(here, "Interim-Update", 60, nas=one))
    engine.account(report(there, "Interim-Update", 60, nas=two))
    engine.account(report(ended, "Stop", 60, nas=one))
    (session,) = shop.sessions(here)
    assert store.accounting.close_nas(cursor, session["nas_id"], two, 0.0) == 0
    assert store.accounting.close_nas(cursor, session["nas_id"], one, 0.0) == 1
    causes = [shop.sessions(card)[0]["close_cause"] for card in (here, there, ended)]
    assert causes == ["nas_reboot", None, None]


@pytest.mark.parametrize(
    ("first_age", "second_age", "ends"),
    [
        (100, 41, False),  # a repeated packet: what began between both goes on
        (100, 40, True),  # a second start that looks alike
        (41, 100, False),  # the older one comes later
    ],
)
def test_a_restart_that_is_repeated_within_a_minute_is_one(shop, engine, cursor, database, first_age, second_age, ends):
    (card,) = shop.sell(1)
    nas = shop.nas()
    engine.account(report(card, "Interim-Update", 10, nas=nas))
    (session,) = shop.sessions(card)
    cursor.execute("SET timestamp = UNIX_TIMESTAMP()")
    cursor.execute("SELECT UTC_TIMESTAMP(3)")
    ((now,),) = cursor.fetchall()
    # It was heard of between both packets.
    database.execute("UPDATE session SET heard_at = %s - INTERVAL 70 SECOND", [now])
    close = store.accounting.close_nas
    assert close(cursor, session["nas_id"], nas, float(first_age), "0x01") == (first_age < 70)
    database.execute("UPDATE session SET closed_at = NULL, close_cause = NULL, due_at = UTC_TIMESTAMP(3)")
    assert bool(close(cursor, session["nas_id"], nas, float(second_age), "0x01")) is ends
    # Another NAS' packet of the same octets is another one.
    assert close(cursor, session["nas_id"], "192.0.2.1", 0.0, "0x01") == 0


def test_a_restart_that_is_repeated_again_and_again_is_one_while_each_comes_within_a_minute(
    shop, engine, cursor, database
):
    (card,) = shop.sell(1)
    nas = shop.nas()
    engine.account(report(card, "Interim-Update", 10, nas=nas))
    (session,) = shop.sessions(card)
    database.execute("UPDATE session SET heard_at = UTC_TIMESTAMP(3) - INTERVAL 145 SECOND")
    for age in (150.0, 100.0, 50.0):
        assert store.accounting.close_nas(cursor, session["nas_id"], nas, age, "0x01") == 0


def test_the_serials_of_cards_are_those_of_cards_that_exist(shop, cursor):
    card, other, deleted = shop.stock(3)
    shop.set_status(deleted, "deleted")
    ids = [shop.id(one) for one in (card, deleted)]
    assert store.accounting.read_serials(cursor, ids) == {ids[0]: card.serial}
    assert shop.id(other) not in ids


def test_an_anomaly_is_one_row_with_a_count(shop, engine, cursor, database):
    (card,) = shop.sell(1)
    engine.account(report(card, "Interim-Update", 60))
    anomaly = store.accounting.Anomaly(shop.id(card), 1, "wraps", "x" * 300)
    for _ in range(3):
        store.accounting.record_anomalies(cursor, [anomaly])
    assert database.query("SELECT what, times, LENGTH(detail) AS length FROM session_anomaly") == [
        {"what": "wraps", "times": 3, "length": 255}
    ]


def test_how_far_a_queue_is_behind_is_what_was_recorded(cursor):
    for waiting in (30.0, 90.0, 20.0):
        store.accounting.record_queue(cursor, "one", waiting)
        assert waiting <= store.accounting.read_queue_lag(cursor) < waiting + 10
