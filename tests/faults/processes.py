"""What a process uses: memory, file handles, threads."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple


class Held(NamedTuple):
    memory_kib: int
    handles: int
    threads: int

    def __str__(self):
        return f"{self.memory_kib // 1024} MiB, {self.handles} handles, {self.threads} threads"


def held(pid: int) -> Held:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return Held(int(status["VmRSS"].split()[0]), len(list(Path(f"/proc/{pid}/fd").iterdir())), int(status["Threads"]))


def open_files(pid: int) -> list[str]:
    """The targets of its file handles, as in 'socket:[4711]'."""
    found = []
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        # It may be closed before we look.
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(handle))
    return found
