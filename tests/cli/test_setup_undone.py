"""prepaid setup, when a step fails: everything that it began is undone."""

import os
import re
import signal

import pymysql
import pytest

from admin.setup import accounts, catalogue, command, database, freeradius, option_files, units
from admin.setup.steps import Step
from tests.cli.setup_machine import DATABASE, SYSTEMCTL, only_root
from tests.database import Database

pytestmark = only_root

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
