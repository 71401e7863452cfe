"""What the campaigns found, in var/faults.json: a list of rows, the newest of each campaign and platform."""

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


def record(row: Row) -> None:
    """Keep a campaign's figures beside those of the others."""
    path = Path(os.environ.get("VAR", "var")) / "faults.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        # Several campaigns may run at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write(path, row)


def _write(path: Path, row: Row) -> None:
    rows = json.loads(path.read_text()) if path.exists() else []
    found = {**row._asdict(), "platform": this_platform(), "seconds": round(row.seconds, 1)}
    same = ("campaign", "platform")
    rows = [old for old in rows if any(old[name] != found[name] for name in same)]
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps([*rows, found], indent=1) + "\n")
    unfinished.rename(path)


def this_platform() -> str:
    """"Debian 12", as /etc/os-release says it."""
    release = platform.freedesktop_os_release()
    return f"{release['NAME'].split()[0]} {release.get('VERSION_ID', '')}".strip()
