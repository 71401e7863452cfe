"""The database: its accounts, its settings, its clock, and the work that is left undone when a service does not run."""

import contextlib
import re
import time
from collections.abc import Iterator
from datetime import UTC

import pymysql

from freeradius_module.settings import RADIUS_GROUP

from .. import db, store
from ..shell import errors, share
from ..shell.text import _
from ..store.archive import YOUNGEST_DAYS
from .finding import Finding, Installation

# A larger difference makes a session's times visibly wrong.
CLOCK_SECONDS = 2
# No command holds rows for so long between two statements.
HOLDING_SECONDS = 60
# `prepaid enforce --watch` disconnects within two seconds.
OVERDUE_SECONDS = 300
# Two nights: the chain is written every night.
UNCHAINED_HOURS = 48
# The nightly archive leaves nothing older than YOUNGEST_DAYS; a few days more do no harm.
UNARCHIVED_DAYS = YOUNGEST_DAYS + 3
UNARCHIVED_MANY = 1000

# privilege, table ('' is the whole schema, '*' every one), column ('' is all)
Right = tuple[str, str, str]


def check_connection(installation: Installation) -> Iterator[Finding]:
    """The office can connect, and the schema is the one that this program needs."""
    with installation.office.reading() as cursor:
        version = store.connection.schema_version(cursor)
    yield Finding("database", "ok", _("schema version {version}").format(version=version))


def check_module_account(installation: Installation) -> Iterator[Finding]:
    """FreeRADIUS' account has the rights that it needs and no others, because who breaks into FreeRADIUS has its password."""
    name = "module_account"
    with contextlib.closing(installation.office.connect(RADIUS_GROUP)) as connection, connection.cursor() as cursor:
        has = store.doctor.rights(cursor)
    needs = wanted_rights((share.folder("sql") / "grants.sql").read_text(encoding="utf-8"), "{radius}")
    if lacking := needs - has:
        yield Finding(
            name, "fault", _("It lacks rights: {rights}.").format(rights=_listed(lacking)), "sudo prepaid db init"
        )
    if unneeded := has - needs:
        yield Finding(
            name,
            "fault",
            _("It has rights that it does not need: {rights}.").format(rights=_listed(unneeded)),
            _("Take them away with REVOKE."),
        )
    if needs == has:
        yield Finding(name, "ok", _("has its rights and no others"))


def check_server_settings(installation: Installation) -> Iterator[Finding]:
    """The server keeps what it has committed, and protects the history's clock."""
    name = "server_settings"
    with installation.office.reading() as cursor:
        settings = store.doctor.settings(cursor)
    wanted = {"innodb_flush_log_at_trx_commit": "1", "innodb_doublewrite": "ON"}
    if settings.get("log_bin") == "ON":
        wanted["sync_binlog"] = "1"
    wrong = {setting: value for setting, value in wanted.items() if settings.get(setting, value) != value}
    for setting, value in wrong.items():
        yield Finding(
            name,
            "look",
            f"{setting} = {settings[setting]}",
            _("Set {setting} = {value}, so that a power failure loses nothing that was acknowledged.").format(
                setting=setting, value=value
            ),
        )
    if not wrong:
        yield Finding(name, "ok", _("what is committed survives a power failure"))
    if settings.get("event_scheduler") != "ON":
        yield Finding(
            "event_scheduler",
            "look",
            f"event_scheduler = {settings.get('event_scheduler')}",
            _(
                "With event_scheduler = ON the server ends operators' connections that lock rows and are idle for a minute."
            ),
        )
    if settings.get("secure_timestamp", "NO") == "NO":
        yield Finding(
            "secure_timestamp",
            "look",
            "secure_timestamp = NO",
            _(
                "Any session can change its own clock. The history always uses the server's; with secure_timestamp = "
                "REPLICATION all other dates do, too, but then 'prepaid simulate --at' does not work."
            ),
        )


def check_locks(installation: Installation) -> Iterator[Finding]:
    """No idle connection locks rows, and no table's next number was moved far beyond its rows."""
    name = "locks"
    office = installation.office
    try:
        # Only an account that may create accounts sees the connections of others.
        connection = office.connect("prepaid-owner", **db.owner_of(office, None, None))
    except errors.OfficeError:
        connection = office.connect()
    with contextlib.closing(connection), connection.cursor() as cursor:
        store.schema.use(cursor, db.database_name(office))
        far = store.doctor.far_counters(cursor)
        try:
            holders = store.doctor.holders(cursor, HOLDING_SECONDS)
        except pymysql.MySQLError:
            holders = None
    if far:
        yield Finding(
            name,
            "fault",
            _("The next numbers of these tables are far beyond their rows: {tables}.").format(tables=", ".join(far)),
            _("Set them back with ALTER TABLE … AUTO_INCREMENT = 1."),
        )
    for holder in holders or []:
        yield Finding(
            name,
            "fault",
            _("{user} locks rows with connection {number}, which has been idle for {seconds} s.").format(
                user=holder["user"], number=holder["id"], seconds=holder["seconds"]
            ),
            f"KILL CONNECTION {holder['id']}",
        )
    if holders is None:
        yield Finding(name, "look", _("Idle connections that lock rows were not looked for."), _("Run this as root."))
    elif not holders and not far:
        yield Finding(name, "ok", _("no idle connection locks rows"))


def check_clock(installation: Installation) -> Iterator[Finding]:
    """The clocks of the database and of this machine agree."""
    with installation.office.connection.cursor() as cursor:
        before = time.time()
        then = store.connection.now(cursor)
        difference = then.replace(tzinfo=UTC).timestamp() - (before + time.time()) / 2
    if abs(difference) > CLOCK_SECONDS:
        yield Finding(
            "clock",
            "fault",
            _("The database's clock and this machine's differ by {seconds} s.").format(seconds=round(difference)),
            _("Set both clocks by NTP."),
        )
    else:
        yield Finding("clock", "ok", _("the clocks of the database and of this machine agree"))


def check_services(installation: Installation) -> Iterator[Finding]:
    """The enforcer, the history's chain and the archive run.  Each is known by the work that is left undone without it."""
    with installation.office.reading() as cursor:
        overdue_seconds = store.doctor.unenforced_since_seconds(cursor) or 0
        unchained_hours = store.doctor.unsealed_since_hours(cursor) or 0
        unarchived = len(store.archive.candidates(cursor, (0, 0), UNARCHIVED_MANY, UNARCHIVED_DAYS))
    if overdue_seconds > OVERDUE_SECONDS:
        yield Finding(
            "enforce",
            "fault",
            _("A session should be off for {minutes} minutes and nothing has tried to disconnect it.").format(
                minutes=overdue_seconds // 60
            ),
            "systemctl enable --now prepaid-enforce",
        )
    else:
        yield Finding("enforce", "ok", _("no session waits to be disconnected"))
    if unchained_hours > UNCHAINED_HOURS:
        yield Finding(
            "audit",
            "look",
            _("History of {hours} hours ago is not in the hash chain.").format(hours=unchained_hours),
            _("Run 'prepaid audit verify' every night."),
        )
    if unarchived >= UNARCHIVED_MANY:
        yield Finding(
            "archive",
            "look",
            _("A thousand sessions or more ended over {days} days ago and are not archived.").format(
                days=UNARCHIVED_DAYS
            ),
            _("Run 'prepaid db archive' every night."),
        )


def wanted_rights(script: str, account: str) -> set[Right]:
    """The rights that grants.sql gives to an account, in the form of `store.doctor.rights`.

    >>> sorted(wanted_rights("GRANT SELECT (a, b), INSERT ON {database}.t TO {x};", "{x}"))
    [('INSERT', 't', ''), ('SELECT', 't', 'a'), ('SELECT', 't', 'b')]
    """
    text = re.sub(r"--.*", "", script)
    wanted: set[Right] = set()
    for rights, table in re.findall(
        rf"GRANT\s+([^;]+?)\s+ON\s+\{{database\}}\.(\S+)\s+TO\s+{re.escape(account)}\s*;", text
    ):
        for privilege, columns in re.findall(r"([A-Z][A-Z ]*[A-Z])\s*(?:\(([^)]*)\))?", rights):
            wanted.update((privilege, table, column) for column in re.findall(r"\w+", columns) or [""])
    return wanted


def _listed(rights: set[Right]) -> str:
    return ", ".join(
        sorted({f"{privilege} {table}{column and '.' + column}".strip() for privilege, table, column in rights})
    )
