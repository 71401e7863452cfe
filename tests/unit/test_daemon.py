"""A pid file is a claim: what it names is stopped only if it is really ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import StackError
from tests.stack.daemon import Daemon

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def daemon(tmp_path):
    daemon = sleeper(tmp_path)
    yield daemon
    daemon.kill()


def sleeper(folder: Path, program: str = SLEEP) -> Daemon:
    mark = f"--mark={folder}"
    return Daemon(
        "Sleeper",
        [sys.executable, "-c", program, mark],
        pid_file=folder / "sleeper.pid",
        log_file=folder / "log" / "sleeper.log",
        mark=mark,
    )


def test_a_second_start_changes_nothing(daemon, tmp_path):
    daemon.start(lambda: True)
    first = daemon.pid()
    daemon.start(lambda: True)
    sleeper(tmp_path).start(lambda: True)
    assert first and daemon.pid() == first


def test_another_program_stops_it_by_its_pid_file(daemon, tmp_path):
    daemon.start(lambda: True)
    pid = daemon.pid()
    stopper = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.unit.test_daemon import sleeper
sleeper(Path({str(tmp_path)!r})).stop()
"""
    subprocess.run([sys.executable, "-c", stopper], check=True)
    assert daemon.pid() is None
    assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
    assert not daemon.pid_file.exists()


def test_a_stale_pid_file_that_names_somebody_else_hurts_nobody(daemon):
    daemon.pid_file.write_text(f"{os.getpid()}\n")
    assert daemon.pid() is None
    daemon.stop()  # would end pytest
    daemon.start(lambda: True)
    assert daemon.pid() not in (None, os.getpid())


@pytest.mark.parametrize("content", ["", "no number\n", "999999999\n"])
def test_a_spoiled_pid_file_is_no_process(daemon, content):
    daemon.pid_file.write_text(content)
    assert daemon.pid() is None
    daemon.start(lambda: True)
    assert daemon.pid()


def test_a_process_that_ends_at_once_says_its_last_words(tmp_path):
    failing = sleeper(tmp_path, "raise SystemExit('the port is taken')")
    with pytest.raises(StackError, match="the port is taken"):
        failing.start(lambda: False)
    assert not failing.pid_file.exists()


def test_one_that_ignores_the_request_to_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.stack.daemon.STOP_TIMEOUT_SECONDS", 1)
    deaf = sleeper(
        tmp_path, "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    deaf.start(lambda: "deaf" in deaf.last_lines())
    deaf.stop()
    assert deaf.pid() is None
