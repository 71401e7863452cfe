"""export: a file of each format, read by another program than the one that wrote it."""

import csv
import shutil
import subprocess
import zipfile

import openpyxl
import pyrage
import pytest

from admin.files import xlsx
from tests.database import Database

HOSTILE = '=cmd|"/C calc"!A0;<b>&{serial}\t🎉 Ação'


@pytest.fixture
def hostile(office):
    """A batch of a product whose name means something to every format."""
    office.must(
        "product", "add", HOSTILE, "--time", "10h", "--money", "20.00", "--tariff-minute", "0.05", "--price", "12.50"
    )
    return office.json("generate", "--product", HOSTILE, "--count", 30, "--serial-digits", 8)["batch"]


def rows_of(path, encoding="utf-8", **options) -> list[list[str]]:
    with open(path, newline="", encoding=encoding) as file:
        return list(csv.reader(file, **options))


def pins_of(office, database: Database, batch: int) -> dict[str, str]:
    from admin.shell.office import Office
    from freeradius_module.sealing import pin

    keyring = Office(str(office.option_file)).keyring
    cards = database.query("SELECT serial, pin_sealed, key_number FROM card WHERE batch_id = %s", [batch])
    return {
        card["serial"]: pin.open_sealed(card["pin_sealed"], card["key_number"], card["serial"], keyring)
        for card in cards
    }


def test_csv_for_excel_in_brazil(office, hostile, database, tmp_path):
    path = tmp_path / "cards.csv"
    office.must("export", "--batch", hostile, "--separator", ";", "--bom", "--output", path)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfserial;pin;product;face_value;batch\r\n")
    heading, *rows = rows_of(path, "utf-8-sig", delimiter=";")
    assert {row[0]: row[1] for row in rows} == pins_of(office, database, hostile)
    assert {tuple(row[2:]) for row in rows} == {("'" + HOSTILE, "12.50", str(hostile))}
    # As long as they were made: no leading zero is lost.
    assert {len(row[0]) for row in rows} == {len(office.json("batch", "show", hostile)["first_serial"])}
    assert all(row[0].startswith("0") for row in rows)


@pytest.mark.parametrize(("typed", "delimiter"), [("|", "|"), ("tab", "\t"), ("\\t", "\t"), ("~", "~"), ("4", "4")])
def test_any_delimiter_comes_back(office, hostile, database, tmp_path, typed, delimiter):
    path = tmp_path / "cards.txt"
    office.must(
        "export",
        "--batch",
        hostile,
        "--format",
        "delimited",
        "--delimiter",
        typed,
        "--fields",
        "product,serial,pin,credit",
        "--output",
        path,
    )
    _heading, *rows = rows_of(path, delimiter=delimiter)
    assert {row[1]: row[2] for row in rows} == pins_of(office, database, hostile)
    assert {(row[0], row[3]) for row in rows} == {("'" + HOSTILE, "10 h, 20.00")}


def test_a_delimiter_is_one_character(office, hostile, tmp_path):
    for wrong in ("||", '"', ""):
        result = office.run(
            "export", "--batch", hostile, "--format", "delimited", "--delimiter", wrong, "--output", tmp_path / "x"
        )
        assert result.exit_status == 2, wrong


def test_an_option_of_another_format_is_refused(office, hostile, tmp_path):
    result = office.run(
        "export", "--batch", hostile, "--format", "xlsx", "--separator", ";", "--output", tmp_path / "x"
    )
    assert result.exit_status == 2 and "--separator" in result.stderr and "csv" in result.stderr


def test_a_field_that_does_not_exist_is_named_with_those_that_do(office, hostile, tmp_path):
    result = office.run("export", "--batch", hostile, "--fields", "serial,pni", "--output", tmp_path / "x")
    assert result.exit_status == 2
    assert "'pni'" in result.stderr and "'pin'" in result.stderr and "face_value" in result.stderr


def test_fields_of_the_batch_alone_make_a_row_for_each_card(office, hostile, tmp_path):
    office.must("export", "--batch", hostile, "--fields", "batch", "--output", tmp_path / "x.csv")
    assert rows_of(tmp_path / "x.csv") == [["batch"]] + [[str(hostile)]] * 30


def test_a_pin_that_a_spreadsheet_would_run_is_never_altered(office, database, tmp_path):
    product = office.product("--time", "10m")
    batch = office.json(
        "generate", "--product", product, "--count", 400, "--pin-alphabet", "=+(A1", "--pin-length", 16
    )["batch"]
    result = office.run("export", "--batch", batch, "--output", tmp_path / "cards.csv")
    assert result.exit_status == 1 and "xlsx" in result.stderr and list(tmp_path.iterdir()) == []
    office.must("export", "--batch", batch, "--format", "xlsx", "--output", tmp_path / "cards.xlsx")
    rows = list(openpyxl.load_workbook(tmp_path / "cards.xlsx").active.values)[1:]
    assert {row[0]: row[1] for row in rows} == pins_of(office, database, batch)


def test_a_workbook_keeps_codes_as_text_and_money_as_numbers(office, hostile, database, tmp_path):
    path = tmp_path / "cards.xlsx"
    office.must(
        "export",
        "--batch",
        hostile,
        "--format",
        "xlsx",
        "--fields",
        "serial,pin,product,face_value,batch,number,valid_days",
        "--output",
        path,
    )
    sheet = openpyxl.load_workbook(path).active
    heading, *rows = sheet.iter_rows()
    assert [cell.value for cell in heading] == [
        "serial",
        "pin",
        "product",
        "face_value",
        "batch",
        "number",
        "valid_days",
    ]
    assert {row[0].value: row[1].value for row in rows} == pins_of(office, database, hostile)
    for at, row in enumerate(rows, start=1):
        serial, pin, product, price, batch, number, _valid = row
        assert (serial.data_type, pin.data_type, product.data_type) == ("s", "s", "s")
        assert (serial.number_format, pin.number_format) == ("@", "@")
        assert (product.value, price.value, batch.value, number.value) == (HOSTILE, 12.5, hostile, at)
        assert price.data_type == "n"
    assert sheet.dimensions == "A1:G31"


# What a spreadsheet takes for a number, a date, a truth value or a formula; and characters outside ASCII.
HOSTILE_CARDS = {
    "00000017": "0000000042",
    "0012E5": "1E10",
    "20260301": "2026-03-01",
    "TRUE": "FALSE",
    "A1": "=1+2",
    "A2": "+49(0)7",
    "A3": "@SUM(A1)",
    "A4": "-1",
    "A5": "'0815",
    "A6": '"a";b,c',
    "A7": "<b>&amp;",
    "A8": "ação-É-ñ-ß",
    "A9": "卡片🎉",
    "A10": "12345678901234567890",
    "A11": "0,50",
    "A12": "_x0041_",
}


@pytest.mark.skipif(not shutil.which("soffice"), reason="LibreOffice is not installed (Debian: libreoffice-calc-nogui)")
def test_libreoffice_shows_each_code_and_name_as_it_is(office, hostile, tmp_path):
    """Another program than the one that wrote it opens the workbook, and says as CSV what its cells show."""
    old = tmp_path / "old.csv"
    with old.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("serial", "pin"), *HOSTILE_CARDS.items()])
    batch = office.json("import", old, "--product", HOSTILE)["batch"]
    office.must(
        "export",
        "--batch",
        batch,
        "--format",
        "xlsx",
        "--fields",
        "serial,pin,product,face_value,number",
        "--output",
        tmp_path / "cards.xlsx",
    )
    done = subprocess.run(
        # Fields separated by commas (44), quoted where they need it (34), in UTF-8 (76).
        [
            "soffice",
            f"-env:UserInstallation=file://{tmp_path}/profile",
            "--headless",
            "--convert-to",
            "csv:Text - txt - csv (StarCalc):44,34,76",
            "--outdir",
            tmp_path / "shown",
            tmp_path / "cards.xlsx",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    heading, *rows = rows_of(tmp_path / "shown" / "cards.csv")
    assert heading == ["serial", "pin", "product", "face_value", "number"]
    assert {row[0]: row[1] for row in rows} == HOSTILE_CARDS
    assert {(row[2], row[3]) for row in rows} == {(HOSTILE, "12.50")}
    assert [row[4] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]


def test_a_batch_larger_than_a_sheet_goes_on_in_the_next(office, hostile, tmp_path, monkeypatch):
    monkeypatch.setattr(xlsx, "ROWS_A_SHEET", 12)
    office.must("export", "--batch", hostile, "--format", "xlsx", "--fields", "number", "--output", tmp_path / "x.xlsx")
    workbook = openpyxl.load_workbook(tmp_path / "x.xlsx")
    sheets = [[row[0] for row in sheet.values] for sheet in workbook.worksheets]
    assert sheets == [["number", *range(1, 13)], ["number", *range(13, 25)], ["number", *range(25, 31)]]
    assert zipfile.ZipFile(tmp_path / "x.xlsx").testzip() is None


@pytest.mark.parametrize("form", ["csv", "xlsx", "pdf"])
def test_a_sealed_file_opens_with_the_secret_key_only(office, hostile, database, tmp_path, form):
    reader, stranger = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    path = tmp_path / "cards.age"
    office.must("export", "--batch", hostile, "--format", form, "--seal", reader.to_public(), "--output", path)
    sealed = path.read_bytes()
    assert sealed.startswith(b"age-encryption.org/v1\n")
    opened = pyrage.decrypt(sealed, [reader])
    assert opened.startswith({"csv": b"serial,pin", "xlsx": b"PK", "pdf": b"%PDF"}[form])
    if form == "csv":
        assert all(
            pin.encode() in opened and pin.encode() not in sealed for pin in pins_of(office, database, hostile).values()
        )
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed, [stranger])
    if form == "xlsx":
        (tmp_path / "opened.xlsx").write_bytes(opened)
        assert openpyxl.load_workbook(tmp_path / "opened.xlsx").active.max_row == 31


def test_age_itself_opens_a_sealed_file(office, hostile, tmp_path):
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key").write_text(f"{identity}\n")
    office.must("export", "--batch", hostile, "--seal", identity.to_public(), "--output", tmp_path / "cards.age")
    try:
        opened = subprocess.run(
            ["age", "-d", "-i", tmp_path / "key", tmp_path / "cards.age"], capture_output=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("age is not installed")
    assert opened.stdout.startswith(b"serial,pin") and len(opened.stdout.splitlines()) == 31


def test_a_secret_key_given_by_mistake_is_not_repeated(office, hostile, tmp_path):
    secret = str(pyrage.x25519.Identity.generate())
    for wrong in (secret, "age1nonsense", "ssh-ed25519 nonsense"):
        result = office.run("export", "--batch", hostile, "--seal", wrong, "--output", tmp_path / "cards.age")
        assert result.exit_status == 2 and wrong not in result.stderr and list(tmp_path.iterdir()) == []
    assert "secret key" in office.run("export", "--batch", hostile, "--seal", secret, "--output", tmp_path / "x").stderr
