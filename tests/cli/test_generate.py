"""generate: a batch, whole or not at all, and never a serial twice."""

import os

import pytest

from admin.shell.office import Office
from freeradius_module.rules import serial
from freeradius_module.sealing import pin


@pytest.fixture
def product(office):
    return office.product("--time", "10m", "--price", "10.00")


def test_a_batch_is_made_and_described(office, product):
    printed = office.json("generate", "--product", product, "--count", 1000, "--prefix", "LIVRE")
    assert printed["product"] == product and printed["count"] == 1000
    rows = office.json("list", "--batch", printed["batch"])
    assert [rows[0]["serial"], rows[-1]["serial"]] == [printed["first_serial"], printed["last_serial"]]
    assert len({row["serial"] for row in rows}) == 1000
    assert all(serial.is_valid(row["serial"]) and row["serial"].startswith("LIVRE") for row in rows)
    assert {(row["status"], row["product"], row["batch"], row["partner"]) for row in rows} == {
        ("created", product, printed["batch"], None)
    }
    assert serial.count_range(printed["first_serial"], printed["last_serial"]) == 1000


def test_the_next_batch_goes_on_where_the_last_one_ended(office, product):
    first, second = (office.json("generate", "--product", product, "--count", 5, "--prefix", "NEXT") for _ in range(2))
    last_number, next_number = (int(text[len("NEXT") : -1]) for text in (first["last_serial"], second["first_serial"]))
    assert next_number == last_number + 1


def test_pins_have_the_shape_that_was_asked_for_and_open_with_the_key_only(office, product, database):
    batch = office.json("generate", "--product", product, "--count", 50, "--pin-length", 8, "--pin-alphabet", "safe")
    keyring = Office(str(office.option_file)).keyring
    rows = database.query("SELECT serial, pin_sealed, key_number FROM card WHERE batch_id = %s", [batch["batch"]])
    pins = [pin.open_sealed(row["pin_sealed"], row["key_number"], row["serial"], keyring) for row in rows]
    assert all(len(one) == 8 and set(one) <= set(pin.SAFE_ALPHABET) for one in pins)
    assert len(set(pins)) == 50
    assert not any(one.encode() in row["pin_sealed"] for one, row in zip(pins, rows, strict=True))
    with pytest.raises(pin.SealError):
        pin.open_sealed(rows[0]["pin_sealed"], rows[0]["key_number"], rows[1]["serial"], keyring)


def test_a_pin_that_the_wrong_pins_of_a_card_do_not_protect_is_refused(office, product):
    """100 wrong PINs a card and quarter of an hour, of 10^6, and at most one card stolen in a thousand of them."""
    office.must("generate", "--product", product, "--count", 10, "--pin-length", 6)
    refused = office.run("generate", "--product", product, "--count", 1, "--pin-length", 6)
    assert refused.exit_status == 1
    assert "11 live cards and 100 tries a card" in refused.stderr and "at least 7" in refused.stderr


def test_a_card_with_a_single_code_has_it_as_pin_too(office, product, database):
    printed = office.json("generate", "--product", product, "--count", 20, "--single-code")
    keyring = Office(str(office.option_file)).keyring
    rows = database.query(
        "SELECT serial, pin_sealed, key_number FROM card WHERE batch_id = %s ORDER BY serial", [printed["batch"]]
    )
    assert [rows[0]["serial"], rows[-1]["serial"]] == [printed["first_serial"], printed["last_serial"]]
    for row in rows:
        assert len(row["serial"]) >= 16 and serial.is_valid(row["serial"])
        assert pin.open_sealed(row["pin_sealed"], row["key_number"], row["serial"], keyring) == row["serial"]


@pytest.mark.parametrize(
    ("options", "exit_status", "word"),
    [
        (("--count", "0"), 2, "0"),
        (("--count", "-1"), 2, "-1"),
        (("--count", "1000000000"), 2, "1000000000"),
        (("--count", "many"), 2, "many"),
        (("--count", "10", "--pin-length", "4"), 1, "guessed"),
        (("--count", "10", "--pin-alphabet", "aab"), 1, "aab"),
        (("--count", "10", "--prefix", "livre"), 1, "livre"),
        (("--count", "10", "--prefix", "A'"), 1, "prefix"),
        (("--count", "100", "--serial-digits", "1", "--prefix", "TINY"), 1, "digits"),
        (("--count", "10", "--single-code", "--pin-length", "8"), 1, "16"),
    ],
)
def test_what_cannot_be_made_is_refused_and_nothing_is_made(office, product, database, options, exit_status, word):
    result = office.run("generate", "--product", product, *options)
    assert result.exit_status == exit_status
    assert word.lower() in result.stderr.lower()
    assert database.value("SELECT COUNT(*) FROM batch") == database.value("SELECT COUNT(*) FROM card") == 0


def test_an_unknown_product_is_named(office):
    result = office.run("generate", "--product", "Nowhere", "--count", 1)
    assert result.exit_status == 1 and "Nowhere" in result.stderr


def test_a_serial_that_exists_already_refuses_the_whole_batch(office, product, database):
    """Prefix 'A' with digits '17' and prefix 'A1' with digit '7' would print the same serial."""
    office.json("generate", "--product", product, "--count", 1, "--prefix", "CLASH0", "--serial-digits", "1")
    made = database.value("SELECT COUNT(*) FROM card")
    result = office.run("generate", "--product", product, "--count", 5, "--prefix", "CLASH", "--serial-digits", "2")
    assert result.exit_status == 1 and "serial" in result.stderr
    assert database.value("SELECT COUNT(*) FROM card") == made
    assert database.value("SELECT COUNT(*) FROM batch") == 1


def test_two_offices_at_once_never_make_the_same_serial(office, product, database):
    running = [office.spawn("generate", "--product", product, "--count", 3000, "--json") for _ in range(4)]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0, 0]
    assert database.value("SELECT COUNT(DISTINCT serial) FROM card") == 12_000
    assert database.value("SELECT COUNT(*) FROM batch WHERE card_count = 3000") == 4
    for process in running:
        process.communicate()


def test_a_hundred_thousand_cards_need_no_more_memory_than_a_thousand(office, product):
    assert peak_kib(office, product, 100_000) < peak_kib(office, product, 1_000) + 20_000


def peak_kib(office, product, count: int) -> int:
    process = office.spawn("generate", "--product", product, "--count", count)
    process.stdout.read(), process.stderr.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss
