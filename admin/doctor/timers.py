"""The nightly work: whether archive, reconcile and audit have run lately, and what they found."""

import time
from collections.abc import Iterator

from .. import store
from ..shell.text import _
from .finding import Finding, Installation

NAME = "nightly_runs"
# Two nights: one may be missed by a machine that was off.
OVERDUE_SECONDS = 2 * 86_400
COMMANDS = {"archive": "prepaid db archive", "reconcile": "prepaid reconcile", "audit": "prepaid audit verify"}


def check_nightly_runs(installation: Installation) -> Iterator[Finding]:
    with installation.office.reading() as cursor:
        runs = store.run.last_runs(cursor)
        installed_seconds = store.doctor.installed_seconds(cursor)
    findings = []
    for work, command in COMMANDS.items():
        ended_at, faults = runs.get(work, (None, 0))
        age_seconds = installed_seconds if ended_at is None else time.time() - ended_at
        if faults:
            findings.append(
                Finding(
                    NAME,
                    "fault",
                    _("The last '{command}' found {count} faults.").format(command=command, count=faults),
                    command,
                )
            )
        if age_seconds > OVERDUE_SECONDS:
            findings.append(
                Finding(
                    NAME,
                    "look",
                    _("'{command}' has not run for {hours} hours.").format(
                        command=command, hours=int(age_seconds // 3600)
                    ),
                    _("Run it every night by a timer; see docs/operations.md."),
                )
            )
    yield from findings or [Finding(NAME, "ok", _("archive, reconcile and audit run"))]
