"""credit, transfer, edit --unbind: compensating entries, each once, each with a reason."""

import pytest


def used(database, card, **columns):
    """Put usage on a card, as sessions that were posted leave it."""
    columns = {"status": "in_use", "first_login_at": "2026-01-01"} | columns
    if columns["status"] == "exhausted":
        used(database, card)
    assignments = ", ".join(f"{name} = %s" for name in columns)
    database.execute(f"UPDATE card SET {assignments} WHERE serial = %s", [*columns.values(), card.serial])


def entries(database, card):
    return database.query(
        "SELECT card_entry.* FROM card_entry"
        " JOIN card ON card.id = card_entry.card_id WHERE card.serial = %s ORDER BY card_entry.id",
        [card.serial],
    )


# --- Credit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("product", "amount", "column", "before", "after"),
    [
        (("--time", "10m"), "5m", "credit_seconds", 600, 900),
        (("--traffic", "500MB"), "1GB", "credit_octets", 500_000_000, 1_500_000_000),
        (("--money", "5.00", "--tariff-minute", "0.10"), "2,50", "credit_cents", 500, 750),
        (("--traffic-down", "10MB"), "1MB", "credit_down_octets", 10_000_000, 11_000_000),
    ],
)
def test_credit_is_added_with_a_reason(office, product, amount, column, before, after):
    (card,) = office.sell(1, *product)
    assert office.show(card)[column] == before
    printed = office.json("credit", card.serial, "--add", amount, "--reason", "Storm")
    assert (printed[column], printed["repeated"]) == (after, False)
    assert office.show(card)[column] == after
    assert (office.track(card)[-1]["what"], office.track(card)[-1]["reason"]) == ("credited", "Storm")


def test_the_same_key_credits_once(office, database):
    (card,) = office.sell(1, "--time", "10m")
    arguments = ("credit", card.serial, "--add", "5m", "--reason", "Storm", "--key", "ticket-1")
    assert office.json(*arguments)["repeated"] is False
    assert office.json(*arguments)["repeated"] is True
    assert "before" in office.must(*arguments).stdout
    assert office.show(card)["credit_seconds"] == 900 and len(entries(database, card)) == 1
    office.must(*arguments[:-1], "ticket-2")
    assert office.show(card)["credit_seconds"] == 1200


def test_a_key_that_stands_for_another_amount_is_refused(office, database):
    (card,) = office.sell(1, "--time", "10m")
    office.must("credit", card.serial, "--add", "5m", "--reason", "Storm", "--key", "ticket-1")
    result = office.run("credit", card.serial, "--add", "6m", "--reason", "Storm", "--key", "ticket-1")
    assert result.exit_status == 1 and "ticket-1" in result.stderr
    assert office.show(card)["credit_seconds"] == 900


def test_a_double_click_credits_once(office, database):
    (card,) = office.sell(1, "--time", "10m")
    clicks = [
        office.spawn("credit", card.serial, "--add", "5m", "--reason", "Storm", "--key", "k", "--json")
        for _ in range(6)
    ]
    ends = [(click.communicate(), click.returncode) for click in clicks]
    assert [status for _, status in ends] == [0] * 6, ends
    assert sum('"repeated": false' in printed for (printed, _), _ in ends) == 1
    assert office.show(card)["credit_seconds"] == 900


def test_a_used_up_card_works_again(office, database):
    (card,) = office.sell(1, "--time", "10m")
    used(database, card, posted_seconds=600, status="exhausted")
    assert office.json("credit", card.serial, "--add", "5m", "--reason", "Storm")["status"] == "in_use"
    assert [row["what"] for row in office.track(card)[-2:]] == ["credited", "reopened"]
    assert office.json("simulate", card.serial)["session_seconds"] == 300


def test_a_card_that_still_lacks_one_kind_stays_used_up(office, database):
    (card,) = office.sell(1, "--time", "10m", "--traffic", "1MB")
    used(database, card, posted_seconds=600, posted_down_octets=1_000_000, status="exhausted")
    assert office.json("credit", card.serial, "--add", "5m", "--reason", "Storm")["status"] == "exhausted"
    assert office.json("credit", card.serial, "--add", "1MB", "--reason", "Storm")["status"] == "in_use"


@pytest.mark.parametrize(("first_login_at", "status"), [(None, "delivered"), ("2026-01-01", "in_use")])
def test_an_expired_card_needs_a_new_end_of_validity(office, database, first_login_at, status):
    (card,) = office.sell(1, "--time", "10m")
    if first_login_at:
        used(database, card)
    database.execute("UPDATE card SET status = 'expired', expires_at = '2026-02-01' WHERE serial = %s", [card.serial])
    arguments = ("credit", card.serial, "--add", "5m", "--reason", "Storm")
    result = office.run(*arguments)
    assert result.exit_status == 1 and "--expires" in result.stderr and entries(database, card) == []
    assert office.run(*arguments, "--expires", "2026-03-01").exit_status == 1
    printed = office.json(*arguments, "--expires", "2999-12-30")
    assert (printed["status"], printed["expires_at"]) == (status, "2999-12-31T00:00:00.000Z")


def test_credit_of_a_kind_that_the_product_lacks_is_refused(office, database):
    (card,) = office.sell(1, "--time", "10m")
    for amount in ("500MB", "5.00"):
        result = office.run("credit", card.serial, "--add", amount, "--reason", "Storm")
        assert result.exit_status == 1 and card.serial in result.stderr and "time" in result.stderr
    assert entries(database, card) == []


def test_traffic_of_a_product_that_has_both_needs_a_direction(office):
    (card,) = office.sell(1, "--traffic-down", "10MB", "--traffic-up", "5MB")
    assert office.run("credit", card.serial, "--add", "1MB", "--reason", "Storm").exit_status == 2
    assert (
        office.json("credit", card.serial, "--add", "1MB", "--direction", "up", "--reason", "Storm")["credit_up_octets"]
        == 6_000_000
    )


@pytest.mark.parametrize("status", ["blocked", "redeemed", "deleted"])
def test_a_card_out_of_use_takes_no_credit(office, database, status):
    (card,) = office.stock(1, "--time", "10m")
    if status == "redeemed":
        office.must("deliver", "--batch", card.batch, "--partner", office.partner())
    database.execute("UPDATE card SET status = %s WHERE serial = %s", [status, card.serial])
    result = office.run("credit", card.serial, "--add", "5m", "--reason", "Storm")
    assert result.exit_status == 1 and status in result.stderr and entries(database, card) == []


@pytest.mark.parametrize(
    "options",
    [
        ("--add", "ten", "--reason", "x"),
        ("--add", "0m", "--reason", "x"),
        ("--add", "5m"),
        ("--add", "5m", "--reason", " "),
        ("--add", "5m", "--reason", "x", "--key", ""),
        ("--add", "-5m", "--reason", "x"),
    ],
)
def test_a_wrong_option_is_wrong_usage(office, database, options):
    (card,) = office.sell(1, "--time", "10m")
    assert office.run("credit", card.serial, *options).exit_status == 2
    assert entries(database, card) == []


def test_a_credit_too_large_for_its_column_changes_nothing(office, database):
    (card,) = office.sell(1, "--time", "10m")
    for _ in range(2):
        result = office.run("credit", card.serial, "--add", "24000d", "--reason", "x")
    assert result.exit_status == 1 and result.stderr
    assert office.show(card)["credit_seconds"] == 600 + 24000 * 86400 and len(entries(database, card)) == 1


# --- Transfer ---------------------------------------------------------------------------------------------


def test_all_that_is_left_moves(office, database):
    product = office.product("--time", "10m", "--traffic", "10MB")
    source, target = office.sell(2, product=product)
    used(database, source, posted_seconds=250, posted_down_octets=4_000_000)
    printed = office.json("transfer", source.serial, target.serial, "--reason", "Torn")
    assert (printed["moved_seconds"], printed["moved_octets"], printed["repeated"]) == (350, 6_000_000, False)
    gave, took = office.show(source), office.show(target)
    assert (gave["status"], gave["remaining_seconds"], gave["remaining_octets"]) == ("exhausted", 0, 0)
    assert (gave["used_seconds"], gave["used_octets"]) == (250, 4_000_000)
    assert (took["status"], took["remaining_seconds"], took["remaining_octets"]) == ("delivered", 950, 16_000_000)
    assert office.track(source)[-2]["other_card"] == target.serial
    assert office.track(target)[-1]["other_card"] == source.serial


def test_money_moves_to_the_cent(office, database):
    product = office.product("--money", "1.00", "--tariff-minute", "0.07")
    source, target = office.sell(2, product=product)
    used(database, source, posted_seconds=100)  # 11.67 cents, rounded down
    printed = office.json("transfer", source.serial, target.serial, "--reason", "Torn")
    assert printed["moved_cents"] == 89
    assert office.show(source)["remaining_cents"] == 0 and office.show(target)["remaining_cents"] == 189


def test_the_same_key_transfers_once(office, database):
    source, target = office.sell(2, "--time", "10m")
    arguments = ("transfer", source.serial, target.serial, "--reason", "Torn", "--key", "t1")
    first, again = office.json(*arguments), office.json(*arguments)
    assert {**first, "repeated": True} == again
    assert office.show(target)["remaining_seconds"] == 1200
    back = office.run("transfer", target.serial, source.serial, "--reason", "Torn", "--key", "t1")
    assert back.exit_status == 1 and "t1" in back.stderr


def test_a_stolen_card_is_blocked_and_its_credit_moved(office, database):
    source, target = office.sell(2, "--time", "10m")
    office.must("block", source.serial, "--reason", "Stolen")
    office.must("transfer", source.serial, target.serial, "--reason", "Stolen")
    assert office.show(source)["status"] == "blocked"
    office.must("unblock", source.serial)
    shown = office.show(source)
    assert (shown["status"], shown["remaining_seconds"]) == ("exhausted", 0)


def test_a_card_that_gave_its_credit_is_not_taken_back_as_new(office):
    source, target = office.sell(2, "--time", "10m")
    office.must("transfer", source.serial, target.serial, "--reason", "Torn")
    result = office.run(
        "return", "--partner", office.show(source)["partner"], "--range", f"{source.serial}-{source.serial}"
    )
    assert result.exit_status == 1 and office.show(source)["status"] == "exhausted"
    # It cannot receive credit either: its validity would never begin.
    assert office.run("credit", source.serial, "--add", "1m", "--reason", "x").exit_status == 1


def test_a_used_up_target_works_again(office, database):
    source, target = office.sell(2, "--time", "10m")
    used(database, target, posted_seconds=600, status="exhausted")
    office.must("transfer", source.serial, target.serial, "--reason", "Torn")
    shown = office.show(target)
    assert (shown["status"], shown["remaining_seconds"]) == ("in_use", 600)


def test_a_card_with_an_open_session_gives_nothing(office, database):
    source, target = office.sell(2, "--time", "10m")
    used(database, source)
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, heard_at, due_at)"
        " SELECT id, 1, 1, 's1', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 1 HOUR FROM card WHERE serial = %s",
        [source.serial],
    )
    result = office.run("transfer", source.serial, target.serial, "--reason", "Torn")
    assert result.exit_status == 1 and "disconnect" in result.stderr
    assert office.show(target)["remaining_seconds"] == 600
    assert database.value("SELECT COUNT(*) FROM session") == 1
    office.must("block", source.serial, "--reason", "Stolen")
    result = office.must("transfer", source.serial, target.serial, "--reason", "Torn")
    assert "still open" in result.stderr and office.show(target)["remaining_seconds"] == 1200


@pytest.mark.parametrize("status", ["created", "expired", "exhausted", "redeemed", "deleted"])
def test_what_has_nothing_to_give_gives_nothing(office, database, status):
    (source,) = office.stock(1, "--time", "10m")
    (target,) = office.sell(1, product=source.product)
    if status in ("expired", "exhausted", "redeemed"):
        office.must("deliver", "--batch", source.batch, "--partner", office.partner())
    if status == "exhausted":
        used(database, source)
    database.execute("UPDATE card SET status = %s WHERE serial = %s", [status, source.serial])
    assert office.run("transfer", source.serial, target.serial, "--reason", "Torn").exit_status == 1
    assert office.show(target)["remaining_seconds"] == 600 and database.value("SELECT COUNT(*) FROM session") == 0


@pytest.mark.parametrize("status", ["created", "blocked", "expired"])
def test_what_cannot_be_used_takes_nothing(office, database, status):
    (source,) = office.sell(1, "--time", "10m")
    (target,) = office.stock(1, product=source.product)
    if status != "created":
        office.must("deliver", "--batch", target.batch, "--partner", office.partner())
        database.execute("UPDATE card SET status = %s WHERE serial = %s", [status, target.serial])
    assert office.run("transfer", source.serial, target.serial, "--reason", "Torn").exit_status == 1
    assert office.show(source)["remaining_seconds"] == 600 and entries(database, source) == []


def test_credit_moves_to_the_same_kind_only(office, database):
    (source,) = office.sell(1, "--time", "10m")
    for options, kind in ((("--traffic", "10MB"), "internet"), (("--time", "10m"), "telephony")):
        (target,) = office.sell(1, product=office.product(*options, kind=kind))
        assert office.run("transfer", source.serial, target.serial, "--reason", "Torn").exit_status == 1
    assert office.run("transfer", source.serial, source.serial, "--reason", "Torn").exit_status == 1
    assert office.show(source)["remaining_seconds"] == 600


def test_two_transfers_of_one_card_move_it_once(office, database):
    source, *targets = office.sell(5, "--time", "10m")
    runs = [office.spawn("transfer", source.serial, target.serial, "--reason", "Torn") for target in targets]
    assert sorted(run.wait() for run in runs) == [0, 1, 1, 1]
    assert sorted(office.show(target)["remaining_seconds"] for target in targets) == [600, 600, 600, 1200]


# --- Unbind -----------------------------------------------------------------------------------------------


def test_a_card_changes_its_device_so_often_a_month(office, database):
    (card,) = office.sell(1, "--time", "10m", "--bind-device")
    for _ in range(3):
        office.must("edit", card.serial, "--unbind", "--reason", "New phone")
    database.execute("UPDATE card SET device = 'aa' WHERE serial = %s", [card.serial])
    result = office.run("edit", card.serial, "--unbind", "--reason", "New phone")
    assert result.exit_status == 1 and "3 times" in result.stderr and "unbinds_a_month" in result.stderr
    assert office.show(card)["device"] == "aa" and len(entries(database, card)) == 3


def test_two_at_once_are_counted_one_after_the_other(office, database):
    (card,) = office.sell(1, "--time", "10m", "--bind-device")
    runs = [office.spawn("edit", card.serial, "--unbind", "--reason", "New phone") for _ in range(5)]
    assert sorted(run.wait() for run in runs) == [0, 0, 0, 1, 1]
    assert len(entries(database, card)) == 3


def test_entries_of_another_month_count_no_more(office, database):
    (card,) = office.sell(1, "--time", "10m", "--bind-device")
    card_id = database.value("SELECT id FROM card WHERE serial = %s", [card.serial])
    for _ in range(3):
        database.execute("INSERT INTO card_entry (card_id, what, reason) VALUES (%s, 'unbound', 'x')", [card_id])
    # Let time pass: an entry can be dated back only without its trigger.
    (trigger,) = database.query("SHOW CREATE TRIGGER entries_are_never_edited")
    database.execute("DROP TRIGGER entries_are_never_edited")
    database.execute("UPDATE card_entry SET at = at - INTERVAL 31 DAY")
    database.execute(trigger["SQL Original Statement"])
    office.must("edit", card.serial, "--unbind", "--reason", "New phone")


def test_reconcile_finds_no_fault_after_all_of_it(office, database):
    source, target, stolen, other = office.sell(4, "--time", "10m")
    office.must("credit", source.serial, "--add", "5m", "--reason", "Storm")
    office.must("transfer", source.serial, target.serial, "--reason", "Torn")
    office.must("block", stolen.serial, "--reason", "Stolen")
    office.must("transfer", stolen.serial, other.serial, "--reason", "Stolen")
    assert office.json("reconcile")["faults"] == []
    assert office.json("audit", "verify")
