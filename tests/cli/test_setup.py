"""prepaid setup, on the private MariaDB, a copy of Debian's FreeRADIUS directory, and a systemctl that keeps its state in files."""

import grp
import json
import os
import pwd
import re
import signal
import stat
import subprocess
from pathlib import Path

import pymysql
import pytest

from admin.setup import accounts, catalogue, command, database, freeradius, option_files, units
from admin.setup import remove as removal
from admin.setup.saved import Saved
from admin.setup.steps import Step
from tests.database import Database
from tests.office import Office
from tests.stack.freeradius import _copy_tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other accounts")

DEBIAN = Path("/etc/freeradius/3.0")
DATABASE = "made_by_setup"
FREERAD = pwd.getpwnam("freerad")

SYSTEMCTL = """#!/bin/sh
# Keeps in files which units are enabled and active.  A command that the file `fails` names fails.
cd {state}
echo "$*" >> log
for unit; do :; done
if [ -s fails ] && echo "$*" | grep -q -f fails; then echo "Job for $unit failed." >&2; exit 1; fi
case "$1" in
    enable) touch "enabled.$unit" "active.$unit" ;;
    disable) rm -f "enabled.$unit" "active.$unit" ;;
    stop) rm -f "active.$unit" ;;
    restart) touch "active.$unit" ;;
    is-enabled) test -e "enabled.$unit" && echo enabled ;;
    is-active) test -e "active.$unit" && echo active ;;
esac
"""

# The groups that systemd-sysusers would make on this machine, with numbers that nobody has.
GROUPS = {
    name: 64_001 + number
    for number, name in enumerate(
        ("prepaid-key", "prepaid-engine", "prepaid-charge", "prepaid-enforce", "prepaid-archive")
    )
}
ACCOUNT_TOOLS = """#!/usr/bin/python3
# systemd-sysusers, systemd-tmpfiles, usermod, gpasswd, userdel and groupdel on a list of names in a file.
import json, os, pathlib, re, sys
accounts = pathlib.Path("{state}/accounts")
names = json.loads(accounts.read_text()) if accounts.exists() else []
tool, words = os.path.basename(sys.argv[0]), sys.argv[1:]
if tool == "systemd-sysusers":
    text = pathlib.Path(words[0]).read_text()
    names += [name for name in re.findall("(?m)^[ug] +(\\S+)", text) if name not in names]
elif tool == "systemd-tmpfiles":
    path, mode, group = re.findall("(?m)^d +(\\S+) +(\\S+) +\\S+ +(\\S+)", pathlib.Path(words[1]).read_text())[0]
    os.makedirs(path, exist_ok=True)
    os.chown(path, {freerad}, {groups}[group])
    os.chmod(path, int(mode, 8))
elif tool == "usermod":
    names.append("reader")
elif tool == "gpasswd":
    names.remove("reader")
else:
    names.remove(words[0])
if names:
    accounts.write_text(json.dumps(names))
elif accounts.exists():
    accounts.unlink()
"""


class Machine:
    """A provider's machine before the installation."""

    def __init__(self, folder: Path, mariadb, monkeypatch):
        self.folder = folder
        self.mariadb = mariadb
        self.raddb = folder / "raddb"
        self.etc = folder / "etc"
        self.state = folder / "systemd"
        self.units = folder / "units"
        _copy_tree(DEBIAN, self.raddb)
        subprocess.run(["chown", "-R", "freerad:freerad", str(self.raddb)], check=True)
        for path in (self.state, self.units, folder / "bin", folder / "home"):
            path.mkdir()
        systemctl = folder / "bin" / "systemctl"
        systemctl.write_text(SYSTEMCTL.format(state=self.state))
        systemctl.chmod(0o755)
        tools = folder / "bin" / "tools"
        tools.write_text(ACCOUNT_TOOLS.format(state=self.state, freerad=FREERAD.pw_uid, groups=GROUPS))
        tools.chmod(0o755)
        for tool in ("systemd-sysusers", "systemd-tmpfiles", "usermod", "gpasswd", "userdel", "groupdel"):
            (folder / "bin" / tool).symlink_to("tools")
        (self.state / "active.freeradius.service").touch()
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        monkeypatch.setattr(units, "RUNNING", self.state)
        monkeypatch.setattr(units, "FOLDER", self.units)
        monkeypatch.setattr(units, "PACKAGED", ())
        monkeypatch.setattr(accounts, "SYSUSERS", (folder / "sysusers.d", folder / "nowhere"))
        monkeypatch.setattr(accounts, "TMPFILES", (folder / "tmpfiles.d", folder / "nowhere"))
        for look_up in (grp.getgrnam, pwd.getpwnam):
            monkeypatch.setattr(look_up.__module__ + "." + look_up.__name__, self._with_own_accounts(look_up))
        grouplist = os.getgrouplist
        monkeypatch.setattr(os, "getgrouplist", lambda name, group: grouplist(name, group) + self._key_groups())
        self.examine = command.doctor.examine
        # What doctor finds is the subject of other tests, and no FreeRADIUS serves here.
        monkeypatch.setattr(command.doctor, "examine", lambda _installation: [])
        self.office = Office(self.etc / "prepaid.cnf")
        self.answers = folder / "home" / "answers.conf"
        self.answers.write_text(
            f"""
# What Ansible writes.
raddb = {self.raddb}
freeradius = own
database = {DATABASE}
database_socket = {mariadb.socket}
queue = {folder / "queue"}
auth_port = 11812
acct_port = 11813
nas_name = hotspot-1
nas_address = 192.0.2.7
nas_vendor = mikrotik
product_name = Ten hours
product_time = 10h
product_price = 10.00
"""
        )

    def _key_groups(self) -> list[int]:
        accounts = self.state / "accounts"
        return [GROUPS["prepaid-key"]] if accounts.exists() and "reader" in accounts.read_text() else []

    def _with_own_accounts(self, look_up):
        def looked_up(name):
            if not name.startswith("prepaid-"):
                return look_up(name)
            accounts = self.state / "accounts"
            names = json.loads(accounts.read_text()) if accounts.exists() else []
            if name not in names:
                raise KeyError(name)
            return grp.struct_group((name, "x", GROUPS[name], ["freerad"] if "reader" in names else []))

        return looked_up

    def setup(self, *arguments, stdin=None, env=None):
        return self.office.run("setup", "--answers", self.answers, *arguments, stdin=stdin, env=env)

    def must_set_up(self, *arguments):
        result = self.setup("--yes", *arguments)
        assert result.exit_status == 0, result.stderr
        return result

    def files(self) -> dict:
        """Every file, folder and link of the machine with its owner, mode and content; without times and systemctl's log."""
        return {
            path: state._replace(modified_ns=0)
            for path, state in Saved(self.folder).states.items()
            if path not in (self.state / "log", self.state / "fails")
        }

    def server(self) -> dict:
        """What the database's server has: databases, accounts, roles, and all rights."""
        tables = ("global_priv", "db", "tables_priv", "columns_priv", "procs_priv", "roles_mapping")
        with self.mariadb.connect(cursorclass=pymysql.cursors.Cursor) as connection, connection.cursor() as cursor:
            cursor.execute("FLUSH PRIVILEGES")
            cursor.execute("SHOW DATABASES")
            found = {"databases": sorted(cursor.fetchall())}
            for table in tables:
                cursor.execute(f"SELECT * FROM mysql.{table}")
                # JSON with the moment of the last change of a password.
                found[table] = sorted(re.sub(r'"password_last_changed":\d+', "", str(row)) for row in cursor.fetchall())
        return found

    def log(self) -> list[str]:
        path = self.state / "log"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(open_folder, mariadb, monkeypatch):
    machine = Machine(open_folder, mariadb, monkeypatch)
    yield machine
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        cursor.execute(f"SELECT user, host FROM mysql.user WHERE user LIKE '{DATABASE}%'")
        for user, host in cursor.fetchall():
            cursor.execute(f"DROP USER `{user}`@`{host}`" if host else f"DROP ROLE `{user}`")


def mode_and_owner(path: Path) -> tuple[int, str, str]:
    status = path.stat()
    names = {0: "root", FREERAD.pw_gid: "freerad"} | {number: name for name, number in GROUPS.items()}
    return (
        stat.S_IMODE(status.st_mode),
        "freerad" if status.st_uid == FREERAD.pw_uid else str(status.st_uid),
        names[status.st_gid],
    )


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


# --- What fails -------------------------------------------------------------------------------------------------

STEPS = [
    pytest.param(option_files.Folder, 1, id="folder"),
    pytest.param(accounts.SystemAccounts, 1, id="accounts"),
    pytest.param(accounts.KeyReader, 1, id="reader of the key"),
    pytest.param(accounts.Queue, 1, id="queue"),
    *(pytest.param(option_files.OptionFile, number, id=f"option file {number}") for number in (1, 5)),
    pytest.param(option_files.MainFile, 1, id="main file"),
    pytest.param(database.Database, 1, id="database"),
    pytest.param(database.Key, 1, id="key"),
    pytest.param(catalogue.NasSecret, 1, id="secret"),
    pytest.param(catalogue.Nas, 1, id="NAS"),
    pytest.param(units.Unit, 1, id="first unit"),
    pytest.param(units.Unit, 3, id="last unit"),
    pytest.param(freeradius.FreeRadius, 1, id="FreeRADIUS"),
    pytest.param(catalogue.Product, 1, id="product"),
]


def fail_after(monkeypatch, kind: type[Step], number: int, error: BaseException) -> None:
    """The step of this kind that comes as the `number`-th fails when it has done everything."""
    original, count = kind.do, iter(range(1, 100))

    def do(step):
        original(step)
        if next(count) == number:
            raise error

    monkeypatch.setattr(kind, "do", do)


@pytest.mark.parametrize(("kind", "number"), STEPS)
def test_a_step_that_fails_undoes_everything(machine, monkeypatch, kind, number):
    before, server = machine.files(), machine.server()
    fail_after(monkeypatch, kind, number, OSError(28, "No space left on device", "/a/file"))
    result = machine.setup("--yes")
    assert result.exit_status == 1
    assert re.search(r"Step \d+ failed: .*No space left on device.*\nUndone, ", result.stderr, re.DOTALL), result.stderr
    assert "NOT undone" not in result.stderr
    assert machine.server() == server
    assert machine.files() == before


@pytest.mark.parametrize(
    "fails", ["enable --now prepaid-enforce", "restart freeradius", "is-active prepaid-archive.timer"]
)
def test_a_unit_that_does_not_start_undoes_everything(machine, fails):
    before, server = machine.files(), machine.server()
    (machine.state / "fails").write_text(fails + "\n")
    if "restart" in fails:
        # The first restart fails; the one of the undoing succeeds, because the files are the old ones again.
        (machine.folder / "bin" / "systemctl").write_text(
            SYSTEMCTL.format(state=machine.state).replace("exit 1; fi", "rm fails; exit 1; fi")
        )
        before = machine.files()
    result = machine.setup("--yes")
    assert result.exit_status == 1 and "failed: Job for" in result.stderr and "NOT undone" not in result.stderr
    assert machine.server() == server
    assert machine.files() == before


def test_files_that_freeradius_does_not_accept_are_taken_out_without_a_restart(machine):
    (machine.raddb / "sites-enabled" / "broken").write_text("server broken {\n\tlisten {\n")
    before, server = machine.files(), machine.server()
    result = machine.setup("--yes")
    assert result.exit_status == 1 and "freeradius -C" in result.stderr
    assert "restart freeradius.service" not in machine.log()
    assert (machine.files(), machine.server()) == (before, server)


def test_the_folder_in_which_it_is_started_does_not_matter(machine, monkeypatch):
    """Python inside FreeRADIUS does not start in a folder that does not exist for it."""
    gone = machine.folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    machine.must_set_up()


def test_a_port_of_another_site_is_named_and_everything_is_undone(machine):
    before, server = machine.files(), machine.server()
    result = machine.setup("--yes", "--auth-port", "1812")
    assert result.exit_status == 1 and "The site default also listens on 1812" in result.stderr
    assert (machine.files(), machine.server()) == (before, server)


def test_a_schema_that_fails_halfway_is_dropped(machine, monkeypatch):
    before, server = machine.files(), machine.server()

    def fails(*_arguments):
        raise pymysql.err.OperationalError(2013, "Lost connection to server during query")

    monkeypatch.setattr(command.database.db, "make_accounts", fails)
    result = machine.setup("--yes")
    assert result.exit_status == 1 and "Lost connection" in result.stderr
    assert (machine.files(), machine.server()) == (before, server)


def test_a_database_that_was_there_keeps_what_it_has(machine, monkeypatch):
    machine.must_set_up()
    machine.office.sell(1, product="Ten hours")
    for path in machine.etc.glob("*.cnf"):
        path.unlink()
    before, server = machine.files(), machine.server()
    fail_after(monkeypatch, database.Key, 1, OSError(28, "No space left on device", "/a/file"))
    monkeypatch.setattr(database.Key, "is_done", lambda _step: False)
    result = machine.setup("--yes")
    assert result.exit_status == 1 and "Undone" in result.stderr and "NOT" not in result.stderr
    # The accounts have their old passwords again.
    assert (machine.files(), machine.server()) == (before, server)
    assert Database(machine.mariadb, DATABASE).value("SELECT COUNT(*) FROM card") == 1


def test_an_empty_database_that_was_there_is_empty_again(machine, monkeypatch, mariadb):
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE} CHARACTER SET latin1")
    server = machine.server()
    fail_after(monkeypatch, database.Key, 1, KeyboardInterrupt())
    assert machine.setup("--yes").exit_status == 1
    assert machine.server() == server
    found = Database(mariadb, DATABASE)
    assert found.query("SHOW TABLES") == []
    assert found.value("SELECT @@character_set_database") == "latin1"


def test_without_a_database_nothing_stays(machine):
    before = machine.files()
    result = machine.setup("--yes", "--database-socket", "/nowhere.sock")
    assert (
        result.exit_status == 3
        and "database cannot be reached as 'root'" in result.stderr
        and "Undone" in result.stderr
    )
    assert machine.files() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_undoes_everything(machine, monkeypatch, number):
    before, server = machine.files(), machine.server()
    monkeypatch.setattr(database.db, "make_key", lambda *_arguments: os.kill(os.getpid(), number))
    result = machine.setup("--yes")
    assert result.exit_status == 1 and "It was interrupted." in result.stderr
    assert (machine.files(), machine.server()) == (before, server)


def test_what_cannot_be_undone_is_said(machine, monkeypatch):
    fail_after(monkeypatch, option_files.MainFile, 1, OSError(28, "No space left on device", "/a/file"))
    do = accounts.Queue.do

    def with_a_file_of_somebody_elses(step):
        do(step)
        (step.path / "mine").touch()

    monkeypatch.setattr(accounts.Queue, "do", with_a_file_of_somebody_elses)
    result = machine.setup("--yes")
    assert result.exit_status == 1 and "NOT undone" in result.stderr and str(machine.folder / "queue") in result.stderr
    assert not (machine.etc / "admin.cnf").exists()


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


# --- remove -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["own", "into"])
def test_remove_leaves_the_data_and_nothing_else(machine, way):
    before = machine.files()
    machine.must_set_up("--freeradius", way)
    machine.office.sell(1, product="Ten hours")
    server = machine.server()
    result = machine.office.run("setup", "--remove", "--raddb", machine.raddb, stdin="y\n")
    assert result.exit_status == 0, result.stderr
    stays = {machine.etc, machine.etc / "key", machine.etc / "nas.secret", machine.folder / "queue"}
    # The system accounts, and systemd's folders, which are empty.
    stays |= {machine.state / "accounts", machine.folder / "sysusers.d", machine.folder / "tmpfiles.d"}
    after = machine.files()
    assert {path: state for path, state in after.items() if path not in stays} == before
    assert stays <= after.keys()
    assert machine.server() == server
    assert machine.log().count("restart freeradius.service") == 2
    # Again: nothing is left to do.
    result = machine.office.run("setup", "--remove", "--raddb", machine.raddb, "--yes", "--json")
    assert {step["state"] for step in result.json()["steps"]} == {"already"}
    # And installed again, the cards are there.
    machine.must_set_up("--freeradius", way)
    assert len(machine.office.json("list")) == 1


def test_no_to_remove_changes_nothing(machine):
    machine.must_set_up()
    before, server = machine.files(), machine.server()
    assert machine.office.run("setup", "--remove", stdin="n\n").exit_status == 1
    assert machine.office.run("setup", "--remove", "--dry-run").exit_status == 0
    assert (machine.files(), machine.server()) == (before, server)


def test_the_data_goes_only_if_its_name_is_typed(machine):
    before_all, server_before = machine.files(), machine.server()
    machine.must_set_up()
    machine.office.must("operator", "add", f"{DATABASE}_ana", "--role", "see", stdin="of ana\nof ana\n")
    before, server = machine.files(), machine.server()
    for typed in ("y\n", f"{DATABASE}x\n", "\n"):
        result = machine.office.run("setup", "--remove", "--remove-data", "--yes", stdin=typed)
        assert result.exit_status == 1 and "Nothing was changed." in result.stderr
    assert (machine.files(), machine.server()) == (before, server)
    result = machine.office.run("setup", "--remove", "--remove-data", "--yes", stdin=f"{DATABASE}\n")
    assert result.exit_status == 0, result.stderr
    after = machine.files()
    left = (machine.state / "accounts", machine.folder / "sysusers.d", machine.folder / "tmpfiles.d")
    for path in (machine.etc / "nas.secret", machine.etc, *left):
        del after[path]
    assert after == before_all and machine.server() == server_before


@pytest.mark.parametrize(
    "kind", [removal.StopUnit, removal.UnitFiles, removal.TakeOut, removal.RemoveFile, removal.RemoveQueue]
)
def test_a_removal_that_fails_is_undone(machine, monkeypatch, kind):
    machine.must_set_up()
    (machine.folder / "queue" / "report").write_text("not charged\n")
    before, server = machine.files(), machine.server()
    fail_after(monkeypatch, kind, 1, OSError(28, "No space left on device", "/a/file"))
    result = machine.office.run("setup", "--remove", "--remove-data", "--yes", stdin=f"{DATABASE}\n")
    assert result.exit_status == 1 and "Undone" in result.stderr and "NOT" not in result.stderr
    assert (machine.files(), machine.server()) == (before, server)


def test_remove_data_alone_is_wrong_usage(machine):
    assert machine.office.run("setup", "--remove-data").exit_status == 2


def test_remove_without_an_option_file_takes_out_the_rest(machine):
    machine.must_set_up()
    for path in machine.etc.glob("*.cnf"):
        path.unlink()
    result = machine.office.run("setup", "--remove", "--yes", "--raddb", machine.raddb)
    assert result.exit_status == 0, result.stderr
    assert not (machine.raddb / "prepaid.installed").exists() and list(machine.units.iterdir()) == []
    result = machine.office.run("setup", "--remove", "--remove-data", "--yes", "--raddb", machine.raddb)
    assert result.exit_status == 1 and "no option file" in result.stderr
