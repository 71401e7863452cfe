"""block, unblock, delete: one card, some, a range, a batch; in the history with the reason."""

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
    office.must("block", card.serial)
    history = office.track(card)
    assert office.json("block", card.serial)["blocked"] == 0
    assert office.track(card) == history


def test_what_is_not_blocked_is_not_unblocked(office):
    (card,) = office.stock(1, "--time", "10m")
    result = office.run("unblock", card.serial)
    assert result.exit_status == 1 and card.serial in result.stderr


def test_a_batch_and_a_range_are_blocked(office):
    cards = office.stock(5, "--time", "10m")
    assert office.json("block", "--range", f"{cards[1].serial}-{cards[2].serial}")["blocked"] == 2
    assert office.json("block", "--batch", cards[0].batch)["blocked"] == 3
    assert office.json("unblock", "--batch", cards[0].batch)["unblocked"] == 5
    assert {row["status"] for row in office.json("list", "--batch", cards[0].batch)} == {"created"}


def test_open_sessions_of_a_blocked_card_are_due_now(office, database):
    card, other = office.sell(2, "--time", "10m")
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, heard_at, due_at, due_cause, stopped_at)"
        " SELECT id, 1, 1, 's1', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, 'time', NULL FROM card"
        " UNION ALL SELECT id, 2, 1, 's2', UTC_TIMESTAMP(3), NULL, NULL, UTC_TIMESTAMP(3) FROM card"
    )
    office.must("block", card.serial)
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
    result = office.run("block", card.serial, "NOWHERE1")
    assert result.exit_status == 1 and "NOWHERE1" in result.stderr
    assert office.show(card)["status"] == "created"


def test_a_redeemed_card_is_not_blocked(office, database):
    (card,) = office.sell(1, "--time", "10m")
    database.execute("UPDATE card SET status = 'redeemed'")
    result = office.run("block", card.serial)
    assert result.exit_status == 1 and "redeemed" in result.stderr


def test_a_dry_run_counts_and_changes_nothing(office):
    cards = office.stock(3, "--time", "10m")
    for verb, word in (("block", "blocked"), ("delete", "deleted")):
        printed = office.json(verb, "--batch", cards[0].batch, "--dry-run")
        assert printed == {word: 3, "dry_run": True}
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
    result = office.run("delete", "--batch", cards[0].batch, stdin=answer)
    assert result.exit_status == 1 and "Delete 3 cards" in result.stderr
    assert office.show(cards[0])["status"] == "created"


def test_delete_after_a_yes(office):
    cards = office.stock(3, "--time", "10m")
    office.must("delete", "--batch", cards[0].batch, stdin="y\n")
    assert office.json("list", "--batch", cards[0].batch) == []


@pytest.mark.parametrize("answer", ["s", "sim", "S", "Sim", "y", "yes", " s "])
def test_a_portuguese_yes(office, answer):
    cards = office.stock(3, "--time", "10m")
    result = office.run("--lang", "pt_BR", "delete", "--batch", cards[0].batch, stdin=f"{answer}\n")
    assert result.exit_status == 0 and "Apagar 3 cartões para sempre? [s/N]: " in result.stderr
    assert office.json("list", "--batch", cards[0].batch) == []


@pytest.mark.parametrize("answer", ["n", "N", "não", "nao", "NÃO", "na\N{COMBINING TILDE}o", "no", ""])
def test_a_portuguese_no(office, answer):
    cards = office.stock(3, "--time", "10m")
    result = office.run("--lang", "pt_BR", "delete", "--batch", cards[0].batch, stdin=f"{answer}\n")
    assert result.exit_status == 1 and "Nada foi alterado" in result.stderr
    assert office.show(cards[0])["status"] == "created"


def test_another_answer_is_asked_again(office):
    cards = office.stock(3, "--time", "10m")
    result = office.run("--lang", "pt_BR", "delete", "--batch", cards[0].batch, stdin="talvez\ns\n")
    assert result.exit_status == 0 and result.stderr.count("[s/N]") == 2 and "s, sim, n, não" in result.stderr
    # A Portuguese yes is no answer to an English question.
    (card,) = office.stock(1, "--time", "10m")
    assert office.run("delete", card.serial, stdin="sim\n").exit_status == 1
    assert office.show(card)["status"] == "created"


@pytest.mark.parametrize("act", ["deliver", "block"])
def test_only_cards_in_stock_are_deleted(office, act):
    (card,) = office.stock(1, "--time", "10m")
    office.must(act, *(("--partner", office.partner(), "--batch", card.batch) if act == "deliver" else (card.serial,)))
    before = office.show(card)
    result = office.run("delete", card.serial, "--yes")
    assert result.exit_status == 1 and card.serial in result.stderr
    assert office.show(card) == before


def test_a_delete_with_one_sold_card_deletes_none(office):
    cards = office.stock(3, "--time", "10m")
    office.must("deliver", "--partner", office.partner(), "--range", f"{cards[2].serial}-{cards[2].serial}")
    assert office.run("delete", "--batch", cards[0].batch, "--yes").exit_status == 1
    assert [row["status"] for row in office.json("list", "--batch", cards[0].batch)] == [
        "created",
        "created",
        "delivered",
    ]


@pytest.mark.parametrize("verb", ["block", "unblock", "delete"])
def test_the_cards_are_given_in_one_way_only(office, verb):
    assert office.run(verb).exit_status == 2
    assert office.run(verb, "A1", "--batch", 1).exit_status == 2
    assert office.run(verb, "--batch", 999999, "--yes").exit_status == 1


# --- From a scanner -----------------------------------------------------------------------------------------


def test_scanned_cards_are_blocked_unblocked_and_deleted(office):
    cards = office.stock(4, "--time", "10m")
    scan = f"{cards[0].serial}\n{cards[2].serial} {cards[2].pin}\n"
    assert office.json("block", "-", "--reason", "Stolen", stdin=scan)["blocked"] == 2
    assert office.json("block", "-", stdin=scan)["blocked"] == 0
    result = office.run("unblock", "-", stdin=f"{scan}{cards[1].serial}\n")
    assert (
        result.exit_status == 1 and f"line 3: card {cards[1].serial} is created, but must be blocked" in result.stderr
    )
    assert office.json("unblock", "-", stdin=scan)["unblocked"] == 2
    result = office.run("delete", "-", stdin=scan)
    assert result.exit_status == 2 and "--yes" in result.stderr
    assert office.json("delete", "-", "--dry-run", stdin=scan)["deleted"] == 2
    assert office.json("delete", "-", "--yes", "--reason", "Damaged", stdin=scan)["deleted"] == 2
    assert [row["serial"] for row in office.json("list", "--batch", cards[0].batch)] == [
        cards[1].serial,
        cards[3].serial,
    ]
    result = office.run("block", "-", stdin=f"{cards[1].serial}\n{cards[0].serial}\n")
    assert result.exit_status == 1 and f"line 2: card {cards[0].serial} is deleted" in result.stderr
    assert office.show(cards[1])["status"] == "created"
