"""prepaid setup --remove: everything out again, and the data stays."""

import pytest

from admin.setup import remove as removal
from tests.cli.setup_machine import DATABASE, only_root
from tests.cli.test_setup_undone import fail_after

pytestmark = only_root


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
