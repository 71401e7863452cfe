"""The office's commands and the module's engine, on one database and one key file."""

import pymysql
import pytest

from freeradius_module import connection
from tests.engine_callers import LAPTOP, class_of, log_in, report, session_timeout


def test_a_pin_that_the_office_drew_opens_for_the_module(office, engine):
    for card in office.sell(3, "--time", "10m"):
        assert session_timeout(log_in(engine, card)) == 600


def test_a_card_with_one_code_opens_too(office, engine):
    product = office.product("--time", "10m")
    batch = office.json("generate", "--product", product, "--count", 1, "--single-code")
    office.must("deliver", "--batch", batch["batch"], "--partner", office.partner())
    code = batch["first_serial"]
    assert engine.authorize({"User-Name": code}).pin == code


def test_a_secret_that_the_office_was_given_is_found_for_its_nas(office, engine):
    office.must(
        "nas",
        "add",
        "Hotel",
        "--address",
        "192.0.2.7",
        "--secret-file",
        "-",
        "--vendor",
        "mikrotik",
        stdin="a long secret\n",
    )
    assert engine.client("192.0.2.7") == ("Hotel", "a long secret", True)
    assert "secret" not in repr(engine.client("192.0.2.7")), "it may stand in the text of an exception"


PRODUCTS = [
    (["--time", "90m"], "Session-Timeout", "5400"),
    (["--traffic", "500MB"], "Session-Timeout", "86400"),
    (["--money", "20.00", "--tariff-minute", "0.05"], "Session-Timeout", "24000"),
    (["--time", "10m", "--speed-down", "2000", "--speed-up", "500"], "WISPr-Bandwidth-Max-Down", "2000000"),
    (["--time", "10m", "--interim", "120"], "Acct-Interim-Interval", "120"),
    (["--time", "10m", "--idle-timeout", "300"], "Idle-Timeout", "300"),
    (["--time", "10m", "--reply", "Filter-Id := guests"], "Filter-Id", "guests"),
]


@pytest.mark.parametrize(("options", "attribute", "value"), PRODUCTS)
def test_what_the_office_sells_is_what_a_login_gets(office, engine, options, attribute, value):
    (card,) = office.sell(1, *options)
    assert (attribute, ":=", value) in log_in(engine, card).reply


def test_the_office_sees_what_the_module_charged(office, engine):
    (card,) = office.sell(1, "--time", "10m")
    engine.account(report(card, "Stop", 120, class_of(log_in(engine, card)), down=5000, up=700))
    shown = office.show(card)
    assert (shown["status"], shown["used_seconds"], shown["remaining_seconds"]) == ("in_use", 120, 480)
    assert shown["used_octets"] == 5700


def test_the_module_obeys_what_the_office_decided(office, engine):
    returned, blocked, stocked = (
        office.sell(1, "--time", "10m") + office.sell(1, "--time", "10m") + office.stock(1, "--time", "10m")
    )
    partner = office.show(returned)["partner"]
    office.must("return", "--batch", returned.batch, "--partner", partner)
    office.must("block", blocked.serial, "--reason", "stolen")
    reasons = [log_in(engine, card).reason for card in (returned, blocked, stocked)]
    assert reasons == ["not_delivered", "blocked", "not_delivered"]
    office.must("unblock", blocked.serial, "--reason", "found")
    assert log_in(engine, blocked).is_accepted


def test_a_card_that_was_deleted_is_unknown_to_the_module(office, engine):
    (card,) = office.stock(1, "--time", "10m")
    office.must("delete", card.serial, "--yes", "--reason", "misprint")
    asked = {"User-Name": card.serial, "Tmp-String-0": "127.0.0.1"}
    assert engine.authorize(asked).pin != card.pin
    assert engine.admit(asked).reason == "unknown_card"


def test_a_card_in_use_is_not_taken_back(office, engine):
    (card,) = office.sell(1, "--time", "10m")
    log_in(engine, card)
    partner = office.show(card)["partner"]
    result = office.run("return", "--batch", card.batch, "--partner", partner)
    assert result.exit_status == 1 and card.serial in result.stderr
    assert office.show(card)["status"] == "in_use"


def test_every_refusal_is_tracked_with_its_own_word(office, engine):
    (card,) = office.sell(1, "--time", "10m")
    engine.record_wrong_pin({"User-Name": card.serial, "Tmp-String-0": "127.0.0.1"})
    answer = log_in(engine, card)
    log_in(engine, card, LAPTOP)
    engine.account(report(card, "Stop", 600, class_of(answer)))
    log_in(engine, card, LAPTOP)
    refused = [row["reason"] for row in office.track(card) if row["what"] == "refused"]
    assert sorted(refused) == ["exhausted", "too_many_sessions", "wrong_pin"]


def test_a_cards_life_is_tracked_in_time_order(office, engine):
    (card,) = office.sell(1, "--time", "10m")
    engine.account(report(card, "Stop", 600, class_of(log_in(engine, card)), down=1000))
    track = office.track(card)
    assert [row["at"] for row in track] == sorted(row["at"] for row in track)
    told = [row["what"] for row in track]
    # Its session is not looked at: it says that it began ten minutes ago, before there was a card.
    steps = ["generated", "exported", "delivered", "activated", "exhausted"]
    assert [what for what in told if what in steps] == steps
    (session,) = (row for row in track if row["what"] == "session")
    assert session["seconds"] == 600


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO card_entry (card_id, what, reason, added_seconds) VALUES (1, 'credited', 'mine', 600)",
        "UPDATE card SET added_seconds = 600",
        "UPDATE card SET pin_sealed = 'x'",
        "UPDATE product SET credit_seconds = 1",
        "DELETE FROM card_event",
        "DELETE FROM session",
        "INSERT INTO nas (name, address, secret_sealed, key_number) VALUES ('x', '0.0.0.0/0', 'x', 1)",
        "SELECT reason FROM card_entry",
        "SELECT note FROM card",
        "DROP TABLE session",
    ],
)
def test_the_modules_account_can_do_what_the_module_does_and_nothing_else(module_settings, statement):
    made = connection.connect(module_settings)
    with made.cursor() as cursor, pytest.raises(pymysql.err.OperationalError, match="denied"):
        cursor.execute(statement)
    made.close()
