"""A machine of its own: a Debian release booted with systemd, with FreeRADIUS and MariaDB as services.

    with Machine("bookworm") as machine:
        machine.copy(Path("dist/prepaid-cards.deb"), "/srv/")
        machine.run("apt-get install --yes /srv/prepaid-cards.deb")
        machine.reboot()
        machine.wait_until("systemctl is-active freeradius")

Each machine begins as tests/system/make-root.sh made its root, and leaves nothing behind.  It needs root, systemd-nspawn
and slirp4netns (Debian's systemd-container and slirp4netns), and no free port: it has a network of its own, through which it
reaches what this machine reaches.
"""

import contextlib
import ctypes
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.radius_client import RadiusClient

HERE = Path(__file__).resolve().parent
ROOTS = Path("/var/cache/prepaid-cards")

BOOT_TIMEOUT_SECONDS = 90
STOP_TIMEOUT_SECONDS = 60
COMMAND_TIMEOUT_SECONDS = 600
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/srv",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
CLONE_NEWNET = 0x40000000


class MachineError(Exception):
    """The machine did not do what was asked."""


class Machine:
    def __init__(self, release: str, root: Path | None = None):
        self.release = release
        self.root = root or ROOTS / f"system-{release}"
        self._folder = Path(tempfile.mkdtemp(prefix="prepaid-system-"))
        self._launcher: subprocess.Popen | None = None
        self._network: subprocess.Popen | None = None

    def __enter__(self) -> "Machine":
        try:
            self._start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_exception) -> None:
        self.remove()

    # --- Power -----------------------------------------------------------------------------------------

    def _start(self) -> None:
        subprocess.run([HERE / "make-root.sh", self.release, self.root], check=True)
        with (self._folder / "console").open("wb") as console:
            self._launcher = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--net",
                 "--pid", "--fork", "--kill-child", "--mount-proc", HERE / "boot.sh", self.root, f"prepaid-{secrets.token_hex(4)}"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
            )  # fmt: skip
        _wait(self._has_network_namespace, "its network namespace", self._console)
        with (self._folder / "network").open("wb") as log:
            self._network = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback",
                 str(self._launcher.pid), "tap0"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.wait_for_boot()

    def _has_network_namespace(self) -> bool:
        try:
            return os.readlink(f"/proc/{self._launcher.pid}/ns/net") != os.readlink("/proc/self/ns/net")
        except FileNotFoundError:
            raise MachineError(f"the machine ended at once: {self._console()}") from None

    def wait_for_boot(self) -> None:
        """Wait until every unit that starts at the boot has started, or failed: see `failed_units`."""
        _wait(lambda: self._init_pid() is not None, "its init", self._console, BOOT_TIMEOUT_SECONDS)
        _wait(self._is_booted, "the end of its boot", self._console, BOOT_TIMEOUT_SECONDS)

    def _is_booted(self) -> bool:
        state = self.run("systemctl is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def reboot(self) -> None:
        before = self._init_pid()
        self.run("systemctl --no-block reboot")
        _wait(lambda: self._init_pid() not in (None, before), "its reboot", self._console, BOOT_TIMEOUT_SECONDS)
        self.wait_for_boot()

    def power_off(self) -> None:
        """Stop it as its power button does; its files are lost with it."""
        self.run("systemctl --no-block poweroff", check=False)
        try:
            self._launcher.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise MachineError(f"the machine did not power off; its console: {self._console()}") from None

    def remove(self) -> None:
        """End it, as if its power failed, and remove it."""
        for process in (self._launcher, self._network):
            if process is not None:
                # The group: unshare, and boot.sh, which is process 1 of a PID namespace: all in it ends with it.
                with contextlib.suppress(ProcessLookupError):
                    if process is self._launcher:
                        os.killpg(process.pid, signal.SIGKILL)
                    else:
                        process.kill()
                process.wait()
        if not os.environ.get("PREPAID_TEST_KEEP"):
            shutil.rmtree(self._folder)

    def _init_pid(self) -> int | None:
        """The process id, on this machine, of the machine's process 1."""
        waiting = [self._launcher.pid]
        while waiting:
            pid = waiting.pop()
            try:
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                status = Path(f"/proc/{pid}/status").read_text()
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            ids = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if ids[-1] == "1" and len(ids) > 1 and name in ("systemd", "init"):
                return pid
            waiting.extend(int(child) for child in children.split())
        return None

    def _console(self) -> str:
        if self._launcher.poll() is not None:
            return f"(ended with status {self._launcher.returncode}) " + (self._folder / "console").read_text()[-2000:]
        return (self._folder / "console").read_text(errors="replace")[-2000:]

    # --- Commands and files ----------------------------------------------------------------------------

    def run(
        self,
        command: str,
        *,
        check: bool = True,
        input: str | None = None,
        timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
    ) -> subprocess.CompletedProcess:
        """Run a line of bash as root; what it prints is in `stdout` and `stderr`."""
        result = subprocess.run(
            self._entering("bash", "-c", command),
            input=input or "", capture_output=True, text=True, errors="replace", timeout=timeout_seconds,
        )  # fmt: skip
        if check and result.returncode != 0:
            raise MachineError(
                f"{command!r} ended with status {result.returncode}:\n{result.stdout[-6000:]}\n{result.stderr[-6000:]}"
            )
        return result

    def popen(self, command: str, **options) -> subprocess.Popen:
        """Start a line of bash as root that runs beside the test."""
        return subprocess.Popen(self._entering("bash", "-c", command), **options)

    def _entering(self, *argv: str) -> list[str]:
        pid = self._init_pid()
        if pid is None:
            raise MachineError(f"the machine does not run; its console: {self._console()}")
        environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        return ["nsenter", "--target", str(pid), "--all", "--wdns=/root", "env", "-i", *environment, *argv]

    def wait_until(self, command: str, timeout_seconds: float = 30) -> None:
        """Wait until a line of bash succeeds."""
        _wait(
            lambda: self.run(command, check=False).returncode == 0,
            command, lambda: self.run(command, check=False).stderr, timeout_seconds,
        )  # fmt: skip

    def copy(self, path: Path, folder: str) -> str:
        """Copy a file of this machine into a folder there; return its path there."""
        target = f"{folder.rstrip('/')}/{path.name}"
        with path.open("rb") as source:
            subprocess.run(self._entering("bash", "-c", f"cat > {shlex.quote(target)}"), stdin=source, check=True)
        return target

    def write(self, path: str, text: str) -> None:
        self.run(f"cat > {shlex.quote(path)}", input=text)

    def read(self, path: str) -> str:
        return self.run(f"cat {shlex.quote(path)}").stdout

    def failed_units(self) -> list[str]:
        listed = self.run("systemctl list-units --state=failed --no-legend --plain").stdout
        return [line.split()[0] for line in listed.splitlines()]

    def journal(self, unit: str) -> str:
        return self.run(f"journalctl --boot --no-pager --output=cat --unit={shlex.quote(unit)}").stdout

    # --- RADIUS ----------------------------------------------------------------------------------------

    def nas(self, secret: str, auth_port: int = 1812, acct_port: int = 1813) -> "Nas":
        """A NAS that sends from the machine's own addresses, 127.0.0.0/8."""
        return Nas(self, secret, auth_port, acct_port)

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """A socket that this thread makes in here belongs to the machine's network."""
        with open("/proc/thread-self/ns/net") as own, open(f"/proc/{self._launcher.pid}/ns/net") as theirs:
            _setns(theirs.fileno())
            try:
                yield
            finally:
                _setns(own.fileno())


class Nas(RadiusClient):
    def __init__(self, machine: Machine, secret: str, auth_port: int, acct_port: int):
        super().__init__(auth_port, acct_port, secret)
        self._machine = machine

    def _socket(self, source: str) -> socket.socket:
        with self._machine.network():
            return super()._socket(source)


def _setns(descriptor: int) -> None:
    # os.setns came with Python 3.12.
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _wait(is_done, what: str, explain, timeout_seconds: float = 30) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise MachineError(f"waited {timeout_seconds} s for {what}: {explain()}")
        time.sleep(0.1)
