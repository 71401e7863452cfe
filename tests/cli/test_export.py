"""export: the cards in stock, once, in a file that only its owner can read."""

import csv
import hashlib
import json
import os
import stat

import pytest

from tests.waiting import wait_for_locks


@pytest.fixture
def batch(office):
    product = office.product("--time", "10m", "--price", "10.00")
    return office.json("generate", "--product", product, "--count", 20)["batch"]


def rows_of(path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_columns_are_those_that_print_shops_get(office, batch, tmp_path):
    path = tmp_path / "cards.csv"
    result = office.must("export", "--batch", batch, "--format", "csv", "--output", path)
    assert result.stdout.splitlines()[-1] == f"File created: {path}"
    rows = rows_of(path)
    assert list(rows[0]) == ["serial", "pin", "product", "face_value", "batch"]
    assert len(rows) == 20 and len({row["serial"] for row in rows}) == 20
    assert {(row["face_value"], row["batch"]) for row in rows} == {("10.00", str(batch))}
    assert all(row["pin"].isdigit() and len(row["pin"]) == 10 for row in rows)


def test_the_file_is_its_owners_alone_and_nothing_but_its_manifest_lies_beside_it(office, batch, tmp_path):
    office.must("export", "--batch", batch, "--output", tmp_path / "cards.csv")
    assert sorted(os.listdir(tmp_path)) == ["cards.csv", "cards.csv.manifest.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_the_manifest_says_what_the_file_holds(office, batch, tmp_path, database):
    path = tmp_path / "cards.csv"
    printed = office.json("export", "--batch", batch, "--output", path)
    manifest = json.loads((tmp_path / "cards.csv.manifest.json").read_text())
    serials = [row["serial"] for row in rows_of(path)]
    assert manifest["sha256"] == printed["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (manifest["file"], manifest["count"]) == ("cards.csv", 20)
    assert (manifest["first_serial"], manifest["last_serial"]) == (serials[0], serials[-1])
    assert not any(row["pin"] in json.dumps(manifest) for row in rows_of(path))
    event = database.query("SELECT * FROM batch_event WHERE what = 'exported'")[0]
    assert event["operator"] == "prepaid_admin" and event["card_count"] == 20
    assert json.loads(event["detail"]) == {
        "format": "csv",
        "fields": ["serial", "pin", "product", "face_value", "batch"],
        "sha256": manifest["sha256"],
        "sealed": False,
    }


def test_an_existing_file_is_kept_unless_forced(office, batch, tmp_path):
    path = tmp_path / "cards.csv"
    path.write_text("precious")
    result = office.run("export", "--batch", batch, "--output", path)
    assert result.exit_status == 1 and str(path) in result.stderr
    assert path.read_text() == "precious"
    office.must("export", "--batch", batch, "--output", path, "--force")
    assert len(rows_of(path)) == 20
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_refused_export_is_not_in_the_history(office, batch, tmp_path):
    for path in (tmp_path / "no" / "cards.csv", tmp_path):
        result = office.run("export", "--batch", batch, "--output", path)
        assert result.exit_status == 1 and str(path) in result.stderr
    assert [event["what"] for event in office.json("batch", "show", batch)["events"]] == ["generated"]


def test_a_second_export_needs_a_reason_and_is_in_the_history(office, batch, tmp_path):
    office.must("export", "--batch", batch, "--output", tmp_path / "one.csv")
    result = office.run("export", "--batch", batch, "--output", tmp_path / "two.csv")
    assert result.exit_status == 1 and "--again" in result.stderr and "prepaid_admin" in result.stderr
    assert not (tmp_path / "two.csv").exists()
    assert office.run("export", "--batch", batch, "--output", tmp_path / "two.csv", "--again").exit_status == 2
    office.must("export", "--batch", batch, "--output", tmp_path / "two.csv", "--again", "--reason", "Printer jam")
    assert rows_of(tmp_path / "one.csv") == rows_of(tmp_path / "two.csv")
    events = office.json("batch", "show", batch)["events"]
    assert [(event["what"], event["reason"]) for event in events] == [
        ("generated", None),
        ("pins_read", None),
        ("exported", None),
        ("pins_read", "Printer jam"),
        ("exported", "Printer jam"),
    ]


def test_only_cards_in_stock_are_exported(office, batch, tmp_path):
    serials = [row["serial"] for row in office.json("list", "--batch", batch)]
    partner = office.partner()
    office.must("deliver", "--partner", partner, "--range", f"{serials[0]}-{serials[4]}")
    result = office.must("export", "--batch", batch, "--output", tmp_path / "rest.csv")
    assert "5" in result.stderr
    assert [row["serial"] for row in rows_of(tmp_path / "rest.csv")] == serials[5:]
    # The history of a card that was not in the file does not say it was.
    assert [row["what"] for row in office.track(serials[0])] == ["generated", "delivered"]
    office.must("deliver", "--partner", partner, "--range", f"{serials[5]}-{serials[19]}")
    result = office.run("export", "--batch", batch, "--output", tmp_path / "none.csv", "--again", "--reason", "x")
    assert result.exit_status == 1 and str(batch) in result.stderr


def test_fields_come_in_the_order_that_was_asked_for(office, batch, tmp_path):
    office.must("export", "--batch", batch, "--fields", "batch,serial", "--output", tmp_path / "cards.csv")
    assert list(rows_of(tmp_path / "cards.csv")[0]) == ["batch", "serial"]
    result = office.run("export", "--batch", batch, "--fields", "serial,password", "--output", tmp_path / "x.csv")
    assert result.exit_status == 2 and "password" in result.stderr


def test_a_name_that_a_spreadsheet_would_run_is_defused(office, tmp_path):
    office.must("product", "add", "=cmd|' /C calc'!A0", "--time", "10m")
    batch = office.json("generate", "--product", "=cmd|' /C calc'!A0", "--count", 1)["batch"]
    office.must("export", "--batch", batch, "--output", tmp_path / "cards.csv")
    assert rows_of(tmp_path / "cards.csv")[0]["product"].startswith("'=")


def test_an_unknown_batch_is_named(office, tmp_path):
    result = office.run("export", "--batch", 999999, "--output", tmp_path / "cards.csv")
    assert result.exit_status == 1 and "999999" in result.stderr and os.listdir(tmp_path) == []


def test_two_exports_at_once_are_one(office, batch, tmp_path, database):
    with database.connect() as holder, holder.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute("SELECT id FROM batch FOR UPDATE")
        running = [
            office.spawn("export", "--batch", batch, "--output", tmp_path / f"{number}.csv") for number in range(3)
        ]
        wait_for_locks(database, 3)
    for process in running:
        process.communicate()
    assert sorted(process.returncode for process in running) == [0, 1, 1]
    assert len(list(tmp_path.glob("*.csv"))) == 1
    assert database.value("SELECT COUNT(*) FROM batch_event WHERE what = 'exported'") == 1


def test_without_the_key_there_is_no_file(office, batch, tmp_path):
    key_file = office.option_file.with_name("key")
    hidden = key_file.rename(key_file.with_name("key.hidden"))
    try:
        result = office.run("export", "--batch", batch, "--output", tmp_path / "cards.csv")
    finally:
        hidden.rename(key_file)
    assert result.exit_status == 1 and str(key_file) in result.stderr and os.listdir(tmp_path) == []
