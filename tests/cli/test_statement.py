"""partner statement: the balance from line to line, by the same rule as the settlement, less payments."""

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta

import openpyxl
import pdfplumber
import pytest

TODAY = date.today()
PERIOD = ("--from", TODAY - timedelta(days=10), "--to", TODAY)


def days_ago(days: int) -> str:
    return (TODAY - timedelta(days=days)).isoformat()


@pytest.fixture
def trade(office, database):
    """A shop that sold one card before the period and three in it, paid twice and had one payment reversed."""
    hour = office.product("--time", "1h", "--price", "9.99", "--commission", "12.5")
    giga = office.product("--traffic", "1GB", "--price", "20.00", "--commission", "10")
    office.must("partner", "add", "Padaria São José", "--document", "11.222.333/0001-81")
    hours = office.sell(5, product=hour, partner="Padaria São José")
    gigas = office.sell(4, product=giga, partner="Padaria São José")
    # A later price changes nothing.
    office.must("product", "edit", giga, "--price", "99.00")
    office.must("return", "--partner", "Padaria São José", "--range", f"{gigas[3].serial}-{gigas[3].serial}")
    for card, days in ((hours[0], 20), (hours[1], 5), (hours[2], 5), (gigas[0], 3)):
        noon = datetime.combine(TODAY - timedelta(days=days), datetime.min.time().replace(hour=12)).astimezone(UTC)
        database.execute(
            "UPDATE card SET status = 'in_use', first_login_at = %s WHERE serial = %s", [noon, card.serial]
        )
    pay = ("payment", "add", "Padaria São José")
    office.must(*pay, "5.00", "--key", "a", "--date", days_ago(15))
    office.must(*pay, "10.00", "--key", "b", "--date", days_ago(4))
    wrong = office.json(*pay, "7.00", "--key", "c", "--date", days_ago(2))["payment"]
    office.must("payment", "reverse", wrong, "--reason", "Bounced")
    office.sell(1, product=hour)
    return {"hour": hour, "giga": giga, "wrong": wrong, "shop": "Padaria São José"}


def test_every_line_moves_the_balance(office, trade):
    rows = office.json("partner", "statement", trade["shop"], *PERIOD)
    assert [(row["what"], row["day"], row["product"], row["cards"], row["balance_cents"]) for row in rows] == [
        # 9.99 less 1.25 is 8.74 for a card; 5.00 were paid before.
        ("opening", days_ago(10), None, None, 374),
        ("sales", days_ago(5), trade["hour"], 2, 374 + 1748),
        ("payment", days_ago(4), None, None, 1122),
        ("sales", days_ago(3), trade["giga"], 1, 2922),
        ("payment", days_ago(2), None, None, 2222),
        ("delivery", days_ago(0), trade["hour"], 5, 2222),
        ("delivery", days_ago(0), trade["giga"], 4, 2222),
        ("return", days_ago(0), trade["giga"], 1, 2222),
        ("reversal", days_ago(0), None, None, 2922),
        ("closing", days_ago(0), None, None, 2922),
    ]
    assert (rows[1]["sold_cents"], rows[1]["commission_cents"]) == (1998, 250)
    assert [row["paid_cents"] for row in rows if row["paid_cents"]] == [1000, 700, -700]
    assert rows[4]["number"] == trade["wrong"]


def test_it_agrees_with_the_settlement_and_goes_on_from_the_day_before(office, trade):
    (settled,) = office.json("report", "settlement", "--partner", trade["shop"], *PERIOD)
    rows = office.json("partner", "statement", trade["shop"], *PERIOD)
    owed = sum(row["sold_cents"] - row["commission_cents"] for row in rows if row["what"] == "sales")
    assert owed == settled["owed_cents"] == 1748 + 1800
    for day in range(9, 0, -1):
        before = office.json("partner", "statement", trade["shop"], "--from", days_ago(10), "--to", days_ago(day))
        after = office.json("partner", "statement", trade["shop"], "--from", days_ago(day - 1), "--to", days_ago(0))
        assert before[-1]["balance_cents"] == after[0]["balance_cents"], day
        assert after[-1] == rows[-1]


def test_a_partner_without_trade_has_a_statement_of_two_lines(office):
    rows = office.json("partner", "statement", office.partner())
    assert [(row["what"], row["balance_cents"]) for row in rows] == [("opening", 0), ("closing", 0)]
    assert office.run("partner", "statement", "Nobody").exit_status == 1


def test_the_same_lines_as_csv_and_in_a_workbook(office, trade, tmp_path):
    rows = office.json("partner", "statement", trade["shop"], *PERIOD)
    text = office.must("partner", "statement", trade["shop"], *PERIOD, "--format", "csv").stdout
    lines = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [line["balance"] for line in lines] == [f"{row['balance_cents'] / 100:.2f}" for row in rows]
    assert [line["what"] for line in lines] == [row["what"] for row in rows]
    path = tmp_path / "statement.xlsx"
    office.must("--lang", "pt_BR", "partner", "statement", trade["shop"], *PERIOD, "--format", "xlsx", "--output", path)
    sheet = list(openpyxl.load_workbook(path).active.values)
    assert [row[1] for row in sheet[1:3]] == ["Saldo inicial", "Vendas"]
    assert [row[8] for row in sheet[1:-1]] == [row["balance_cents"] / 100 for row in rows]
    # The last line has the sums, and the closing balance.
    assert sheet[-1][5:] == (39.98, 4.50, 10, 29.22)


def test_on_paper_and_as_a_page_in_portuguese(office, trade, tmp_path):
    asked = ("--lang", "pt_BR", "partner", "statement", trade["shop"], *PERIOD)
    office.must(*asked, "--format", "pdf", "--output", tmp_path / "a.pdf")
    with pdfplumber.open(tmp_path / "a.pdf") as document:
        words = document.pages[0].extract_text()
    office.must(*asked, "--format", "html", "--output", tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    for text in (words, page):
        for word in (
            "Extrato",
            "Saldo inicial",
            "Vendas",
            "Pagamento",
            "Estorno",
            "Saldo final",
            "R$ 29,22",
            "São José",
        ):
            assert word in text, word
        for word in ("opening", "sales", "reversal", "payment", "closing", "None"):
            assert not re.search(rf"\b{word}\b", text), word
    assert "11.222.333/0001-81" in words and "11.222.333/0001-81" in page
