"""The system accounts of the units, the group that may read the key, and the queue that FreeRADIUS and the charger share.

The package has made them; setup makes them where the product was installed by pip.
"""

import grp
import pwd
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..freeradius import files as raddb_files
from ..shell import share
from ..shell.text import _
from . import saved, units
from .machine import KEY_GROUP, ROOT, Machine, run_program
from .option_files import Folder
from .saved import Owner, Saved, SavedFolder
from .steps import Step

# The files of systemd-sysusers and systemd-tmpfiles: the administrator's folders, and those of packages.
SYSUSERS = (Path("/etc/sysusers.d"), Path("/usr/lib/sysusers.d"))
TMPFILES = (Path("/etc/tmpfiles.d"), Path("/usr/lib/tmpfiles.d"))
FILE = "prepaid-cards.conf"


class SystemAccounts(Step):
    """The accounts that the units run as."""

    def __init__(self, text: str):
        self.text = text
        self.users = re.findall(r"(?m)^u\s+(\S+)", text)
        self.groups = re.findall(r"(?m)^g\s+(\S+)", text)
        super().__init__(_("Make the system accounts {names}").format(names=", ".join([*self.groups, *self.users])))

    def is_done(self) -> bool:
        return not self._missing()

    def do(self) -> None:
        missing = self._missing()
        self.undo_by(partial(self._remove, missing))
        path = SYSUSERS[0] / FILE
        write_new(self, path, self.text)
        run_program("systemd-sysusers", str(path))

    def _missing(self) -> list[tuple[str, str]]:
        """The commands that remove what does not exist yet, and the names."""
        users = [("userdel", name) for name in self.users if not _exists(pwd.getpwnam, name)]
        return users + [("groupdel", name) for name in self.groups if not _exists(grp.getgrnam, name)]

    def _remove(self, made: list[tuple[str, str]]) -> None:
        still_missing = self._missing()
        for command, name in made:
            if (command, name) not in still_missing:
                run_program(command, name)


class KeyReader(Step):
    """FreeRADIUS' account in the group that may read the key: without an engine it decides by itself."""

    def __init__(self, machine: Machine):
        self.account = machine.radius_account.pw_name
        super().__init__(
            _("Let FreeRADIUS' account {account} read the key (group {group})").format(
                account=self.account, group=KEY_GROUP
            )
        )

    def is_done(self) -> bool:
        return _exists(grp.getgrnam, KEY_GROUP) and self.account in grp.getgrnam(KEY_GROUP).gr_mem

    def do(self) -> None:
        self.undo_by(partial(run_program, "gpasswd", "--delete", self.account, KEY_GROUP))
        run_program("usermod", "--append", "--groups", KEY_GROUP, self.account)


class Queue(Step):
    """The queue's folder: FreeRADIUS writes it, and the charger, which has an account of its own, reads and removes."""

    def __init__(self, machine: Machine, text: str):
        self.path = Path(machine.answers.queue)
        account = machine.radius_account.pw_name
        self.text = re.sub(r"\bfreerad\b", account, text.replace(raddb_files.QUEUE, str(self.path)))
        self.group = re.findall(rf"(?m)^d\s+{re.escape(str(self.path))}\s+\S+\s+\S+\s+(\S+)", self.text)[0]
        super().__init__(
            _("Make the queue {path}, for FreeRADIUS and the group {group}").format(path=self.path, group=self.group)
        )

    def is_done(self) -> bool:
        if not self.path.is_dir() or not _exists(grp.getgrnam, self.group):
            return False
        return self.path.stat().st_gid == grp.getgrnam(self.group).gr_gid

    def do(self) -> None:
        self.undo_by(SavedFolder(self.path).restore)
        path = TMPFILES[0] / FILE
        if str(self.path) == raddb_files.QUEUE and (TMPFILES[1] / FILE).exists():
            path = TMPFILES[1] / FILE
        else:
            write_new(self, path, self.text)
        run_program("systemd-tmpfiles", "--create", str(path))


def steps(machine: Machine) -> list[Step]:
    """Accounts, then the folder of the queue.  Without the units, FreeRADIUS' account is the charger's, too."""
    sysusers, tmpfiles = (_shipped(name) for name in ("sysusers.conf", "tmpfiles.conf"))
    if units.are_wanted(machine) and sysusers and tmpfiles:
        key_readers = [] if units.engine_is_wanted(machine) else [KeyReader(machine)]
        return [SystemAccounts(sysusers), *key_readers, Queue(machine, tmpfiles)]
    account = machine.radius_account
    return [Folder(Path(machine.answers.queue), Owner(account.pw_uid, account.pw_gid), 0o750)]


def own_files() -> list[Path]:
    """The files that setup has written for systemd-sysusers and systemd-tmpfiles."""
    return [path for path in (SYSUSERS[0] / FILE, TMPFILES[0] / FILE) if path.exists()]


def write_new(step: Step, path: Path, text: str) -> None:
    """Write a configuration file, with its folder, for a step that can be undone."""
    if not path.parent.is_dir():
        step.undo_by(path.parent.rmdir)
        path.parent.mkdir(mode=0o755)
    step.undo_by(Saved(path).restore)
    saved.write(path, text.encode(), ROOT, 0o644)


def _shipped(name: str) -> str:
    path = share.folder("raddb-config") / "systemd" / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _exists(look_up: Callable[[str], object], name: str) -> bool:
    try:
        look_up(name)
    except KeyError:
        return False
    return True
