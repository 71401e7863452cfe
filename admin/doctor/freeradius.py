"""FreeRADIUS: its version, its directory, and its own check of its configuration."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ..freeradius import check, program, raddb_directory
from ..freeradius import files as raddb_files
from ..shell.text import _
from .finding import Finding, Installation

CHECK_SECONDS = 60
# Options of radiusd.conf: the first two write PINs into the log, the third allows cores, which hold PINs and keys.
PIN_LEAKS = ("auth_badpass", "auth_goodpass", "allow_core_dumps")


def check_freeradius(installation: Installation) -> Iterator[Finding]:
    version = program.freeradius_version()
    raddb_files.check_version(version)
    yield Finding("freeradius", "ok", ".".join(map(str, version)))
    yield from _pin_leaks(installation)
    problems = check.problems_of(installation.office, installation.directory)
    for problem in problems:
        yield Finding(
            "raddb",
            "fault",
            f"{problem['path']}: {problem['what']}",
            f"prepaid raddb install --dir {installation.directory}",
        )
    if not problems:
        yield Finding("raddb", "ok", str(installation.directory))
        yield from _configuration(installation)


def _pin_leaks(installation: Installation) -> Iterator[Finding]:
    """Options that Debian turns off, and that somebody may have turned on to look for a fault."""
    path = installation.directory / "radiusd.conf"
    found = dict.fromkeys(
        re.findall(rf'(?mi)^\s*({"|".join(PIN_LEAKS)})\s*=\s*"?(?:yes|on)\b', raddb_directory.content(path) or "")
    )
    if found:
        yield Finding(
            "pins",
            "fault",
            _("{path} turns on {options}, so FreeRADIUS writes PINs to the disk.").format(
                path=path, options=", ".join(found)
            ),
            _("Set them to no, restart FreeRADIUS, and remove the log and the cores that it has written."),
        )


def _configuration(installation: Installation) -> Iterator[Finding]:
    """FreeRADIUS' own check, which also loads the module.  Only root can read all of its files."""
    name = "configuration"
    if os.geteuid() != 0:
        yield Finding(name, "look", _("FreeRADIUS' own check was not run."), _("Run this as root."))
        return
    by_hand = f"freeradius -XC -d {installation.directory}"
    try:
        done = subprocess.run(
            [program.freeradius_program(), "-C", "-l", "stdout", "-d", str(installation.directory)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CHECK_SECONDS,
            env=os.environ | {"TZ": "UTC"},
        )
    except subprocess.TimeoutExpired:
        yield Finding(name, "fault", _("FreeRADIUS' own check does not end."), by_hand)
        return
    if done.returncode == 0:
        yield Finding(name, "ok", _("FreeRADIUS accepts it"))
    else:
        fault = _line_of_fault(done.stdout + done.stderr, installation.directory)
        yield Finding(name, "fault", fault or str(done.returncode), by_hand)


def _line_of_fault(text: str, directory: Path) -> str:
    """The place of the fault and what it is; FreeRADIUS' last line if none names a place, because it says only that there is one.

    >>> _line_of_fault("Error: /etc/raddb/mods-enabled/x[3]: Expecting '}'\\nErrors reading /etc/raddb", Path("/etc/raddb"))
    "/etc/raddb/mods-enabled/x[3]: Expecting '}'"
    """
    if found := re.search(rf"{re.escape(str(directory))}\S*\[\d+\].*", text):
        return found[0]
    return (text.strip().splitlines() or [""])[-1]
