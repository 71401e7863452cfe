"""MariaDB and FreeRADIUS together, with the schema, the two accounts and the loopback NAS."""

import configparser
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

from tests.stack.daemon import Daemon
from tests.stack.errors import StackError
from tests.stack.freeradius import FreeRadius
from tests.stack.mariadb import DURABLE, MariaDB

DATABASE = "prepaid"
SECRET = "testing123"

# The command in the virtual environment of this interpreter.
PREPAID = Path(sys.executable).with_name("prepaid")


class Stack:
    def __init__(
        self,
        folder: Path,
        *,
        auth_port: int,
        acct_port: int,
        data_folder: Path | None = None,
        durability: list[str] = DURABLE,
        mariadb_options: list[str] = (),
        freeradius_options: dict[str, str] | None = None,
        settings: dict[str, str] | None = None,
        dies_with_parent: bool = False,
    ):
        """`settings` are added to the group [prepaid] of the option file when it is written."""
        self.folder = folder.resolve()
        self.option_file = self.folder / "prepaid.cnf"
        self.key_file = self.folder / "key"
        self.settings = settings or {}
        self.mariadb = MariaDB(
            self.folder,
            data_folder=data_folder,
            durability=durability,
            options=mariadb_options,
            dies_with_parent=dies_with_parent,
        )
        self.freeradius = FreeRadius(
            self.folder,
            auth_port=auth_port,
            acct_port=acct_port,
            options=freeradius_options,
            dies_with_parent=dies_with_parent,
        )

    def up(self) -> None:
        """Start the servers that do not run."""
        self.freeradius.check_ports()
        was_running = self.mariadb.is_running()
        try:
            self.start_database()
            self.start_freeradius()
        except StackError:
            # A failed start leaves no process behind.
            if not was_running:
                self.mariadb.stop()
            raise

    def start_database(self) -> None:
        """MariaDB with the schema, the accounts and the NAS 'loopback'."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.option_file.exists():
            self._write_option_file()
        self.mariadb.start()
        if not self._has_schema():
            self._make_schema()
        if not any(nas["name"] == "loopback" for nas in self.prepaid_json("nas", "list")):
            self.prepaid(
                "nas",
                "add",
                "loopback",
                "--address",
                "127.0.0.0/8",
                "--secret-file",
                "-",
                "--vendor",
                "generic",
                stdin=SECRET + "\n",
            )

    def start_freeradius(self) -> None:
        if self.freeradius.is_running():
            return
        self.freeradius.copy_distribution()
        self.install_raddb()
        self.freeradius.start()

    def install_raddb(self) -> None:
        self.prepaid(
            "raddb",
            "install",
            "--dir",
            str(self.freeradius.raddb),
            "--listen",
            "127.0.0.1",
            "--auth-port",
            str(self.freeradius.auth_port),
            "--acct-port",
            str(self.freeradius.acct_port),
        )

    def down(self) -> None:
        self.freeradius.stop()
        self.mariadb.stop()

    def is_up(self) -> bool:
        return self.mariadb.is_running() and self.freeradius.is_running()

    # --- The product's own command ---------------------------------------------------------------------

    def prepaid(self, *arguments: str, stdin: str = "") -> str:
        """Run the office's command on this stack and return what it prints; a refusal is an error here."""
        done = subprocess.run(
            [str(PREPAID), "--config", str(self.option_file), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
        )
        if done.returncode != 0:
            raise StackError(
                f"'prepaid {' '.join(arguments)}' failed with exit status {done.returncode}; "
                f"its message:\n{done.stderr.strip()}"
            )
        return done.stdout

    def service(self, name: str, *command: str, is_batch: bool = False) -> Daemon:
        """A command that runs as a service: `stack.service("charger", "charge", "--watch").start(…)`."""
        return Daemon(
            f"The {name}",
            [str(PREPAID), "--config", str(self.option_file), *command],
            pid_file=self.folder / f"{name}.pid",
            log_file=self.folder / "log" / f"{name}.log",
            mark=str(self.option_file),
            dies_with_parent=True,
            is_batch=is_batch,
        )

    def prepaid_json(self, *arguments: str):
        return json.loads(self.prepaid(*arguments, "--json"))

    # --- Set-up ----------------------------------------------------------------------------------------

    def _write_option_file(self) -> None:
        """Connections, key file and settings; 0600, because it holds passwords."""
        options = configparser.ConfigParser(interpolation=None)
        for group, user in (("prepaid-admin", "prepaid_admin"), ("prepaid-radius", "prepaid_radius")):
            options[group] = {
                "user": user,
                "password": secrets.token_urlsafe(24),
                **self._database_place(),
                "database": DATABASE,
            }
        options["prepaid"] = {"key_file": str(self.key_file), "raddb": str(self.freeradius.raddb), **self.settings}
        options.update(self._owner_group())
        unfinished = self.option_file.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        with open(unfinished, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write("# Written by the private stack; see `prepaid` and raddb-config/README.md.\n\n")
            options.write(file)
        unfinished.rename(self.option_file)

    def _owner_group(self) -> dict[str, dict[str, str]]:
        """The group [prepaid-owner], if the account that makes tables is not the one of the socket."""
        return {}

    def _database_place(self) -> dict[str, str]:
        return {"unix_socket": str(self.mariadb.socket)}

    def _has_schema(self) -> bool:
        with self.mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = 'schema_version'",
                [DATABASE],
            )
            return cursor.fetchone() is not None

    def _make_schema(self) -> None:
        self.prepaid("db", "init")
