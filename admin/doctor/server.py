"""The database server: what a backup needs, its memory, its disk, its connections."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from .. import store
from ..freeradius import choices, raddb_directory
from ..freeradius.record import read_record
from ..shell.text import _
from .finding import Finding, Installation

# Below this a night's work may fill the disk.
FREE_OCTETS = 2_000_000_000
FREE_SHARE = 0.1
# Group commit needs many waiting threads, see raddb-config/README.md.
THREADS = 64
# What the office, the daemons and an administrator need beside FreeRADIUS.
SPARE_CONNECTIONS = 30
USED_SHARE = 0.8


def check_binary_log(installation: Installation) -> Iterator[Finding]:
    """A dump alone restores last night; with the binary log everything up to the last commit."""
    name = "binary_log"
    with installation.office.reading() as cursor:
        is_on = store.doctor.variables(cursor, "log_bin")["log_bin"] == "ON"
    if is_on:
        yield Finding(name, "ok", _("a backup can be continued to the last commit"))
    else:
        yield Finding(
            name,
            "look",
            _("It is off, so a restore loses everything since the last dump."),
            _("Set log_bin in MariaDB's configuration; see docs/operations.md, Backup."),
        )


def check_memory(installation: Installation) -> Iterator[Finding]:
    """What logins and accounting read fits into the server's memory."""
    name = "buffer_pool"
    with installation.office.reading() as cursor:
        pool = int(store.doctor.variables(cursor, "innodb_buffer_pool_size")["innodb_buffer_pool_size"])
        live = store.doctor.live_octets(cursor)
    if live > pool:
        yield Finding(
            name,
            "look",
            _(
                "innodb_buffer_pool_size is {pool} MB, and the live tables have {live} MB, so logins wait for the disk."
            ).format(pool=pool // 10**6, live=live // 10**6),
            _("Set innodb_buffer_pool_size = {size}M, or archive: prepaid db archive").format(
                size=live * 5 // 4 // 2**20 + 1
            ),
        )
    else:
        yield Finding(
            name, "ok", _("{live} MB of live tables in {pool} MB").format(live=live // 10**6, pool=pool // 10**6)
        )


def check_data_disk(installation: Installation) -> Iterator[Finding]:
    """The disk of the tables has room.  Only on the database's own machine."""
    name = "data_disk"
    with installation.office.reading() as cursor:
        folder = Path(store.doctor.variables(cursor, "datadir")["datadir"])
    settings = installation.office.settings(installation.office.group)
    if not (settings.get("unix_socket") or settings.get("socket")):
        return
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return
    if usage.free < FREE_OCTETS or usage.free < usage.total * FREE_SHARE:
        yield Finding(
            name,
            "fault" if usage.free < FREE_OCTETS / 4 else "look",
            _("The disk of {path} has {free} MB left.").format(path=folder, free=usage.free // 10**6),
            _("Free some space: on a full disk logins and accounting get no answer."),
        )
    else:
        yield Finding(name, "ok", _("{free} MB left").format(free=usage.free // 10**6))


def check_connections(installation: Installation) -> Iterator[Finding]:
    """FreeRADIUS has enough threads, and the server accepts the connections of all of them."""
    with installation.office.reading() as cursor:
        most = int(store.doctor.variables(cursor, "max_connections")["max_connections"])
        used = store.doctor.most_used_connections(cursor)
    threads = thread_count(raddb_directory.content(installation.directory / "radiusd.conf") or "")
    if threads is not None and threads < THREADS and _has_several_instances(installation):
        yield Finding(
            "threads",
            "look",
            _("FreeRADIUS has at most {threads} threads, so few packets share a commit.").format(threads=threads),
            _(
                "In radiusd.conf, section thread pool, set start_servers = {count}, max_servers = {count}, "
                "min_spare_servers = 1, max_spare_servers = {count}."
            ).format(count=THREADS),
        )
    needed = (threads or 0) + SPARE_CONNECTIONS
    if most < needed or used > most * USED_SHARE:
        yield Finding(
            "connections",
            "look",
            _(
                "The server accepts {most} connections and had {used} at a time; FreeRADIUS has {threads} threads."
            ).format(most=most, used=used, threads=threads),
            _("Set max_connections = {count} in MariaDB's configuration.").format(count=max(needed, used * 2)),
        )
    else:
        yield Finding("connections", "ok", _("at most {used} of {most}").format(used=used, most=most))


def thread_count(text: str) -> int | None:
    """The most threads that radiusd.conf permits.

    >>> thread_count("thread pool {\\n\\t#  max_servers = 4\\n\\tmax_servers = 32\\n}\\n")
    32
    """
    found = re.search(r"(?m)^\s*max_servers\s*=\s*(\d+)", text)
    return int(found[1]) if found else None


def _has_several_instances(installation: Installation) -> bool:
    record = read_record(installation.directory)
    return choices.installed_choice(installation.office, installation.directory, record).instances > 1
