"""block, unblock, delete: one card, some, a range, a batch; in the history with the reason."""

import types

import pymysql
import pytest


def test_a_blocked_card_gets_its_status_back(office):
    (card,) = office.sell(1, "--time", "10m")
    assert office.json("block", card.serial, "--reason", "Stolen")["blocked"] == 1
    assert office.show(card)["status"] == "blocked"
    assert office.json("unblock", card.serial, "--reason", "Found")["unblocked"] == 1
    assert office.show(card)["status"] == "delivered"
    assert [(row["what"], row.get("reason")) for row in office.track(card)[-2:]] == [
        ("blocked", "Stolen"),
        ("unblocked", "Found"),
    ]


def test_blocking_again_changes_nothing_and_is_no_error(office):
    (card,) = office.stock(1, "--time", "10m")
    office.must("block", card.serial, "--reason", "Stolen")
    history = office.track(card)
    assert office.json("block", card.serial, "--reason", "Stolen")["blocked"] == 0
    assert office.track(card) == history


def test_what_is_not_blocked_is_not_unblocked(office):
    (card,) = office.stock(1, "--time", "10m")
    result = office.run("unblock", card.serial)
    assert result.exit_status == 1 and card.serial in result.stderr


def test_a_batch_and_a_range_are_blocked(office):
    cards = office.stock(5, "--time", "10m")
    some = f"{cards[1].serial}-{cards[2].serial}"
    assert office.json("block", "--range", some, "--reason", "Stolen")["blocked"] == 2
    assert office.json("block", "--batch", cards[0].batch, "--reason", "Stolen")["blocked"] == 5
    assert office.json("unblock", "--batch", cards[0].batch)["unblocked"] == 3
    assert office.json("unblock", "--range", some)["unblocked"] == 2
    assert {row["status"] for row in office.json("list", "--batch", cards[0].batch)} == {"created"}


def test_open_sessions_of_a_blocked_card_are_due_now(office, database):
    card, other = office.sell(2, "--time", "10m")
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, heard_at, due_at, due_cause, stopped_at)"
        " SELECT id, 1, 1, 's1', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, 'time', NULL FROM card"
        " UNION ALL SELECT id, 2, 1, 's2', UTC_TIMESTAMP(3), NULL, NULL, UTC_TIMESTAMP(3) FROM card"
    )
    office.must("block", card.serial, "--reason", "Stolen")
    due = database.query(
        "SELECT card.serial, login_number, due_cause, due_at <= UTC_TIMESTAMP(3) AS is_due FROM session"
        " JOIN card ON card.id = session.card_id ORDER BY card.serial, login_number"
    )
    assert [tuple(row.values()) for row in due] == [
        (card.serial, 1, "blocked", 1),
        (card.serial, 2, None, None),
        (other.serial, 1, "time", 0),
        (other.serial, 2, None, None),
    ]


def test_one_unknown_serial_among_others_changes_nothing(office):
    (card,) = office.stock(1, "--time", "10m")
    result = office.run("block", card.serial, "NOWHERE1", "--reason", "Stolen")
    assert result.exit_status == 1 and "NOWHERE1" in result.stderr
    assert office.show(card)["status"] == "created"


def test_a_redeemed_card_is_not_blocked(office, database):
    (card,) = office.sell(1, "--time", "10m")
    database.execute("UPDATE card SET status = 'redeemed'")
    result = office.run("block", card.serial, "--reason", "Stolen")
    assert result.exit_status == 1 and "redeemed" in result.stderr


def test_a_dry_run_counts_and_changes_nothing(office):
    cards = office.stock(3, "--time", "10m")
    for verb, word in (("block", "blocked"), ("delete", "deleted")):
        printed = office.json(verb, "--batch", cards[0].batch, "--dry-run")
        assert (printed[word], printed["dry_run"]) == (3, True)
    assert office.show(cards[0])["status"] == "created"


# --- Delete -----------------------------------------------------------------------------------------------


def test_a_deleted_card_is_gone_and_its_pin_with_it(office, database):
    (card,) = office.stock(1, "--time", "10m")
    assert office.json("delete", card.serial, "--yes", "--reason", "Misprinted")["deleted"] == 1
    result = office.run("show", card.serial)
    assert result.exit_status == 1 and "deleted" in result.stderr
    assert office.json("list", "--batch", card.batch) == []
    assert database.value("SELECT pin_sealed FROM card WHERE serial = %s", [card.serial]) == b""
    assert (office.track(card)[-1]["what"], office.track(card)[-1]["reason"]) == ("deleted", "Misprinted")


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_delete_asks_with_the_count_and_takes_no_for_an_answer(office, answer):
    cards = office.stock(3, "--time", "10m")
    result = office.run("delete", "--batch", cards[0].batch, "--reason", "Misprinted", stdin=answer)
    assert result.exit_status == 1 and "Delete 3 cards" in result.stderr
    assert office.show(cards[0])["status"] == "created"


def test_delete_after_a_yes(office):
    cards = office.stock(3, "--time", "10m")
    office.must("delete", "--batch", cards[0].batch, "--reason", "Misprinted", stdin="y\n")
    assert office.json("list", "--batch", cards[0].batch) == []


@pytest.mark.parametrize("answer", ["s", "sim", "S", "Sim", "y", "yes", " s "])
def test_a_portuguese_yes(office, answer):
    cards = office.stock(3, "--time", "10m")
    result = office.run(
        "--lang", "pt_BR", "delete", "--batch", cards[0].batch, "--reason", "Misprinted", stdin=f"{answer}\n"
    )
    assert result.exit_status == 0 and "Apagar 3 cartões para sempre? [s/N]: " in result.stderr
    assert office.json("list", "--batch", cards[0].batch) == []


@pytest.mark.parametrize("answer", ["n", "N", "não", "nao", "NÃO", "na\N{COMBINING TILDE}o", "no", ""])
def test_a_portuguese_no(office, answer):
    cards = office.stock(3, "--time", "10m")
    result = office.run(
        "--lang", "pt_BR", "delete", "--batch", cards[0].batch, "--reason", "Misprinted", stdin=f"{answer}\n"
    )
    assert result.exit_status == 1 and "Nada foi alterado" in result.stderr
    assert office.show(cards[0])["status"] == "created"


def test_another_answer_is_asked_again(office):
    cards = office.stock(3, "--time", "10m")
    result = office.run(
        "--lang", "pt_BR", "delete", "--batch", cards[0].batch, "--reason", "Misprinted", stdin="talvez\ns\n"
    )
    assert result.exit_status == 0 and result.stderr.count("[s/N]") == 2 and "s, sim, n, não" in result.stderr
    # A Portuguese yes is no answer to an English question.
    (card,) = office.stock(1, "--time", "10m")
    assert office.run("delete", card.serial, "--reason", "Misprinted", stdin="sim\n").exit_status == 1
    assert office.show(card)["status"] == "created"


@pytest.mark.parametrize("act", ["deliver", "block"])
def test_only_cards_in_stock_are_deleted(office, act):
    (card,) = office.stock(1, "--time", "10m")
    delivery = ("--partner", office.partner(), "--batch", card.batch)
    office.must(act, *(delivery if act == "deliver" else (card.serial, "--reason", "Stolen")))
    before = office.show(card)
    result = office.run("delete", card.serial, "--yes", "--reason", "Misprinted")
    assert result.exit_status == 1 and card.serial in result.stderr
    assert office.show(card) == before


def test_a_delete_with_one_sold_card_deletes_none(office):
    cards = office.stock(3, "--time", "10m")
    office.must("deliver", "--partner", office.partner(), "--range", f"{cards[2].serial}-{cards[2].serial}")
    assert office.run("delete", "--batch", cards[0].batch, "--yes", "--reason", "Misprinted").exit_status == 1
    assert [row["status"] for row in office.json("list", "--batch", cards[0].batch)] == [
        "created",
        "created",
        "delivered",
    ]


@pytest.mark.parametrize("verb", ["block", "unblock", "delete"])
def test_the_cards_are_given_in_one_way_only(office, verb):
    why = ("--reason", "Mistake")
    assert office.run(verb, *why).exit_status == 2
    assert office.run(verb, "A1", "--batch", 1, *why).exit_status == 2
    assert office.run(verb, "--batch", 999999, "--yes", *why).exit_status == 1


# --- Blocks keep their reasons ------------------------------------------------------------------------------


@pytest.fixture
def parcel(office):
    """A batch of five that was blocked because its parcel was lost; the first card had been reported stolen before."""
    cards = office.sell(5, "--time", "10m")
    office.must("block", cards[0].serial, "--reason", "Stolen")
    assert office.json("block", "--batch", cards[0].batch, "--reason", "Parcel lost") == {
        "blocked": 5,
        "blocked_before": 1,
        "dry_run": False,
    }
    return cards


def blocks(office, card):
    return [(row["reason"], row["scope"]) for row in office.show(card)["blocks"]]


def test_a_stolen_card_stays_blocked_when_its_batch_is_unblocked(office, parcel):
    assert blocks(office, parcel[0]) == [("Stolen", "serial"), ("Parcel lost", "batch")]
    result = office.json("unblock", "--batch", parcel[0].batch, "--reason", "Parcel arrived")
    assert (result["unblocked"], result["still_blocked"]) == (4, 1)
    assert [(kind["reason"], kind["scope"], kind["count"]) for kind in result["lifted"]] == [
        ("Parcel lost", "batch", 5)
    ]
    assert [(kind["reason"], kind["scope"], kind["count"]) for kind in result["staying"]] == [("Stolen", "serial", 1)]
    assert [office.show(card)["status"] for card in parcel] == ["blocked"] + 4 * ["delivered"]
    assert blocks(office, parcel[0]) == [("Stolen", "serial")]
    assert office.json("reconcile")["faults"] == []


def test_unblock_says_what_it_lifts_and_what_stays(office, parcel):
    printed = office.must("unblock", "--batch", parcel[0].batch, "--dry-run").stdout
    assert printed == (
        "Would unblock 4 cards.\nBlocks that would be lifted: Parcel lost (batch, 5).\n"
        "1 card stays blocked: Stolen (card, 1).\n"
    )
    assert office.show(parcel[1])["status"] == "blocked"
    printed = office.must("unblock", "--batch", parcel[0].batch).stdout
    assert printed == (
        "4 cards unblocked.\nBlocks lifted: Parcel lost (batch, 5).\n1 card stays blocked: Stolen (card, 1).\n"
    )


def test_the_blocks_of_a_card_are_lifted_together_only_with_a_yes(office, parcel):
    stolen = parcel[0]
    for answer in ("n\n", ""):
        result = office.run("unblock", stolen.serial, stdin=answer)
        assert result.exit_status == 1
        assert "Stolen (card, 1), Parcel lost (batch, 1)" in result.stderr
        assert len(blocks(office, stolen)) == 2
    assert office.json("unblock", stolen.serial, "--yes")["unblocked"] == 1
    assert office.show(stolen)["status"] == "delivered" and blocks(office, stolen) == []


def test_one_reason_is_lifted_by_its_words(office, parcel):
    stolen = parcel[0]
    result = office.json("unblock", stolen.serial, "--reason-of", "Stolen", "--reason", "Found")
    assert (result["unblocked"], result["still_blocked"]) == (0, 1)
    assert blocks(office, stolen) == [("Parcel lost", "batch")]
    part = f"{parcel[1].serial}-{parcel[2].serial}"
    refused = office.run("unblock", "--range", part)
    assert refused.exit_status == 1 and "Parcel lost (batch, 2)" in refused.stderr and "--reason-of" in refused.stderr
    assert office.json("unblock", "--range", part, "--reason-of", "Parcel lost")["unblocked"] == 2


def test_every_block_and_its_end_is_in_the_history(office, parcel):
    stolen = parcel[0]
    office.must("unblock", stolen.serial, "--reason-of", "Parcel lost", "--reason", "Arrived")
    rows = [row for row in office.track(stolen) if "block" in row["what"]]
    shown = [{name: row[name] for name in ("what", "reason", "scope", "block", "open") if name in row} for row in rows]
    assert shown == [
        {"what": "blocked", "reason": "Stolen", "scope": "serial", "open": True},
        {"what": "block_added", "reason": "Parcel lost", "scope": "batch"},
        {"what": "block_lifted", "reason": "Arrived", "scope": "batch", "block": "Parcel lost"},
    ]
    told = office.must("track", stolen.serial)
    assert "Parcel lost: Arrived" in told.stdout and "Open block: Stolen (card, " in told.stderr
    office.must("unblock", stolen.serial, "--reason", "Found")
    assert (
        office.track(stolen)[-1] | {"what": "unblocked", "reason": "Found", "block": "Stolen"}
        == office.track(stolen)[-1]
    )
    assert "Open block" not in office.must("track", stolen.serial).stderr
    assert office.json("audit", "verify")["faults"] == []


def test_a_batch_that_is_blocked_for_two_reasons(office, parcel):
    office.must("block", "--batch", parcel[0].batch, "--reason", "Partner in dispute")
    result = office.run("unblock", "--batch", parcel[0].batch)
    assert result.exit_status == 1 and "Parcel lost (batch, 5), Partner in dispute (batch, 5)" in result.stderr
    assert office.json("unblock", "--batch", parcel[0].batch, "--reason-of", "Parcel lost")["unblocked"] == 0
    assert office.json("unblock", "--batch", parcel[0].batch)["unblocked"] == 4


@pytest.mark.parametrize("verb", ["block", "delete"])
@pytest.mark.parametrize("given", [(), ("--reason", " ")])
def test_a_script_gives_the_reason(office, verb, given):
    (card,) = office.stock(1, "--time", "10m")
    result = office.run(verb, card.serial, "--yes", *given)
    assert result.exit_status == 2 and "--reason" in result.stderr
    assert office.show(card)["status"] == "created"


@pytest.mark.parametrize("verb", ["block", "delete"])
def test_a_terminal_asks_for_the_reason(office, verb, monkeypatch):
    from admin.shell import shared_options

    (card,) = office.stock(1, "--time", "10m")
    monkeypatch.setattr(shared_options, "sys", types.SimpleNamespace(stdin=types.SimpleNamespace(isatty=lambda: True)))
    office.must(verb, card.serial, "--yes", stdin="Misprinted\n")
    assert office.track(card)[-1]["reason"] == "Misprinted"


def test_who_may_only_block_cannot_leave_status_and_blocks_apart(office, database, parcel):
    """As the office's own account, with a plain client."""
    from admin.shell.office import Office

    card_id = database.value("SELECT id FROM card WHERE serial = %s", [parcel[0].serial])
    free = database.value("SELECT id FROM card WHERE serial = %s", [office.sell(1, "--time", "1h")[0].serial])
    with Office(str(office.option_file)).connect() as connection, connection.cursor() as cursor:
        for statement, rule in (
            (f"UPDATE card SET status = 'delivered' WHERE id = {card_id}", "blocked_cards_have_an_open_block"),
            (f"UPDATE card SET status = 'blocked' WHERE id = {free}", "blocked_cards_have_an_open_block"),
            (f"INSERT INTO card_block (card_id, scope, reason) VALUES ({free}, 'serial', ' ')", "block_has_a_reason"),
            (
                f"INSERT INTO card_block (card_id, scope, reason) VALUES ({free}, 'import', 'x')",
                "blocked_cards_have_an",
            ),
            (f"UPDATE card_block SET lift_reason = 'x' WHERE card_id = {card_id}", "history_is_never_edited"),
        ):
            with pytest.raises(pymysql.MySQLError, match=rule):
                cursor.execute(statement)
        cursor.execute(f"UPDATE card_block SET lifted_at = '2000-01-01' WHERE card_id = {card_id} LIMIT 1")
    rows = database.query(
        "SELECT lifted_at, lifted_by, operator, UTC_TIMESTAMP(3) AS now FROM card_block"
        " WHERE card_id = %s AND lifted_at IS NOT NULL",
        [card_id],
    )
    assert len(rows) == 1 and (rows[0]["now"] - rows[0]["lifted_at"]).total_seconds() < 60
    assert rows[0]["lifted_by"] == rows[0]["operator"] != ""
    assert office.show(parcel[0])["status"] == "blocked"


def test_the_history_names_the_block_whatever_a_client_says(office, database, parcel):
    from admin.shell.office import Office

    stolen = database.value("SELECT id FROM card WHERE serial = %s", [parcel[0].serial])
    free = database.value("SELECT id FROM card WHERE serial = %s", [office.sell(1, "--time", "1h")[0].serial])
    others = database.value("SELECT MIN(id) AS id FROM card_block WHERE card_id <> %s", [free])
    with Office(str(office.option_file)).connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET @prepaid_block = {others}")
        cursor.execute(f"INSERT INTO card_block (card_id, scope, reason) VALUES ({free}, 'serial', 'x')")
        cursor.execute(f"SET @prepaid_block = {others}")
        for card_id in free, stolen:
            cursor.execute(f"UPDATE card_block SET lifted_at = '2000-01-01' WHERE card_id = {card_id}")
        connection.commit()
    wrong = database.query(
        "SELECT card_event.* FROM card_event LEFT JOIN card_block ON card_block.id = card_event.block_id"
        " WHERE (card_event.from_status = 'blocked' OR card_event.to_status = 'blocked' OR card_event.what LIKE 'block%%')"
        "   AND NOT card_block.card_id <=> card_event.card_id",
        [],
    )
    assert wrong == []
    assert database.value("SELECT COUNT(*) FROM card_event WHERE block_id IS NOT NULL AND card_id = %s", [free]) == 2


# --- From a scanner -----------------------------------------------------------------------------------------


def test_scanned_cards_are_blocked_unblocked_and_deleted(office):
    cards = office.stock(4, "--time", "10m")
    scan = f"{cards[0].serial}\n{cards[2].serial} {cards[2].pin}\n"
    assert office.json("block", "-", "--reason", "Stolen", stdin=scan)["blocked"] == 2
    assert office.json("block", "-", "--reason", "Stolen", stdin=scan)["blocked"] == 0
    result = office.run("unblock", "-", stdin=f"{scan}{cards[1].serial}\n")
    assert (
        result.exit_status == 1 and f"line 3: card {cards[1].serial} is created, but must be blocked" in result.stderr
    )
    assert office.json("unblock", "-", stdin=scan)["unblocked"] == 2
    result = office.run("delete", "-", "--reason", "Damaged", stdin=scan)
    assert result.exit_status == 2 and "--yes" in result.stderr
    assert office.json("delete", "-", "--dry-run", stdin=scan)["deleted"] == 2
    assert office.json("delete", "-", "--yes", "--reason", "Damaged", stdin=scan)["deleted"] == 2
    assert [row["serial"] for row in office.json("list", "--batch", cards[0].batch)] == [
        cards[1].serial,
        cards[3].serial,
    ]
    result = office.run("block", "-", "--reason", "Stolen", stdin=f"{cards[1].serial}\n{cards[0].serial}\n")
    assert result.exit_status == 1 and f"line 2: card {cards[0].serial} is deleted" in result.stderr
    assert office.show(cards[1])["status"] == "created"
