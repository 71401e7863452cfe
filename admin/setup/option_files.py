"""The folders and the option files: one file for each account's password, so that only the program that needs it reads it."""

import grp
import re
import secrets
from pathlib import Path
from typing import NamedTuple

from ..freeradius import files as raddb_files
from ..shell import errors, share
from ..shell.text import _
from . import saved, units
from .machine import ROOT, Machine
from .saved import Owner, Saved
from .steps import Step

PASSWORD_OCTETS = 24


class Account(NamedTuple):
    """A database account with an option file of its own.  `unit` is the systemd unit of the program that uses it."""

    name: str
    unit: str | None = None

    @property
    def group(self) -> str:
        """Its group of the option file."""
        return f"prepaid-{self.name}"


ACCOUNTS = (
    Account("admin"),
    Account("radius"),
    Account("charge", "prepaid-charge.service"),
    Account("enforce", "prepaid-enforce.service"),
    Account("archive", "prepaid-archive.service"),
)


# Of the engine's unit; its main group is FreeRADIUS', so that FreeRADIUS may open its socket.
ENGINE_GROUP = "prepaid-engine"


class Folder(Step):
    """A folder, with its owner and mode.  One that exists stays as it is, if its owner's programs can use it."""

    def __init__(self, path: Path, owner: Owner, mode: int):
        super().__init__(_("Make the folder {path} (mode {mode:04o})").format(path=path, mode=mode))
        self.path, self.owner, self.mode = path, owner, mode

    def is_done(self) -> bool:
        return self.path.is_dir()

    def do(self) -> None:
        for folder in (*reversed(self.path.parents), self.path):
            if not folder.exists():
                self.undo_by(folder.rmdir)
                folder.mkdir(mode=0o755)
        saved.give(self.path, self.owner, self.mode)


class OptionFile(Step):
    """The option file of one database account, with a new password."""

    def __init__(self, machine: Machine, account: Account):
        self.machine, self.account = machine, account
        self.path = machine.folder / f"{account.name}.cnf"
        self.mode = 0o640 if reader_of(machine, account) else 0o600
        super().__init__(
            _("Write {path} (mode {mode:04o}): database account {user}, with a new password").format(
                path=self.path, mode=self.mode, user=user_of(machine, account)
            )
        )

    def is_done(self) -> bool:
        if self.machine.config.exists():
            # The file that includes the others is written last: whatever it does not include is not used.
            return str(self.path) not in self.machine.office.options.missing
        try:
            return saved.has(self.path, self._owner(), self.mode)
        except errors.Refused:
            # The group does not exist yet.
            return False

    def do(self) -> None:
        machine = self.machine
        settings = {
            "user": user_of(machine, self.account),
            "password": secrets.token_urlsafe(PASSWORD_OCTETS),
            **machine.server,
            "database": machine.answers.database,
        }
        lines = [f"[{self.account.group}]", *(f"{name} = {value}" for name, value in settings.items())]
        self.undo_by(machine.read_options_again)
        self.undo_by(Saved(self.path).restore)
        saved.write(self.path, "\n".join([*lines, ""]).encode(), self._owner(), self.mode)
        machine.read_options_again()

    def _owner(self) -> Owner:
        reader = reader_of(self.machine, self.account)
        return self.machine.group_of(reader) if reader else ROOT


class MainFile(Step):
    """The option file that every program reads.  It has no password; it includes the files that have one."""

    def __init__(self, machine: Machine):
        super().__init__(_("Write {path} (mode 0644): the settings, without passwords").format(path=machine.config))
        self.machine = machine

    def is_done(self) -> bool:
        return self.machine.config.exists()

    def do(self) -> None:
        machine = self.machine
        self.undo_by(machine.read_options_again)
        self.undo_by(Saved(machine.config).restore)
        saved.write(machine.config, self._text().encode(), ROOT, 0o644)
        machine.read_options_again()

    def _text(self) -> str:
        answers, folder = self.machine.answers, self.machine.folder
        settings = {
            "key_file": str(folder / "key"),
            "lang": answers.lang,
            "currency": answers.currency,
            "accounting": answers.accounting,
            "queue": answers.queue,
        }
        if answers.raddb != raddb_files.DEFAULT_DIR:
            settings["raddb"] = answers.raddb
        if answers.engine == "yes":
            settings["engine"] = "/run/prepaid-cards/engine"
        return "\n".join(
            [
                "# Written by 'prepaid setup'. The page docs/configuration.md explains every setting.",
                "# Passwords are in the files that are included: each is readable for the program that needs it.",
                "[prepaid]",
                *(f"{name} = {value}" for name, value in settings.items()),
                "",
                *(f"!include {folder / account.name}.cnf" for account in ACCOUNTS),
                "",
            ]
        )


def steps(machine: Machine) -> list[Step]:
    return [Folder(machine.folder, ROOT, 0o755), *(OptionFile(machine, each) for each in ACCOUNTS), MainFile(machine)]


def user_of(machine: Machine, account: Account) -> str:
    """The name of the database account: it begins with the database's name, so that two databases share no account."""
    return f"{machine.answers.database}_{account.name}"


def reader_of(machine: Machine, account: Account) -> str | None:
    """The system group that may read the account's option file: that of the program that uses it.  None: root alone."""
    radius_group = grp.getgrgid(machine.radius_account.pw_gid).gr_name
    if account.name == "radius":
        return ENGINE_GROUP if units.engine_is_wanted(machine) else radius_group
    if account.unit is None:
        return None
    text = (share.folder("raddb-config") / "systemd" / account.unit).read_text(encoding="utf-8")
    found = re.search(r"(?m)^Group=(\S+)", text) or re.search(r"(?m)^User=(\S+)", text)
    if not found or found[1] == "root":
        return None
    # Without its unit, the program runs as FreeRADIUS' account.
    return found[1] if found[1] != "freerad" and units.are_wanted(machine) else radius_group
