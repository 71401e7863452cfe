"""This machine's clock is kept by NTP: sessions, validity and the signature of a Disconnect-Request depend on it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ..shell.text import _
from .finding import Finding, Installation

# Exists if systemd runs the machine.
SYSTEMD = Path("/run/systemd/system")


def check_ntp(_installation: Installation) -> Iterator[Finding]:
    """Where systemd runs, which knows it; a container has its host's clock and says nothing."""
    program = shutil.which("timedatectl")
    if not program or not SYSTEMD.is_dir():
        return
    said = subprocess.run(
        [program, "show", "--property=NTPSynchronized", "--value"], capture_output=True, text=True, timeout=10
    ).stdout.strip()
    if said == "no":
        yield Finding(
            "clock",
            "look",
            _("This machine's clock is not synchronized."),
            _("Install an NTP service: apt-get install systemd-timesyncd"),
        )
