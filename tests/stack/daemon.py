"""A process that outlives the command that started it, known by its pid file."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.stack.errors import StackError

START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 20
LOG_LINES_SHOWN = 15


class Daemon:
    """`mark` is a word of the command line that no other process has, such as its own data folder.

    A pid file alone proves nothing, because the system uses process ids again: after a crash the file may hold the id of
    another process, which must not be stopped.
    """

    def __init__(
        self,
        name: str,
        argv: list[str],
        *,
        pid_file: Path,
        log_file: Path,
        mark: str,
        env: dict[str, str] | None = None,
        dies_with_parent: bool = False,
        is_batch: bool = False,
    ):
        self.name = name
        self.argv = argv
        self.pid_file = pid_file
        self.log_file = log_file
        self.mark = mark
        self.env = env
        # For tests: a killed pytest cannot stop the processes that it started.
        self.dies_with_parent = dies_with_parent
        # As systemd's `CPUSchedulingPolicy=batch`.
        self.is_batch = is_batch
        self._child: subprocess.Popen | None = None

    def pid(self) -> int | None:
        """The id of the running process, or None."""
        try:
            pid = int(self.pid_file.read_text())
            command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if self.mark.encode() in command_line else None

    def start(self, is_ready: Callable[[], bool], timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Start it, unless it runs, and wait until `is_ready`."""
        if self.pid():
            return
        prefix = ["setpriv", "--pdeathsig", "KILL"] if self.dies_with_parent else []
        prefix += ["chrt", "--batch", "0"] if self.is_batch else []
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._child = subprocess.Popen(
                prefix + self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                start_new_session=True,
            )
        self.pid_file.write_text(f"{self._child.pid}\n")
        self._wait_until(is_ready, timeout_seconds)

    def stop(self) -> None:
        """Send SIGTERM and wait for the end; send SIGKILL if it does not end in time."""
        if not self._signal_and_wait(signal.SIGTERM, STOP_TIMEOUT_SECONDS):
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        if not self._signal_and_wait(signal.SIGKILL, STOP_TIMEOUT_SECONDS):
            raise StackError(f"{self.name} (process {self.pid()}) does not end; look at it with 'ps'.")

    def suspend(self) -> None:
        """Stop it by SIGSTOP: it keeps its sockets and does not answer, until `resume`."""
        os.kill(self.pid(), signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid(), signal.SIGCONT)

    def _wait_until(self, is_ready: Callable[[], bool], timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        # The kernel shows the command line a moment after the start, and `pid` needs it.
        while not (self.pid() and is_ready()):
            if self._child.poll() is not None:
                self.pid_file.unlink(missing_ok=True)
                raise StackError(
                    f"{self.name} ended as soon as it was started; the last lines of "
                    f"{self.log_file}:\n{self.last_lines()}"
                )
            if time.monotonic() > deadline:
                self.kill()
                raise StackError(
                    f"{self.name} did not serve within {timeout_seconds} seconds; the last lines of "
                    f"{self.log_file}:\n{self.last_lines()}"
                )
            time.sleep(0.05)

    def _signal_and_wait(self, number: int, timeout_seconds: int) -> bool:
        pid = self.pid()
        if pid and not ended_by(pid, number, timeout_seconds):
            return False
        if self._child:
            self._child.wait()
        self.pid_file.unlink(missing_ok=True)
        return True

    @property
    def exit_status(self) -> int | None:
        """The exit status of the process that this object has started; negative: it was ended by this signal."""
        return self._child.returncode if self._child else None

    def last_lines(self) -> str:
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "  (nothing)"
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES_SHOWN:])


def ended_by(pid: int, number: int, timeout_seconds: int) -> bool:
    """Whether the process has ended in time, with all its threads and its files closed.

    Its command line is no measure: the kernel removes that first, while the process may still accept connections.
    """
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        signal.pidfd_send_signal(process, number)
        end = select.poll()
        end.register(process, select.POLLIN)
        return bool(end.poll(timeout_seconds * 1000))
    except ProcessLookupError:
        return True
    finally:
        os.close(process)
