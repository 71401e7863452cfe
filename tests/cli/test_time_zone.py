"""The office's time zone, the setting `timezone`: options, screens and reports use it; JSON and the database have UTC."""

import pytest

from tests.cli.test_languages import on_terminal
from tests.cli.test_sessions import had
from tests.office import Office

MARCH = ("--from", "2026-03-02", "--to", "2026-03-02")


@pytest.fixture
def manaus(office, tmp_path):
    """The office of a provider whose clock is four hours behind UTC."""
    return in_zone(office, tmp_path, "America/Manaus")


def in_zone(office, folder, name):
    option_file = folder / "zone.cnf"
    option_file.write_text(office.option_file.read_text().replace("[prepaid]\n", f"[prepaid]\ntimezone = {name}\n"))
    return Office(option_file)


def test_a_last_day_of_use_ends_at_the_offices_midnight(manaus):
    (card,) = manaus.sell(1, "--time", "10h")
    manaus.must("edit", card.serial, "--expires", "2036-12-31", "--reason", "Storm")
    assert manaus.show(card)["expires_at"] == "2037-01-01T04:00:00.000Z"
    assert "01/01/2037 00:00:00" in on_terminal(manaus, "pt_BR", "show", card.serial)
    # A time as the screen shows it is the same moment again.
    manaus.must("--lang", "pt_BR", "edit", card.serial, "--expires", "02/01/2037 18:30:00", "--reason", "Chuva")
    assert manaus.show(card)["expires_at"] == "2037-01-02T22:30:00.000Z"
    manaus.must("edit", card.serial, "--expires", "2037-01-02T18:30Z", "--reason", "Storm")
    assert manaus.show(card)["expires_at"] == "2037-01-02T18:30:00.000Z"


def test_a_new_product_is_in_the_offices_time_zone(manaus):
    product = manaus.product("--time", "10h", "--valid-until", "2036-12-31")
    found = manaus.json("product", "show", product)
    assert (found["timezone"], found["valid_until_at"]) == ("America/Manaus", "2037-01-01T04:00:00.000Z")
    product = manaus.product("--time", "10h", "--timezone", "America/Noronha")
    assert manaus.json("product", "show", product)["timezone"] == "America/Noronha"


def test_days_of_reports_and_lists(manaus, office, database):
    (card,) = manaus.sell(1, "--time", "10h", "--price", "10.00")
    # 22:30 on 2 March at the office.
    database.execute("UPDATE card SET status = 'in_use', first_login_at = '2026-03-03 02:30:00'")
    assert [row["day"] for row in manaus.json("report", "sales", *MARCH)] == ["2026-03-02"]
    assert office.json("report", "sales", *MARCH) == []


def test_cards_made_on_a_day_of_the_office(office, tmp_path, database):
    """Some zone is always a day ahead of another one, whatever the time is now."""
    office.stock(1, "--time", "10h")
    (made,) = (str(row["day"]) for row in database.query("SELECT DATE(made_at + INTERVAL 14 HOUR) AS day FROM batch"))
    (tmp_path / "east").mkdir()
    (tmp_path / "west").mkdir()
    east, west = (
        in_zone(office, tmp_path / side, name)
        for side, name in (("east", "Pacific/Kiritimati"), ("west", "Pacific/Pago_Pago"))
    )
    assert len(east.json("list", "--from", made, "--to", made)) == 1
    assert west.json("list", "--from", made, "--to", made) == []


def test_a_question_without_an_offset_says_which_zone_was_taken(manaus, office, database):
    (card,) = office.sell(1, "--time", "10h")
    had(database, card, framed_ipv4="10.5.0.7")  # from 20:00 to 21:00 UTC
    asked = ("sessions", "--address", "10.5.0.7", "--at")
    result = manaus.must(*asked, "2026-03-02 16:30", "--json")
    assert [row["serial"] for row in result.json()] == [card.serial]
    first, last = result.stderr.splitlines()
    assert "America/Manaus" in first and "2026-03-02 20:30:00 UTC" in first and "recorded" in last
    portuguese = manaus.must("--lang", "pt_BR", *asked, "02/03/2026 16:30")
    assert card.serial in portuguese.stdout and "no fuso America/Manaus" in portuguese.stderr
    # With its offset nothing needs to be said.
    for moment in ("2026-03-02T17:30-03:00", "2026-03-02T20:30Z"):
        result = manaus.must(*asked, moment)
        assert card.serial in result.stdout and "America/Manaus" not in result.stderr


def test_a_time_that_the_clock_showed_twice_is_refused(office, tmp_path):
    paulista = in_zone(office, tmp_path, "America/Sao_Paulo")
    result = paulista.run("sessions", "--address", "10.5.0.7", "--at", "2019-02-16 23:30")
    assert result.exit_status == 2 and "America/Sao_Paulo" in result.stderr and "twice" in result.stderr
    paulista.must("sessions", "--address", "10.5.0.7", "--at", "2019-02-16 23:30-03:00")


def test_an_imported_time_without_an_offset(manaus, tmp_path):
    file = tmp_path / "cards.csv"
    file.write_text(
        "serial,pin,status,first_login_at,expires_at\n"
        "A1,48305912,in_use,2026-03-02 18:00,2036-12-31\n"
        "A2,48305913,in_use,02/03/2026 18:00,31/12/2036\n"
        "A3,48305914,in_use,2026-03-02T22:00Z,2037-01-01T04:00Z\n"
    )
    manaus.must("--lang", "pt_BR", "import", "--product", manaus.product("--time", "10h"), file)
    shown = [manaus.show(serial) for serial in ("A1", "A2", "A3")]
    assert {row["first_login_at"] for row in shown} == {"2026-03-02T22:00:00.000Z"}
    assert {row["expires_at"] for row in shown} == {"2037-01-01T04:00:00.000Z"}


def test_without_the_setting_it_is_the_systems(office, monkeypatch):
    monkeypatch.setenv("TZ", "America/Manaus")
    assert office.json("product", "show", office.product("--time", "10h"))["timezone"] == "America/Manaus"
    # A time zone that is no name of the database of time zones is not used.
    monkeypatch.setenv("TZ", "<-04>4")
    assert office.json("product", "show", office.product("--time", "10h"))["timezone"] != "<-04>4"


def test_a_wrong_setting_is_named(office, tmp_path):
    result = in_zone(office, tmp_path, "Manaus").run("report", "sales")
    assert result.exit_status == 2 and "timezone" in result.stderr and "'Manaus'" in result.stderr
