"""make up and make down: a private stack that starts once, stops wholly and lives beside others."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.stack import free_ports

CHECKOUT = Path(__file__).resolve().parents[2]


class PrivateStack:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="prepaid-stack-"))
        self.auth_port, self.acct_port = free_ports(2)

    def make(self, target: str, **changes) -> subprocess.CompletedProcess:
        variables = {
            "VAR": self.folder,
            "AUTH_PORT": self.auth_port,
            "ACCT_PORT": self.acct_port,
            "VENV": sys.prefix,
        } | changes
        return subprocess.run(
            ["make", "--no-print-directory", target, *(f"{name}={value}" for name, value in variables.items())],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def must_make(self, target: str) -> str:
        done = self.make(target)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pids(self) -> dict[str, int]:
        return {name: int((self.folder / f"{name}.pid").read_text()) for name in ("mariadb", "radiusd")}

    def processes(self) -> list[str]:
        """Command lines of every process that has to do with the folder, whatever the pid files say."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command_line = path.read_bytes().decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if f"{self.folder}/" in command_line and int(path.parts[2]) != os.getpid():
                found.append(command_line)
        return found


@pytest.fixture
def private_stack(installed):
    stack = PrivateStack()
    yield stack
    stack.must_make("down")
    shutil.rmtree(stack.folder)


def test_a_second_start_changes_nothing(private_stack):
    private_stack.must_make("up")
    before = private_stack.pids(), (private_stack.folder / "prepaid.cnf").read_bytes()
    assert "nothing was changed" in private_stack.must_make("up")
    assert (private_stack.pids(), (private_stack.folder / "prepaid.cnf").read_bytes()) == before


def test_down_leaves_no_process_and_up_finds_the_data_again(private_stack):
    private_stack.must_make("up")
    prepaid(private_stack, "partner", "add", "Banca do Norte")
    private_stack.must_make("down")
    assert private_stack.processes() == []
    assert not list(private_stack.folder.glob("*.pid"))
    private_stack.must_make("up")
    assert "Banca do Norte" in prepaid(private_stack, "partner", "list")


def test_down_without_a_stack_is_no_error(private_stack):
    private_stack.must_make("down")


def test_up_starts_what_a_crash_has_ended(private_stack):
    private_stack.must_make("up")
    before = private_stack.pids()
    os.kill(before["mariadb"], 9)
    private_stack.must_make("up")
    assert private_stack.pids()["radiusd"] == before["radiusd"]
    assert private_stack.pids()["mariadb"] != before["mariadb"]


def test_two_stacks_live_side_by_side(private_stack):
    other = PrivateStack()
    try:
        private_stack.must_make("up")
        other.must_make("up")
        other.must_make("down")
        assert len(private_stack.processes()) == 2
    finally:
        other.make("down")
        shutil.rmtree(other.folder)


def test_a_port_that_is_taken_is_named_and_nothing_is_started(private_stack):
    other = PrivateStack()
    private_stack.must_make("up")
    done = other.make("up", AUTH_PORT=private_stack.auth_port)
    assert done.returncode != 0
    assert f"Port {private_stack.auth_port}" in done.stderr and "AUTH_PORT=" in done.stderr
    assert other.processes() == []
    shutil.rmtree(other.folder)


def test_the_option_file_and_the_key_are_closed_to_others(private_stack):
    private_stack.must_make("up")
    for name in ("prepaid.cnf", "key"):
        assert (private_stack.folder / name).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("times", [1, 2])
def test_the_demo_tells_one_card_s_life(private_stack, times):
    for _ in range(times):
        told = private_stack.must_make("demo")
    for word in ("Access-Reject", "Access-Accept", "Session-Timeout = 600", "Session-Timeout = 360", "exhausted"):
        assert word in told
    assert private_stack.pids()


def prepaid(stack: PrivateStack, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("prepaid")), "--config", str(stack.folder / "prepaid.cnf")]
    return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout
