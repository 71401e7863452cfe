"""A private FreeRADIUS: Debian's own configuration, copied, with the product's files put into it.

Every start makes a new copy of the distribution's folder, so that the tests see what a user has after installing the
package and running `prepaid raddb install`.  Only three things differ: the folders that the server writes to, the user
that it runs as, and its sites, because a system server may have the ports of Debian's own.
"""

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from tests.stack.accounts import open_way
from tests.stack.daemon import Daemon
from tests.stack.errors import StackError
from tests.stack.ports import is_taken

DISTRIBUTION = Path(os.environ.get("FREERADIUS_CONFIG", "/etc/freeradius/3.0"))

# Debian's EAP certificates are not readable for everybody, and a private stack does not need them.
MODULES_LEFT_OUT = ["eap"]

# Holds the sitecustomize.py that measures coverage inside radiusd.
MEASURED_RADIUSD = Path(__file__).resolve().parents[1] / "measured_radiusd"

READY = "Ready to process requests"


class FreeRadius:
    """`name` distinguishes several servers in one folder: their files are NAME.raddb/, NAME.pid and log/NAME.log."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "radiusd",
        auth_port: int | None = None,
        acct_port: int | None = None,
        options: dict[str, str] | None = None,
        is_batch: bool = False,
        dies_with_parent: bool = False,
        account: str | None = None,
    ):
        """`options` replaces values of Debian's radiusd.conf, as in {"reject_delay": "0"}.

        A server without `auth_port` serves no logins, and one without `acct_port` no accounting.  `is_batch` selects the
        scheduler's batch policy, as raddb-config/systemd advises.  If root starts the server, it runs as `account`.
        """
        self.folder = folder.resolve()
        self.raddb = self.folder / f"{name}.raddb"
        self.name = name
        self.auth_port = auth_port
        self.acct_port = acct_port
        self.options = options or {}
        self.account = account
        self.log_file = self.folder / "log" / f"{name}.log"
        self.daemon = Daemon(
            "FreeRADIUS",
            # In the foreground, as systemd runs it.  Never -X: debug mode behaves differently, and 3.2.9 and 3.2.10 work only
            # there.
            ["/usr/sbin/freeradius", "-f", "-d", str(self.raddb), "-l", str(self.log_file)],
            pid_file=self.folder / f"{name}.pid",
            log_file=self.log_file,
            mark=str(self.raddb),
            env=self._environment(),
            dies_with_parent=dies_with_parent,
            is_batch=is_batch,
        )
        self._log_offset = 0

    def start(self) -> None:
        """Start the server on its folder, and wait until it serves."""
        if self.is_running():
            return
        self.check_ports()
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self.mark_log()
        self.daemon.start(lambda: READY in self.log_since_mark())

    def check_ports(self) -> None:
        """Raise StackError if another program has a port that this server needs."""
        if self.is_running():
            return
        for variable, port in (("AUTH_PORT", self.auth_port), ("ACCT_PORT", self.acct_port)):
            if port and is_taken(port):
                raise StackError(
                    f"Port {port} on 127.0.0.1 is taken by another program; choose another one "
                    f"with {variable}=…, or stop that program ('ss -lunp' names it)."
                )

    def stop(self) -> None:
        self.daemon.stop()

    def kill(self) -> None:
        self.daemon.kill()

    def is_running(self) -> bool:
        return self.daemon.pid() is not None

    def mark_log(self) -> None:
        """`log_since_mark` returns the log from here on."""
        self._log_offset = self.log_file.stat().st_size if self.log_file.exists() else 0

    def log_since_mark(self) -> str:
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as log:
            log.seek(self._log_offset)
            return log.read().decode(errors="replace")

    # --- Its folder ------------------------------------------------------------------------------------

    def copy_distribution(self) -> None:
        """Make the server's folder: Debian's configuration without Debian's sites."""
        shutil.rmtree(self.raddb, ignore_errors=True)
        self.raddb.parent.mkdir(parents=True, exist_ok=True)
        _copy_tree(DISTRIBUTION, self.raddb)
        for site in (self.raddb / "sites-enabled").iterdir():
            site.unlink()
        for module in MODULES_LEFT_OUT:
            (self.raddb / "mods-enabled" / module).unlink(missing_ok=True)
        self._edit_main_file()
        if self.account:
            self._give_away()

    def _edit_main_file(self) -> None:
        path = self.raddb / "radiusd.conf"
        run_folder = self.folder / f"{self.name}.run"
        run_folder.mkdir(exist_ok=True)
        text = path.read_text()
        for option, value in {
            "raddbdir": self.raddb,
            "logdir": self.log_file.parent,
            "run_dir": run_folder,
            **self.options,
        }.items():
            text = set_option(text, option, str(value))
        for option in ("user", "group"):
            text = set_option(text, option, self.account) if self.account else remove_option(text, option)
        path.write_text(text)

    def _give_away(self) -> None:
        """Give the folders to the account that the server runs as, and let it pass through the folders above."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        open_way(self.folder)
        for folder in (self.raddb, self.folder / f"{self.name}.run", self.log_file.parent):
            subprocess.run(["chown", "-R", f"{self.account}:{self.account}", str(folder)], check=True)

    def _environment(self) -> dict[str, str]:
        """UTC, because Event-Timestamp reaches Python as a local time; and no PYTHONPATH, as at a user's.

        `make coverage` sets COVERAGE_PROCESS_START; then radiusd's Python starts coverage before anything else.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        if "COVERAGE_PROCESS_START" in kept:
            kept["PYTHONPATH"] = f"{MEASURED_RADIUSD}:{sysconfig.get_path('purelib')}"
        return kept | {"TZ": "UTC"}


def set_option(text: str, option: str, value: str) -> str:
    """Replace the value of an option of radiusd.conf that is set exactly once.

    >>> set_option("# run_dir = x\\nrun_dir = /run/freeradius\\n", "run_dir", "/tmp/run")
    '# run_dir = x\\nrun_dir = /tmp/run\\n'
    """
    return _replace_option(text, option, f"{option} = {value}")


def remove_option(text: str, option: str) -> str:
    """Remove an option, so that the server uses its own default.

    >>> remove_option("security {\\n\\tuser = freerad\\n}\\n", "user")
    'security {\\n\\t\\n}\\n'
    """
    return _replace_option(text, option, "")


def _replace_option(text: str, option: str, line: str) -> str:
    changed, count = re.subn(rf"(?m)^([ \t]*){option}[ \t]*=.*$", lambda match: match[1] + line, text)
    if count != 1:
        raise StackError(
            f"Debian's radiusd.conf in {DISTRIBUTION} sets '{option}' {count} times, not once; "
            "restore the packaged file of freeradius-config."
        )
    return changed


def _copy_tree(source: Path, target: Path) -> None:
    """Copy a tree; use sudo if only freerad may read it."""
    if os.access(source / "radiusd.conf", os.R_OK):
        shutil.copytree(source, target, symlinks=True)
        return
    target.mkdir()
    packed = subprocess.run(["sudo", "tar", "--create", "--directory", str(source), "."], stdout=subprocess.PIPE)
    if packed.returncode != 0:
        raise StackError(
            f"FreeRADIUS' configuration in {source} could not be read, not through sudo either; "
            "is freeradius installed? Run make as root or as a user with sudo."
        )
    subprocess.run(["tar", "--extract", "--directory", str(target)], input=packed.stdout, check=True)
