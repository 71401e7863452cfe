"""The log of a NAT: `prepaid nat import`, and who had a public address and a port."""

import pymysql
import pytest

from tests.cli.test_sessions import MOMENT, had
from tests.schema.test_roles import person  # noqa: F401

PUBLIC = "203.0.113.9"
HEAD = "public_address,first_port,last_port,private_address,begin_at,end_at\n"
BEGIN, END = "2026-03-02T17:00-03:00", "2026-03-02T18:00-03:00"
REASON = "Order 123/2026"


@pytest.fixture
def log(tmp_path):
    """Write a log, and return its path."""

    def log(*lines: str, head: str = HEAD, encoding: str = "utf-8"):
        path = tmp_path / "nat.csv"
        path.write_text(head + "".join(f"{line}\n" for line in lines), encoding=encoding)
        return path

    return log


def ask(office, port: int, *, address: str = PUBLIC, at: str = MOMENT):
    return office.run("sessions", "--address", address, "--port", port, "--at", at, "--reason", REASON, "--json")


def test_a_port_leads_to_the_card_that_had_the_private_address(office, database, log):
    card, other = office.sell(2, "--time", "10m")
    had(database, card, framed_ipv4="100.64.0.7")
    had(database, other, framed_ipv4="100.64.0.8")
    path = log(
        f"{PUBLIC},40000,40099,100.64.0.7,{BEGIN},{END}",
        f"{PUBLIC},40100,40100,100.64.0.8,{BEGIN},{END}",
        f"203.0.113.10,40000,40099,100.64.0.8,{BEGIN},{END}",
    )
    assert office.json("nat", "import", path) | {"import": 1} == {"import": 1, "records": 3, "new": 3}
    for port, card_of_it in ((40000, card), (40050, card), (40099, card), (40100, other)):
        (row,) = ask(office, port).json()
        assert (row["serial"], row["private_address"] == "100.64.0.7") == (card_of_it.serial, card_of_it is card)
        assert row["nat_begin_at"] == "2026-03-02T20:00:00.000Z"
    for port in (39999, 40101):
        result = ask(office, port)
        assert result.json() == [] and "The last import was nat.csv" in result.stderr


def test_the_hour_decides(office, database, log):
    card, later = office.sell(2, "--time", "10m")
    had(database, card, framed_ipv4="100.64.0.7")
    had(database, later, framed_ipv4="100.64.0.8")
    office.must(
        "nat", "import",
        log(
            f"{PUBLIC},5000,5000,100.64.0.8,2026-03-02T17:31-03:00,{END}",
            f"{PUBLIC},5000,5000,100.64.0.7,2026-03-02T17:29:30-03:00,2026-03-02T17:30:30-03:00",
            f"{PUBLIC},5000,5000,100.64.0.8,{BEGIN},2026-03-02T17:29-03:00",
        ),
    )  # fmt: skip
    assert [row["serial"] for row in ask(office, 5000).json()] == [card.serial]


def test_a_question_with_a_port_is_recorded_like_any_other(office, database, log):
    office.must("nat", "import", log(f"{PUBLIC},40000,40099,100.64.0.7,{BEGIN},{END}"))
    result = ask(office, 40001)
    assert "100.64.0.7 had it, but no card had 100.64.0.7 then" in result.stderr
    assert [(row["private_address"], row["serial"]) for row in result.json()] == [("100.64.0.7", None)]
    (row,) = database.query("SELECT operator, address, port, reason FROM address_query")
    assert tuple(row.values()) == ("prepaid_admin", PUBLIC, 40001, REASON)
    office.must("audit", "verify")
    with pytest.raises(pymysql.MySQLError, match="history_is_never_edited"):
        database.execute("UPDATE address_query SET port = 40002")


def test_two_private_addresses_at_once_are_both_shown(office, database, log):
    cards = office.sell(2, "--time", "10m")
    for card, address in zip(cards, ("100.64.0.7", "100.64.0.8"), strict=True):
        had(database, card, framed_ipv4=address)
    office.must("nat", "import", log(*(f"{PUBLIC},5000,5000,100.64.0.{last},{BEGIN},{END}" for last in (7, 8))))
    result = ask(office, 5000)
    assert {row["serial"] for row in result.json()} == {card.serial for card in cards}
    assert "several private addresses" in result.stderr


def test_private_addresses_of_several_nas(office, database, log):
    """Each hotspot has the same private addresses behind a public one of its own."""
    office.must("nas", "add", "beach", "--address", "10.1.2.3", "--secret-file", "-", stdin="secret")
    here, there = office.sell(2, "--time", "10m")
    had(database, here, framed_ipv4="10.5.50.7")
    had(database, there, framed_ipv4="10.5.50.7")
    database.execute(
        "UPDATE session SET nas_id = (SELECT id FROM nas WHERE name = 'beach')"
        " WHERE card_id = (SELECT id FROM card WHERE serial = %s)",
        [there.serial],
    )
    head = HEAD.replace("\n", ",nas\n")
    office.must("nat", "import", log(f"{PUBLIC},1,9,10.5.50.7,{BEGIN},{END},beach", head=head))
    assert [row["serial"] for row in ask(office, 5).json()] == [there.serial]


def test_the_same_file_again_changes_nothing_and_an_open_record_gets_its_end(office, database, log):
    path = log(f"{PUBLIC},5000,5000,100.64.0.7,{BEGIN},", f"{PUBLIC},5001,5001,100.64.0.7,{BEGIN},{END}")
    assert office.json("nat", "import", path)["new"] == 2
    assert office.json("nat", "import", path)["new"] == 0
    assert len(ask(office, 5000, at="2026-03-09T12:00Z").json()) == 1
    office.must("nat", "import", log(f"{PUBLIC},5000,5000,100.64.0.7,{BEGIN},{END}"))
    assert ask(office, 5000, at="2026-03-09T12:00Z").json() == []
    contradicts = office.run("nat", "import", log(f"{PUBLIC},5000,5000,100.64.0.7,{BEGIN},2026-03-02T19:00-03:00"))
    assert contradicts.exit_status == 1 and "contradicts a record that was imported before" in contradicts.stderr
    assert [row["records"] for row in office.json("nat", "list")] == [0, 0, 2]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("203.0.113.300,1,1,100.64.0.7,{b},{e}", "'203.0.113.300' is not an IPv4 address"),
        ("2001:db8::1,1,1,100.64.0.7,{b},{e}", "is not an IPv4 address"),
        (PUBLIC + ",65536,,100.64.0.7,{b},{e}", "'65536' is not a port"),
        (PUBLIC + ",9,8,100.64.0.7,{b},{e}", "last_port 8 is below first_port 9"),
        (PUBLIC + ",1,1,100.64.0.7,yesterday,{e}", "'yesterday' is not a time"),
        (PUBLIC + ",1,1,100.64.0.7,{e},{b}", "it ends before it begins"),
        (PUBLIC + ",1,1,100.64.0.7,2099-01-01T00:00Z,", "it is in the future"),
        (PUBLIC + ",1,1,100.64.0.7,{b}", "it has 5 fields"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_imported(office, log, line, sentence):
    good = f"{PUBLIC},5000,5000,100.64.0.7,{BEGIN},{END}"
    result = office.run("nat", "import", log(good, line.format(b=BEGIN, e=END)))
    assert result.exit_status == 1 and "line 3: " in result.stderr and sentence in " ".join(result.stderr.split())
    assert office.json("nat", "list") == []


def test_files_of_excel_are_read(office, log):
    line = f"{PUBLIC};1;9;100.64.0.7;2026-03-02 17:00;2026-03-02 18:00;são"
    head = "public_address;first_port;last_port;private_address;begin_at;end_at;nas\n"
    result = office.run("nat", "import", log(line, head=head, encoding="cp1252"))
    assert "there is no NAS 'são'" in result.stderr


def test_nothing_is_imported_by_a_rehearsal(office, log):
    path = log(f"{PUBLIC},5000,5000,100.64.0.7,{BEGIN},{END}")
    assert office.json("nat", "import", path, "--dry-run")["new"] == 1
    assert office.json("nat", "list") == []


def test_records_of_the_last_year_stay(office, database, log):
    recent = database.value("SELECT DATE_FORMAT(UTC_TIMESTAMP() - INTERVAL 30 DAY, '%%Y-%%m-%%dT%%H:%%iZ')")
    office.must(
        "nat", "import",
        log(
            f"{PUBLIC},1,1,100.64.0.7,2020-03-02T17:00Z,2020-03-02T18:00Z",
            f"{PUBLIC},2,2,100.64.0.7,{recent},{recent}",
        ),
    )  # fmt: skip
    refused = office.run("nat", "purge", "--before", "2099-01-01")
    assert refused.exit_status == 1 and "kept for a year" in refused.stderr
    assert office.json("nat", "purge", "--before", "2021-01-01", "--dry-run")["removed"] == 1
    assert office.json("nat", "purge", "--before", "2021-01-01") == {"removed": 1}
    assert database.value("SELECT COUNT(*) FROM nat_record") == 1


@pytest.mark.parametrize(
    ("role", "statements"),
    [
        (
            "nat",
            [
                "SELECT * FROM nat_record",
                f"CALL who_had('{PUBLIC}', 5000, '2026-03-02 20:30:00', 'x', '[]')",
                "INSERT INTO nat_record (public_address) VALUES ('1.1.1.1')",
                "CALL add_nat_records(1, '[]')",
            ],
        ),
        (
            "address",
            [
                "SELECT * FROM nat_record",
                "CALL begin_nat_import('x')",
                "CALL add_nat_records(1, '[]')",
                "CALL purge_nat('2099-01-01', 9)",
            ],
        ),
    ],
)
def test_who_imports_cannot_ask_and_who_asks_cannot_import(office, person, log, role, statements):  # noqa: F811
    office.must("nat", "import", log(f"{PUBLIC},5000,5000,100.64.0.7,{BEGIN},{END}"))
    with person(role) as connection, connection.cursor() as cursor:
        for statement in statements:
            with pytest.raises(pymysql.MySQLError, match="denied|name_their_import"):
                cursor.execute(statement)


def test_a_question_with_a_port_answers_no_other_address(person, office, log):  # noqa: F811
    office.must("nat", "import", log(f"{PUBLIC},5000,5000,100.64.0.7,{BEGIN},{END}"))
    with person("address") as connection, connection.cursor() as cursor:
        cursor.execute(f"CALL who_had('{PUBLIC}', 5001, '2026-03-02 20:30:00', 'x', '[\"100.64.0.7\"]')")
        cursor.nextset()
        assert cursor.fetchall() in ((), [])
