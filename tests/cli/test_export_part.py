"""export: a range, one sheet after a jam, the format by the file's ending, and the form for Excel in Brazil."""

import csv
import json

import pdfplumber
import pytest

from tests.cli.test_export import rows_of


@pytest.fixture
def cards(office):
    """Twenty-five cards in stock that were never exported."""
    product = office.product("--time", "10m", "--price", "10.00")
    batch = office.json("generate", "--product", product, "--count", 25)["batch"]
    return [row["serial"] for row in office.json("list", "--batch", batch)]


def texts_of(path) -> list[str]:
    """The text of each sheet."""
    with pdfplumber.open(path) as document:
        return [page.extract_text() for page in document.pages]


def batch_of(office, cards) -> int:
    return office.show(cards[0])["batch"]


# --- A range ----------------------------------------------------------------------------------------------


def test_a_range_is_exported_with_a_reason_and_a_record_of_its_own(office, cards, tmp_path, database):
    asked = ("export", "--range", f"{cards[3]}-{cards[7][:-1]}", "--output", tmp_path / "part.csv")
    result = office.run(*asked)
    assert result.exit_status == 2 and "--reason" in result.stderr
    office.must(*asked, "--reason", "Page lost")
    assert [row["serial"] for row in rows_of(tmp_path / "part.csv")] == cards[3:8]
    manifest = json.loads((tmp_path / "part.csv.manifest.json").read_text())
    assert (manifest["count"], manifest["first_serial"], manifest["last_serial"]) == (5, cards[3], cards[7])
    assert database.query(
        "SELECT what, reason, card_count, first_serial, last_serial FROM batch_event WHERE what <> 'generated' ORDER BY id"
    ) == [
        {"what": what, "reason": "Page lost", "card_count": 5, "first_serial": cards[3], "last_serial": cards[7]}
        for what in ("pins_read", "exported")
    ]
    # Only cards of the range say that they were exported.
    assert [[row["what"] for row in office.track(card)] for card in (cards[2], cards[3])] == [
        ["generated"],
        ["generated", "exported"],
    ]
    # The whole batch would print five cards twice.
    whole = ("export", "--batch", batch_of(office, cards), "--output", tmp_path / "all.csv")
    assert "--again" in office.run(*whole).stderr
    office.must(*whole, "--again", "--reason", "All of them")
    assert len(rows_of(tmp_path / "all.csv")) == 25
    # A range needs no --again: it has a reason in any case.
    office.must(*asked, "--reason", "Lost again", "--force", "--fields", "serial")
    assert [row["serial"] for row in rows_of(tmp_path / "part.csv")] == cards[3:8]


def test_only_the_pins_of_the_opened_range_are_read(office, cards, database):
    batch = batch_of(office, cards)
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CALL open_pins(%s, 'x', %s, %s)", [batch, cards[3], cards[4]])
        cursor.execute("CALL read_pins(%s, 1, 4000000000)", [batch])
        text = next(iter(cursor.fetchone().values()))
    assert text.split("\n")[0::3] == cards[3:5]


def test_cards_of_a_range_that_are_sold_are_left_out(office, cards, tmp_path):
    office.must("deliver", "--partner", office.partner(), "--range", f"{cards[0]}-{cards[3]}")
    asked = ("--reason", "Page lost", "--output", tmp_path / "part.csv")
    result = office.must("export", "--range", f"{cards[2]}-{cards[5]}", *asked)
    assert "2 of these cards" in result.stderr
    assert [row["serial"] for row in rows_of(tmp_path / "part.csv")] == cards[4:6]
    assert office.run("export", "--range", f"{cards[0]}-{cards[1]}", *asked, "--force").exit_status == 1


def test_a_range_or_a_batch(office, cards, tmp_path):
    batch = batch_of(office, cards)
    for arguments in (
        (),
        ("--batch", batch, "--range", f"{cards[0]}-{cards[1]}"),
        ("--range", f"{cards[0]}-{cards[1]}", "--sheet", 1),
        ("--batch", batch, "--sheet", 1, "--format", "csv"),
    ):
        result = office.run("export", *arguments, "--reason", "x", "--output", tmp_path / "x")
        assert result.exit_status == 2, arguments
    assert not list(tmp_path.iterdir())


# --- A sheet ----------------------------------------------------------------------------------------------


def test_a_sheet_is_printed_again_after_a_jam(office, cards, tmp_path, database):
    batch = batch_of(office, cards)
    again = ("export", "--batch", batch, "--sheet", 3, "--reason", "Jam", "--output", tmp_path / "sheet.pdf")
    assert "not exported as a PDF" in office.run(*again).stderr
    office.must("export", "--batch", batch, "--output", tmp_path / "cards.pdf")
    result = office.run(*again[:-4], "--output", tmp_path / "sheet.pdf")
    assert result.exit_status == 2 and "--reason" in result.stderr
    office.must(*again)
    whole, sheet = texts_of(tmp_path / "cards.pdf"), texts_of(tmp_path / "sheet.pdf")
    assert len(whole) == 3 and sheet == whole[2:]
    assert "sheet 3 of 3" in sheet[0]
    event = database.query("SELECT * FROM batch_event WHERE what = 'exported' ORDER BY id DESC LIMIT 1")[0]
    assert (event["reason"], event["card_count"], event["first_serial"]) == ("Jam", 5, cards[20])
    assert json.loads(event["detail"])["sheet"] == 3
    assert "there is no sheet 4" in office.run(*again[:4], 4, *again[5:], "--force").stderr
    # The next sheet is one of the first PDF, not of the reprint.
    office.must(*again[:4], 1, *again[5:], "--force")
    assert texts_of(tmp_path / "sheet.pdf") == whole[:1]


def test_a_sheet_whose_cards_moved_is_not_printed(office, cards, tmp_path):
    """A deleted card would shift all cards behind it by one place, and a card would be printed twice."""
    batch = batch_of(office, cards)
    office.must("export", "--batch", batch, "--output", tmp_path / "cards.pdf")
    office.must("delete", cards[0], "--reason", "Spoiled", "--yes")
    again = ("export", "--batch", batch, "--sheet", 2, "--reason", "Jam", "--output", tmp_path / "sheet.pdf")
    result = office.run(*again)
    assert result.exit_status == 1 and "--range" in result.stderr
    assert not (tmp_path / "sheet.pdf").exists()


# --- The format by the ending -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "form"), [("a.csv", "csv"), ("a.PDF", "pdf"), ("a.xlsx", "xlsx"), ("a.tsv", "delimited"), ("a", "csv")]
)
def test_the_ending_names_the_format(office, cards, tmp_path, name, form):
    printed = office.json("export", "--batch", batch_of(office, cards), "--output", tmp_path / name)
    assert printed["format"] == form


def test_an_ending_that_contradicts_the_format_is_refused(office, cards, tmp_path):
    batch = batch_of(office, cards)
    for name, form, words in (
        ("a.pdf", "csv", "pdf"),
        ("a.csv", "xlsx", "csv"),
        ("a.ods", None, ".ods"),
        ("a.pdf", "delimited", "pdf"),
    ):
        result = office.run(
            "export", "--batch", batch, "--output", tmp_path / name, *(("--format", form) if form else ())
        )
        assert result.exit_status == 2 and words in result.stderr
    assert not list(tmp_path.iterdir())
    # Both are text.
    office.must("export", "--batch", batch, "--output", tmp_path / "a.txt", "--format", "csv")


# --- Excel in Brazil ----------------------------------------------------------------------------------------


def test_excel_in_brazil_reads_prices_and_days(office, tmp_path):
    terms = ("--time", "10h", "--price", "1234.50", "--valid-until", "2036-12-31", "--timezone", "America/Sao_Paulo")
    batch = office.json("generate", "--product", office.product(*terms), "--count", 1)["batch"]
    fields = "serial,pin,product,face_value,kind,valid_until"
    path = tmp_path / "a.csv"
    office.must("export", "--batch", batch, "--fields", fields, "--excel-brazil", "--output", path)
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    (row,) = csv.DictReader(content.decode("utf-8-sig").splitlines(), delimiter=";")
    assert list(row)[:4] == ["Série", "PIN", "Produto", "Valor de face"]
    assert (row["Valor de face"], row["Tipo"], row["Válido até"]) == ("1234,50", "Internet", "31/12/2036")


def test_a_workbook_for_brazil_has_portuguese_headings_and_numbers(office, cards, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    path = tmp_path / "a.xlsx"
    office.must("export", "--batch", batch_of(office, cards), "--excel-brazil", "--output", path)
    first, second, *_rest = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
    assert first[0] == "Série" and second[3] == 10
    result = office.run("export", "--batch", batch_of(office, cards), "--excel-brazil", "--output", tmp_path / "a.pdf")
    assert result.exit_status == 2 and "--excel-brazil" in result.stderr
