"""What runs is what was enabled and what is installed: after an upgrade no program may go on with the old code."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from ..shell.service import version_of_status
from ..shell.text import _
from .finding import Finding, Installation

NAME = "running"
SYSTEMD_RUNS = Path("/run/systemd/system")
SERVICES = ("prepaid-engine", "prepaid-charge", "prepaid-enforce")
UNITS = "units"
TIMERS = tuple(f"prepaid-{work}.timer" for work in ("archive", "reconcile", "audit", "purge"))
SHOW_SECONDS = 10


def check_running(_installation: Installation) -> Iterator[Finding]:
    """Each unit that runs has the installed version, from this installation; FreeRADIUS was started after it was installed."""
    if not SYSTEMD_RUNS.exists():
        return
    installed = metadata.version("prepaid-cards")
    old = [finding for unit in SERVICES if (finding := _of_service(unit, installed))]
    if radius := _of_freeradius():
        old.append(radius)
    yield from old or [Finding(NAME, "ok", f"prepaid-cards {installed}")]


def check_units(_installation: Installation) -> Iterator[Finding]:
    """Each service and timer that starts at the boot runs now."""
    if not SYSTEMD_RUNS.exists():
        return
    units = (*(f"{service}.service" for service in SERVICES), *TIMERS)
    shown = {unit: _show(unit) for unit in units}
    enabled = [unit for unit in units if shown[unit].get("UnitFileState") == "enabled"]
    idle = [unit for unit in enabled if shown[unit]["ActiveState"] != "active"]
    for unit in idle:
        yield Finding(
            UNITS,
            "fault",
            _("{unit} starts at the boot, but does not run now.").format(unit=unit),
            f"systemctl start {unit}; journalctl -u {unit}",
        )
    if enabled and not idle:
        yield Finding(UNITS, "ok", _("{count} services and timers run").format(count=len(enabled)))


def _of_service(unit: str, installed: str) -> Finding | None:
    shown = _show(unit)
    if not shown["MainPID"]:
        return None
    cure = f"systemctl daemon-reload && systemctl restart {unit}"
    program = _program(shown["MainPID"])
    if program and not program.is_relative_to(sys.prefix):
        return Finding(
            NAME, "fault", _("{unit} runs {program}, not this installation.").format(unit=unit, program=program), cure
        )
    if (version := version_of_status(shown["StatusText"])) != installed:
        return Finding(
            NAME,
            "fault",
            _("{unit} runs version {version}; version {installed} is installed.").format(
                unit=unit, version=version or "?", installed=installed
            ),
            cure,
        )
    return None


def _of_freeradius() -> Finding | None:
    """The module is loaded when FreeRADIUS starts, and it says no version: the times are compared."""
    pid = _show("freeradius")["MainPID"]
    files = metadata.distribution("prepaid-cards").locate_file("freeradius_module/hooks.py")
    # The time of the change of the file's entry: a package sets the other time to that of its release.
    if pid and _started_at(pid) < Path(str(files)).stat().st_ctime:
        return Finding(
            NAME,
            "fault",
            _("FreeRADIUS was started before this version was installed, so it may run the version before."),
            "systemctl restart freeradius",
        )
    return None


def _show(unit: str) -> dict[str, str]:
    """The properties of a unit, by their names; MainPID is empty if it does not run."""
    done = subprocess.run(
        ["systemctl", "show", "--property", "MainPID,StatusText,UnitFileState,ActiveState", unit],
        capture_output=True, text=True, errors="replace", timeout=SHOW_SECONDS,
    )  # fmt: skip
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    pid = found.get("MainPID", "0")
    return {"StatusText": "", "ActiveState": "", **found, "MainPID": "" if pid == "0" else pid}


def _program(pid: str) -> Path | None:
    """The command of a Python process, by its path; None if it cannot be read."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    return Path(arguments[1].decode(errors="replace")) if len(arguments) > 1 else None


def _started_at(pid: str) -> float:
    """When a process was started, in seconds since 1970: proc(5), field 22, counted from the boot."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    booted_at = next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if "btime" in line)
    return booted_at + ticks / os.sysconf("SC_CLK_TCK")
