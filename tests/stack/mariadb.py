"""A private MariaDB: own data folder, own socket, no network unless a port is given."""

import getpass
import os
import shutil
import subprocess
from pathlib import Path

import pymysql

from tests.stack.daemon import Daemon
from tests.stack.errors import StackError

# The kernel's limit for the path of a Unix socket.
SOCKET_PATH_BYTES = 107

# The settings of a production server, so that commits are durable ...
DURABLE = ["--innodb-flush-log-at-trx-commit=1"]
# ... and of a test.  A killed server still loses nothing, because the kernel has the written data; only a power cut of
# the machine would lose some.
QUICK = ["--innodb-flush-log-at-trx-commit=1", "--innodb-flush-method=nosync", "--sync-frm=OFF"]


class MariaDB:
    def __init__(
        self,
        folder: Path,
        *,
        data_folder: Path | None = None,
        port: int | None = None,
        durability: list[str] = DURABLE,
        options: list[str] = (),
        dies_with_parent: bool = False,
    ):
        self.folder = folder.resolve()
        self.data_folder = data_folder or self.folder / "mariadb"
        self.socket = self.folder / "mariadb.sock"
        self.port = port
        # The owner's database account is the system account that the server runs as; the socket proves it, so there is no
        # password.
        self.owner = getpass.getuser()
        log_file = self.folder / "log" / "mariadb.log"
        network = [f"--port={port}", "--bind-address=127.0.0.1"] if port else ["--skip-networking"]
        self.daemon = Daemon(
            "MariaDB",
            [
                program("mariadbd"),
                "--no-defaults",
                f"--datadir={self.data_folder}",
                f"--socket={self.socket}",
                f"--pid-file={self.folder / 'mariadb.pid'}",
                # Not shared: a server that starts removes all temporary tables in the folder.
                f"--tmpdir={self.folder / 'tmp'}",
                f"--user={self.owner}",
                "--character-set-server=utf8mb4",
                "--default-time-zone=+00:00",
                "--skip-name-resolve",
                "--max-connections=2000",
                "--performance-schema=OFF",
                *network,
                *durability,
                *options,
            ],
            pid_file=self.folder / "mariadb.pid",
            log_file=log_file,
            mark=f"--datadir={self.data_folder}",
            dies_with_parent=dies_with_parent,
        )

    def start(self) -> None:
        """Make the data folder if there is none, and start the server unless it runs."""
        if len(os.fsencode(self.socket)) > SOCKET_PATH_BYTES:
            raise StackError(
                f"The folder {self.folder} has too long a name for MariaDB's socket; choose a shorter one with VAR=…"
            )
        if not (self.data_folder / "mysql").is_dir():
            self._make_data_folder()
        (self.folder / "tmp").mkdir(exist_ok=True)
        self.daemon.start(self.answers)

    def stop(self) -> None:
        self.daemon.stop()

    def kill(self) -> None:
        self.daemon.kill()

    def is_running(self) -> bool:
        return self.daemon.pid() is not None

    def answers(self) -> bool:
        try:
            self.connect().close()
        except pymysql.err.OperationalError:
            return False
        return True

    def connect(self, database: str | None = None, **options) -> pymysql.Connection:
        """A connection with all rights; only the schema's triggers limit it."""
        return pymysql.connect(
            unix_socket=str(self.socket),
            user=self.owner,
            database=database,
            charset="utf8mb4",
            # A socket needs no certificates, and reading the system's takes longer than connecting.
            ssl_disabled=True,
            autocommit=True,
            **options,
        )

    def _make_data_folder(self) -> None:
        # Renamed when it is complete, so that an interrupted run leaves no partial data folder.
        unfinished = self.data_folder.with_name("mariadb.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [
                program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={unfinished}",
                f"--user={self.owner}",
                "--auth-root-authentication-method=socket",
                f"--auth-root-socket-user={self.owner}",
                "--skip-test-db",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"TMPDIR": str(self.folder / "tmp")},
        )
        if done.returncode != 0:
            log_file = self.daemon.log_file.with_name("mariadb-install.log")
            log_file.parent.mkdir(exist_ok=True)
            log_file.write_text(done.stdout)
            errors = [line for line in done.stdout.splitlines() if "ERROR" in line] or ["(no error line)"]
            raise StackError(
                f"mariadb-install-db could not make the data folder {unfinished}; its output is in "
                f"{log_file}; its errors:\n" + "\n".join(f"  {line}" for line in errors)
            )
        unfinished.rename(self.data_folder)


def program(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    if path is None:
        raise StackError(f"The program {name} is not installed; 'make up' installs Debian's mariadb-server.")
    return path
