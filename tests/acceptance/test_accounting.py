"""Accounting at a real radiusd: what was used is counted once, whatever becomes of the packets on their way."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from freeradius_module.engine.logins import UNPOSTED_MOST

PHONE, LAPTOP, TABLET = "02-00-00-00-00-01", "02-00-00-00-00-02", "02-00-00-00-00-03"
REFUSED = object()


@pytest.fixture
def log_in(radius):
    """Log a card in; its session, or REFUSED."""

    def log_in(card, device=PHONE, *, nas_ip="127.0.0.1", **options):
        reply = radius.login(card.serial, card.pin, calling_station_id=device, nas_ip=nas_ip)
        if not reply.is_accept:
            return REFUSED
        return radius.session(card.serial, reply, calling_station_id=device, nas_ip=nas_ip, **options)

    return log_in


# --- Packets that come twice, late, or not at all --------------------------------------------------------


def test_a_session_is_charged_what_it_reports(shop, radius, log_in):
    (card,) = shop.sell(1)
    session = log_in(card)
    assert radius.start(session).is_acknowledged
    assert radius.interim(session, 60, down_octets=1000, up_octets=100).is_acknowledged
    assert shop.used(card) == (60, 1000, 100)
    assert radius.stop(session, 90, down_octets=1500, up_octets=150).is_acknowledged
    assert shop.used(card) == (90, 1500, 150)
    (row,) = shop.sessions(card)
    assert row["stopped_at"] and row["due_at"] is None


def test_packets_that_come_several_times_are_charged_once(shop, radius, log_in):
    (card,) = shop.sell(1)
    session = log_in(card)
    for packet in (
        radius.build_report(session, "Start"),
        radius.build_report(session, "Interim-Update", seconds=60, down_octets=1000),
        radius.build_report(session, "Stop", seconds=90, down_octets=1500),
    ):
        for _ in range(3):
            assert radius.send(packet).is_acknowledged
    assert shop.used(card) == (90, 1500, 0)
    assert len(shop.sessions(card)) == 1


def test_a_retransmission_that_says_how_late_it_is_is_charged_once(shop, radius, log_in):
    """Its bytes differ each time, because Acct-Delay-Time grows (RFC 2866, 4.1)."""
    (card,) = shop.sell(1)
    session = log_in(card)
    for delay in (0, 3, 9):
        assert radius.stop(session, 90, attributes={"Acct-Delay-Time": delay}).is_acknowledged
    assert shop.used(card) == (90, 0, 0)
    assert len(shop.sessions(card)) == 1


def test_packets_in_the_wrong_order_are_charged_once(shop, radius, log_in):
    (card,) = shop.sell(1)
    session = log_in(card)
    radius.stop(session, 90, down_octets=1500, up_octets=150)
    radius.interim(session, 60, down_octets=1000, up_octets=100)
    radius.start(session)
    radius.interim(session, 30, down_octets=500, up_octets=50)
    assert shop.used(card) == (90, 1500, 150)
    # The Stop was the end: the other device is not kept waiting by what came after it.
    assert log_in(card, LAPTOP) is not REFUSED


@pytest.mark.parametrize("lost", ["Start", "Interim-Update", "Stop", "all but the Stop"])
def test_each_packet_alone_is_enough(shop, radius, log_in, lost):
    (card,) = shop.sell(1)
    session = log_in(card)
    if lost not in ("Start", "all but the Stop"):
        radius.start(session)
    if lost not in ("Interim-Update", "all but the Stop"):
        radius.interim(session, 90, down_octets=1500)
    if lost != "Stop":
        radius.stop(session, 90, down_octets=1500)
    assert shop.used(card) == (90, 1500, 0)
    assert len(shop.sessions(card)) == 1


def test_a_late_interim_after_the_stop_neither_lowers_nor_reopens(shop, radius, log_in):
    (card,) = shop.sell(1)
    session = log_in(card)
    radius.stop(session, 300, down_octets=9000)
    radius.interim(session, 240, down_octets=7000)
    assert shop.used(card) == (300, 9000, 0)
    assert shop.balance(card)["open_sessions"] == 0


def test_a_stop_with_counters_at_zero_gives_nothing_back(shop, radius, log_in):
    """Some NAS send one when the line drops."""
    (card,) = shop.sell(1)
    session = log_in(card)
    radius.interim(session, 300, down_octets=9000, up_octets=500)
    radius.stop(session, 0, down_octets=0, up_octets=0, attributes={"Acct-Terminate-Cause": "Lost-Carrier"})
    assert shop.used(card) == (300, 9000, 500)
    assert shop.sessions(card)[0]["stop_cause"] == "Lost-Carrier"


def test_a_stop_without_counters_ends_the_session_where_it_was(shop, radius, log_in):
    (card,) = shop.sell(1)
    session = log_in(card)
    radius.interim(session, 300, down_octets=9000)
    assert radius.report(session, "Stop").is_acknowledged
    assert shop.used(card) == (300, 9000, 0)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_order_the_packets_of_several_sessions_take(shop, radius, log_in, seed):
    """Two cards with two devices each; every packet up to three times, all of them shuffled, four at a time."""
    chance = random.Random(seed)
    cards = shop.sell(2, credit_seconds=36_000, max_sessions=2)
    packets, expected = [], {}
    for card in cards:
        totals = [0, 0, 0]
        for device in (PHONE, LAPTOP):
            session = log_in(card, device)
            counters = [sorted(chance.randrange(limit) for _ in range(4)) for limit in (5000, 5 * 2**32, 2**32)]
            reports = [("Start", None, None, None)]
            reports += [("Interim-Update", *step) for step in zip(*counters, strict=True)]
            reports += [("Stop", *(counter[-1] for counter in counters))]
            for kind, seconds, down, up in reports:
                packet = radius.build_report(session, kind, seconds=seconds, down_octets=down, up_octets=up)
                packets += [packet] * chance.randint(1, 3)
            totals = [total + counter[-1] for total, counter in zip(totals, counters, strict=True)]
        expected[card] = tuple(totals)
    chance.shuffle(packets)
    with ThreadPoolExecutor(4) as pool:
        assert all(reply.is_acknowledged for reply in pool.map(radius.send, packets))
    assert {card: shop.used(card) for card in cards} == expected


def test_reports_of_many_sessions_at_once_are_all_charged(shop, radius, log_in):
    cards = shop.sell(40)
    sessions = [log_in(card) for card in cards]
    with ThreadPoolExecutor(40) as pool:
        replies = list(pool.map(lambda number: radius.stop(sessions[number], number + 1), range(40)))
    assert all(reply and reply.is_acknowledged for reply in replies)
    assert [shop.used(card)[0] for card in cards] == list(range(1, 41))


# --- Octets ----------------------------------------------------------------------------------------------


def test_octets_beyond_four_gigabytes_are_counted(shop, radius, log_in):
    (card,) = shop.sell(1)
    session = log_in(card)
    radius.interim(session, 60, down_octets=2**32 - 1, up_octets=0)
    radius.interim(session, 70, down_octets=2**32, up_octets=2**32 + 7)
    radius.stop(session, 90, down_octets=5 * 2**32 + 11, up_octets=2**33)
    assert shop.used(card) == (90, 5 * 2**32 + 11, 2**33)


def test_octets_that_fall_while_time_goes_on_are_recorded_and_not_guessed(shop, radius, log_in):
    (card,) = shop.sell(1)
    session = log_in(card)
    radius.interim(session, 60, down_octets=4_000_000_000)
    assert radius.interim(session, 120, down_octets=1000, gigawords=False).is_acknowledged
    assert shop.used(card) == (120, 4_000_000_000, 0)
    assert shop.anomalies(card) == ["octets_fell"]


def test_a_nas_whose_counters_wrap_or_reset_is_read_by_its_own_rule(shop, radius, log_in, known_nas):
    """Octets come without Gigawords: 4,000,000,000, then 1,000, then 500,000,000."""
    wrapping, resetting = shop.nas(counter_rule="wraps"), shop.nas(counter_rule="resets")
    known_nas("generic")
    for nas, rule, used in ((wrapping, "wraps", 2**32 + 500_000_000), (resetting, "resets", 4_500_000_000)):
        (card,) = shop.sell(1)
        session = log_in(card, nas_ip=nas)
        for seconds, octets in ((60, 4_000_000_000), (120, 1000), (120, 1000), (180, 500_000_000)):
            assert radius.interim(session, seconds, down_octets=octets, gigawords=False).is_acknowledged
        radius.stop(session, 180, down_octets=500_000_000, gigawords=False)
        assert shop.used(card) == (180, used, 0)
        # Charged by the rule that was chosen, and listed all the same.
        assert shop.anomalies(card) == [rule]


def test_an_old_packet_is_no_anomaly(shop, radius, log_in):
    (card,) = shop.sell(1)
    session = log_in(card)
    radius.interim(session, 120, down_octets=2000)
    radius.interim(session, 60, down_octets=1000)
    assert shop.anomalies(card) == []


def test_a_nas_that_reports_nonsense_stops_neither_itself_nor_the_card(shop, radius, log_in):
    (card,) = shop.sell(1, credit_octets=10**7)
    session = log_in(card)
    most = 2**32 - 1
    absurd = {
        "Acct-Output-Gigawords": most,
        "Acct-Output-Octets": most,
        "Acct-Input-Gigawords": most,
        "Acct-Input-Octets": most,
    }
    assert radius.stop(session, most, attributes=absurd).is_acknowledged
    assert shop.status(card) == "exhausted"
    assert radius.login(card.serial, card.pin).is_reject
    shop.add_credit(card, added_octets=10**17)
    shop.set_status(card, "in_use")
    assert log_in(card) is not REFUSED


# --- Credit ----------------------------------------------------------------------------------------------


def test_a_second_login_gets_what_is_left(shop, radius, log_in):
    (card,) = shop.sell(1, credit_seconds=600)
    radius.stop(log_in(card), 120)
    assert radius.login(card.serial, card.pin)["Session-Timeout"] == 480


def test_time_that_is_used_up_ends_the_card(shop, radius, log_in):
    (card,) = shop.sell(1, credit_seconds=600)
    radius.stop(log_in(card), 599)
    assert shop.status(card) == "in_use"
    radius.stop(log_in(card), 1)
    assert shop.status(card) == "exhausted"
    assert radius.login(card.serial, card.pin).is_reject
    assert shop.refusals(card) == {"exhausted": 1}


def test_traffic_that_is_used_up_ends_the_card_at_an_interim(shop, radius, log_in):
    (card,) = shop.sell(1, credit_octets=10_000_000)
    session = log_in(card)
    radius.interim(session, 60, down_octets=6_000_000, up_octets=3_999_999)
    assert shop.status(card) == "in_use"
    radius.interim(session, 120, down_octets=6_000_000, up_octets=4_000_000)
    assert shop.status(card) == "exhausted"
    # It is still on, and due to be disconnected.
    (row,) = shop.sessions(card)
    assert row["due_cause"] == "exhausted" and row["stopped_at"] is None


def test_what_goes_beyond_the_credit_is_recorded_and_the_balance_stands_at_zero(shop, radius, log_in):
    (card,) = shop.sell(1, credit_seconds=600)
    radius.stop(log_in(card), 777)
    balance = shop.balance(card)
    assert (balance["used_seconds"], balance["remaining_seconds"]) == (777, 0)


def test_credit_that_is_added_reopens_the_card_for_the_credit_that_was_added(shop, radius, log_in):
    (card,) = shop.sell(1, credit_seconds=600)
    radius.stop(log_in(card), 600)
    shop.add_credit(card, added_seconds=60)
    shop.set_status(card, "in_use")
    assert radius.login(card.serial, card.pin)["Session-Timeout"] == 60


def test_an_interim_writes_to_the_session_and_leaves_the_cards_row_alone(shop, radius, log_in):
    """So that the card's row is never in the way of its sessions' reports."""
    (card,) = shop.sell(1, credit_seconds=600)
    session = log_in(card)
    before = shop.card(card)
    radius.interim(session, 60)
    radius.stop(session, 90)
    assert shop.card(card) == before


def test_the_balance_does_not_depend_on_how_many_sessions_are_kept(shop, radius, log_in):
    """A login posts ended sessions to the card when there are many of them."""
    (card,) = shop.sell(1, credit_seconds=600)
    count = UNPOSTED_MOST + 4
    for _ in range(count):
        radius.stop(log_in(card), 10)
    assert shop.card(card)["posted_seconds"] > 0
    assert shop.used(card) == (10 * count, 0, 0)
    assert radius.login(card.serial, card.pin)["Session-Timeout"] == 600 - 10 * count


def test_a_session_that_nobody_saw_begin_is_charged_to_its_card(shop, radius):
    (card,) = shop.sell(1, credit_seconds=600)
    session = radius.session(card.serial)
    radius.interim(session, 60)
    radius.stop(session, 90)
    assert shop.used(card) == (90, 0, 0)


def test_a_login_alone_costs_nothing(shop, log_in):
    (card,) = shop.sell(1)
    log_in(card)
    assert shop.used(card) == (0, 0, 0)
    assert shop.balance(card)["open_sessions"] == 0


# --- Sessions that end in silence ------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["Accounting-On", "Accounting-Off"])
def test_a_nas_that_restarts_ends_its_sessions_where_they_were_last_heard_of(shop, radius, log_in, status):
    """It went silent days ago: nobody pays for the days."""
    (card,) = shop.sell(1, credit_seconds=600)
    session = log_in(card)
    radius.start(session)
    radius.interim(session, 120)
    shop.age(card, 3 * 86_400)
    assert radius.nas_restarted(status=status).is_acknowledged
    (row,) = shop.sessions(card)
    assert (row["close_cause"], row["closed_at"]) == ("nas_reboot", row["heard_at"])
    assert shop.used(card) == (120, 0, 0)
    assert radius.login(card.serial, card.pin, calling_station_id=LAPTOP)["Session-Timeout"] == 480


def test_a_nas_that_restarts_ends_no_other_nas_sessions(shop, radius, log_in, known_nas):
    one, other = known_nas("generic", "generic")
    (card,) = shop.sell(1)
    radius.start(log_in(card, nas_ip=one))
    radius.nas_restarted(nas_ip=other)
    assert shop.balance(card)["open_sessions"] == 1
    radius.nas_restarted(nas_ip=one)
    assert shop.balance(card)["open_sessions"] == 0


def test_a_report_after_the_restart_of_its_nas_counts(shop, radius, log_in):
    (card,) = shop.sell(1)
    session = log_in(card)
    radius.interim(session, 120)
    radius.nas_restarted()
    radius.stop(session, 150)
    assert shop.used(card) == (150, 0, 0)


def test_a_session_that_missed_its_interims_is_in_nobodys_way_and_comes_back(shop, radius, log_in):
    (card,) = shop.sell(1, credit_seconds=36_000)
    old = log_in(card, PHONE)
    radius.interim(old, 120)
    assert log_in(card, LAPTOP) is REFUSED
    shop.age(card, 3 * 300 + 61)
    assert shop.balance(card)["open_sessions"] == 0
    new = radius.login(card.serial, card.pin, calling_station_id=LAPTOP)
    assert new["Session-Timeout"] == 36_000 - 120
    assert [row["close_cause"] for row in shop.sessions(card)] == ["stale", None]
    # It was not off: only its reports were lost.
    radius.interim(old, 400)
    assert shop.used(card) == (400, 0, 0)
    assert [row["closed_at"] for row in shop.sessions(card)] == [None, None]
    assert log_in(card, TABLET) is REFUSED


def test_a_repeated_packet_does_not_bring_a_closed_session_back(shop, radius, log_in):
    (card,) = shop.sell(1)
    session = log_in(card)
    radius.interim(session, 120)
    radius.nas_restarted()
    radius.interim(session, 120)
    assert shop.balance(card)["open_sessions"] == 0


def test_a_login_that_never_began_blocks_for_a_minute_and_no_longer(shop, log_in):
    (card,) = shop.sell(1)
    log_in(card, PHONE)
    assert log_in(card, LAPTOP) is REFUSED
    shop.age(card, 61)
    assert log_in(card, LAPTOP) is not REFUSED
    assert [row["close_cause"] for row in shop.sessions(card)] == ["not_begun", None]


def test_a_login_that_was_given_up_and_begins_late_is_charged_all_the_same(shop, radius, log_in):
    (card,) = shop.sell(1)
    late = log_in(card, PHONE)
    shop.age(card, 61)
    log_in(card, LAPTOP)
    radius.stop(late, 90)
    assert shop.used(card) == (90, 0, 0)


# --- The same device again -------------------------------------------------------------------------------


def test_the_same_device_takes_over_its_own_session(shop, radius, log_in):
    (card,) = shop.sell(1, credit_seconds=600)
    old = log_in(card)
    radius.interim(old, 120)
    new = radius.login(card.serial, card.pin)
    assert new["Session-Timeout"] == 480
    assert [row["close_cause"] for row in shop.sessions(card)] == ["superseded", None]
    # What the old one still used before it ended is found in its late Stop.
    radius.stop(old, 130)
    radius.stop(radius.session(card.serial, new), 20)
    assert shop.used(card) == (150, 0, 0)


def test_another_device_has_to_wait(shop, radius, log_in):
    (card,) = shop.sell(1)
    session = log_in(card, PHONE)
    radius.start(session)
    assert log_in(card, LAPTOP) is REFUSED
    assert shop.refusals(card) == {"too_many_sessions": 1}
    radius.stop(session, 60)
    assert log_in(card, LAPTOP) is not REFUSED


def test_the_same_device_on_another_nas_has_to_wait(shop, radius, log_in, known_nas):
    one, other = known_nas("generic", "generic")
    (card,) = shop.sell(1)
    radius.start(log_in(card, nas_ip=one))
    assert log_in(card, nas_ip=other) is REFUSED


def test_without_any_device_a_running_session_is_in_the_way(shop, radius, log_in):
    (card,) = shop.sell(1, credit_seconds=600)
    session = log_in(card, None)
    radius.start(session)
    radius.interim(session, 60)
    assert log_in(card, None) is REFUSED
    radius.stop(session, 90)
    assert shop.used(card) == (90, 0, 0)
    assert radius.login(card.serial, card.pin, calling_station_id=None)["Session-Timeout"] == 510


def test_the_newest_login_replaces_the_oldest_where_the_product_says_so(shop, radius, log_in):
    (card,) = shop.sell(1, credit_seconds=600, max_sessions=1, replace_oldest=True)
    old = log_in(card, PHONE)
    radius.interim(old, 120)
    assert log_in(card, LAPTOP) is not REFUSED
    first, _ = shop.sessions(card)
    assert first["due_cause"] == "replaced" and first["stopped_at"] is None
    radius.stop(old, 125)
    assert shop.used(card) == (125, 0, 0)
