"""report stock, sales, usage, settlement: the sums, exact to the cent, in every format."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import openpyxl
import pdfplumber
import pytest

from tests.office import Office

TODAY = date.today()
MONTHS = ("--from", TODAY - timedelta(days=60), "--to", TODAY)


@pytest.fixture
def trade(office, database):
    """Two products at two shops: cards that were delivered, returned and used."""
    hour = office.product("--time", "1h", "--price", "9.99", "--commission", "12.5")
    giga = office.product("--traffic", "1GB", "--price", "20.00", "--commission", "10")
    for name, share in (("=cmd|' /C calc'!A0", "0"), ("Padaria São José", None)):
        office.must("partner", "add", name, *(("--commission", share) if share else ()))
    shops = ["=cmd|' /C calc'!A0", "Padaria São José"]
    cards = {}
    for product in (hour, giga):
        for shop in shops:
            cards[product, shop] = office.sell(10, product=product, partner=shop)
    # A later price does not change cards that were delivered.
    office.must("product", "edit", hour, "--price", "99.00")
    back = cards[hour, shops[1]]
    office.must("return", "--partner", shops[1], "--range", f"{back[8].serial}-{back[9].serial}")
    use(database, cards[hour, shops[1]][:3], days_ago=1, seconds=1800, octets=1000)
    use(database, cards[giga, shops[1]][:2], days_ago=2, seconds=60, octets=500_000_000)
    use(database, cards[hour, shops[0]][:1], days_ago=40, seconds=600, octets=70)
    office.must("block", cards[giga, shops[0]][0].serial, "--reason", "Stolen")
    return {"hour": hour, "giga": giga, "shops": shops, "cards": cards}


def use(database, cards, days_ago: int, seconds: int, octets: int) -> None:
    """A first login and one session of each card, at noon some days ago."""
    noon = datetime.combine(TODAY - timedelta(days=days_ago), datetime.min.time().replace(hour=12)).astimezone(UTC)
    for card in cards:
        database.execute(
            "UPDATE card SET status = 'in_use', first_login_at = %s WHERE serial = %s", [noon, card.serial]
        )
        database.execute(
            "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, started_at, heard_at, stopped_at,"
            " end_recorded_at, used_seconds, used_down_octets, used_up_octets)"
            " SELECT id, 1, 1, 's', %s, %s, %s, %s, %s, %s, 1 FROM card WHERE serial = %s",
            [noon, noon, noon, noon, seconds, octets, card.serial],
        )


def test_stock(office, trade):
    rows = {(row["product"], row["partner"]): row for row in office.json("report", "stock")}
    assert rows[trade["hour"], None]["created"] == 2
    padaria = rows[trade["hour"], "Padaria São José"]
    assert (padaria["delivered"], padaria["in_use"], padaria["total"]) == (5, 3, 8)
    assert rows[trade["giga"], trade["shops"][0]]["blocked"] == 1
    assert sum(row["total"] for row in rows.values()) == 40


def test_sales_are_first_logins_at_the_price_of_their_delivery(office, trade):
    rows = office.json("report", "sales", *MONTHS)
    assert [
        (row["product"], row["partner"], row["cards"], row["sold_cents"], row["commission_cents"]) for row in rows
    ] == [
        # 12.5 % of 9.99 is 1.24875, rounded to 1.25 for each card.
        (trade["hour"], trade["shops"][0], 1, 999, 0),
        (trade["giga"], "Padaria São José", 2, 4000, 400),
        (trade["hour"], "Padaria São José", 3, 2997, 375),
    ]
    assert [row["day"] for row in rows] == [str(TODAY - timedelta(days=days)) for days in (40, 2, 1)]
    assert office.json("report", "sales", *MONTHS, "--by", "partner", "--partner", "Padaria São José") == [
        {"partner": "Padaria São José", "cards": 5, "sold_cents": 6997, "commission_cents": 775}
    ]
    assert office.json("report", "sales", *MONTHS, "--by", "product", "--product", trade["giga"])[0]["cards"] == 2
    assert office.json("report", "sales", "--from", TODAY, "--to", TODAY) == []


def test_usage_is_the_same_before_and_after_the_archive(office, trade, database):
    asked = ("report", "usage", *MONTHS)
    before = office.json(*asked)
    assert [
        (row["product"], row["sessions"], row["used_seconds"], row["used_down_octets"], row["used_up_octets"])
        for row in before
    ] == [(trade["hour"], 1, 600, 70, 1), (trade["giga"], 2, 120, 1_000_000_000, 2), (trade["hour"], 3, 5400, 3000, 3)]
    assert office.json("db", "archive", "--older-than", "7")["archived"] == 1
    assert office.json(*asked) == before
    # A late packet brings the session back: its archived part is not counted twice.
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, heard_at, stopped_at, used_seconds,"
        " used_down_octets, used_up_octets, posted_seconds, posted_down_octets, posted_up_octets)"
        " SELECT card_id, login_number, 1, acct_session_id, ended_at, ended_at, used_seconds + 5, used_down_octets,"
        " used_up_octets, used_seconds, used_down_octets, used_up_octets FROM session_archive"
    )
    first = office.json(*asked)[0]
    assert (first["sessions"], first["used_seconds"], first["used_down_octets"]) == (1, 605, 70)
    office.must("db", "archive")
    assert office.json(*asked)[0] == first


def test_settlement(office, trade):
    rows = {row["partner"]: row for row in office.json("report", "settlement", *MONTHS)}
    assert rows["Padaria São José"] == {
        "partner": "Padaria São José",
        "delivered": 20,
        "returned": 2,
        "in_stock": 13,
        "first_used": 5,
        "sold_cents": 6997,
        "commission_cents": 775,
        "owed_cents": 6222,
    }
    assert rows[trade["shops"][0]] == {
        "partner": trade["shops"][0],
        "delivered": 20,
        "returned": 0,
        "in_stock": 19,
        "first_used": 1,
        "sold_cents": 999,
        "commission_cents": 0,
        "owed_cents": 999,
    }
    only = office.json("report", "settlement", *MONTHS, "--partner", "Padaria São José", "--product", trade["giga"])
    assert [(row["delivered"], row["in_stock"], row["owed_cents"]) for row in only] == [(10, 8, 3600)]


def test_the_sales_of_all_days_are_the_settlement(office, trade):
    sold = office.json("report", "sales", *MONTHS)
    owed = office.json("report", "settlement", *MONTHS)
    assert sum(row["sold_cents"] - row["commission_cents"] for row in sold) == sum(row["owed_cents"] for row in owed)


def test_redeemed_telephony_cards_are_sold(office, trade, database):
    talk = office.product("--price", "5.00", "--commission", "20", kind="telephony")
    (card,) = office.sell(1, product=talk, partner="Padaria São José")
    number = database.value("SELECT id FROM card WHERE serial = %s", [card.serial])
    database.execute("INSERT INTO voice_credit (card_id, account) VALUES (%s, 'A 1')", [number])
    assert office.json(
        "report", "sales", "--from", TODAY - timedelta(days=1), "--to", TODAY, "--by", "product", "--product", talk
    ) == [{"product": talk, "cards": 1, "sold_cents": 500, "commission_cents": 100}]


def test_csv(office, trade):
    printed = office.must("report", "settlement", *MONTHS, "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert [(row["partner"], row["owed"]) for row in rows] == [
        ("'" + trade["shops"][0], "9.99"),
        ("Padaria São José", "62.22"),
    ]


def test_xlsx(office, trade, tmp_path):
    path = tmp_path / "sales.xlsx"
    office.must("report", "sales", *MONTHS, "--format", "xlsx", "--output", path)
    heading, *rows, total = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
    assert heading == ("Day", "Product", "Partner", "Cards", "Sold", "Commission")
    assert rows[0][1:] == (trade["hour"], trade["shops"][0], 1, 9.99, 0)
    assert rows[0][0].date() == TODAY - timedelta(days=40)
    assert total[3:] == (6, 79.96, 7.75)
    cell = openpyxl.load_workbook(path).active["C2"]
    assert (cell.data_type, cell.value) == ("s", trade["shops"][0])


def test_pdf(office, trade, tmp_path):
    path = tmp_path / "settlement.pdf"
    office.must("--lang", "pt_BR", "report", "settlement", *MONTHS, "--format", "pdf", "--output", path)
    with pdfplumber.open(path) as pdf:
        words = " ".join(page.extract_text() for page in pdf.pages)
        assert {font.split("+")[-1] for page in pdf.pages for font in {char["fontname"] for char in page.chars}} == {
            "BitstreamVeraSans-Roman",
            "BitstreamVeraSans-Bold",
        }
    assert "Padaria São José" in words and "R$ 62,22" in words and "R$ 72,21" in words


def test_the_currency_of_the_option_file_is_in_every_format(office, trade, tmp_path):
    option_file = tmp_path / "dollars.cnf"
    option_file.write_text(office.option_file.read_text().replace("[prepaid]\n", "[prepaid]\ncurrency = US$\n"))
    abroad = Office(option_file)
    for form in ("html", "pdf", "xlsx"):
        abroad.must("report", "settlement", *MONTHS, "--format", form, "--output", tmp_path / f"settlement.{form}")
    assert "US$ 62.22" in (tmp_path / "settlement.html").read_text(encoding="utf-8")
    with pdfplumber.open(tmp_path / "settlement.pdf") as pdf:
        assert "US$ 62.22" in pdf.pages[0].extract_text()
    assert openpyxl.load_workbook(tmp_path / "settlement.xlsx").active["F2"].number_format == '"US$" #,##0.00'


def test_sales_by_month(office, trade, tmp_path):
    rows = office.json("report", "sales", *MONTHS, "--by", "month")
    days = office.json("report", "sales", *MONTHS, "--by", "day")
    months = sorted({row["day"][:7] for row in days})
    assert [row["month"] for row in rows] == months
    for row in rows:
        in_it = [day for day in days if day["day"].startswith(row["month"])]
        for name in ("cards", "sold_cents", "commission_cents"):
            assert row[name] == sum(day[name] for day in in_it)
    shown = office.must("--lang", "pt_BR", "report", "sales", *MONTHS, "--by", "month", "--format", "csv").stdout
    assert shown.splitlines()[1].startswith(months[0])
    path = tmp_path / "months.xlsx"
    office.must("report", "sales", *MONTHS, "--by", "month", "--by", "partner", "--format", "xlsx", "--output", path)
    assert openpyxl.load_workbook(path).active["A2"].value == months[0]


def test_a_terminal_and_a_pipe(office, trade):
    lines = office.must("report", "sales", *MONTHS, "--by", "day").stdout.splitlines()
    assert lines[0].split("\t") == [str(TODAY - timedelta(days=40)), "1", "999", "0"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("sales", "--format", "xlsx"), 2),
        (("stock", "--output", "x"), 2),
        (("sales", "--json", "--format", "csv"), 2),
        (("sales", "--from", "2026-03-02", "--to", "2026-03-01"), 2),
        (("sales", "--from", "1990-01-01"), 2),
        (("sales", "--by", "hour"), 2),
        (("stock", "--partner", "Nobody"), 1),
        (("usage", "--product", "Nothing"), 1),
    ],
)
def test_wrong_usage_is_refused(office, database, arguments, status):
    assert office.run("report", *arguments).exit_status == status


def test_a_file_that_is_there_is_kept(office, database, tmp_path):
    path = tmp_path / "stock.csv"
    path.write_text("mine")
    assert office.run("report", "stock", "--format", "csv", "--output", path).exit_status == 1
    assert path.read_text() == "mine"
    office.must("report", "stock", "--format", "csv", "--output", path, "--force")
    assert path.read_text().startswith("product,partner,created") and path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["stock", "sales", "usage", "settlement"])
@pytest.mark.parametrize("form", ["csv", "xlsx", "pdf", "html"])
def test_an_empty_office_has_reports_too(office, database, tmp_path, name, form):
    path = tmp_path / f"report.{form}"
    office.must("report", name, "--format", form, "--output", path)
    assert Path(path).stat().st_size > 20
    assert office.json("report", name) == []
