"""A server that runs for months meets keys that are changed under it."""

import pytest

from freeradius_module import settings
from freeradius_module.engine.engine import Engine
from tests.shop import SECRET, Shop


@pytest.fixture
def key_file(_unstarted_stack):
    """The stack's key file, which is put back after the test."""
    path = _unstarted_stack.key_file
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


def change_keys(office, database):
    office.must("key", "add")
    office.must("key", "rotate", "--yes")
    database.execute("UPDATE site SET value = UTC_TIMESTAMP(3) - INTERVAL 61 SECOND WHERE name = 'resealed_at'")
    office.must("key", "retire", "1", "--yes")


def test_it_opens_what_is_sealed_with_a_key_that_came_after_it_started(office, database, key_file, _unstarted_stack):
    shop = Shop(database, key_file)
    (card,) = shop.sell(1)
    address = shop.nas()
    engine = Engine(settings.load(str(_unstarted_stack.option_file)))
    change_keys(office, database)
    assert engine.authorize({"User-Name": card.serial}).pin == card.pin
    assert engine.client(address) == (f"NAS {address}", SECRET, True)
    # What an unknown serial opens is sealed anew too, or its silence would tell it from a wrong PIN.
    assert engine.authorize({"User-Name": "9999999999"}).pin != card.pin


def test_a_class_outlasts_the_key(office, database, key_file, _unstarted_stack):
    option_file = str(_unstarted_stack.option_file)
    shop = Shop(database, key_file)
    (card,) = shop.sell(1, max_sessions=2)
    request = {"User-Name": card.serial, "Tmp-String-0": "127.0.0.1"}
    engine = Engine(settings.load(option_file))
    first, second = (engine.admit({**request, "Calling-Station-Id": device}) for device in ("phone", "laptop"))
    change_keys(office, database)
    # Another server, that has never known the old key; nothing but Class tells the two sessions apart.
    later = Engine(settings.load(option_file))
    for answer, seconds in ((first, 10), (second, 20)):
        class_value = next(value for name, _, value in answer.reply if name == "Class")
        later.account(
            [
                *request.items(),
                ("Acct-Status-Type", "Stop"),
                ("Acct-Session-Id", f"id-{seconds}"),
                ("Acct-Session-Time", str(seconds)),
                ("Class", class_value),
            ]
        )
    assert [row["used_seconds"] for row in shop.sessions(card)] == [10, 20]
