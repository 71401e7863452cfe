"""key list, add, rotate, retire: PINs and NAS secrets get another key; each step can be interrupted and repeated."""

import time

import pytest

from freeradius_module.sealing import keyring, pin
from tests.waiting import TRANSACTIONS_PAUSE_SECONDS, wait_until, waiting_for_a_lock


@pytest.fixture
def key_file(_unstarted_stack):
    """The stack's key file, which is put back after the test."""
    path = _unstarted_stack.key_file
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


def a_minute_passes(database):
    """Date the last sealing back by a minute, so that the old key can be retired."""
    database.execute("UPDATE site SET value = UTC_TIMESTAMP(3) - INTERVAL 61 SECOND WHERE name = 'resealed_at'")


def opened(database, key_file):
    """Every card's PIN, opened with the key file as it is."""
    keys = keyring.load(key_file)
    return {
        row["serial"]: pin.open_sealed(row["pin_sealed"], row["key_number"], row["serial"], keys)
        for row in database.query("SELECT serial, pin_sealed, key_number FROM card WHERE status <> 'deleted'")
    }


def test_a_change_of_keys(office, database, key_file):
    cards = office.stock(450, "--time", "10m")
    office.must("delete", cards[0].serial, "--yes", "--reason", "Misprinted")
    pins = {card.serial: card.pin for card in cards[1:]}
    added = office.json("key", "add")
    assert (added["number"], added["state"]) == (2, "waiting")
    assert [
        (row["number"], row["state"], row["seals"], row["cards"], row["nas"]) for row in office.json("key", "list")
    ] == [(1, "active", True, 449, 1), (2, "waiting", False, 0, 0)]
    assert office.json("key", "rotate", "--yes") == {"number": 2, "cards": 449, "nas": 1}
    assert opened(database, key_file) == pins
    refused = office.run("key", "retire", "1", "--yes")
    assert refused.exit_status == 1 and "seconds" in refused.stderr
    a_minute_passes(database)
    assert office.json("key", "retire", "1", "--yes") == {"number": 1, "state": "retired"}
    assert [(row["number"], row["state"], row["cards"], row["nas"]) for row in office.json("key", "list")] == [
        (1, "retired", 0, 0),
        (2, "active", 449, 1),
    ]
    assert opened(database, key_file) == pins
    # New cards are sealed with the new key.
    office.stock(1, "--time", "10m")
    assert {row["number"]: row["cards"] for row in office.json("key", "list")} == {1: 0, 2: 450}


def test_no_key_is_shown(office, key_file):
    office.must("key", "add")
    secrets = [line.split()[1] for line in key_file.read_text().splitlines() if line[:1].isdigit()]
    for arguments in (("key", "list", "--json"), ("key", "list"), ("key", "add", "--json")):
        text = office.must(*arguments).stdout
        assert not any(secret in text or secret[:16] in text for secret in secrets)


def test_a_key_is_retired_only_when_nothing_is_sealed_with_it(office, key_file):
    office.stock(3, "--time", "10m")
    office.must("key", "add")
    result = office.run("key", "retire", "1", "--yes")
    assert result.exit_status == 1 and "3 cards" in result.stderr and "1 NAS" in result.stderr
    assert keyring.load(key_file).states == {1: "active", 2: "waiting"}
    assert office.run("key", "retire", "9", "--yes").exit_status == 1


def test_the_last_key_stays(office, database, key_file):
    database.execute("UPDATE nas SET key_number = 7")
    assert office.run("key", "retire", "1", "--yes").exit_status == 1
    assert keyring.load(key_file).states == {1: "active"}
    assert database.query("SELECT name FROM site WHERE name = 'key_1_retired'") == []


@pytest.mark.parametrize(("arguments", "word"), [(("rotate",), "every machine"), (("retire", "1"), "for good")])
def test_a_no_changes_nothing(office, database, key_file, arguments, word):
    office.stock(1, "--time", "10m")
    office.must("key", "add")
    if arguments[0] == "retire":
        office.must("key", "rotate", "--yes")
    before = key_file.read_bytes(), office.json("key", "list")
    result = office.run("key", *arguments, stdin="n\n")
    assert result.exit_status == 1 and word in result.stderr
    assert (key_file.read_bytes(), office.json("key", "list")) == before


def test_a_rotation_that_was_killed_goes_on(office, database, key_file):
    cards = office.stock(4000, "--time", "10m")
    pins = {card.serial: card.pin for card in cards}
    office.must("key", "add")
    counts = set()
    for attempt in range(10):
        run = office.spawn("key", "rotate", "--yes")
        time.sleep(0.35 + attempt * 0.04)
        run.kill()
        run.wait()
        assert opened(database, key_file) == pins
        counts.add(database.value("SELECT COUNT(*) FROM card WHERE key_number = 2"))
    office.must("key", "rotate", "--yes")
    assert database.value("SELECT COUNT(*) FROM card WHERE key_number <> 2") == 0
    assert opened(database, key_file) == pins


def test_two_rotations_at_once_do_not_disturb_each_other(office, database, key_file):
    cards = office.stock(2000, "--time", "10m")
    office.must("key", "add")
    runs = [office.spawn("key", "rotate", "--yes") for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert opened(database, key_file) == {card.serial: card.pin for card in cards}
    assert database.value("SELECT COUNT(*) FROM card WHERE key_number <> 2") == 0


def test_a_key_that_is_sealing_is_not_retired(office, database, key_file):
    """A generate that began before the rotation has the old key; retire waits for its commit, and refuses."""
    product = office.product("--time", "10m")
    office.must("key", "add")
    with database.connect() as connection, connection.cursor() as cursor:
        # As generate and import do, when they begin to seal.
        cursor.execute("START TRANSACTION")
        cursor.execute("SELECT name FROM site WHERE name = 'key_1_fingerprint' LOCK IN SHARE MODE")
        office.must("key", "rotate", "--yes")
        a_minute_passes(database)
        retire = office.spawn("key", "retire", "1", "--yes")
        wait_until(
            lambda: waiting_for_a_lock(database) or retire.poll() is not None, pause_seconds=TRANSACTIONS_PAUSE_SECONDS
        )
        assert retire.poll() is None, retire.communicate()
        cursor.execute(
            "INSERT INTO batch (product_id, card_count, first_serial, last_serial)"
            " SELECT id, 1, 'X1', 'X1' FROM product WHERE name = %s",
            [product],
        )
        cursor.execute(
            "INSERT INTO card (serial, pin_sealed, key_number, batch_id, product_id)"
            " SELECT 'X1', 'x', 1, batch.id, product_id FROM batch"
        )
        connection.commit()
    assert retire.wait() == 1 and "1 cards" in retire.communicate()[1]
    assert keyring.load(key_file).states[1] == "active"


def test_a_machine_with_a_retired_key_makes_no_cards(office, database, key_file, tmp_path):
    before = key_file.read_bytes()
    product = office.product("--time", "10m")
    office.must("key", "add")
    office.must("key", "rotate", "--yes")
    a_minute_passes(database)
    office.must("key", "retire", "1", "--yes")
    # Another machine, with the old key file.
    key_file.write_bytes(before)
    path = tmp_path / "cards.csv"
    path.write_text("serial,pin\nA1,1234567890\n")
    for arguments in (("generate", "--product", product, "--count", 1), ("import", path, "--product", product)):
        result = office.run(*arguments)
        assert result.exit_status == 1 and "retired" in result.stderr
    assert database.value("SELECT COUNT(*) FROM card") == 0
