"""A command that runs as a service of systemd: it says when it is ready, and again and again that it still works.

systemd restarts a service that no longer says so (`WatchdogSec=` of its unit).  So `works` is called by the loop that does
the work, never by a thread of its own, which would go on while the loop hangs.  Outside systemd nothing is said.
"""

import math
import time
from importlib import metadata

from systemd_watchdog.systemd_watchdog import WatchDog

# `systemctl status` shows it; `prepaid doctor` compares it with what is installed.
STATUS = "version "


def version_of_status(status: str) -> str | None:
    """The version of a running service by what it has said; None if it has said none.

    >>> version_of_status("version 0.1.0"), version_of_status("")
    ('0.1.0', None)
    """
    return status.removeprefix(STATUS) if status.startswith(STATUS) else None


class Service:
    def __init__(self) -> None:
        self._systemd = WatchDog()
        # A third of the time after which systemd acts.  It is measured here by a clock that nobody sets.
        self._pause_seconds = self._systemd.timeout_td.total_seconds() / 3
        self._said_at = -math.inf

    def is_ready(self) -> None:
        """The service has started.  Units that are ordered after it start now."""
        self._systemd.status(f"{STATUS}{metadata.version('prepaid-cards')}")
        self._systemd.ready()

    def works(self) -> None:
        """The loop has come round once more."""
        now = time.monotonic()
        if now >= self._said_at + self._pause_seconds:
            self._said_at = now
            self._systemd.notify()
