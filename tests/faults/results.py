"""The results of the campaigns, in var/faults.json: a list with the newest row of each campaign and platform."""

import fcntl
import json
import os
import platform
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    campaign: str
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    overrun: int = 0
    failed: int = 0
    seconds: float = 0.0


def path() -> Path:
    return Path(os.environ.get("VAR", "var")) / "faults.json"


def record(row: Row) -> None:
    """Add a campaign's figures to those of the others."""
    keep([{**row._asdict(), "platform": this_platform(), "seconds": round(row.seconds, 1)}])


def keep(found: list[dict]) -> None:
    """Add rows; they replace those of the same campaign and platform."""
    path().parent.mkdir(parents=True, exist_ok=True)
    with path().with_suffix(".lock").open("w") as lock:
        # Several campaigns may run at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = json.loads(path().read_text()) if path().exists() else []
        new = {(row["campaign"], row["platform"]) for row in found}
        rows = [row for row in rows if (row["campaign"], row["platform"]) not in new]
        unfinished = path().with_suffix(".unfinished")
        unfinished.write_text(json.dumps([*rows, *found], indent=1) + "\n")
        unfinished.rename(path())


def this_platform() -> str:
    """The platform by /etc/os-release, as in "Debian 12"."""
    release = platform.freedesktop_os_release()
    return f"{release['NAME'].split()[0]} {release.get('VERSION_ID', '')}".strip()
