"""systemd's units: the programs that run beside FreeRADIUS, and the timers."""

import os
import re
import shutil
import sys
from pathlib import Path

from ..freeradius import files as raddb_files
from ..shell import errors, share
from ..shell.text import _
from . import saved
from .machine import ROOT, Machine, run_program
from .saved import Saved
from .steps import Step

# The folder exists while systemd is process 1.
RUNNING = Path("/run/systemd/system")
# The administrator's units, and those of packages, which setup does not touch.
FOLDER = Path("/etc/systemd/system")
PACKAGED = (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))

CHARGE = "prepaid-charge.service"
ENFORCE = "prepaid-enforce.service"
ENGINE = "prepaid-engine.service"


class Unit(Step):
    """A unit that runs now and after each boot."""

    def __init__(self, machine: Machine, name: str):
        super().__init__(_("Start {unit}, now and after each boot").format(unit=name))
        self.machine, self.unit = machine, name

    def is_done(self) -> bool:
        return all(map(is_installed, files_of(self.unit))) and is_enabled(self.unit) and is_active(self.unit)

    def do(self) -> None:
        for name in files_of(self.unit):
            if not is_installed(name):
                self.undo_by(reload)
                self.undo_by(Saved(FOLDER / name).restore)
                saved.write(FOLDER / name, text_of(self.machine, name).encode(), ROOT, 0o644)
        reload()
        verb = "stop" if is_enabled(self.unit) else "disable"
        self.undo_by(lambda: run_program("systemctl", verb, *([] if verb == "stop" else ["--now"]), self.unit))
        run_program("systemctl", "enable", "--now", self.unit)
        # A program that ends at once is started again and again; enable does not see that.
        run_program("systemctl", "is-active", self.unit)


def steps(machine: Machine) -> list[Step]:
    """The units, where systemd runs and the administrator wants them."""
    return [Unit(machine, name) for name in wanted(machine)] if are_wanted(machine) else []


def are_wanted(machine: Machine) -> bool:
    return machine.answers.units == "yes" and is_systemd()


def engine_is_wanted(machine: Machine) -> bool:
    """Whether an engine under an account of its own decides, so that FreeRADIUS needs neither key nor password."""
    return machine.answers.engine == "yes" and are_wanted(machine)


def wanted(machine: Machine) -> list[str]:
    """The units that an installation starts: what works beside FreeRADIUS, and every timer."""
    services = [ENGINE] if machine.answers.engine == "yes" else []
    return [*services, CHARGE, ENFORCE, *sorted(path.name for path in _folder().glob("prepaid-*.timer"))]


def shipped() -> list[str]:
    """The names of all units of the product."""
    return sorted(path.name for path in _folder().iterdir() if re.fullmatch(r"prepaid-.*\.(service|timer)", path.name))


def files_of(unit: str) -> list[str]:
    """The files of a unit: a timer also needs the service that it starts."""
    if unit.endswith(".timer"):
        return [unit.removesuffix(".timer") + ".service", unit]
    return [unit]


def text_of(machine: Machine, name: str) -> str:
    """The text of a shipped unit, with the paths and the account of this machine."""
    text = (_folder() / name).read_text(encoding="utf-8")
    for shipped_path, path in (
        ("/opt/prepaid-cards/bin/prepaid", program()),
        ("/etc/prepaid-cards/prepaid.cnf", str(machine.config)),
        (raddb_files.QUEUE, machine.answers.queue),
    ):
        text = text.replace(shipped_path, path)
    account = machine.radius_account.pw_name
    return re.sub(r"\bfreerad\b", account, text)


def by_hand(machine: Machine) -> list[str]:
    """What a person has to start where systemd does not run, as command lines."""
    lines = []
    for name in wanted(machine):
        service = files_of(name)[0]
        found = re.search(r"(?m)^ExecStart=(.*)$", text_of(machine, service))
        when = _(" (every night)") if name.endswith(".timer") else ""
        lines.append(f"{found[1] if found else service}{when}")
    return lines


def program() -> str:
    """The path of the command `prepaid` of this installation."""
    beside = Path(sys.executable).parent / "prepaid"
    return str(beside) if beside.exists() else shutil.which("prepaid") or os.path.abspath(sys.argv[0])


def is_systemd() -> bool:
    return RUNNING.is_dir()


def is_installed(name: str) -> bool:
    return any((folder / name).exists() for folder in (FOLDER, *PACKAGED))


def is_enabled(unit: str) -> bool:
    """Whether it starts at each boot.  A service that only its timer starts is not enabled, but static."""
    return _answer("is-enabled", unit).startswith("enabled")


def is_active(unit: str) -> bool:
    return _answer("is-active", unit) == "active"


def reload() -> None:
    """Let systemd read the files of its units again."""
    run_program("systemctl", "daemon-reload")


def _answer(question: str, unit: str) -> str:
    """systemctl's answer; empty if it says no."""
    try:
        return run_program("systemctl", question, unit).strip()
    except errors.Refused:
        return ""


def _folder() -> Path:
    return share.folder("raddb-config") / "systemd"
