"""Charging on a real database: the result is the highest that was reported, by whatever way it came."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from freeradius_module import store
from freeradius_module.engine.accounting import NeverCharged
from freeradius_module.engine.logins import UNPOSTED_MOST
from tests.engine_callers import LAPTOP, PHONE, class_of, log_in, report, session_timeout


def charge_one_by_one(engine, packets):
    for packet in packets:
        engine.account(packet)


def charge_in_groups(engine, packets):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(engine.account, packets))


def charge_from_a_queue(engine, packets):
    assert engine.charges.queued([(packet, 0.0) for packet in packets]) == [None] * len(packets)


WAYS = [charge_one_by_one, charge_in_groups, charge_from_a_queue]


def sessions_of_a_day(chance, engine, card, count):
    """Packets of sessions, each with a login of its own and Class always, sometimes or never; and their totals."""
    packets, totals = [], [0, 0, 0]
    for number in range(count):
        device = f"02-00-00-00-02-{number:02X}"
        classes = class_of(log_in(engine, card, device))
        how_often = chance.choice([0, 0.5, 1])
        counters = [sorted(chance.randrange(limit) for _ in range(3)) for limit in (9000, 5 * 2**32, 2**33)]
        steps = [("Start", None, None, None)]
        steps += [("Interim-Update", *step) for step in zip(*counters, strict=True)]
        steps += [("Stop", *(counter[-1] for counter in counters))]
        for kind, seconds, down, up in steps:
            for _ in range(chance.randint(1, 3)):
                packets.append(
                    report(
                        card,
                        kind,
                        seconds,
                        classes if chance.random() < how_often else (),
                        down=down,
                        up=up,
                        session_id=f"id-{number}",
                        device=device,
                        delay=chance.choice([None, 0, 3]),
                        # Packets that come when they should, and packets that come all at once.
                        later_seconds=chance.choice([None, (seconds or 0) + 1]),
                    )
                )
        totals = [total + counter[-1] for total, counter in zip(totals, counters, strict=True)]
    return packets, tuple(totals)


@pytest.mark.parametrize("charge", WAYS)
@pytest.mark.parametrize("seed", range(8))
def test_packets_in_any_order_and_number_are_charged_once(shop, engine, new_engine, charge, seed):
    chance = random.Random(seed)
    (card,) = shop.sell(1, credit_seconds=10**7, max_sessions=4)
    packets, totals = sessions_of_a_day(chance, engine, card, 4)
    chance.shuffle(packets)
    charge(engine, packets)
    assert shop.used(card) == totals
    assert len(shop.sessions(card)) == 4
    # All of it again, on another server, that remembers nothing.
    charge(new_engine(), packets)
    assert shop.used(card) == totals
    assert len(shop.sessions(card)) == 4


@pytest.mark.parametrize("before_seconds", [3, 20, 300])
def test_what_a_session_used_before_it_authenticated_anew_is_charged_once(shop, engine, before_seconds):
    """From then on the NAS sends the new login's Class, and counts on from where it was."""
    (card,) = shop.sell(1, credit_seconds=3600)
    first = class_of(log_in(engine, card))
    engine.account(report(card, "Interim-Update", before_seconds, first))
    second = class_of(log_in(engine, card))
    for kind, seconds in (
        ("Interim-Update", before_seconds + 1),
        ("Interim-Update", before_seconds + 1),
        ("Stop", before_seconds + 2),
    ):
        # Moved by the row, because its start is the database's time and the packet's the packet's.
        shop.age(card, 1)
        engine.account(report(card, kind, seconds, second))
    assert shop.used(card)[0] == before_seconds + 2


def test_two_servers_that_are_told_the_same_at_once_charge_it_once(shop, engine, new_engine):
    chance = random.Random(1)
    (card,) = shop.sell(1, credit_seconds=10**7, max_sessions=4)
    packets, totals = sessions_of_a_day(chance, engine, card, 4)
    with ThreadPoolExecutor(2) as servers:
        for done in [servers.submit(charge_in_groups, new_engine(), packets) for _ in range(2)]:
            done.result()
    assert shop.used(card) == totals
    assert len(shop.sessions(card)) == 4


def test_many_cards_in_one_group_are_each_charged_their_own(shop, engine):
    cards = shop.sell(60)
    packets = [report(card, "Stop", number + 1, down=number * 10) for number, card in enumerate(cards)] * 2
    random.Random(3).shuffle(packets)
    charge_from_a_queue(engine, packets)
    assert [shop.used(card) for card in cards] == [(number + 1, number * 10, 0) for number in range(60)]


@pytest.mark.parametrize(
    "nonsense",
    [
        [("Acct-Status-Type", "Tunnel-Start")],
        [("User-Name", "no-such-card"), ("Acct-Status-Type", "Stop"), ("Acct-Session-Id", "1")],
        [],
    ],
)
def test_a_packet_that_can_never_be_charged_stops_nobody_else(shop, engine, nonsense):
    (card,) = shop.sell(1)
    packets = [[*nonsense, ("Tmp-String-0", "127.0.0.1")], report(card, "Stop", 90)]
    first, second = engine.charges.queued([(packet, 0.0) for packet in packets])
    assert isinstance(first, Exception) and second is None
    assert shop.used(card) == (90, 0, 0)
    with pytest.raises(NeverCharged):
        engine.account(packets[0])


# --- Settling --------------------------------------------------------------------------------------------


def ended(engine, card, seconds, session_id, device=PHONE):
    classes = class_of(log_in(engine, card, device))
    engine.account(
        report(card, "Stop", seconds, classes, session_id=session_id, device=device, down=seconds * 7, up=seconds)
    )


def test_what_is_posted_to_the_card_is_the_sum_of_its_sessions(shop, engine):
    (card,) = shop.sell(1, credit_seconds=1000)
    for number, seconds in enumerate((100, 200, 300)):
        ended(engine, card, seconds, f"id-{number}")
    assert shop.card(card)["posted_seconds"] == 0
    ended(engine, card, 400, "id-9")
    row = shop.card(card)
    assert (row["posted_seconds"], row["posted_down_octets"], row["posted_up_octets"]) == (1000, 7000, 1000)
    assert (row["posted_login_number"], row["status"]) == (4, "exhausted")
    assert shop.used(card) == (1000, 7000, 1000)


def test_usage_that_comes_after_the_posting_is_not_lost_and_not_posted_twice(shop, engine):
    (card,) = shop.sell(1, credit_seconds=1000)
    classes = class_of(log_in(engine, card))
    for seconds in (1000, 1000, 1010, 1005, 1020):
        engine.account(report(card, "Interim-Update", seconds, classes))
        assert shop.used(card)[0] == max(seconds, shop.sessions(card)[0]["used_seconds"])
    assert shop.card(card)["posted_seconds"] == 1020


def test_posting_and_charging_at_once_lose_nothing(shop, engine, new_engine):
    """Two servers charge one card's two sessions, whose every packet is beyond its grant and is posted."""
    (card,) = shop.sell(1, credit_seconds=10, max_sessions=2)
    packets = []
    for device, session_id in ((PHONE, "id-1"), (LAPTOP, "id-2")):
        classes = class_of(log_in(engine, card, device))
        packets.append(
            [
                report(card, "Interim-Update", seconds, classes, session_id=session_id, device=device)
                for seconds in range(5, 60)
            ]
        )
    with ThreadPoolExecutor(2) as servers:
        for done in [servers.submit(charge_in_groups, new_engine(), one) for one in packets]:
            done.result()
    assert shop.used(card)[0] == 59 + 59
    row = shop.card(card)
    assert row["status"] == "exhausted"
    unposted = sum(session["used_seconds"] - session["posted_seconds"] for session in shop.sessions(card))
    assert row["posted_seconds"] + unposted == 118


CREDITS = [
    ({"credit_seconds": 100}, (99, 0, 0), (100, 0, 0), "time"),
    ({"credit_octets": 1000}, (5, 600, 399), (5, 600, 400), "traffic"),
    ({"credit_down_octets": 1000}, (5, 999, 9999), (5, 1000, 9999), "download"),
    ({"credit_up_octets": 1000}, (5, 9999, 999), (5, 9999, 1000), "upload"),
    # R$ 1.00 at 6 cents a minute is 1000 seconds; at 1 cent a MB, 100 MB.
    ({"credit_cents": 100, "tariff_minute_millicents": 6000}, (999, 0, 0), (1000, 0, 0), "money"),
    ({"credit_cents": 100, "tariff_mb_millicents": 1000}, (5, 99_999_999, 0), (5, 50_000_000, 50_000_000), "money"),
    (
        {"credit_cents": 100, "tariff_minute_millicents": 6000, "tariff_mb_millicents": 1000},
        (500, 49_999_999, 0),
        (500, 50_000_000, 0),
        "money",
    ),
    ({"credit_seconds": 1000, "credit_octets": 1000}, (999, 999, 0), (5, 1000, 0), "traffic"),
    ({"credit_seconds": 1000, "credit_octets": 1000}, (999, 999, 0), (1000, 5, 0), "time"),
]


@pytest.mark.parametrize(("columns", "almost", "all_of_it", "ended_by"), CREDITS)
def test_a_card_is_exhausted_by_the_last_unit_and_not_before(shop, engine, columns, almost, all_of_it, ended_by):
    for used, status in ((almost, "in_use"), (all_of_it, "exhausted")):
        (card,) = shop.sell(1, **columns)
        classes = class_of(log_in(engine, card))
        seconds, down, up = used
        engine.account(report(card, "Stop", seconds, classes, down=down, up=up))
        assert shop.status(card) == status
        assert log_in(engine, card).is_accepted is (status == "in_use")
    # The card's history names the credit that ended, and lays that reason on no other event.
    assert shop.database.query(
        "SELECT to_status, reason FROM card_event WHERE card_id = %s AND reason IS NOT NULL", [shop.id(card)]
    ) == [{"to_status": "exhausted", "reason": ended_by}]


def test_an_exhausted_cards_other_sessions_are_due_to_be_disconnected(shop, engine):
    (card,) = shop.sell(1, credit_seconds=100, max_sessions=2)
    phone, laptop = class_of(log_in(engine, card, PHONE)), class_of(log_in(engine, card, LAPTOP))
    engine.account(report(card, "Interim-Update", 40, laptop, session_id="id-2", device=LAPTOP))
    engine.account(report(card, "Interim-Update", 60, phone, session_id="id-1"))
    assert shop.status(card) == "exhausted"
    assert {session["due_cause"] for session in shop.sessions(card)} == {"exhausted"}


@pytest.mark.parametrize(
    ("columns", "below", "beyond"),
    [
        ({"credit_octets": 1000}, (399, 400), (400, 400)),
        # Upload costs this card nothing, and slows it down as little.
        ({"credit_down_octets": 1000}, (799, 5000), (800, 5000)),
    ],
)
def test_a_session_is_slowed_down_by_its_share_of_what_was_bought(shop, engine, database, columns, below, beyond):
    (card,) = shop.sell(1, fup_share_percent=80, fup_down_kbit=200, **columns)
    answer = log_in(engine, card)
    for seconds, (down, up), is_slow in ((60, below, 0), (120, beyond, 1), (180, beyond, 1)):
        engine.account(
            report(card, "Interim-Update", seconds, class_of(answer), down=down, up=up, later_seconds=seconds)
        )
        assert database.value("SELECT COUNT(*) FROM session_slow_down") == is_slow
    down, up = beyond
    engine.account(report(card, "Stop", 200, class_of(answer), down=down, up=up, later_seconds=200))
    assert ("WISPr-Bandwidth-Max-Down", ":=", "200000") in log_in(engine, card).reply


# --- What is left for the next login ---------------------------------------------------------------------


def test_what_is_left_is_the_same_before_and_after_posting_and_on_every_server(shop, engine, new_engine):
    """More sessions than a card keeps unposted."""
    (card,) = shop.sell(1, credit_seconds=2000)
    left = 2000
    for number in range(UNPOSTED_MOST + 5):
        answer = log_in(new_engine(), card)
        assert session_timeout(answer) == left
        engine.account(report(card, "Stop", 30, class_of(answer), session_id=f"id-{number}"))
        left -= 30
    assert shop.card(card)["posted_seconds"] > 0
    assert shop.used(card)[0] == 2000 - left


def test_sessions_together_are_never_granted_more_than_is_left(shop, engine):
    (card,) = shop.sell(1, credit_seconds=1000, max_sessions=3)
    grants = {}
    for number in range(3):
        device = f"device {number}"
        grants[device] = log_in(engine, card, device)
    assert sum(session_timeout(answer) for answer in grants.values()) == 1000
    first, *_ = grants
    engine.account(report(card, "Stop", 100, class_of(grants[first]), device=first))
    again = log_in(engine, card, "device 4")
    assert session_timeout(again) == 1000 - 100 - sum(
        session_timeout(answer) for device, answer in grants.items() if device != first
    )


def test_the_first_login_is_limited_by_the_validity_that_it_starts(shop, module_settings):
    from freeradius_module.engine.engine import Engine

    (card,) = shop.sell(1, credit_seconds=10**6, valid_days=1)
    answer = log_in(Engine(module_settings._replace(longest_session_seconds=7 * 86_400)), card)
    assert session_timeout(answer) == 86_400


@pytest.mark.parametrize(("later_seconds", "is_ended"), [(-0.001, False), (0, True), (0.001, True)])
def test_an_accounting_on_ends_what_was_heard_of_until_its_own_millisecond(
    shop, engine, database, cursor, later_seconds, is_ended
):
    """On a fast machine the interim before it came in the same one."""
    (card,) = shop.sell(1)
    engine.account(report(card, "Interim-Update", 60))
    (session,) = shop.sessions(card)
    heard_at = database.value("SELECT UNIX_TIMESTAMP(heard_at) FROM session")
    cursor.execute("SET timestamp = %s", [float(heard_at) + later_seconds])
    store.close_nas(cursor, session["nas_id"], session["nas_address"], 0.0)
    (session,) = shop.sessions(card)
    assert (session["due_at"] is None) == is_ended


def test_a_session_that_begins_between_the_sum_and_the_posting_is_not_posted(shop, engine, database, cursor):
    """It would be posted without having been summed, and be free."""
    (card,) = shop.sell(1, credit_seconds=10_000)
    engine.account(report(card, "Interim-Update", 60))
    card_id = shop.id(card)

    class InBetween:
        """A cursor beside whose sum somebody else charges a session of the same card."""

        def __getattr__(self, name):
            return getattr(cursor, name)

        def execute(self, statement, *arguments):
            result = cursor.execute(statement, *arguments)
            if "GROUP BY card_id" in statement:
                database.execute(
                    "INSERT INTO session (card_id, login_number, nas_id, used_seconds) VALUES (%s, 77, 1, 500)",
                    [card_id],
                )
            return result

    store.post(InBetween(), {card_id})
    assert (shop.card(card)["posted_seconds"], shop.used(card)[0]) == (60, 560)
    store.post(cursor, {card_id})
    assert (shop.card(card)["posted_seconds"], shop.used(card)[0]) == (560, 560)
