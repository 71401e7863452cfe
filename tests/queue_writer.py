"""Fills the accounting queue as FreeRADIUS does, for tests without FreeRADIUS.

queue = QueueWriter(folder)
queue.write(report("7000000001", "Stop", seconds=600, ago_seconds=30))
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote


def report(
    user_name: str | None,
    status: str,
    *,
    session_id: str | None = "81000001",
    seconds: int | None = None,
    ago_seconds: float = 0.0,
    nas: str = "127.0.0.1",
    at: float | None = None,
    **attributes,
) -> str:
    """The record of a packet that was received `ago_seconds` ago; `Acct_Delay_Time=5` adds an attribute."""
    received_at = (at or time.time()) - ago_seconds
    second, microsecond = int(received_at), int(received_at % 1 * 1_000_000)
    fields = {
        "Tmp-String-1": f"{second}.{microsecond}",
        "Tmp-String-0": nas,
        "Class": attributes.get("Class", ""),
        "User-Name": quote(user_name or "", safe=""),
        "Acct-Status-Type": status,
        "Acct-Session-Id": quote(session_id or "", safe=""),
        "Acct-Session-Time": "" if seconds is None else seconds,
        **{name.replace("_", "-"): value for name, value in attributes.items() if name != "Class"},
        "End": "",
    }
    text = "".join(f"{name}={value}&" for name, value in fields.items())
    assert len(text) <= 2047, "FreeRADIUS would put it into the quarantine"
    return text.ljust(2047, ".") + "\n"


class QueueWriter:
    def __init__(self, folder: Path):
        self.folder = folder
        self.path = folder / "queue"

    def write(self, *records: str) -> None:
        """Append under a lock as FreeRADIUS does, and to a new file if a charger has removed the old one."""
        while True:
            with self.path.open("a") as file:
                fcntl.lockf(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink:
                    file.write("".join(records))
                    return

    def is_empty(self) -> bool:
        return not any(self.folder.glob("queue*"))


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def another_charger(path: Path):
    """Another process that locks a file of the queue, as a charger does, until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
