"""A limit of the card is the card's, however many sessions use it at the same time."""

import itertools

import pytest

from tests.engine_callers import LAPTOP, PHONE, class_of, log_in, report, session_timeout

TV = "02-00-00-00-00-03"
GB = 10**9
MB = 10**6


_numbers = itertools.count(1)


class Online:
    """A device that is on with a card."""

    def __init__(self, engine, card, device):
        self.engine, self.card, self.device = engine, card, device
        self.answer = log_in(engine, card, device)
        assert self.answer.is_accepted
        self.session_id = f"id {next(_numbers)}"
        self.report("Start")

    def report(self, kind, seconds=None, **octets):
        self.engine.account(
            report(
                self.card,
                kind,
                seconds,
                class_of(self.answer),
                session_id=self.session_id,
                device=self.device,
                **octets,
            )
        )


def slowed_down(database, shop, card) -> list[int]:
    rows = database.query(
        "SELECT login_number FROM session_slow_down WHERE card_id = %s ORDER BY login_number", [shop.id(card)]
    )
    return [row["login_number"] for row in rows]


# --- Fair use -----------------------------------------------------------------------------------------------


@pytest.fixture
def fair(shop):
    """A card of 1 GB for three devices, slower from 800 MB on."""
    (card,) = shop.sell(1, credit_octets=GB, fup_share_percent=80, fup_down_kbit=200, max_sessions=2)
    return card


def test_two_sessions_that_have_used_the_fair_share_together_are_slowed_down_both(
    engine, shop, clock, enforcer, database, fair
):
    phone, laptop = Online(engine, fair, PHONE), Online(engine, fair, LAPTOP)
    clock.advance(60)
    phone.report("Interim-Update", 60, down=300 * MB, up=50 * MB)
    laptop.report("Interim-Update", 60, down=400 * MB)
    enforcer.look()
    assert slowed_down(database, shop, fair) == []
    clock.advance(60)
    phone.report("Interim-Update", 120, down=390 * MB, up=60 * MB)
    laptop.report("Interim-Update", 120, down=450 * MB)
    enforcer.look()
    assert slowed_down(database, shop, fair) == [1, 2]
    clock.advance(60)
    phone.report("Interim-Update", 180, down=400 * MB, up=60 * MB)
    enforcer.look()
    assert slowed_down(database, shop, fair) == [1, 2]
    assert database.value("SELECT COUNT(*) FROM session_slow_down") == 2
    assert ("WISPr-Bandwidth-Max-Down", ":=", "200000") not in phone.answer.reply


def test_a_session_is_slowed_down_for_what_another_one_had_used_before(engine, shop, clock, enforcer, database, fair):
    """One has ended, its use is on the card; the one that goes on has passed no share of its own."""
    phone, laptop = Online(engine, fair, PHONE), Online(engine, fair, LAPTOP)
    clock.advance(60)
    phone.report("Stop", 60, down=500 * MB)
    laptop.report("Interim-Update", 60, down=310 * MB)
    enforcer.look()
    assert slowed_down(database, shop, fair) == [2]


def test_only_download_counts_where_that_alone_was_bought(engine, shop, clock, enforcer, database):
    (card,) = shop.sell(1, credit_down_octets=GB, fup_share_percent=80, fup_down_kbit=200, max_sessions=2)
    phone, laptop = Online(engine, card, PHONE), Online(engine, card, LAPTOP)
    clock.advance(60)
    phone.report("Interim-Update", 60, down=350 * MB, up=900 * MB)
    laptop.report("Interim-Update", 60, down=350 * MB, up=900 * MB)
    enforcer.look()
    assert slowed_down(database, shop, card) == []
    clock.advance(60)
    phone.report("Interim-Update", 120, down=450 * MB, up=900 * MB)
    laptop.report("Interim-Update", 120, down=450 * MB, up=900 * MB)
    enforcer.look()
    assert slowed_down(database, shop, card) == [1, 2]


def test_a_login_beyond_the_fair_share_begins_slowly_and_is_not_slowed_down_again(
    engine, shop, clock, enforcer, database, fair
):
    phone, laptop = Online(engine, fair, PHONE), Online(engine, fair, LAPTOP)
    clock.advance(60)
    phone.report("Stop", 60, down=450 * MB)
    laptop.report("Stop", 60, down=450 * MB)
    again = Online(engine, fair, PHONE)
    assert ("WISPr-Bandwidth-Max-Down", ":=", "200000") in again.answer.reply
    clock.advance(60)
    again.report("Interim-Update", 60, down=MB)
    enforcer.look()
    assert 3 not in slowed_down(database, shop, fair)


# --- Money --------------------------------------------------------------------------------------------------

# Both last for 10,000 seconds.
TIME = {"credit_seconds": 10_000}
MONEY = {"credit_cents": 1000, "tariff_minute_millicents": 6000}
MIXED = {"credit_cents": 1000, "tariff_minute_millicents": 6000, "tariff_mb_millicents": 1000}


@pytest.mark.parametrize("credit", [TIME, MONEY, MIXED])
def test_a_second_login_gets_half_of_what_is_left_while_the_first_runs(engine, shop, clock, credit):
    """What the first has used is taken off what is left, and off what the first still holds, once each."""
    (card,) = shop.sell(1, max_sessions=2, **credit)
    phone = Online(engine, card, PHONE)
    assert session_timeout(phone.answer) == 5000
    clock.advance(1000)
    phone.report("Interim-Update", 1000)
    laptop = Online(engine, card, LAPTOP)
    # 9,000 are left, and the first may use 4,000 of them.
    assert session_timeout(laptop.answer) == 5000


@pytest.mark.parametrize("credit", [TIME, MONEY, MIXED])
def test_a_login_is_let_in_though_a_running_session_has_used_nearly_all_that_it_was_granted(
    engine, shop, clock, credit
):
    (card,) = shop.sell(1, max_sessions=2, **credit)
    phone = Online(engine, card, PHONE)
    clock.advance(4990)
    phone.report("Interim-Update", 4990)
    laptop = Online(engine, card, LAPTOP)
    assert session_timeout(laptop.answer) == 5000


@pytest.mark.parametrize("credit", [TIME, MONEY])
def test_open_sessions_are_never_granted_more_than_is_left_whatever_they_have_used(engine, shop, clock, credit):
    """Three devices come one after the other, and each uses some of what it got."""
    (card,) = shop.sell(1, max_sessions=3, **credit)
    held = {}
    used = 0
    for device in (PHONE, LAPTOP, TV):
        online = Online(engine, card, device)
        held[device] = session_timeout(online.answer)
        # What money buys is rounded up to whole seconds, for each of them.
        assert sum(held.values()) + used <= 10_000 + len(held)
        clock.advance(700)
        online.report("Interim-Update", 700)
        held[device] -= 700
        used += 700
    assert sum(held.values()) + used >= 10_000 - 3


def test_money_that_is_spent_on_traffic_is_taken_off_once(engine, shop, clock):
    """The first spends two of its five on traffic."""
    (card,) = shop.sell(1, max_sessions=2, **MIXED)
    phone = Online(engine, card, PHONE)
    clock.advance(60)
    phone.report("Interim-Update", 0, down=150 * MB, up=50 * MB)
    laptop = Online(engine, card, LAPTOP)
    assert session_timeout(laptop.answer) == 5000


# --- Fair use of a card for one session --------------------------------------------------------------------------


def test_a_session_is_slowed_down_for_what_one_that_came_back_uses_beside_it(engine, shop, clock, enforcer, database):
    """The product allows one; the first was silent, and is on after all. Neither has used the share by itself."""
    (card,) = shop.sell(1, credit_octets=2 * GB, fup_share_percent=50, fup_down_kbit=200)
    phone = Online(engine, card, PHONE)
    clock.advance(1000)
    laptop = Online(engine, card, LAPTOP)
    clock.advance(60)
    laptop.report("Interim-Update", 60, down=600 * MB)
    phone.report("Interim-Update", 1060, down=300 * MB)
    assert slowed_down(database, shop, card) == []
    clock.advance(60)
    phone.report("Interim-Update", 1120, down=500 * MB)
    assert 2 in slowed_down(database, shop, card)


def test_a_session_passes_the_share_of_a_card_that_another_uses_too_because_it_came_back(engine, shop, clock, database):
    """The last octets are those of the session whose login expected to be the only one."""
    (card,) = shop.sell(1, credit_octets=2 * GB, fup_share_percent=50, fup_down_kbit=200)
    phone = Online(engine, card, PHONE)
    clock.advance(1000)
    laptop = Online(engine, card, LAPTOP)
    clock.advance(60)
    phone.report("Interim-Update", 1060, down=300 * MB)
    laptop.report("Interim-Update", 60, down=690 * MB)
    assert slowed_down(database, shop, card) == []
    clock.advance(60)
    laptop.report("Interim-Update", 120, down=710 * MB)
    assert 2 in slowed_down(database, shop, card)


def test_a_session_is_slowed_down_though_the_one_before_it_reported_late(engine, shop, clock, enforcer, database):
    """Its login did not know of that use: beyond the share are both together, and neither alone."""
    (card,) = shop.sell(1, credit_octets=2 * GB, fup_share_percent=50, fup_down_kbit=200)
    before = Online(engine, card, PHONE)
    clock.advance(400)
    now = Online(engine, card, PHONE)
    before.report("Stop", 390, down=300 * MB, delay=10)
    clock.advance(60)
    now.report("Interim-Update", 60, down=600 * MB)
    assert slowed_down(database, shop, card) == []
    clock.advance(60)
    now.report("Interim-Update", 120, down=800 * MB)
    assert slowed_down(database, shop, card) == [2]


def test_a_session_that_had_ended_when_the_share_was_passed_is_slowed_down_when_it_comes_back(
    engine, shop, clock, enforcer, database
):
    """It passed the share itself, in a packet that lay in the queue while its device logged in again."""
    (card,) = shop.sell(1, credit_octets=2 * GB, fup_share_percent=50, fup_down_kbit=200)
    before = Online(engine, card, PHONE)
    clock.advance(400)
    Online(engine, card, PHONE)
    before.report("Interim-Update", 390, down=1_100 * MB, delay=10)
    assert slowed_down(database, shop, card) == [2]
    clock.advance(60)
    before.report("Interim-Update", 460, down=1_200 * MB)
    assert slowed_down(database, shop, card) == [1, 2]
