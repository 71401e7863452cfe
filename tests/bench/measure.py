"""Figures: percentiles, medians, the processor time that a server has used, and how long the disk takes.

>>> percentile([5, 1, 4, 2, 3], 50), percentile(range(1, 101), 99)
(3, 99)
>>> summary([3.0, 1.0, 2.0])
(2.0, 1.0, 3.0)
"""

import math
import os
import time
from pathlib import Path
from statistics import median

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def percentile(values, share: float):
    """The nearest-rank percentile: the smallest value that `share` per cent do not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("There is no percentile of nothing.")
    return ordered[max(math.ceil(share / 100 * len(ordered)) - 1, 0)]


def summary(values) -> tuple:
    """Median, lowest, highest."""
    return median(values), min(values), max(values)


def stat_ticks(stat: str) -> int:
    """utime + stime of a line of /proc/PID/stat.  The command's name may contain spaces and brackets.

    >>> stat_ticks("7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 120 30 0 0 20 0 33 0 1 1 1")
    150
    """
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def cpu_s(pids) -> float:
    """The processor seconds of these processes, with all their threads."""
    return sum(stat_ticks(Path(f"/proc/{pid}/stat").read_text()) for pid in pids) / TICKS_PER_S


def flush_ms(folder: Path, times: int = 20) -> float:
    """How long the disk takes to flush a line, as for a commit; the median of some tries.

    It is printed beside every rate, because commits in sequence cannot be faster.
    """
    path = folder / "flushed"
    taken_s = []
    with path.open("ab", buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(bytes(512))
            os.fdatasync(file.fileno())
            taken_s.append(time.perf_counter() - began)
    path.unlink()
    return 1000 * median(taken_s)


def settle(pids, quiet_s: float = 0.3, limit_s: float = 10.0):
    """Wait until these processes are idle, because a server's work after its answers counts too."""
    ends_at = time.monotonic() + limit_s
    before, since = cpu_s(pids), time.monotonic()
    while time.monotonic() < ends_at and time.monotonic() - since < quiet_s:
        time.sleep(0.05)
        used = cpu_s(pids)
        if used != before:
            before, since = used, time.monotonic()
