"""Private servers for the bench: mariadbd and radiusd under one folder, stopped by their process id.

Every side gets the same database settings and the same number of threads, or the comparison is void.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

# A durable database of an ordinary size; no side gets anything beyond this.
DATABASE_SETTINGS = (
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-size=1G",
    "--innodb-log-file-size=1G",
    "--character-set-server=utf8mb4",
    "--max-connections=256",
    "--skip-networking",
    "--skip-log-bin",
    "--local-infile=1",
)
START_LIMIT_S = 120


class Mariadbd:
    """A MariaDB server on a Unix socket in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.socket = folder / "mariadb.sock"
        self.log = folder / "mariadb.log"
        self.process = None

    def start(self):
        data = self.folder / "data"
        user = f"--user={'root' if os.geteuid() == 0 else os.environ['USER']}"
        if not (data / "mysql").is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                ["mariadb-install-db", "--no-defaults", f"--datadir={data}", user, "--skip-test-db",
                 "--auth-root-authentication-method=normal"],
                check=True, stdout=subprocess.DEVNULL,
            )
        self.process = subprocess.Popen(
            [tool("mariadbd"), "--no-defaults", f"--datadir={data}", f"--socket={self.socket}", user,
             f"--pid-file={self.folder / 'mariadb.pid'}", f"--log-error={self.log}", *DATABASE_SETTINGS],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, self.process, self.log)

    def _answers(self) -> bool:
        ping = ["mariadb-admin", "--no-defaults", f"--socket={self.socket}", "--user=root", "ping"]
        return self.socket.exists() and subprocess.run(ping, capture_output=True).returncode == 0

    def run(self, sql: str, database: str = "") -> str:
        """Run statements as root; return what they print, without headings."""
        done = subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "--local-infile=1",
             "--batch", "--skip-column-names", *([database] if database else [])],
            input=sql, text=True, capture_output=True,
        )
        if done.returncode:
            raise RuntimeError(f"The bench's database refused a statement: {done.stderr.strip()}")
        return done.stdout

    def stop(self):
        stop(self.process)
        self.process = None


class Radiusd:
    """FreeRADIUS with a raddb of its own, not in debug mode."""

    def __init__(self, raddb: Path, log: Path):
        self.raddb = raddb
        self.log = log
        self.process = None

    def start(self):
        self.log.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [tool("freeradius", "radiusd"), "-f", "-d", str(self.raddb), "-n", "radiusd"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "TZ": "UTC"},
        )
        wait_until(self._answers, self.process, self.log)

    def _answers(self) -> bool:
        return self.log.exists() and "Ready to process requests" in self.log.read_text(errors="replace")

    def stop(self):
        stop(self.process)
        self.process = None


def freeradius_version() -> str:
    """As in '3.2.1'."""
    told = subprocess.run([tool("freeradius", "radiusd"), "-v"], capture_output=True, text=True).stdout
    return told.partition("FreeRADIUS Version ")[2].split()[0].rstrip(",")


def tool(*names: str) -> str:
    """Where a server's program is; Debian keeps some outside of a user's PATH."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    raise FileNotFoundError(f"{names[0]} is not installed; install Debian's packages with 'make deps'.")


def wait_until(is_ready, process, log: Path):
    """Wait for a server to be ready, or say what it wrote before it gave up."""
    ends_at = time.monotonic() + START_LIMIT_S
    while not is_ready():
        if process.poll() is not None or time.monotonic() > ends_at:
            stop(process)
            told = log.read_text(errors="replace")[-2000:] if log.exists() else "(it wrote no log)"
            raise RuntimeError(f"{process.args[0]} did not start. The end of {log}:\n{told}")
        time.sleep(0.05)


def stop(process):
    """End a server that the bench started, and wait until it is gone."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
