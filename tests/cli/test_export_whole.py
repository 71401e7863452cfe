"""export: the file is complete or absent, whatever happens while it is written."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pymysql
import pytest

from admin.export import csv as export_csv
from admin.shell import new_file
from freeradius_module import whole_file


@pytest.fixture
def batch(office):
    product = office.product("--time", "10m", "--price", "10.00")
    return office.json("generate", "--product", product, "--count", 3000)["batch"]


def exports(database) -> int:
    return database.value("SELECT COUNT(*) FROM batch_event WHERE what = 'exported'")


def test_a_record_that_cannot_be_written_leaves_no_file(office, batch, database, tmp_path, monkeypatch):
    def lost(self):
        raise pymysql.err.OperationalError(2013, "Lost connection to server during query")

    monkeypatch.setattr(pymysql.connections.Connection, "commit", lost)
    result = office.run("export", "--batch", batch, "--output", tmp_path / "cards.csv")
    monkeypatch.undo()
    assert result.exit_status == 3 and list(tmp_path.iterdir()) == [] and exports(database) == 0


def test_a_file_that_appears_meanwhile_is_kept_and_nothing_is_recorded(office, batch, database, tmp_path, monkeypatch):
    path = tmp_path / "cards.csv"
    write = export_csv.write

    def slow(*arguments, **options):
        write(*arguments, **options)
        path.write_text("precious")

    monkeypatch.setattr(export_csv, "write", slow)
    result = office.run("export", "--batch", batch, "--output", path)
    assert result.exit_status == 1 and str(path) in result.stderr
    assert path.read_text() == "precious" and exports(database) == 0


def test_a_link_to_nowhere_is_not_followed(office, batch, tmp_path):
    path = tmp_path / "cards.csv"
    path.symlink_to(tmp_path / "elsewhere")
    assert office.run("export", "--batch", batch, "--output", path).exit_status == 1
    office.must("export", "--batch", batch, "--output", path, "--force")
    assert not path.is_symlink() and not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("path", ["/proc/cards.csv", "/no/such/folder/cards.csv", "/dev/null/cards.csv"])
def test_a_path_that_cannot_be_written_is_named(office, batch, database, path):
    result = office.run("export", "--batch", batch, "--output", path)
    assert result.exit_status == 1 and path in result.stderr and exports(database) == 0


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True).returncode:
        pytest.skip("this account may not mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("form", ["csv", "xlsx", "pdf"])
@pytest.mark.parametrize("seal", [(), ("--seal", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")])
def test_a_full_disk_leaves_nothing(office, batch, database, small_disk, form, seal):
    result = office.run("export", "--batch", batch, "--format", form, *seal, "--output", small_disk / "cards")
    assert result.exit_status == 1 and "No space left" in result.stderr
    assert list(small_disk.iterdir()) == [] and exports(database) == 0


def test_without_unnamed_files_it_is_the_same(office, batch, database, tmp_path, monkeypatch):
    """As on a memory stick, which supports neither files without a name nor links."""
    monkeypatch.setattr(whole_file.os.path, "isdir", lambda path: path != "/proc/self/fd" and os.path.exists(path))
    path = tmp_path / "cards.csv"
    office.must("export", "--batch", batch, "--output", path)
    assert sorted(os.listdir(tmp_path)) == ["cards.csv", "cards.csv.manifest.json"]
    again = ("--again", "--reason", "test")
    assert office.run("export", "--batch", batch, "--output", path, *again).exit_status == 1
    office.must("export", "--batch", batch, "--output", path, "--force", *again)
    assert sorted(os.listdir(tmp_path)) == ["cards.csv", "cards.csv.manifest.json"] and exports(database) == 2


KILLED = """
import errno, os, signal
from admin.export import manifest as export_manifest
from admin.cli import cli

def killed(*_arguments):
    os.kill(os.getpid(), signal.SIGKILL)

def without_unnamed_files(path, flags, *mode, open_file=os.open):
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        raise OSError(errno.EOPNOTSUPP, "as on a memory stick")
    return open_file(path, flags, *mode)

{stage}
cli()
"""
KILLED_AT = {
    "before it has its name": "os.open = without_unnamed_files; export_manifest.write = killed",
    "while it replaces another": "os.replace = killed",
}


@pytest.mark.parametrize("stage", KILLED_AT)
def test_what_kill_9_leaves_is_the_owners_alone_and_goes_with_the_next_file_there(office, batch, tmp_path, stage):
    path = tmp_path / "cards.csv"
    path.write_text("an older one")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            KILLED.format(stage=KILLED_AT[stage]),
            "--config",
            office.option_file,
            "export",
            "--batch",
            str(batch),
            "--output",
            path,
            "--force",
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.read_text() == "an older one"
    left = [each for each in tmp_path.iterdir() if each != path]
    assert any(b"serial,pin" in each.read_bytes() for each in left)
    assert {stat.S_IMODE(each.stat().st_mode) for each in left} == {0o600}
    # A symbolic link of such a name is not followed.
    trick = tmp_path / f".trick{whole_file.UNFINISHED}"
    trick.symlink_to(path)
    office.must("export", "--batch", batch, "--output", tmp_path / "next.csv", "--again", "--reason", "test")
    assert sorted(os.listdir(tmp_path)) == [trick.name, "cards.csv", "next.csv", "next.csv.manifest.json"]


def test_a_file_that_is_still_being_written_is_not_removed(office, batch, tmp_path, monkeypatch):
    monkeypatch.setattr(whole_file.os.path, "isdir", lambda path: path != "/proc/self/fd" and os.path.exists(path))
    with new_file.NewFile(tmp_path / "slow") as slow:
        slow.file.write(b"slow")
        office.must("export", "--batch", batch, "--output", tmp_path / "quick")
        slow.publish()
    assert (tmp_path / "slow").read_bytes() == b"slow"


def test_it_is_opened_without_a_shell(office, batch, tmp_path):
    """A stand-in for the desktop's program records its arguments."""
    desktop = tmp_path / "bin" / "xdg-open"
    desktop.parent.mkdir()
    desktop.write_text(f'#!/bin/sh\ncd {tmp_path}\nprintf "%s\\n" "$#" "$@" > called.part\nmv called.part called\n')
    desktop.chmod(0o755)
    path = tmp_path / "$(touch hacked); -x.csv"
    done = office.program(
        "export", "--batch", batch, "--output", path, "--open", env={"PATH": f"{desktop.parent}:{os.environ['PATH']}"}
    )
    assert done.exit_status == 0, done.stderr
    _wait_for(lambda: (tmp_path / "called").exists())
    assert (tmp_path / "called").read_text() == f"1\n{path}\n"


def test_a_sealed_file_is_not_opened(office, batch, tmp_path):
    result = office.run(
        "export",
        "--batch",
        batch,
        "--output",
        tmp_path / "x",
        "--open",
        "--seal",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    )
    assert result.exit_status == 2 and list(tmp_path.iterdir()) == []


def _wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
