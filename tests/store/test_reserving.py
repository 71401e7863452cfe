"""Reservations on a real database: of those who decided on the same facts, one is right."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from freeradius_module import store
from freeradius_module.usage import Credit, Tariff
from tests.at_the_desk import LAPTOP, PHONE, log_in

PATIENCE_SECONDS = 30


def at_once(*acts):
    """Do all acts at the same moment; their results, in order."""
    barrier = Barrier(len(acts))

    def run(act):
        barrier.wait(PATIENCE_SECONDS)
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [one.result(PATIENCE_SECONDS) for one in [pool.submit(run, act) for act in acts]]


@pytest.mark.parametrize("devices", [[PHONE] * 8, [f"device {number}" for number in range(8)], [""] * 8],
                         ids=["the same device", "different devices", "no device"])
def test_of_several_servers_that_let_a_card_in_at_once_one_does(shop, new_desk, devices):
    desks = [new_desk() for _ in devices]
    for card in shop.sell(5, credit_seconds=600):
        answers = at_once(*(partial(log_in, desk, card, device) for desk, device in zip(desks, devices, strict=True)))
        assert [answer.is_accepted for answer in answers].count(True) == 1
        assert {answer.reason for answer in answers if not answer.is_accepted} == {"too_many_sessions"}
        assert [session["login_number"] for session in shop.sessions(card)] == [1]


def test_servers_that_share_a_card_never_grant_it_twice(shop, new_desk):
    desks = [new_desk() for _ in range(6)]
    card, = shop.sell(1, credit_seconds=600, max_sessions=4)
    answers = at_once(*(partial(log_in, desk, card, f"device {number}") for number, desk in enumerate(desks)))
    assert [answer.is_accepted for answer in answers].count(True) == 4
    assert sum(session["granted_seconds"] for session in shop.sessions(card)) == 600


def test_a_first_login_and_a_return_exclude_each_other(shop, desk, database):
    def give_back(card):
        return database.execute("UPDATE card SET status = 'created' WHERE serial = %s AND status = 'delivered'",
                                [card.serial])

    for card in shop.sell(20):
        answer, is_returned = at_once(partial(log_in, desk, card), partial(give_back, card))
        assert answer.is_accepted is not bool(is_returned)
        assert answer.reason in ("time", "not_delivered")
        assert len(shop.sessions(card)) == (0 if is_returned else 1)


def test_a_return_between_reading_and_reserving_wins(shop, desk, database):
    """The card was read for its PIN; before the decision is written, the office takes it back."""
    card, = shop.sell(1)
    asked = {"User-Name": card.serial, "Tmp-String-0": "127.0.0.1", "Calling-Station-Id": PHONE}
    desk.authorize(asked)
    shop.set_status(card, "created")
    assert desk.admit(asked).reason == "not_delivered"
    assert shop.sessions(card) == []


def test_a_device_that_was_bound_between_reading_and_reserving_wins(shop, desk, database):
    card, = shop.sell(1, bind_device=True)
    asked = {"User-Name": card.serial, "Tmp-String-0": "127.0.0.1", "Calling-Station-Id": PHONE}
    desk.authorize(asked)
    shop.change(card, device=LAPTOP)
    assert desk.admit(asked).reason == "wrong_device"
    assert (shop.sessions(card), shop.status(card)) == ([], "delivered")


def test_a_login_number_is_claimed_once_whoever_claims_it(shop, cursor):
    """Two logins of two servers, decided on the same facts: a statement each, and one of another card beside."""
    card, other = shop.sell(2)
    one, two = shop.id(card), shop.id(other)
    assert store.reserve(cursor, [_reservation(one), _reservation(two)]) == {(one, 1), (two, 1)}
    late = _reservation(one)._replace(token=8)
    assert store.reserve(cursor, [late, _reservation(two, 2)]) == {(two, 2)}


def test_a_login_that_is_written_again_is_its_own(shop, cursor):
    """Its commit went well, and the answer got lost."""
    card, other = shop.sell(2)
    claims = [_reservation(shop.id(card)), _reservation(shop.id(other))]
    for _ in range(2):
        assert store.reserve(cursor, claims) == {(shop.id(card), 1), (shop.id(other), 1)}


@pytest.mark.parametrize("device", ["it's", "back\\slash", "%s", "a\x1ab", "\u00e9\u2603", '"'])
def test_a_device_may_be_called_anything(shop, cursor, device):
    card, = shop.sell(1)
    store.reserve(cursor, [_reservation(shop.id(card))._replace(device=device)])
    row, = shop.sessions(card)
    assert row["device"] == device


def test_a_login_that_lost_changes_nothing_else(shop, cursor):
    card, = shop.sell(1)
    claim = _reservation(shop.id(card))
    assert store.reserve(cursor, [claim]) == {(shop.id(card), 1)}
    late = claim._replace(activates=True, closes=((1, "superseded"),), binds_device=True, token=8)
    assert store.reserve(cursor, [late]) == set()
    row, = shop.sessions(card)
    assert (shop.status(card), shop.card(card)["device"], row["closed_at"]) == ("delivered", None, None)


def _reservation(card_id: int, login_number: int = 1) -> store.Reservation:
    values = dict.fromkeys(store.Reservation._fields) | {
        "card_id": card_id, "login_number": login_number, "nas_id": 1, "nas_address": "127.0.0.1", "device": PHONE,
        "due_in_seconds": 600, "due_cause": "time", "granted": Credit(600), "tariff": Tariff(), "interim_seconds": 300,
        "closes": (), "activates": False, "binds_device": False, "token": 7,
    }
    return store.Reservation(**{name: values[name] for name in store.Reservation._fields})
