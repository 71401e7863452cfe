"""The accounting queue: its directory, its charger, its quarantine, its disk."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from ..freeradius import files as raddb_files
from ..freeradius import raddb_directory
from ..queue.files import Queue, age_seconds, count_lines
from ..shell.text import _
from .finding import Finding, Installation

NAME = "queue"
# A running charger charges within a second.
LAG_SECONDS = 60
FREE_OCTETS = 1_000_000_000


def check_queue(installation: Installation) -> Iterator[Finding]:
    folder_name = installation.module_settings.queue
    if not folder_name:
        yield from _without_queue(installation)
        return
    folder = Path(folder_name)
    if not folder.is_dir():
        yield Finding(
            NAME, "fault", _("The directory {path} does not exist.").format(path=folder), "sudo prepaid raddb install"
        )
        return
    findings = list(_problems(installation, Queue(folder)))
    yield from findings or [Finding(NAME, "ok", str(folder))]


def _without_queue(installation: Installation) -> Iterator[Finding]:
    quarantine = raddb_directory.quarantine_in_log(installation.directory)
    if count := count_lines(quarantine):
        yield Finding(NAME, "look", _in_quarantine(count), str(quarantine))
    yield Finding(
        NAME,
        "look",
        _("There is none: while the database is away, accounting is not acknowledged."),
        _("Set queue = {path} in {config}, and run 'prepaid raddb install'.").format(
            path=raddb_files.QUEUE, config=installation.office.config_path
        ),
    )


def _problems(installation: Installation, queue: Queue) -> Iterator[Finding]:
    waiting = queue.waiting()
    user = installation.radiusd_user
    if user and not raddb_directory.may_write(user, queue.folder):
        yield Finding(
            NAME,
            "fault",
            _("FreeRADIUS runs as {user}, who may not write to {path}.").format(user=user, path=queue.folder),
            f"chown {user} {queue.folder}",
        )
    if not queue.is_charged():
        yield Finding(NAME, "fault", _("No charger runs."), "systemctl enable --now prepaid-charge")
    elif (lag := age_seconds(waiting.oldest_at)) > LAG_SECONDS:
        yield Finding(
            NAME,
            "fault",
            _("{count} packets wait, the oldest for {seconds} s.").format(count=waiting.records, seconds=round(lag)),
            _("Read the charger's log: journalctl -u prepaid-charge"),
        )
    if count := sum(1 for _each in queue.quarantined()):
        yield Finding(NAME, "look", _in_quarantine(count), "prepaid queue quarantine")
    if shutil.disk_usage(queue.folder).free < FREE_OCTETS:
        yield Finding(
            NAME,
            "look",
            _("The disk of {path} is nearly full.").format(path=queue.folder),
            _("Free some space: on a full disk accounting is not acknowledged."),
        )


def _in_quarantine(count: int) -> str:
    return _("{count} packets are in the quarantine.").format(count=count)
