"""The machine that setup works on: its answers, the paths of the option files, FreeRADIUS' account, the database's owner."""

import contextlib
import grp
import io
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from freeradius_module import option_file

from .. import db
from ..freeradius import raddb_directory
from ..shell import errors
from ..shell.office import Office
from ..shell.text import _, translated
from ..store.rows import Connection
from .answers import Answers
from .saved import Owner

ROOT = Owner(0, 0)
# Its members may read the key file, if the units have accounts of their own.
KEY_GROUP = "prepaid-key"
# Of what a program says when it fails.
LINES_SHOWN = 3
OWNER_GROUP = "prepaid-owner"


class Machine:
    """What the steps share."""

    def __init__(self, config: Path, answers: Answers):
        self.config = config
        self.answers = answers
        self.office = Office(str(config))

    @property
    def folder(self) -> Path:
        """The folder of the option files and of the key."""
        return self.config.parent

    @property
    def key_file(self) -> Path:
        return Path(self.office.key_file) if self.config.exists() else self.folder / "key"

    @property
    def radius_account(self) -> pwd.struct_passwd:
        """The system account that FreeRADIUS runs as; root if its files name none."""
        user = raddb_directory.radiusd_user(self.answers.directory)
        return pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())

    @property
    def key_owner(self) -> Owner:
        """Root, and the group that may read the key: that of the units, if there is one, or FreeRADIUS'."""
        try:
            return Owner(0, grp.getgrnam(KEY_GROUP).gr_gid)
        except KeyError:
            return self.radius_group

    @property
    def radius_group(self) -> Owner:
        """Root, and FreeRADIUS' group: for files that FreeRADIUS reads and nobody else changes."""
        return Owner(0, self.radius_account.pw_gid)

    def group_of(self, name: str) -> Owner:
        """Root, and the system group of this name."""
        try:
            return Owner(0, grp.getgrnam(name).gr_gid)
        except KeyError:
            raise errors.Refused(
                _("There is no system group {name}. Run systemd-sysusers, or install the package again."), name=name
            ) from None

    def read_options_again(self) -> None:
        """Forget what was read from the option files, because they have changed."""
        self.office.close()
        self.office = Office(str(self.config))

    @contextlib.contextmanager
    def owner_connection(self, owner: Office | None = None) -> Iterator[Connection]:
        """A connection to the database with the rights to make databases and accounts."""
        with db.owner_connection(owner or self.owner(), self.answers.admin_user) as connection:
            yield connection

    def owner(self) -> Office:
        """An office with the account of the database's owner; its option file has been read."""
        office = Office(str(self.config))
        groups = office.options.groups
        if self.answers.admin_file:
            groups[OWNER_GROUP] = self.admin_settings()
        return office

    def admin_settings(self) -> dict[str, str]:
        """The group [client] of the file with the administrator's account, and where the server is."""
        path = str(self.answers.admin_file)
        try:
            client = option_file.read(path).group("client")
        except (OSError, UnicodeDecodeError) as error:
            raise errors.WrongUsage(
                _("The option file {config} cannot be read: {cause}."),
                config=path,
                cause=getattr(error, "strerror", None) or error,
            ) from None
        except option_file.OptionFileError as error:
            raise errors.WrongUsage(translated(error)) from None
        if not client.get("user"):
            raise errors.WrongUsage(_("{path} has no user in its group [client]."), path=path)
        return self.server | {"user": client["user"], "password": client.get("password", "")}

    @property
    def server(self) -> dict[str, str]:
        """Where the database's server is, as settings of an option file."""
        answers = self.answers
        if answers.database_host:
            return {"host": answers.database_host, "port": str(answers.database_port)}
        return {"unix_socket": answers.database_socket}


def run_quietly(command: click.Command, arguments: list[str], office: Office) -> None:
    """Run another command of ours; what it prints is of no interest here.  Its errors pass through."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        command.main(arguments, standalone_mode=False, obj=office)


def run_program(*words: str, account: pwd.struct_passwd | None = None, seconds: int = 60) -> str:
    """Run a program, as another system account if one is given; returns its output.  Raises Refused if it fails."""
    as_account: dict[str, Any] = {}
    if account is not None and os.geteuid() == 0:
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
        as_account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            # Python inside FreeRADIUS needs a folder that exists for FreeRADIUS' account, too.
            cwd="/",
            env=os.environ | {"TZ": "UTC", "LC_ALL": "C.UTF-8"},
            **as_account,
        )
    except subprocess.TimeoutExpired:
        raise errors.Refused(
            _("{command} did not end within {seconds} seconds."), command=" ".join(words), seconds=seconds
        ) from None
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or [str(done.returncode)]
        # FreeRADIUS writes several lines; those that say what is wrong have this word.
        said = [line for line in lines if "Error:" in line][:LINES_SHOWN] or lines[-1:]
        raise errors.Refused(_("{command} failed: {cause}"), command=" ".join(words), cause=" ".join(said))
    return str(done.stdout)
