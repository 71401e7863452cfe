"""What a Portuguese screen shows can be typed: names of statuses, dates and weekdays, beside the fixed words."""

import pytest

from tests.cli.test_languages import on_terminal


def test_a_status_is_typed_as_it_is_shown(office):
    cards = office.stock(2, "--time", "10m")
    office.sell(1, "--time", "10m")
    for typed in ("Criado", "criado", "CRIADO", "created", "Created"):
        listed = office.must("--lang", "pt_BR", "list", "--status", typed, "--json").json()
        # JSON keeps the fixed word.
        assert {(row["serial"], row["status"]) for row in listed} == {(card.serial, "created") for card in cards}
    assert office.must("--lang", "pt_BR", "list", "--status", "Em uso", "--json").json() == []
    assert office.must("list", "--status", "in use", "--json").json() == []


def test_an_unknown_status_lists_what_can_be_typed(office):
    result = office.run("--lang", "pt_BR", "list", "--status", "Vendido")
    assert result.exit_status == 2 and "'Vendido' não é uma destas opções: Criado, Entregue, Em uso" in result.stderr
    # The word of another language is not guessed.
    assert office.run("list", "--status", "Criado").exit_status == 2


def test_kinds_and_headings_are_typed_as_they_are_shown(office):
    office.must(
        "--lang", "pt_BR", "product", "add", "Voz", "--kind", "Telefonia", "--money", "10,00", "--tariff-minute", "0,05"
    )
    assert office.json("product", "show", "Voz")["kind"] == "telephony"
    office.sell(1, "--time", "10m")
    assert len(office.must("--lang", "pt_BR", "note", "list", "--kind", "Entrega", "--json").json()) == 1
    by_day = office.must("report", "sales", "--by", "day").stdout
    assert office.must("--lang", "pt_BR", "report", "sales", "--by", "dia").stdout == by_day


@pytest.mark.parametrize("typed", ["31/12/2036", "2036-12-31"])
def test_a_date_is_typed_as_it_is_shown(office, typed):
    (card,) = office.sell(1, "--time", "10m")
    office.must("--lang", "pt_BR", "edit", card.serial, "--expires", typed, "--reason", "Chuva")
    assert office.show(card)["expires_at"].startswith(("2036-12-31T", "2037-01-01T"))
    office.must("--lang", "pt_BR", "product", "edit", card.product, "--sell-by", typed)
    assert office.json("product", "show", card.product)["sell_by"] == "2036-12-31"


@pytest.mark.parametrize("typed", ["31/02/2036", "12/31/2036", "31/12/36", "amanhã"])
def test_no_date_is_guessed(office, typed):
    result = office.run("--lang", "pt_BR", "report", "sales", "--to", typed)
    assert result.exit_status == 2 and "31/12/2026" in result.stderr
    # In English, 1/2/2036 may be either of two days.
    assert office.run("report", "sales", "--to", "01/02/2036").exit_status == 2


@pytest.mark.parametrize(
    "typed",
    [
        "Seg-Sex 08:00-18:00, Sáb 09:00-13:00",
        "seg-sex 08:00-18:00, sab 09:00-13:00",
        "Mo-Fr 08:00-18:00, Sa 09:00-13:00",
    ],
)
def test_weekdays_are_typed_as_they_are_shown(office, typed):
    office.must("--lang", "pt_BR", "product", "add", "Escritório", "--time", "10h", "--hours", typed)
    # Storage and JSON keep the fixed words.
    assert office.json("product", "show", "Escritório")["allowed_hours"] == "Mo-Fr 08:00-18:00, Sa 09:00-13:00"
    assert "Seg-Sex 08:00-18:00, Sáb 09:00-13:00" in on_terminal(office, "pt_BR", "product", "show", "Escritório")
    assert "Mo-Fr 08:00-18:00, Sa 09:00-13:00" in on_terminal(office, "en", "product", "show", "Escritório")


def test_a_day_that_does_not_exist_is_repeated_as_it_was_typed(office):
    result = office.run("--lang", "pt_BR", "product", "add", "X", "--time", "10h", "--hours", "Seg-Xyz 08:00-18:00")
    assert result.exit_status == 2 and "'Seg-Xyz' não é um dia" in result.stderr and "Qua Qui Sex Sáb" in result.stderr


def test_the_import_file_has_words_as_they_are_shown(office, tmp_path):
    product = office.product("--time", "10m")
    file = tmp_path / "cards.csv"
    file.write_text("serial,pin,status\nA1,48305912,Entregue\nA2,48305913,Em uso\nA3,48305914,blocked\n")
    office.must("--lang", "pt_BR", "import", "--product", product, file)
    assert [row["status"] for row in office.json("list")] == ["delivered", "in_use", "blocked"]
    file.write_text("serial,pin,status\nB1,48305912,Vendido\n")
    result = office.run("--lang", "pt_BR", "import", "--product", product, file)
    assert (
        result.exit_status == 1
        and "'Vendido' não é um status. Use um destes: Criado, Entregue, Em uso, Esgotado, Expirado, Bloqueado"
        in result.stderr
    )
