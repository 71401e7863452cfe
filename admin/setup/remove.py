"""prepaid setup --remove: takes out FreeRADIUS' side, the units and the option files.

The database, the key and the queue stay unless somebody types the name of the database, because they are what people paid for.
Whatever can be restored is removed first and restored if a later step fails; the database is last.
"""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .. import db, store
from ..freeradius import record, remove
from ..shell import errors
from ..shell.text import _
from . import accounts, units
from .freeradius import Service, check_configuration
from .machine import Machine, run_program
from .option_files import ACCOUNTS
from .saved import Saved
from .steps import Step


class StopUnit(Step):
    """A unit of the product that does not run any more, neither now nor after a boot."""

    def __init__(self, name: str):
        super().__init__(_("Stop {unit}, now and after each boot").format(unit=name))
        self.unit = name

    def is_done(self) -> bool:
        return not units.is_enabled(self.unit) and not units.is_active(self.unit)

    def do(self) -> None:
        was_enabled, was_active = units.is_enabled(self.unit), units.is_active(self.unit)
        if was_active:
            self.undo_by(partial(run_program, "systemctl", "start", self.unit))
        if was_enabled:
            self.undo_by(partial(run_program, "systemctl", "enable", self.unit))
        run_program("systemctl", "disable", "--now", self.unit)
        run_program("systemctl", "stop", self.unit)


class UnitFiles(Step):
    """The units that setup wrote; those of a package belong to the package."""

    def __init__(self) -> None:
        super().__init__(_("Remove the units in {folder}").format(folder=units.FOLDER))

    def is_done(self) -> bool:
        return not self._paths()

    def do(self) -> None:
        self.undo_by(units.reload)
        for path in self._paths():
            self.undo_by(Saved(path).restore)
            path.unlink()
        units.reload()

    def _paths(self) -> list[Path]:
        return [path for name in units.shipped() if (path := units.FOLDER / name).exists()] + accounts.own_files()


class TakeOut(Step):
    """FreeRADIUS without cards.  Its other customers are served as before."""

    def __init__(self, machine: Machine):
        super().__init__(
            _("Take prepaid cards out of {raddb}, and restart FreeRADIUS (one second without answers)").format(
                raddb=machine.answers.raddb
            )
        )
        self.machine = machine

    def is_done(self) -> bool:
        return not (self.machine.answers.directory / record.RECORD).exists()

    def do(self) -> None:
        directory = self.machine.answers.directory
        service = Service()
        self.undo_by(service.restore)
        self.undo_by(Saved(directory).restore)
        remove.remove_files(directory)
        if any((directory / "sites-enabled").iterdir()):
            check_configuration(self.machine)
            service.restart()
        else:
            # FreeRADIUS does not start without a site.
            service.stop()


class RemoveFile(Step):
    """A file, which is written again if a later step fails."""

    def __init__(self, machine: Machine, path: Path, name: str):
        super().__init__(name.format(path=path))
        self.machine, self.path = machine, path

    def is_done(self) -> bool:
        return not self.path.exists()

    def do(self) -> None:
        self.undo_by(self.machine.read_options_again)
        self.undo_by(Saved(self.path).restore)
        self.path.unlink()


class RemoveQueue(Step):
    """The queue's folder.  Reports in it that nobody charged are lost."""

    def __init__(self, path: Path):
        super().__init__(_("Remove the queue {path}").format(path=path))
        self.path = path

    def is_done(self) -> bool:
        return not self.path.exists()

    def do(self) -> None:
        self.undo_by(Saved(self.path).restore)
        for file in self.path.iterdir():
            file.unlink()
        self.path.rmdir()


class DropDatabase(Step):
    """The database with all cards, and its accounts.  Nothing brings them back but a backup, so this is the last step."""

    def __init__(self, machine: Machine):
        office = machine.office
        self.machine, self.database = machine, db.database_name(office)
        super().__init__(
            _("DROP the database {database} with all cards, and its accounts").format(database=self.database)
        )
        # The option files are removed before.
        self.owner = machine.owner()
        self.users = {office.settings(each.group).get("user") for each in ACCOUNTS} - {None}

    def is_done(self) -> bool:
        return False

    def do(self) -> None:
        self.machine.office.close()
        with self.machine.owner_connection(self.owner) as connection, connection.cursor() as cursor:
            if "operator_role" in store.setup.tables(cursor, self.database):
                store.schema.use(cursor, self.database)
                for operator in store.operator.listed(cursor, None):
                    if operator["operator"] not in self.users:
                        store.operator.remove(cursor, self.database, operator["operator"])
            store.setup.drop_database(cursor, self.database)
            for user, host in store.setup.accounts(cursor):
                if user in self.users or (not host and user.startswith(f"{self.database}:")):
                    store.setup.drop_account(cursor, user, host)


def machine_as_it_is(machine: Machine) -> Machine:
    """The machine with the places that its option file names."""
    if not machine.config.exists():
        return machine
    settings, admin = machine.office.settings("prepaid"), machine.office.settings("prepaid-admin")
    changes: dict[str, Any] = {
        "raddb": settings.get("raddb") or machine.answers.raddb,
        "queue": settings.get("queue") or machine.answers.queue,
        "database": db.database_name(machine.office),
        "database_socket": admin.get("unix_socket") or admin.get("socket") or machine.answers.database_socket,
        "database_host": admin.get("host"),
        "database_port": int(admin.get("port") or machine.answers.database_port),
    }
    return Machine(machine.config, replace(machine.answers, **changes))


def plan(machine: Machine, *, remove_data: bool) -> list[Step]:
    """The steps of the removal.  Without an option file there may be units and files of FreeRADIUS' side, all the same."""
    steps: list[Step] = []
    if units.is_systemd():
        stopped = [name for name in units.shipped() if name.endswith(".timer")]
        stopped += [name for name in units.shipped() if name.endswith(".service")]
        steps = [StopUnit(name) for name in stopped]
        steps += [UnitFiles()]
    steps.append(TakeOut(machine))
    if not machine.config.exists():
        if remove_data:
            raise errors.Refused(
                _("There is no option file {config}, so the database is not known. Drop it in the mysql shell."),
                config=machine.config,
            )
        return steps
    # Opened here, because afterwards there is no option file.
    key_file = machine.key_file
    drop = DropDatabase(machine) if remove_data else None
    steps += [
        RemoveFile(machine, Path(path), _("Remove the option file {path}"))
        for path in reversed(machine.office.options.files)
        if Path(os.path.abspath(path)).parent == machine.folder
    ]
    if drop:
        steps.append(RemoveFile(machine, key_file, _("Remove the key file {path}, without which no PIN can be read")))
        steps.append(RemoveQueue(Path(machine.answers.queue)))
        steps.append(drop)
    return steps
