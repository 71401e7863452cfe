"""Logins of one card that arrive at the same moment: as many are let in as the product allows, never one more."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

RIVALS = 50


def at_once(radius, card, devices: list, **options) -> list:
    """Log in once from each device, all at the same time."""
    with ThreadPoolExecutor(len(devices)) as pool:
        asked = [
            pool.submit(radius.login, card.serial, card.pin, calling_station_id=device, **options) for device in devices
        ]
        return [one.result() for one in asked]


CROWDS = {
    "different devices": [f"02-00-00-00-01-{number:02X}" for number in range(RIVALS)],
    "no device": [None] * RIVALS,
}


@pytest.mark.parametrize("devices", CROWDS.values(), ids=CROWDS.keys())
def test_of_fifty_first_logins_exactly_one_is_let_in(shop, radius, devices):
    (card,) = shop.sell(1, credit_seconds=600)
    replies = at_once(radius, card, devices)
    assert None not in replies
    accepts = [reply for reply in replies if reply.is_accept]
    assert len(accepts) == 1 and accepts[0]["Session-Timeout"] == 600
    assert [session["granted_seconds"] for session in shop.sessions(card)] == [600]
    assert shop.refusals(card) == {"too_many_sessions": RIVALS - 1}
    # All of them proved the PIN; the one that was let in put the card to use, once.
    assert (
        shop.database.value(
            "SELECT COUNT(*) FROM card_event WHERE card_id = %s AND to_status = 'in_use'", [shop.id(card)]
        )
        == 1
    )


@pytest.mark.parametrize("devices", CROWDS.values(), ids=CROWDS.keys())
def test_of_fifty_later_logins_exactly_one_is_let_in(shop, radius, devices):
    (card,) = shop.sell(1, credit_seconds=600)
    radius.stop(radius.session(card.serial, radius.login(card.serial, card.pin)), 120)
    replies = at_once(radius, card, devices)
    accepts = [reply for reply in replies if reply and reply.is_accept]
    assert len(accepts) == 1 and accepts[0]["Session-Timeout"] == 480


def test_of_one_device_that_asks_fifty_times_at_most_one_login_holds_the_credit(shop, radius):
    (card,) = shop.sell(1, credit_seconds=600)
    replies = at_once(radius, card, ["02-00-00-00-00-01"] * RIVALS)
    accepts = [reply for reply in replies if reply and reply.is_accept]
    assert accepts and {reply["Session-Timeout"] for reply in accepts} == {600}
    assert [session["granted_seconds"] for session in shop.sessions(card) if session["due_at"]] == [600]


def test_a_device_that_logs_in_again_within_a_second_is_let_in(shop, radius):
    (card,) = shop.sell(1, credit_seconds=600)
    first = radius.login(card.serial, card.pin)
    time.sleep(0.2)
    again = radius.login(card.serial, card.pin)
    assert first.is_accept and again.is_accept and again["Session-Timeout"] == 600
    assert [session["close_cause"] for session in shop.sessions(card)] == ["superseded", None]


def test_sessions_that_are_allowed_together_share_the_credit(shop, radius):
    (card,) = shop.sell(1, credit_seconds=600, max_sessions=3)
    replies = at_once(radius, card, CROWDS["different devices"])
    granted = [reply["Session-Timeout"] for reply in replies if reply.is_accept]
    assert granted == [200, 200, 200]


def test_bound_to_its_first_device_a_card_is_bound_to_one(shop, radius):
    (card,) = shop.sell(1, bind_device=True, max_sessions=10)
    replies = dict(zip(CROWDS["different devices"], at_once(radius, card, CROWDS["different devices"]), strict=True))
    assert [device for device, reply in replies.items() if reply.is_accept] == [shop.card(card)["device"]]


def test_fifty_cards_at_once_are_all_let_in(shop, radius):
    cards = shop.sell(RIVALS, credit_seconds=600)
    with ThreadPoolExecutor(RIVALS) as pool:
        replies = list(pool.map(lambda card: radius.login(card.serial, card.pin), cards))
    assert all(reply and reply.is_accept and reply["Session-Timeout"] == 600 for reply in replies)
    # Each has a Class of its own: nobody was given another's.
    assert len({bytes(reply["Class"]) for reply in replies}) == RIVALS


def test_a_login_and_a_return_at_once_leave_no_card_that_is_both(shop, radius, database):
    """Whoever is first, the database lets only one of them have it."""
    for card in shop.sell(10):
        with ThreadPoolExecutor(2) as pool:
            login = pool.submit(radius.login, card.serial, card.pin)
            returned = pool.submit(
                database.execute,
                "UPDATE card SET status = 'created' WHERE serial = %s AND status = 'delivered'",
                [card.serial],
            )
            accept, is_returned = login.result(), returned.result() == 1
        assert accept.is_accept is not is_returned
        assert shop.status(card) == ("created" if is_returned else "in_use")
        assert len(shop.sessions(card)) == (0 if is_returned else 1)
