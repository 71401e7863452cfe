"""Reservations on a real database: of several logins that were decided on the same facts, one is written."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from freeradius_module import store
from freeradius_module.rules.usage import Usage
from tests.engine_callers import LAPTOP, PHONE, log_in, reservation_of

PATIENCE_SECONDS = 30


def at_once(*acts):
    """Do all acts at the same moment; their results, in order."""
    barrier = Barrier(len(acts))

    def run(act):
        barrier.wait(PATIENCE_SECONDS)
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [one.result(PATIENCE_SECONDS) for one in [pool.submit(run, act) for act in acts]]


@pytest.mark.parametrize(
    "devices",
    [[PHONE] * 8, [f"device {number}" for number in range(8)], [""] * 8],
    ids=["the same device", "different devices", "no device"],
)
def test_of_several_servers_that_accept_a_card_at_once_one_does(shop, new_engine, devices):
    engines = [new_engine() for _ in devices]
    for card in shop.sell(5, credit_seconds=600):
        # Asked for at one moment, however long each server needs: a device that asks later takes its own session over.
        asked_at = time.time()
        answers = at_once(
            *(
                partial(log_in, engine, card, device, asked_at=asked_at)
                for engine, device in zip(engines, devices, strict=True)
            )
        )
        assert [answer.is_accepted for answer in answers].count(True) == 1
        assert {answer.reason for answer in answers if not answer.is_accepted} == {"too_many_sessions"}
        assert [session["login_number"] for session in shop.sessions(card)] == [1]


def test_servers_that_share_a_card_never_grant_it_twice(shop, new_engine):
    engines = [new_engine() for _ in range(6)]
    (card,) = shop.sell(1, credit_seconds=600, max_sessions=4)
    answers = at_once(*(partial(log_in, engine, card, f"device {number}") for number, engine in enumerate(engines)))
    assert [answer.is_accepted for answer in answers].count(True) == 4
    assert sum(session["granted_seconds"] for session in shop.sessions(card)) == 600


def test_a_first_login_and_a_return_exclude_each_other(shop, engine, database):
    def give_back(card):
        return database.execute(
            "UPDATE card SET status = 'created' WHERE serial = %s AND status = 'delivered'", [card.serial]
        )

    for card in shop.sell(20):
        answer, is_returned = at_once(partial(log_in, engine, card), partial(give_back, card))
        assert answer.is_accepted is not bool(is_returned)
        assert answer.reason in ("time", "not_delivered")
        assert len(shop.sessions(card)) == (0 if is_returned else 1)


def test_a_return_between_reading_and_reserving_wins(shop, engine, database):
    """The card was read for its PIN; before the decision is written, the office takes it back."""
    (card,) = shop.sell(1)
    asked = {"User-Name": card.serial, "Tmp-String-0": "127.0.0.1", "Calling-Station-Id": PHONE}
    engine.authorize(asked)
    shop.set_status(card, "created")
    assert engine.admit(asked).reason == "not_delivered"
    assert shop.sessions(card) == []


def test_a_device_that_was_bound_between_reading_and_reserving_wins(shop, engine, database):
    (card,) = shop.sell(1, bind_device=True)
    asked = {"User-Name": card.serial, "Tmp-String-0": "127.0.0.1", "Calling-Station-Id": PHONE}
    engine.authorize(asked)
    shop.change(card, device=LAPTOP)
    assert engine.admit(asked).reason == "wrong_device"
    assert (shop.sessions(card), shop.status(card)) == ([], "delivered")


def test_a_login_number_is_claimed_once_whoever_claims_it(shop, cursor):
    """Two logins of two servers, decided on the same facts: a statement each, and one of another card beside."""
    card, other = shop.sell(2)
    one, two = shop.id(card), shop.id(other)
    first = [reservation_of(shop, card), reservation_of(shop, other)]
    assert store.logins.reserve(cursor, first) == {(one, 1), (two, 1)}
    late = reservation_of(shop, card)._replace(token=8)
    assert store.logins.reserve(cursor, [late, reservation_of(shop, other, 2)]) == {(two, 2)}


def test_a_login_that_is_written_again_is_its_own(shop, cursor):
    """Its commit succeeded, and the answer was lost."""
    card, other = shop.sell(2)
    claims = [reservation_of(shop, card), reservation_of(shop, other)]
    for _ in range(2):
        assert store.logins.reserve(cursor, claims) == {(shop.id(card), 1), (shop.id(other), 1)}


@pytest.mark.parametrize("device", ["it's", "back\\slash", "%s", "a\x1ab", "\u00e9\u2603", '"'])
def test_a_device_may_be_called_anything(shop, cursor, device):
    (card,) = shop.sell(1)
    store.logins.reserve(cursor, [reservation_of(shop, card)._replace(device=device)])
    (row,) = shop.sessions(card)
    assert row["device"] == device


def test_a_login_that_lost_changes_nothing_else(shop, cursor):
    (card,) = shop.sell(1)
    claim = reservation_of(shop, card)
    assert store.logins.reserve(cursor, [claim]) == {(shop.id(card), 1)}
    late = claim._replace(activates=True, closes=((1, "superseded", Usage()),), binds_device=True, token=8)
    assert store.logins.reserve(cursor, [late]) == set()
    (row,) = shop.sessions(card)
    assert (shop.status(card), shop.card(card)["device"], row["closed_at"]) == ("delivered", None, None)


@pytest.mark.parametrize("change", ["block", "end of validity", "device", "credit", "product"])
def test_a_login_is_not_written_when_what_it_was_decided_on_has_changed(shop, cursor, database, change):
    card, other = shop.sell(2, credit_seconds=600)
    reservations = [reservation_of(shop, card), reservation_of(shop, other)]
    if change == "product":
        database.execute("UPDATE product SET speed_down_kbit = 512 WHERE id = %s", [shop.card(card)["product_id"]])
    elif change == "block":
        shop.set_status(card, "blocked")
    elif change == "credit":
        shop.add_credit(card, added_seconds=-500)
    else:
        shop.change(card, **{"end of validity": {"expires_at": "2026-01-01"}, "device": {"device": LAPTOP}}[change])
    written = store.logins.reserve(cursor, reservations)
    # Both cards have the same product; otherwise the other card's login would be written.
    assert written == (set() if change == "product" else {(shop.id(other), 1)})
    assert shop.sessions(card) == []


def test_posting_and_resealing_a_pin_do_not_prevent_a_login(shop, cursor, database):
    (card,) = shop.sell(1, credit_seconds=600)
    reservation = reservation_of(shop, card)
    shop.change(card, posted_seconds=10, posted_login_number=0, note="seen", pin_sealed=b"other")
    assert store.logins.reserve(cursor, [reservation]) == {(shop.id(card), 1)}


def test_a_login_of_a_card_that_is_locked_waits_and_the_others_go_on(shop, cursor, database):
    card, *others = shop.sell(8, credit_seconds=600)
    with database.connect() as connection, connection.cursor() as office:
        office.execute("BEGIN")
        office.execute("UPDATE card SET note = 'being delivered' WHERE serial = %s", [card.serial])
        written = store.logins.reserve(cursor, [reservation_of(shop, one) for one in (card, *others)])
    assert written == {(shop.id(one), 1) for one in others}
