"""prepaid setup, on the private MariaDB, a copy of Debian's FreeRADIUS directory, and a systemctl that keeps its state in files."""

import grp
import json
import re
import subprocess
from pathlib import Path

import pytest

from admin.setup import command, units
from admin.setup.saved import Saved
from tests.cli.setup_machine import DATABASE, mode_and_owner, only_root
from tests.database import Database

pytestmark = only_root

# --- What it does -----------------------------------------------------------------------------------------------


def test_everything_is_installed_with_its_owners_and_modes(machine):
    machine.must_set_up()
    assert {path.name: mode_and_owner(path) for path in machine.etc.iterdir()} == {
        "prepaid.cnf": (0o644, "0", "root"),
        "admin.cnf": (0o600, "0", "root"),
        "radius.cnf": (0o640, "0", "freerad"),
        "charge.cnf": (0o640, "0", "prepaid-charge"),
        "enforce.cnf": (0o640, "0", "prepaid-enforce"),
        "archive.cnf": (0o640, "0", "prepaid-archive"),
        "key": (0o640, "0", "prepaid-key"),
        "nas.secret": (0o600, "0", "root"),
    }
    assert mode_and_owner(machine.etc) == (0o755, "0", "root")
    assert mode_and_owner(machine.folder / "queue") == (0o2770, "freerad", "prepaid-charge")
    assert "freerad" in grp.getgrnam("prepaid-key").gr_mem
    assert "password" not in (machine.etc / "prepaid.cnf").read_text().replace("passwords", "")
    passwords = {re.search(r"password = (\S+)", path.read_text())[1] for path in machine.etc.glob("*[!d].cnf")}
    passwords |= {re.search(r"password = (\S+)", (machine.etc / "prepaid.cnf").with_name("admin.cnf").read_text())[1]}
    assert len(passwords) == 5 and min(map(len, passwords)) >= 32
    office = machine.office
    assert [row["name"] for row in office.json("nas", "list")] == ["doctor", "hotspot-1"]
    assert office.json("nas", "show", "hotspot-1")["vendor"] == "mikrotik"
    assert office.json("product", "show", "Ten hours")["credit_seconds"] == 36_000
    assert office.run("raddb", "check", "--dir", machine.raddb).exit_status == 0
    assert (machine.raddb / "sites-enabled" / "default").exists()
    for name in (
        "prepaid-charge.service",
        "prepaid-enforce.service",
        *(path.name for path in machine.units.glob("*.timer")),
    ):
        assert (machine.state / f"active.{name}").exists()
        assert f"PREPAID_CONFIG={office.option_file}" in (machine.units / "prepaid-charge.service").read_text()
    assert (machine.units / "prepaid-archive.service").exists()
    assert machine.log().count("restart freeradius.service") == 1


def test_beside_an_engine_freeradius_reads_neither_key_nor_password(machine):
    machine.must_set_up("--engine", "yes")
    assert {path.name: mode_and_owner(path) for path in machine.etc.iterdir() if path.suffix == ".cnf"} == {
        "prepaid.cnf": (0o644, "0", "root"),
        "admin.cnf": (0o600, "0", "root"),
        "radius.cnf": (0o640, "0", "prepaid-engine"),
        "charge.cnf": (0o640, "0", "prepaid-charge"),
        "enforce.cnf": (0o640, "0", "prepaid-enforce"),
        "archive.cnf": (0o640, "0", "prepaid-archive"),
    }
    assert mode_and_owner(machine.etc / "key") == (0o640, "0", "prepaid-key")
    assert "freerad" not in grp.getgrnam("prepaid-key").gr_mem
    assert (machine.state / "active.prepaid-engine.service").exists()


def test_a_second_run_changes_nothing(machine):
    machine.must_set_up()
    before, server = Saved(machine.folder).states, machine.server()
    result = machine.must_set_up("--json")
    assert {step["state"] for step in result.json()["steps"]} == {"already"}
    after = Saved(machine.folder).states
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    # systemctl's log is written by the questions of is-enabled and is-active.
    assert changed <= {machine.state / "log"}
    assert machine.server() == server
    assert machine.log().count("restart freeradius.service") == 1


def test_a_dry_run_shows_the_plan_and_changes_nothing(machine):
    before, server = machine.files(), machine.server()
    result = machine.setup("--dry-run")
    assert result.exit_status == 0 and "11812" in result.stdout and "Ten hours" in result.stdout
    assert (machine.files(), machine.server()) == (before, server)


def test_it_asks_once_and_no_is_no(machine):
    before, server = machine.files(), machine.server()
    # own, NAS' secret file, price and validity are asked for; then the plan is shown.
    result = machine.setup(stdin="\n\n\nn\n")
    assert result.exit_status == 1 and "Nothing was changed." in result.stderr and "1. " in result.stdout
    assert (machine.files(), machine.server()) == (before, server)


def test_what_is_asked_for_is_used(machine):
    machine.answers.write_text(
        "\n".join(line for line in machine.answers.read_text().splitlines() if "product" not in line)
    )
    result = machine.setup(stdin="\nOne GB\n\n1GB\n5.00\n30\ny\n")
    assert result.exit_status == 0, result.stderr
    product = machine.office.json("product", "show", "One GB")
    assert (product["credit_octets"], product["price_cents"], product["valid_days"]) == (10**9, 500, 30)


def test_an_option_has_precedence_over_the_file(machine):
    machine.must_set_up("--product-name", "Other", "--product-time", "1h")
    assert [row["name"] for row in machine.office.json("product", "list")] == ["Other"]


def test_a_secret_of_the_administrators_is_used_and_stays(machine):
    secret = machine.folder / "home" / "secret"
    secret.write_text("of the administrator\n")
    machine.must_set_up("--nas-secret-file", secret)
    assert secret.read_text() == "of the administrator\n" and not (machine.etc / "nas.secret").exists()


def test_an_administrators_account_from_a_file_is_used_instead_of_the_socket(machine, mariadb):
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE USER boss@localhost IDENTIFIED BY 'of the boss'")
        cursor.execute("GRANT ALL ON *.* TO boss@localhost WITH GRANT OPTION")
    try:
        client = machine.folder / "home" / "boss.cnf"
        client.write_text("[client]\nuser = boss\npassword = of the boss\n")
        machine.must_set_up("--admin-file", client)
        definer = Database(mariadb, DATABASE).value(
            "SELECT DISTINCT definer FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
        )
        assert definer == "boss@localhost"
    finally:
        with mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute("DROP USER boss@localhost")


def test_no_program_gets_a_password_on_its_command_line(machine, monkeypatch):
    lines = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda words, **options: lines.append(words) or run(words, **options))
    machine.must_set_up()
    secrets = [
        re.search(r"password = (\S+)", path.read_text())[1]
        for path in machine.etc.glob("*.cnf")
        if "prepaid" not in path.name
    ]
    said = str(lines)
    assert len(secrets) == 5 and lines and not [secret for secret in secrets if secret in said]


def test_in_portuguese(machine):
    result = machine.setup("--dry-run", env={"LANGUAGE": "pt_BR"})
    assert "Criar o banco de dados" in result.stdout and "Make" not in result.stdout
    result = machine.setup("--yes", "--nas-address", "x", env={"LANGUAGE": "pt_BR"})
    assert result.exit_status == 2 and "não é um endereço" in result.stderr


def test_without_systemd_it_says_what_to_start(machine, monkeypatch):
    monkeypatch.setattr(units, "RUNNING", Path("/nowhere"))
    result = machine.must_set_up()
    assert "charge --watch" in result.stdout and "enforce --watch" in result.stdout and "freeradius -d" in result.stdout
    assert machine.log() == [] and list(machine.units.iterdir()) == []


def test_the_findings_of_doctor_come_last_and_a_fault_is_exit_status_1(machine, monkeypatch):
    monkeypatch.setattr(command.doctor, "examine", machine.examine)
    result = machine.setup("--yes")
    # Neither FreeRADIUS nor a charger runs here.
    assert result.exit_status == 1 and "things are at fault" in result.stderr
    faults = re.findall(r"(?m)^(\w+)\tfault", result.stdout)
    assert {"queue", "login"} <= set(faults) and re.search(r"(?m)^option_file\tok", result.stdout)


def test_an_installation_without_its_option_files_gets_new_passwords(machine):
    """As after `prepaid setup --remove`, which leaves the database and its accounts."""
    machine.must_set_up()
    for path in machine.etc.glob("*.cnf"):
        path.unlink()
    machine.must_set_up()
    assert machine.office.json("product", "list")[0]["name"] == "Ten hours"


# --- What is refused before anything is changed -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nas_adress = 192.0.2.7", "Did you mean 'nas_address'"),
        ("just words", "key = value"),
        ("database = twice", "database is there twice"),
        ("units = perhaps", "units = perhaps"),
        ("product_traffic = lots", "lots"),
        ("product_valid_days = 0", "0"),
        ("nas_secret_file = /", "/ cannot be read"),
        ("raddb = /nowhere", "twice"),
    ],
)
def test_a_wrong_answer_is_named_and_nothing_is_changed(machine, line, said):
    with machine.answers.open("a") as file:
        file.write(line + "\n")
    before, server = machine.files(), machine.server()
    result = machine.setup("--yes")
    assert result.exit_status == 2 and said in result.stderr
    assert (machine.files(), machine.server()) == (before, server)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--nas-address", "10.0.0.1/8"), "could mean the host"),
        (("--nas-address", ""), "--nas-address"),
        (("--product-time", ""), "needs a credit"),
        (("--database", "drop table"), "drop table"),
        (("--admin-file", "/nowhere.cnf"), "/nowhere.cnf"),
        (("--answers", "/nowhere.conf"), "/nowhere.conf"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_changed(machine, arguments, said):
    before, server = machine.files(), machine.server()
    result = machine.setup("--yes", *arguments)
    assert result.exit_status == 2 and said in result.stderr
    assert (machine.files(), machine.server()) == (before, server)


def test_a_folder_that_is_not_freeradius_is_refused(machine):
    result = machine.setup("--yes", "--raddb", machine.etc)
    assert result.exit_status == 1 and "no radiusd.conf" in result.stderr and not machine.etc.exists()


def test_an_ordinary_account_is_refused(machine, monkeypatch):
    monkeypatch.setattr(command.os, "geteuid", lambda: 1000)
    result = machine.setup("--yes")
    assert result.exit_status == 1 and "sudo" in result.stderr and not machine.etc.exists()


def test_json_has_each_step(machine):
    steps = json.loads(machine.must_set_up("--json").stdout)["steps"]
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    assert {step["state"] for step in steps} == {"done"}


# --- Into an existing site --------------------------------------------------------------------------------------


def test_cards_go_into_an_existing_site(machine):
    result = machine.must_set_up("--freeradius", "into")
    assert "site default" in result.stdout
    assert "prepaid.d" in (machine.raddb / "sites-enabled" / "default").read_text()
    assert machine.log().count("restart freeradius.service") == 1
    # The clients of the site go on, so that this machine needs no NAS of ours.
    assert [row["name"] for row in machine.office.json("nas", "list")] == ["hotspot-1"]
    states = {step["state"] for step in machine.must_set_up("--freeradius", "into", "--json").json()["steps"]}
    assert states == {"already"}


def test_a_site_that_does_not_exist_is_named_and_everything_is_undone(machine):
    before, server = machine.files(), machine.server()
    result = machine.setup("--yes", "--freeradius", "into", "--site", "unknown")
    assert result.exit_status == 1 and "'unknown'" in result.stderr and "Undone" in result.stderr
    assert (machine.files(), machine.server()) == (before, server)
