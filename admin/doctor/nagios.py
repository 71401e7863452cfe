"""prepaid doctor --nagios: one line and an exit status, as Nagios, Icinga and Zabbix expect of a plugin."""

import time
from collections.abc import Iterable

from freeradius_module.printable import one_line

from .finding import Finding

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
# Older servers cut a line at 1,024 octets, and performance data with it.
TEXT_MAX = 700


def summary(findings: Iterable[Finding], began: float) -> tuple[str, int]:
    """The line and the exit status.

    >>> line, status = summary([Finding("queue", "fault", "No charger runs."), Finding("nas", "ok", "3")], time.monotonic())
    >>> line.split(" seconds=")[0], status
    ('PREPAID CRITICAL - queue: No charger runs. | faults=1;;0;0 warnings=0;0;;0 ok=1;;;0', 2)
    >>> summary([Finding("nas", "ok", "3")], 0.0)[0].split(" | ")[0]
    'PREPAID OK - 1 checks'
    """
    found = list(findings)
    by_state = {state: [one for one in found if one.state == state] for state in ("fault", "look", "ok")}
    status = CRITICAL if by_state["fault"] else WARNING if by_state["look"] else OK
    told = [f"{one.check}: {one.detail}" for one in (*by_state["fault"], *by_state["look"])]
    text = "; ".join(told) if told else f"{len(found)} checks"
    data = (
        f"faults={len(by_state['fault'])};;0;0 warnings={len(by_state['look'])};0;;0 ok={len(by_state['ok'])};;;0 "
        f"seconds={time.monotonic() - began:.2f}s;;;0"
    )
    return f"{_line(status, text)} | {data}", status


def unknown(cause: str) -> tuple[str, int]:
    """The same where nothing could be checked.

    >>> unknown("no option file | none")
    ('PREPAID UNKNOWN - no option file / none', 3)
    """
    return _line(UNKNOWN, cause), UNKNOWN


def _line(status: int, text: str) -> str:
    # The first bar begins the performance data.
    return f"PREPAID {WORDS[status]} - {one_line(text).replace('|', '/')[:TEXT_MAX]}"
