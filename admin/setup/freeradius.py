"""FreeRADIUS' side: the product's files in its directory, FreeRADIUS' own check of them, and its restart."""

from typing import Any

from ..freeradius import check, install, program, record
from ..shell import errors
from ..shell.text import _
from . import units
from .machine import Machine, run_program
from .saved import Saved
from .steps import Step

SERVICE = "freeradius.service"


class FreeRadius(Step):
    """The product's sites and modules in FreeRADIUS' directory.

    FreeRADIUS is restarted only after its own check has accepted the files, so that a fault in them stops no other customer.
    """

    def __init__(self, machine: Machine):
        answers = machine.answers
        if answers.freeradius == "into":
            name = _("Put cards into the site {site} of {raddb}, and restart FreeRADIUS (one second without answers)")
        else:
            name = _(
                "Put the sites of prepaid cards into {raddb}, on ports {auth_port} and {acct_port}, and restart FreeRADIUS (one "
                "second without answers)"
            )
        super().__init__(
            name.format(
                site=answers.site, raddb=answers.raddb, auth_port=answers.auth_port, acct_port=answers.acct_port
            )
        )
        self.machine = machine

    def is_done(self) -> bool:
        if not self.machine.config.exists():
            return False
        found = record.read_record(self.machine.answers.directory)["choice"]
        wanted = {"into": None, **self._options()}
        same = all(_as_list(found.get(name)) == _as_list(value) for name, value in wanted.items())
        return same and not self._problems()

    def do(self) -> None:
        directory = self.machine.answers.directory
        service = Service()
        self.undo_by(service.restore)
        self.undo_by(Saved(directory).restore)
        install.install_files(self.machine.office, directory, **self._options())
        for problem in self._problems():
            raise errors.Refused("{path}: {what}", path=problem["path"], what=problem["what"])
        check_configuration(self.machine)
        service.restart()

    def _problems(self) -> list[check.Problem]:
        return check.problems_of(self.machine.office, self.machine.answers.directory)

    def _options(self) -> dict[str, Any]:
        """The options of the installation."""
        answers = self.machine.answers
        if answers.freeradius == "into":
            return {"into": answers.site}
        options: dict[str, Any] = {"auth_port": answers.auth_port, "acct_port": answers.acct_port}
        return options | ({"addresses": (answers.listen,)} if answers.listen else {})


class Service:
    """FreeRADIUS as a service of systemd; without systemd a person restarts it."""

    def __init__(self) -> None:
        self.was_active = units.is_systemd() and units.is_active(SERVICE)
        self.was_changed = False

    def restart(self) -> None:
        if units.is_systemd():
            self.was_changed = True
            run_program("systemctl", "restart", SERVICE)
            run_program("systemctl", "is-active", SERVICE)

    def stop(self) -> None:
        if self.was_active:
            self.was_changed = True
            run_program("systemctl", "stop", SERVICE)

    def restore(self) -> None:
        """Let it run, or stand, as before; with the files that are in its directory now."""
        if self.was_changed:
            run_program("systemctl", "restart" if self.was_active else "stop", SERVICE)


def _as_list(value: object) -> object:
    """A tuple as the list that JSON makes of it."""
    return list(value) if isinstance(value, tuple) else value


def check_configuration(machine: Machine) -> None:
    """FreeRADIUS' own check of its files, with its own account's rights.  Raises Refused."""
    run_program(
        program.freeradius_program(), "-C", "-l", "stdout", "-d", machine.answers.raddb, account=machine.radius_account
    )


def steps(machine: Machine) -> list[Step]:
    return [FreeRadius(machine)]
