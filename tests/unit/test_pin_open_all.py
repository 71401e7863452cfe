"""Many PINs at once open as one by one, and a wrong one says whose it is."""

import pytest

from freeradius_module.sealing import pin
from freeradius_module.sealing.keyring import Key, Keyring


@pytest.fixture
def keyring():
    return Keyring({1: Key(bytes(range(32)), "active"), 2: Key(bytes(range(1, 33)), "active")})


def test_they_open_as_one_by_one(keyring):
    cards = []
    for serial, secret in (("A17", "0012"), ("A25", "ação"), ("A33", "x")):
        number, sealed = pin.seal(secret, serial, keyring)
        cards.append((serial, sealed, number))
    first_key = Keyring({1: Key(bytes(range(32)), "active")})
    number, sealed = pin.seal("older", "A41", first_key)
    cards.append(("A41", sealed, number))
    assert pin.open_all(cards, keyring) == ["0012", "ação", "x", "older"]
    assert pin.open_all([], keyring) == []


def test_a_seal_of_another_card_is_refused_by_name(keyring):
    number, sealed = pin.seal("0012", "A17", keyring)
    with pytest.raises(pin.SealError, match="A25"):
        pin.open_all([("A25", sealed, number)], keyring)
