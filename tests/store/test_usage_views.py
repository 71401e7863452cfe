"""What the office sees of a card's usage, against what happened."""

import pytest

from freeradius_module import store
from freeradius_module.rules.login import balance_of
from tests.engine_callers import LAPTOP, PHONE, class_of, log_in, report

ALL_OF_IT = [
    "credit_seconds",
    "used_seconds",
    "remaining_seconds",
    "credit_octets",
    "used_octets",
    "remaining_octets",
    "credit_cents",
    "used_cents",
]


def seen(shop, card) -> dict:
    row = shop.balance(card)
    return {name: None if row[name] is None else int(row[name]) for name in ALL_OF_IT}


@pytest.mark.parametrize("is_posted", [False, True], ids=["on its session", "posted to the card"])
def test_usage_is_the_same_wherever_it_stands(shop, engine, cursor, is_posted):
    (card,) = shop.sell(1, credit_seconds=600, credit_octets=10_000)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Stop", 120, classes, down=4000, up=500))
    if is_posted:
        store.posting.post(cursor, [shop.id(card)])
        assert shop.card(card)["posted_seconds"] == 120
    assert seen(shop, card) == {
        "credit_seconds": 600,
        "used_seconds": 120,
        "remaining_seconds": 480,
        "credit_octets": 10_000,
        "used_octets": 4500,
        "remaining_octets": 5500,
        "credit_cents": None,
        "used_cents": None,
    }


def test_money_is_usage_times_tariff_rounded_down_once(shop, engine):
    (card,) = shop.sell(1, credit_cents=2000, tariff_minute_millicents=5000, tariff_mb_millicents=1000)
    for number in range(3):
        classes = class_of(log_in(engine, card))
        # 20 seconds and half a MB: 1.67 cents and half a cent each, 6.5 cents in all and not three times 2.
        engine.account(report(card, "Stop", 20, classes, down=500_000, session_id=f"id-{number}"))
    row = seen(shop, card)
    assert (row["credit_cents"], row["used_cents"]) == (2000, 6)


def test_usage_beyond_the_credit_leaves_nothing_and_not_less(shop, engine):
    (card,) = shop.sell(1, credit_seconds=100, credit_down_octets=1000)
    engine.account(report(card, "Stop", 150, class_of(log_in(engine, card)), down=1500))
    row = shop.balance(card)
    assert (row["used_seconds"], row["remaining_seconds"], row["remaining_down_octets"]) == (150, 0, 0)
    (session,) = shop.database.query("SELECT * FROM session_overview WHERE card_id = %s", [shop.id(card)])
    assert session["overrun_seconds"] == 50


def test_credit_that_was_added_is_part_of_the_credit(shop, engine):
    (card,) = shop.sell(1, credit_seconds=600)
    shop.add_credit(card, added_seconds=300)
    shop.add_credit(card, added_seconds=-100)
    assert (seen(shop, card)["credit_seconds"], seen(shop, card)["remaining_seconds"]) == (800, 800)


def test_open_sessions_are_those_that_are_heard_of(shop, engine):
    (card,) = shop.sell(1, credit_seconds=6000, max_sessions=3)
    phone = class_of(log_in(engine, card, PHONE))
    laptop = class_of(log_in(engine, card, LAPTOP))
    assert shop.balance(card)["open_sessions"] == 0  # let in, and not begun
    engine.account(report(card, "Start", classes=phone, session_id="id-1"))
    engine.account(report(card, "Start", classes=laptop, session_id="id-2", device=LAPTOP))
    assert shop.balance(card)["open_sessions"] == 2
    engine.account(report(card, "Stop", 60, laptop, session_id="id-2", device=LAPTOP))
    assert shop.balance(card)["open_sessions"] == 1
    shop.age(card, 961)
    assert shop.balance(card)["open_sessions"] == 0
    engine.account(report(card, "Interim-Update", 1000, phone, session_id="id-1"))
    assert shop.balance(card)["open_sessions"] == 1


def test_the_module_and_the_view_agree_on_what_is_left(shop, engine, cursor):
    """One counts in Python and the other in SQL."""
    for number, columns in enumerate(
        [
            {"credit_seconds": 600},
            {"credit_octets": 10**7},
            {"credit_seconds": 600, "credit_octets": 10**7},
            {"credit_cents": 777, "tariff_minute_millicents": 4321, "tariff_mb_millicents": 987},
        ]
    ):
        (card,) = shop.sell(1, **columns)
        engine.account(report(card, "Stop", 17 * number + 1, class_of(log_in(engine, card)), down=123_457, up=76_543))
        read = store.logins.read_cards(cursor, [card.serial])[card.serial]
        balance = balance_of(read, engine.catalogue.product(read.product_id, read.product_revision))
        row = shop.balance(card)
        assert read.used == (row["used_seconds"], row["used_down_octets"], row["used_up_octets"])
        assert balance.seconds == row["remaining_seconds"] and balance.octets == row["remaining_octets"]
        if balance.millicents is not None:
            # One shows the rest of a started cent as spent, and the other as left.
            assert row["credit_cents"] - row["used_cents"] == -(-balance.millicents // 1000)
