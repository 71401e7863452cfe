"""redeem, voice: the credit of a telephony card reaches the voice platform exactly once."""

import csv
import re
import time

import pytest

from tests.database import without_triggers


@pytest.fixture
def card(office):
    return office.sell(1, product=office.product("--money", "10.00", kind="telephony"))[0]


def redeem(office, card, account="+551133334444", pin=None):
    return office.run("redeem", card.serial, "--account", account, "--json", stdin=f"{pin or card.pin}\n")


def wrong(card):
    return "".join(str((int(digit) + 1) % 10) for digit in card.pin)


# --- Redeem -----------------------------------------------------------------------------------------------


def test_a_card_is_redeemed_once(office, card, database):
    printed = redeem(office, card).json()
    assert (printed["serial"], printed["account"], printed["credit_cents"], printed["credit_seconds"]) == (
        card.serial,
        "+551133334444",
        1000,
        None,
    )
    shown = office.show(card)
    assert shown["status"] == "redeemed"
    # Its credit is on the voice platform.
    assert {shown[f"remaining_{kind}"] for kind in ("cents", "seconds") if shown[f"credit_{kind}"]} == {0}
    again = redeem(office, card, account="another")
    assert again.exit_status == 1 and "+551133334444" in again.stderr
    assert database.value("SELECT COUNT(*) FROM voice_credit") == 1
    # Every reading of the PIN is recorded.
    assert [row["what"] for row in office.track(card)][-3:] == ["pin_read", "redeemed", "pin_read"]


def test_two_at_once_give_one_credit(office, card, database, tmp_path):
    pin = tmp_path / "pin"
    pin.write_text(card.pin)
    runs = []
    for number in range(5):
        with pin.open() as stdin:
            runs.append(office.spawn("redeem", card.serial, "--account", f"a{number}", stdin=stdin))
    assert sorted(run.wait() for run in runs) == [0, 1, 1, 1, 1]
    assert database.value("SELECT COUNT(*) FROM voice_credit") == 1


def test_credit_that_was_added_is_redeemed_too(office, card):
    office.must("credit", card.serial, "--add", "5.00", "--reason", "Complaint")
    assert redeem(office, card).json()["credit_cents"] == 1500


def test_a_wrong_pin_and_an_unknown_card_look_alike(office, card):
    other = card.serial[:-1] + str((int(card.serial[-1]) + 1) % 10)
    known = redeem(office, card, pin=wrong(card))
    unknown = office.run("redeem", other, "--account", "a", "--json", stdin=f"{card.pin}\n")
    assert (known.exit_status, known.stdout, known.stderr) == (unknown.exit_status, unknown.stdout, unknown.stderr)
    assert known.exit_status == 1 and card.serial not in known.stderr
    assert office.show(card)["status"] == "delivered"


def test_too_many_wrong_pins_lock_that_account_out_and_no_other(office, card):
    texts = {redeem(office, card, "guesser", wrong(card)).stderr for _ in range(6)}
    texts.add(
        redeem(office, card, "guesser").stderr
    )  # The right PIN is refused too, so that nobody learns that it is right.
    assert len(texts) == 1
    refused = {(row["reason"], row["source"], row["tries"]) for row in office.track(card) if row["what"] == "refused"}
    assert refused == {("wrong_pin", "office/guesser", 6), ("locked_out", "office/guesser", 1)}
    assert redeem(office, card, "owner").exit_status == 0


def test_tries_from_ever_new_accounts_end_too(office, card, database):
    for number in range(5):
        redeem(office, card, f"a{number}", wrong(card))
    database.execute("UPDATE login_refusal SET tries = 20")
    assert redeem(office, card, "owner").exit_status == 1
    assert office.show(card)["status"] == "delivered"


def test_wrong_pins_of_other_accounts_and_of_logins_count_too(office, card, database):
    """Fifty from several accounts, or a hundred from anywhere."""
    for number in range(2):
        redeem(office, card, f"a{number}", wrong(card))
    database.execute("UPDATE login_refusal SET tries = 25")
    assert redeem(office, card, "owner").exit_status == 1
    with without_triggers(database) as cursor:
        cursor.execute("UPDATE login_refusal SET tries = 24")
    at_hotspots = (
        "INSERT INTO login_refusal (card_id, source, reason, window_at, nas_id, tries, first_at, last_at)"
        " SELECT card_id, %s, reason, window_at, 2, %s, first_at, last_at FROM login_refusal"
        " WHERE source = 'office/a0' AND reason = 'wrong_pin'"
    )
    database.execute(at_hotspots, ["2/x", 52])
    assert redeem(office, card, "owner").exit_status == 1
    assert office.show(card)["status"] == "delivered"
    with without_triggers(database) as cursor:
        cursor.execute("UPDATE login_refusal SET tries = 51 WHERE source = '2/x'")
    assert redeem(office, card, "owner").exit_status == 0


def test_wrong_pins_of_many_accounts_are_few_rows(office, card, database):
    redeem(office, card, "a0", wrong(card))
    database.execute(
        "INSERT INTO login_refusal (card_id, source, reason, window_at, nas_id, tries, first_at, last_at)"
        " SELECT card_id, CONCAT('office/b', seq), reason, window_at, nas_id, 1, first_at, last_at"
        " FROM login_refusal, seq_1_to_19"
    )
    redeem(office, card, "a1", wrong(card))
    redeem(office, card, "a2", wrong(card))
    assert database.value("SELECT tries FROM login_refusal WHERE source = 'office/*'") == 2


def test_guesses_at_serials_are_counted(office, database):
    office.run("redeem", "7000", "--account", "guesser", stdin="1\n")
    assert database.query("SELECT source, tries FROM unknown_login") == [{"source": "office/guesser", "tries": 1}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [("status = 'blocked'", "blocked"), ("expires_at = '2026-01-01'", "expired"), ("status = 'expired'", "expired")],
)
def test_what_cannot_be_redeemed_is_refused_after_the_pin(office, card, database, change, reason):
    database.execute(f"UPDATE card SET {change}")
    assert "Wrong" in redeem(office, card, pin=wrong(card)).stderr
    result = redeem(office, card)
    assert result.exit_status == 1 and card.serial in result.stderr
    assert [row["reason"] for row in office.track(card) if row["what"] == "refused"] == ["wrong_pin", reason]
    assert database.value("SELECT COUNT(*) FROM voice_credit") == 0


def test_a_card_in_stock_is_not_redeemed(office):
    (card,) = office.stock(1, product=office.product("--money", "10.00", kind="telephony"))
    assert redeem(office, card).exit_status == 1
    assert office.show(card)["status"] == "created"


def test_an_internet_card_is_not_redeemed(office):
    (card,) = office.sell(1, "--time", "10m")
    result = redeem(office, card)
    assert result.exit_status == 1 and "internet" in result.stderr
    assert office.show(card)["status"] == "delivered"


def test_a_telephony_card_cannot_log_in(office, card):
    assert office.json("simulate", card.serial)["reason"] == "wrong_kind"
    redeem(office, card)
    assert office.json("simulate", card.serial)["reason"] == "wrong_kind"


@pytest.mark.parametrize("account", ["", "=cmd", "a b", "a" * 65, "a\nb", "+", "á"])
def test_an_account_is_a_name_that_harms_no_file(office, card, account):
    assert redeem(office, card, account=account).exit_status == 2


def test_the_pin_is_no_argument(office, card):
    result = office.run("redeem", card.serial, card.pin, "--account", "a")
    assert result.exit_status == 2 and office.show(card)["status"] == "delivered"


# --- Voice ------------------------------------------------------------------------------------------------


@pytest.fixture
def credits(office, database):
    """Five redeemed cards, made quickly."""
    cards = office.sell(5, product=office.product("--money", "10.00", "--time", "1h", kind="telephony"))
    for row in database.query("SELECT id FROM card"):
        database.execute(
            "INSERT INTO voice_credit (card_id, account, credit_cents, credit_seconds)"
            " VALUES (%(id)s, CONCAT('account-', %(id)s), 1000, 3600)",
            row,
        )
    return cards


def exported(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_credit_is_in_one_export(office, credits, database, tmp_path):
    printed = office.json("voice", "export", "--output", tmp_path / "1.csv")
    assert (printed["export"], printed["count"]) == (1, 5)
    rows = exported(tmp_path / "1.csv")
    assert [row["serial"] for row in rows] == [card.serial for card in credits]
    assert (rows[0]["money"], rows[0]["seconds"]) == ("10.00", "3600")
    assert (tmp_path / "1.csv").stat().st_mode & 0o777 == 0o600
    assert office.json("voice", "export", "--output", tmp_path / "2.csv") == {"export": None, "count": 0, "file": None}
    assert not (tmp_path / "2.csv").exists()


def test_an_account_that_a_spreadsheet_would_run_is_defused(office, credits, database, tmp_path):
    """`redeem` refuses such an account; the file is safe even if another program wrote the row."""
    credit = database.value("SELECT MIN(id) FROM voice_credit")
    with without_triggers(database) as cursor:
        cursor.execute("UPDATE voice_credit SET account = '=cmd|calc' WHERE id = %s", [credit])
        cursor.execute("UPDATE voice_credit SET account = '+5511988887777' WHERE id = %s", [credit + 1])
        cursor.connection.commit()
    office.must("voice", "export", "--output", tmp_path / "1.csv")
    assert [row["account"] for row in exported(tmp_path / "1.csv")][:2] == ["'=cmd|calc", "+5511988887777"]


def test_an_export_is_written_again_by_its_number(office, credits, tmp_path):
    office.must("voice", "export", "--output", tmp_path / "1.csv")
    office.must("voice", "export", "--number", 1, "--output", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "1.csv").read_bytes()
    assert office.run("voice", "export", "--number", 2, "--output", tmp_path / "2.csv").exit_status == 1


def test_an_export_into_a_file_that_exists_takes_no_credit(office, credits, database, tmp_path):
    (tmp_path / "1.csv").write_text("old")
    result = office.run("voice", "export", "--output", tmp_path / "1.csv")
    assert result.exit_status == 1 and (tmp_path / "1.csv").read_text() == "old"
    assert database.value("SELECT COUNT(*) FROM voice_credit WHERE export_number IS NOT NULL") == 0


def test_exports_at_once_share_the_credits(office, credits, database, tmp_path):
    runs = [office.spawn("voice", "export", "--output", tmp_path / f"{number}.csv") for number in range(4)]
    assert [run.wait() for run in runs] == [0] * 4
    rows = [row["credit"] for path in tmp_path.glob("*.csv") for row in exported(path)]
    assert len(rows) == len(set(rows)) == 5


def test_a_killed_export_loses_and_doubles_nothing(office, credits, database, tmp_path):
    """Killed at twenty moments; then the missing files are written again by number."""
    for number in range(20):
        run = office.spawn("voice", "export", "--output", tmp_path / f"{number}.csv")
        time.sleep(number * 0.04)
        run.kill()
        run.wait()
        # Another card is redeemed between two exports.
        (card,) = office.sell(1, product=credits[0].product)
        number = database.value("SELECT id FROM card WHERE serial = %s", [card.serial])
        database.execute("INSERT INTO voice_credit (card_id, account, credit_cents) VALUES (%s, 'a', 1)", [number])
    office.must("voice", "export", "--output", tmp_path / "last.csv")
    files = {frozenset(row["credit"] for row in exported(path)) for path in tmp_path.glob("*.csv")}
    numbers = database.query("SELECT DISTINCT export_number AS number FROM voice_credit")
    for number in [row["number"] for row in numbers]:
        path = tmp_path / f"again-{number}.csv"
        office.must("voice", "export", "--number", number, "--output", path)
        files.add(frozenset(row["credit"] for row in exported(path)))
    assert sorted(credit for file in files for credit in map(int, file)) == [
        row["id"] for row in database.query("SELECT id FROM voice_credit ORDER BY id")
    ]
    assert [path for path in tmp_path.iterdir() if not re.fullmatch(r"[\w-]+\.csv", path.name)] == []


def test_credits_are_confirmed_by_reference_once(office, credits, database, tmp_path):
    office.must("voice", "export", "--output", tmp_path / "1.csv")
    answer = tmp_path / "answer.csv"
    lines = [f"{row['credit']};VSC-{row['credit']}" for row in exported(tmp_path / "1.csv")]
    answer.write_text("credit;reference\n" + "\n".join(lines[:3]) + "\n")
    assert office.json("voice", "confirm", answer) == {"confirmed": 3, "confirmed_before": 0}
    before = database.query("SELECT * FROM voice_credit")
    assert office.json("voice", "confirm", answer) == {"confirmed": 0, "confirmed_before": 3}
    assert database.query("SELECT * FROM voice_credit") == before
    assert len(office.json("voice", "pending")) == 2
    assert office.json("voice", "confirm", "--export", 1) == {"confirmed": 2, "confirmed_before": 3}
    assert office.json("voice", "pending") == []


def test_one_wrong_line_confirms_nothing(office, credits, database, tmp_path):
    office.must("voice", "export", "--output", tmp_path / "1.csv")
    first, second, *_ = (row["credit"] for row in exported(tmp_path / "1.csv"))
    answer = tmp_path / "answer.csv"
    answer.write_text(f"credit,reference\n{first},R1\n999999,R2\nten,R3\n{second},\n{first},R4\n{second},R1\n")
    result = office.run("voice", "confirm", answer)
    assert result.exit_status == 1
    for line in ("line 4", "line 5", "line 6", "line 7"):
        assert line in result.stderr
    answer.write_text(f"credit,reference\n{first},R1\n999999,R2\n")
    result = office.run("voice", "confirm", answer)
    assert result.exit_status == 1 and "line 3" in result.stderr
    assert database.value("SELECT COUNT(*) FROM voice_credit WHERE confirmed_at IS NOT NULL") == 0


def test_a_reference_belongs_to_one_credit(office, credits, tmp_path):
    office.must("voice", "export", "--output", tmp_path / "1.csv")
    first, second, *_ = (row["credit"] for row in exported(tmp_path / "1.csv"))
    answer = tmp_path / "answer.csv"
    answer.write_text(f"credit,reference\n{first},R1\n")
    office.must("voice", "confirm", answer)
    for line, word in ((f"{first},R2", "R1"), (f"{second},R1", "reference")):
        answer.write_text(f"credit,reference\n{line}\n")
        result = office.run("voice", "confirm", answer)
        assert result.exit_status == 1 and word in result.stderr


def test_what_is_in_no_export_is_not_confirmed(office, credits, database, tmp_path):
    credit = database.value("SELECT MIN(id) FROM voice_credit")
    answer = tmp_path / "answer.csv"
    answer.write_text(f"credit,reference\n{credit},R1\n")
    assert office.run("voice", "confirm", answer).exit_status == 1
    assert office.run("voice", "confirm", "--export", 1).exit_status == 1
    assert office.run("voice", "confirm").exit_status == 2
