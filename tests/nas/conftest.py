"""What the tests with real NAS programs share: the network, the programs and what the office sees of a session."""

import dataclasses
import functools
import os
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import waiting
from tests.stack.stack import SECRET

# A program may take this long on a busy machine; no test measures time by it.
PATIENCE_SECONDS = 150


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "PREPAID_PRIVATE_NETWORK" not in os.environ:
            item.add_marker(pytest.mark.skip(reason="NAS programs need a network of their own: make test-nas"))


def needs(*programs: str, debian: str):
    """Skip a file's tests unless these programs are installed."""
    missing = [
        name for name in programs if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/lib/ipsec")
    ]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed (Debian: {debian})")


@dataclasses.dataclass
class Program:
    """A running program and its log."""

    process: subprocess.Popen
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Device:
    """The customer's device: a network namespace, joined to ours by a cable.

    `device.run("ping", "10.9.0.1")` runs a command there; `device.start("wpa_supplicant", …)` a program.
    """

    def __init__(self, run_program):
        self._start = run_program
        self._holder = run_program("device", "unshare", "--net", "sleep", "infinity")

    def _command(self, arguments) -> list[str]:
        return ["nsenter", f"--target={self._holder.process.pid}", "--net", *map(str, arguments)]

    def run(self, *arguments, **options) -> subprocess.CompletedProcess:
        return subprocess.run(self._command(arguments), capture_output=True, text=True, **options)

    def must(self, *arguments, **options) -> str:
        done = self.run(*arguments, **options)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def start(self, name: str, *arguments, **options) -> Program:
        return self._start(name, *self._command(arguments), **options)

    def has_network_of_its_own(self) -> bool:
        ours, theirs = (os.readlink(f"/proc/{pid}/ns/net") for pid in ("self", self._holder.process.pid))
        return ours != theirs


@pytest.fixture(scope="session")
def wait_until():
    return functools.partial(waiting.wait_until, seconds=PATIENCE_SECONDS, pause_seconds=0.1)


@pytest.fixture
def run_program(tmp_path):
    """Start a program; it is ended after the test: `run_program("hostapd", "hostapd", "hostapd.conf")`."""
    running = []

    def run_program(name, *command, stdin: str | None = None):
        log_file = tmp_path / f"{name}.log"
        with log_file.open("w") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
        if stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        running.append(Program(process, log_file))
        return running[-1]

    yield run_program
    for program in reversed(running):
        program.end()


@pytest.fixture
def device(run_program, wait_until):
    """A device whose interface is `port1`; ours is `port0`, and both are up."""
    device = Device(run_program)
    wait_until(device.has_network_of_its_own)
    subprocess.run(["ip", "link", "add", "port0", "type", "veth", "peer", "name", "port1"], check=True)
    subprocess.run(["ip", "link", "set", "port1", "netns", str(device._holder.process.pid)], check=True)
    subprocess.run(["ip", "link", "set", "port0", "up"], check=True)
    device.must("ip", "link", "set", "lo", "up")
    device.must("ip", "link", "set", "port1", "up")
    yield device
    subprocess.run(["ip", "link", "delete", "port0"], check=True)


@pytest.fixture
def the_session(office, wait_until):
    """The card's open session, once `condition` holds for it."""

    def the_session(card, condition=bool):
        def ask():
            rows = office.json("sessions", "--serial", card.serial)
            return bool(rows) and condition(rows[0]) and rows[0]

        return wait_until(ask)

    return the_session


@pytest.fixture
def ended(office, wait_until):
    """What `prepaid track` says of the card's sessions, once all of them have ended."""

    def ended(card):
        def ask():
            rows = [row for row in office.track(card) if row["what"] == "session"]
            return rows and not any(row["open"] for row in rows) and rows

        return wait_until(ask)

    return ended


@pytest.fixture
def disconnect(office):
    """End the card's only session by Disconnect-Request; returns what the NAS answered."""

    def disconnect(card) -> str:
        # Not office.json: the exit status is 1 while the session is not known to be off.
        (sent,) = office.run("disconnect", card.serial, "--reason", "asked by the customer", "--json").json()
        return sent["outcome"]

    return disconnect


@pytest.fixture
def add_nas(office, radius, wait_until):
    """Type what the page of a NAS says; returns its address, a new one, once radiusd knows it: a refused login says so."""

    def add_nas(name: str, *options: str) -> str:
        address = f"127.9.{secrets.randbelow(250) + 1}.{secrets.randbelow(250) + 1}"
        office.must("nas", "add", name, "--address", address, "--secret-file", "-", *options, stdin=f"{SECRET}\n")
        wait_until(lambda: radius.login("0", "0", nas_ip=address))
        return address

    return add_nas
