"""payment add, list, reverse: each payment once, never edited, in the chain and in the sums."""

import datetime

import pymysql
import pytest

from tests.database import without_triggers


@pytest.fixture
def partner(office):
    return office.partner()


def account(database, partner) -> dict:
    return database.query(
        "SELECT account.* FROM partner_account AS account JOIN partner ON partner.id = account.partner_id WHERE name = %s",
        [partner],
    )[0]


def test_a_payment_is_recorded_with_the_servers_time_and_operator(office, partner):
    printed = office.json(
        "payment", "add", partner, "350.00", "--key", "pix-1", "--date", "2026-03-02", "--note", "PIX"
    )
    assert {name: printed[name] for name in ("partner", "amount_cents", "paid_on", "key", "note", "reverses")} == {
        "partner": partner,
        "amount_cents": 35000,
        "paid_on": "2026-03-02",
        "key": "pix-1",
        "note": "PIX",
        "reverses": None,
    }
    assert printed["operator"] == "prepaid_admin" and printed["recorded_at"].endswith("Z")
    del printed["repeated"]
    assert office.json("payment", "list", "--partner", partner) == [printed]


def test_a_repeated_command_records_nothing_more(office, partner, database):
    one = office.json("payment", "add", partner, "20.00", "--key", "k1")
    again = office.json("payment", "add", partner, "20.00", "--key", "k1")
    assert (one["repeated"], again["repeated"], again["payment"]) == (False, True, one["payment"])
    assert account(database, partner)["paid_cents"] == 2000
    assert len(office.json("payment", "list")) == 1


@pytest.mark.parametrize("other", ["amount", "partner", "day"])
def test_a_key_of_another_payment_is_refused(office, partner, other):
    office.must("payment", "add", partner, "20.00", "--key", "k1")
    payer = office.partner() if other == "partner" else partner
    amount = "20.01" if other == "amount" else "20.00"
    day = ["--date", "2026-01-02"] if other == "day" else []
    result = office.run("payment", "add", payer, amount, "--key", "k1", *day)
    assert result.exit_status == 1 and "R$ 20.00" in result.stderr and partner in result.stderr
    assert len(office.json("payment", "list")) == 1


def test_a_reversal_is_a_row_of_its_own_and_made_once(office, partner, database):
    wrong = office.json("payment", "add", partner, "20.00", "--key", "k1", "--date", "2026-03-02")["payment"]
    office.must("payment", "add", partner, "5.00", "--key", "k2")
    reversal = office.json("payment", "reverse", wrong, "--reason", "Wrong partner")
    assert (reversal["amount_cents"], reversal["reverses"], reversal["reason"]) == (-2000, wrong, "Wrong partner")
    assert reversal["paid_on"] == datetime.date.today().isoformat()
    again = office.json("payment", "reverse", wrong, "--reason", "Twice")
    assert again["repeated"] and again["payment"] == reversal["payment"] and again["reason"] == "Wrong partner"
    assert account(database, partner)["paid_cents"] == 500
    rows = {row["payment"]: row for row in office.json("payment", "list")}
    assert rows[wrong]["reversed_by"] == reversal["payment"] and rows[wrong]["amount_cents"] == 2000
    assert len(rows) == 3


def test_a_reversal_is_not_reversed(office, partner):
    wrong = office.json("payment", "add", partner, "20.00", "--key", "k1")["payment"]
    reversal = office.json("payment", "reverse", wrong, "--reason", "Mistake")["payment"]
    result = office.run("payment", "reverse", reversal, "--reason", "Mistake")
    assert result.exit_status == 1 and f"reversal of payment {wrong}" in result.stderr
    assert office.run("payment", "reverse", 999, "--reason", "x").exit_status == 1


def test_what_is_no_payment_is_wrong_usage(office, partner):
    tomorrow = (datetime.date.today() + datetime.timedelta(days=1)).isoformat()
    for arguments in (
        ("0", "--key", "k"),
        ("-5", "--key", "k"),
        ("5.00",),
        ("5.00", "--key", " "),
        ("5.00", "--key", "k", "--date", tomorrow),
    ):
        assert office.run("payment", "add", partner, *arguments).exit_status == 2, arguments
    assert office.json("payment", "list") == []


def test_list_is_newest_first_within_its_days(office, partner):
    for day, key in (("2026-03-02", "a"), ("2026-03-05", "b"), ("2026-02-01", "c")):
        office.must("payment", "add", partner, "1.00", "--key", key, "--date", day)
    office.must("payment", "add", office.partner(), "1.00", "--key", "d", "--date", "2026-03-03")
    rows = office.json("payment", "list", "--partner", partner, "--from", "2026-03-01", "--to", "2026-03-31")
    assert [row["key"] for row in rows] == ["b", "a"]


@pytest.mark.parametrize(
    "statement, rule",
    [
        (
            "INSERT INTO payment (partner_id, amount_cents, paid_on, idempotency_key) VALUES (1, -5, '2026-01-01', 'x')",
            "key",
        ),
        ("INSERT INTO payment (partner_id, amount_cents, paid_on) VALUES (1, 5, '2026-01-01')", "key"),
        (
            "INSERT INTO payment (partner_id, amount_cents, paid_on, idempotency_key) VALUES (1, 5, '2999-01-01', 'x')",
            "future",
        ),
        (
            "INSERT INTO payment (partner_id, paid_on, reverses_id, reason) VALUES (1, CURDATE(), 1000 + N, 'x')",
            "reversal_is",
        ),
        ("INSERT INTO payment (partner_id, paid_on, reverses_id, reason) VALUES (1, CURDATE(), N, '')", "reversal_is"),
        (
            "INSERT INTO payment (partner_id, paid_on, reverses_id, reason) VALUES (1, '2026-01-01', N, 'x')",
            "reversal_is",
        ),
    ],
)
def test_the_database_refuses_what_is_no_payment(office, partner, database, statement, rule):
    """Whoever writes it: here the schema's owner."""
    number = office.json("payment", "add", partner, "5.00", "--key", "k")["payment"]
    with pytest.raises(pymysql.MySQLError, match=rule):
        database.execute(statement.replace(" N", f" {number}"))


def test_a_reversal_takes_back_what_its_payment_was(office, partner, database):
    """Whatever amount and partner the statement says."""
    number = office.json("payment", "add", partner, "5.00", "--key", "k")["payment"]
    other = office.partner()
    database.execute(
        "INSERT INTO payment (partner_id, amount_cents, paid_on, reverses_id, reason, operator)"
        " SELECT id, -900, CURDATE(), %s, 'x', 'somebody' FROM partner WHERE name = %s",
        [number, other],
    )
    assert account(database, partner)["paid_cents"] == account(database, other)["paid_cents"] == 0
    assert [row["operator"] == "somebody" for row in office.json("payment", "list")] == [False, False]


def test_payments_are_in_the_chain_and_in_the_sums(office, partner, database):
    office.must("payment", "add", partner, "5.00", "--key", "k")
    office.must("reconcile")
    office.must("audit", "seal")
    with without_triggers(database):
        database.execute("UPDATE payment SET amount_cents = 600")
    found = office.run("audit", "verify")
    assert found.exit_status == 1 and "payment" in found.stdout
    found = office.run("reconcile", "--json")
    assert found.exit_status == 1
    (fault,) = found.json()["faults"]
    assert (fault["check"], fault["which"], fault["one"], fault["other"]) == ("partner", partner, "500", "600")
