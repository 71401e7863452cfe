"""A NAS that starts says so until it is answered; sessions that begin meanwhile are not ended by the repetition."""

import pytest


def open_logins(shop, card) -> list[int]:
    return [session["login_number"] for session in shop.sessions(card) if session["due_at"] is not None]


def online(radius, card, nas, device):
    session = radius.session(
        card.serial,
        radius.login(card.serial, card.pin, nas_ip=nas, calling_station_id=device),
        nas_ip=nas,
        calling_station_id=device,
    )
    assert radius.start(session).is_acknowledged
    return session


@pytest.mark.parametrize("status", ["Accounting-On", "Accounting-Off"])
def test_an_identical_restart_that_comes_again_ends_no_session_that_began_in_between(radius, shop, status):
    (card,) = shop.sell(1, credit_seconds=36_000, max_sessions=4)
    nas = shop.nas()
    online(radius, card, nas, "02-00-00-00-00-01")
    restart = radius.build_nas_restart(nas, status)
    assert radius.send(restart, nas_ip=nas).is_acknowledged
    assert open_logins(shop, card) == []
    session = online(radius, card, nas, "02-00-00-00-00-02")
    for _ in range(2):
        assert radius.send(restart, nas_ip=nas).is_acknowledged
        assert open_logins(shop, card) == [2]
    assert radius.stop(session, 10).is_acknowledged
    assert shop.used(card)[0] == 10
    online(radius, card, nas, "02-00-00-00-00-03")
    assert radius.send(radius.build_nas_restart(nas, status), nas_ip=nas).is_acknowledged
    assert open_logins(shop, card) == []


def test_the_same_restart_of_another_nas_is_another_one(radius, shop):
    """Two boxes of one make that start with the same bytes, as a counter that begins at one makes them."""
    (card,) = shop.sell(1, credit_seconds=36_000, max_sessions=4)
    here, there = shop.nas(), shop.nas()
    online(radius, card, here, "02-00-00-00-00-01")
    online(radius, card, there, "02-00-00-00-00-02")
    restart = radius.build_nas_restart("192.0.2.1")
    assert radius.send(restart, nas_ip=here).is_acknowledged
    assert open_logins(shop, card) == [2]
    assert radius.send(restart, nas_ip=there).is_acknowledged
    assert open_logins(shop, card) == []
