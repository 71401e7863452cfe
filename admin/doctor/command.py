"""prepaid doctor: the whole installation, checked from the option file to a login on the running server.

Each check is a function that yields findings; one that cannot be made because of an earlier fault is not made.
"""

import contextlib
import os
import re
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import NamedTuple

import click
import pymysql

from freeradius_module import store as module_store
from freeradius_module.connection import Connection, DatabaseAway, WrongSchema
from freeradius_module.engine.catalogue import Catalogue
from freeradius_module.engine.server import accounting_path
from freeradius_module.rules import serial
from freeradius_module.sealing import keyring, pin
from freeradius_module.settings import RADIUS_GROUP, SettingsError, load
from freeradius_module.store import Nas

from .. import db, store
from ..freeradius import files as raddb_files
from ..freeradius import raddb
from ..queue.files import Queue, age_seconds, count_lines
from ..shell import errors, output, share
from ..shell.command import cli, json_option, option, pass_office
from ..shell.pin_input import read_pin
from ..shell.text import _, translated
from ..store.archive import YOUNGEST_DAYS
from . import login as doctor_login

# What the clocks of two servers may differ by before a session's time is wrong by something that a customer sees.
CLOCK_SECONDS = 2
# Accounting that waits for longer is not being charged.
LAG_SECONDS = 60
# `prepaid enforce --watch` cuts within two seconds.
UNCUT_SECONDS = 300
# The nightly work of two nights.
UNSEALED_HOURS = 48
# Archived every night, nothing is older than that; and a few days more do no harm.
UNARCHIVED_DAYS = YOUNGEST_DAYS + 3
UNARCHIVED_MANY = 1000
FREE_OCTETS = 1_000_000_000
# Nothing that a command does leaves rows locked for so long without a statement.
HOLDING_SECONDS = 60
CHECK_SECONDS = 60
# Of radiusd.conf: what writes PINs into the log, or lets a core be written, which holds PINs and keys.
TELLS_PINS = ("auth_badpass", "auth_goodpass", "allow_core_dumps")


class Finding(NamedTuple):
    """What one check saw.  `state`: ok; look (it works, but somebody should know); fault."""

    check: str
    state: str
    detail: str
    what_to_do: str = ""


@cli.command()
@option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="FreeRADIUS' directory, where radiusd.conf is.  [raddb of the option file, or /etc/freeradius/3.0]",
)
@option(
    "--card",
    "serial_text",
    metavar="SERIAL",
    help="Log in with this card, too, its PIN on standard input, and report a session of no length.",
)
@json_option
@pass_office
def doctor(office, directory, serial_text, as_json):
    """Check the whole installation, a login on the running FreeRADIUS included; exit 1 if anything is at fault.

    Run it as root on the machine of FreeRADIUS. A login with a serial that is no card's must be refused; with --card an
    own card is let in. Nothing is changed, beyond what such logins leave in the books.

    \b
    Example:
        sudo prepaid doctor
        sudo prepaid doctor --card LIVRE000000016 < pin.txt
    """
    card_pin = read_pin() if serial_text else None
    directory = directory or Path(office.settings("prepaid").get("raddb") or raddb.DEFAULT_DIR)
    findings = list(Doctor(office, directory, serial_text, card_pin).findings())
    output.print_rows((finding._asdict() for finding in findings), as_json)
    faults = sum(finding.state == "fault" for finding in findings)
    if faults:
        raise errors.Refused(_("{count} things are at fault; what to do stands beside each."), count=faults)


class Doctor:
    def __init__(self, office, directory: Path, serial_text: str | None = None, card_pin: str | None = None):
        self.office = office
        self.directory = directory
        self.serial_text = serial_text
        self.card_pin = card_pin

    def findings(self) -> Iterator[Finding]:
        yield from self._options()
        is_database_there = False
        for finding in self._guarded("database", self._database):
            is_database_there |= finding.state == "ok"
            yield finding
        if is_database_there:
            yield from self._guarded("module_account", self._module_account)
            yield from self._guarded("server_settings", self._server_settings)
            yield from self._guarded("locks", self._holders)
            yield from self._guarded("clock", self._clock)
            yield from self._guarded("key_file", self._keys)
            yield from self._guarded("nas", self._nas)
            yield from self._guarded("nightly_work", self._nightly_work)
        yield from self._guarded("queue", self._queue)
        yield from self._guarded("engine", self._engine)
        yield from self._guarded("freeradius", self._freeradius)
        if is_database_there:
            yield from self._guarded("login", self._login)

    @staticmethod
    def _guarded(name: str, check) -> Iterator[Finding]:
        """What stops a check is a finding like any other: its sentence says what to do."""
        try:
            yield from check()
        except errors.OfficeError as error:
            yield Finding(name, "fault", str(error))
        except (keyring.KeyFileError, pin.SealError, SettingsError) as error:
            yield Finding(name, "fault", translated(error))
        except (DatabaseAway, WrongSchema) as error:
            yield Finding(name, "fault", str(error))

    # --- The option file and the key -------------------------------------------------------------------

    def _options(self) -> Iterator[Finding]:
        path = Path(self.office.config_path)
        self.office.settings("prepaid")
        name = "option_file"
        if path.stat().st_mode & stat.S_IRWXO:
            yield Finding(
                name,
                "fault",
                _("{path} holds passwords and is open to everybody.").format(path=path),
                f"chmod o= {path}",
            )
        else:
            yield Finding(name, "ok", str(path))

    def _keys(self) -> Iterator[Finding]:
        numbers = sorted(self.office.keyring.numbers)
        with self.office.reading() as cursor:
            known = store.connection.key_fingerprints(cursor)
        missing = sorted(set(known) - set(numbers))
        name = "key_file"
        if missing:
            yield Finding(
                name,
                "look",
                _("{path} lacks keys that were in use once: {numbers}.").format(
                    path=self.office.key_file, numbers=", ".join(map(str, missing))
                ),
                _("If they were not retired, restore the file from its backup."),
            )
        else:
            yield Finding(
                name,
                "ok",
                _("{path}: keys {numbers}").format(path=self.office.key_file, numbers=", ".join(map(str, numbers))),
            )

    # --- The database ----------------------------------------------------------------------------------

    def _database(self) -> Iterator[Finding]:
        with self.office.reading() as cursor:
            version = store.connection.schema_version(cursor)
        yield Finding("database", "ok", _("schema version {version}").format(version=version))

    def _module_account(self) -> Iterator[Finding]:
        """The module may do what it does, and nothing else: whoever breaks into FreeRADIUS has its password."""
        name = "module_account"
        with contextlib.closing(self.office.connect(RADIUS_GROUP)) as connection, connection.cursor() as cursor:
            has = store.doctor.rights(cursor)
        needs = wanted_rights((share.folder("sql") / "grants.sql").read_text(encoding="utf-8"), "{radius}")
        if lacking := needs - has:
            yield Finding(
                name, "fault", _("It lacks rights: {rights}.").format(rights=_listed(lacking)), "sudo prepaid db init"
            )
        if too_many := has - needs:
            yield Finding(
                name,
                "fault",
                _("It has rights that it does not need: {rights}.").format(rights=_listed(too_many)),
                _("Take them away with REVOKE."),
            )
        if needs == has:
            yield Finding(name, "ok", _("has its rights and no others"))

    def _server_settings(self) -> Iterator[Finding]:
        with self.office.reading() as cursor:
            settings = store.doctor.settings(cursor)
        name = "server_settings"
        wrong = [
            (setting, value)
            for setting, value in (
                ("innodb_flush_log_at_trx_commit", "1"),
                ("innodb_doublewrite", "ON"),
                *([("sync_binlog", "1")] if settings.get("log_bin") == "ON" else []),
            )
            if settings.get(setting, value) != value
        ]
        for setting, value in wrong:
            yield Finding(
                name,
                "look",
                f"{setting} = {settings[setting]}",
                _("With {setting} = {value} a power cut takes nothing that was acknowledged.").format(
                    setting=setting, value=value
                ),
            )
        if not wrong:
            yield Finding(name, "ok", _("what was committed outlives a power cut"))
        if settings.get("event_scheduler") != "ON":
            yield Finding(
                name,
                "look",
                f"event_scheduler = {settings.get('event_scheduler')}",
                _(
                    "With event_scheduler = ON the server ends operators' connections that hold rows for a minute and "
                    "do nothing."
                ),
            )
        if settings.get("secure_timestamp", "NO") == "NO":
            yield Finding(
                name,
                "look",
                "secure_timestamp = NO",
                _(
                    "Any session may move its clock. History has the server's own; with secure_timestamp = "
                    "REPLICATION nothing else is dated wrongly, and 'prepaid simulate --at' does not work."
                ),
            )

    def _holders(self) -> Iterator[Finding]:
        """Who holds rows without doing anything, and what numbers have run away."""
        name = "locks"
        try:
            # Other accounts' connections are shown to whoever makes accounts.
            connection = self.office.connect("prepaid-owner", **db.owner_of(self.office, None, None))
        except errors.OfficeError:
            connection = self.office.connect()
        with contextlib.closing(connection), connection.cursor() as cursor:
            store.schema.use(cursor, db.database_name(self.office))
            far = store.doctor.far_counters(cursor)
            try:
                found = store.doctor.holders(cursor, HOLDING_SECONDS)
            except pymysql.MySQLError:
                found = None
        if far:
            yield Finding(
                name,
                "fault",
                _("The next numbers of these tables are far beyond their rows: {tables}.").format(
                    tables=", ".join(far)
                ),
                _("Set them back with ALTER TABLE … AUTO_INCREMENT = 1."),
            )
        for holder in found or []:
            yield Finding(
                name,
                "fault",
                _("{user} holds rows with connection {number} and has done nothing for {seconds} s.").format(
                    user=holder["user"], number=holder["id"], seconds=holder["seconds"]
                ),
                f"KILL CONNECTION {holder['id']}",
            )
        if found is None:
            yield Finding(name, "look", _("Who holds rows was not looked at."), _("Run this as root."))
        elif not found and not far:
            yield Finding(name, "ok", _("nobody holds rows without doing anything"))

    def _clock(self) -> Iterator[Finding]:
        with self.office.connection.cursor() as cursor:
            before = time.time()
            then = store.connection.now(cursor)
            difference = then.replace(tzinfo=UTC).timestamp() - (before + time.time()) / 2
        if abs(difference) > CLOCK_SECONDS:
            yield Finding(
                "clock",
                "fault",
                _("The database's clock and this machine's differ by {seconds} s.").format(seconds=round(difference)),
                _("Let both keep time by NTP."),
            )
        else:
            yield Finding("clock", "ok", _("the database's and this machine's agree"))

    def _nas(self) -> Iterator[Finding]:
        rows = self._read_nas()
        lax = [row.name for row in rows if not row.require_message_authenticator]
        if lax:
            yield Finding(
                "nas",
                "look",
                _("These need not send Message-Authenticator, so their answers can be forged: {names}.").format(
                    names=", ".join(lax)
                ),
                "prepaid nas edit NAME --message-authenticator",
            )
        for row in rows:
            self._secret(row)
        if not rows:
            yield Finding("nas", "look", _("There is none."), "prepaid nas add")
        elif not lax:
            yield Finding("nas", "ok", str(len(rows)))

    def _nightly_work(self) -> Iterator[Finding]:
        """What has to run beside FreeRADIUS, by what is left undone when it does not."""
        with self.office.reading() as cursor:
            uncut = store.doctor.unenforced_since_seconds(cursor) or 0
            unsealed = store.doctor.unsealed_since_hours(cursor) or 0
            unarchived = len(store.archive.candidates(cursor, (0, 0), UNARCHIVED_MANY, UNARCHIVED_DAYS))
        if uncut > UNCUT_SECONDS:
            yield Finding(
                "enforce",
                "fault",
                _("A session should be off for {minutes} minutes and nobody has tried to cut it.").format(
                    minutes=uncut // 60
                ),
                "systemctl enable --now prepaid-enforce",
            )
        else:
            yield Finding("enforce", "ok", _("no session waits to be cut"))
        if unsealed > UNSEALED_HOURS:
            yield Finding(
                "audit",
                "look",
                _("History of {hours} hours ago is not in the hash chain.").format(hours=unsealed),
                _("Run 'prepaid audit verify' every night."),
            )
        if unarchived >= UNARCHIVED_MANY:
            yield Finding(
                "archive",
                "look",
                _("A thousand sessions and more ended over {days} days ago and are not archived.").format(
                    days=UNARCHIVED_DAYS
                ),
                _("Run 'prepaid db archive' every night."),
            )

    # --- The queue -------------------------------------------------------------------------------------

    def _queue(self) -> Iterator[Finding]:
        settings = load(self.office.config_path)
        name = "queue"
        if not settings.queue:
            quarantine = raddb.quarantine_in_log(self.directory)
            if count := count_lines(quarantine):
                yield Finding(
                    name, "look", _("{count} packets are in the quarantine.").format(count=count), str(quarantine)
                )
            yield Finding(
                name,
                "look",
                _("There is none: while the database is away, accounting is not acknowledged."),
                _("Set queue = {path} in {config}, and run 'prepaid raddb install'.").format(
                    path=raddb_files.QUEUE, config=self.office.config_path
                ),
            )
            return
        folder = Path(settings.queue)
        if not folder.is_dir():
            yield Finding(
                name,
                "fault",
                _("The directory {path} does not exist.").format(path=folder),
                "sudo prepaid raddb install",
            )
            return
        place = Queue(folder)
        waiting = place.waiting()
        findings = []
        user = raddb.radiusd_user(self.directory)
        if user and not raddb.may_write(user, folder):
            findings.append(
                Finding(
                    name,
                    "fault",
                    _("FreeRADIUS runs as {user}, who may not write to {path}.").format(user=user, path=folder),
                    f"chown {user} {folder}",
                )
            )
        if not place.is_charged():
            findings.append(Finding(name, "fault", _("No charger runs."), "systemctl enable --now prepaid-charge"))
        elif (lag := age_seconds(waiting.oldest_at)) > LAG_SECONDS:
            findings.append(
                Finding(
                    name,
                    "fault",
                    _("{count} packets wait, the oldest for {seconds} s.").format(
                        count=waiting.records, seconds=round(lag)
                    ),
                    _("See what the charger says: journalctl -u prepaid-charge"),
                )
            )
        if count := sum(1 for _each in place.quarantined()):
            findings.append(
                Finding(
                    name,
                    "look",
                    _("{count} packets are in the quarantine.").format(count=count),
                    "prepaid queue quarantine",
                )
            )
        if shutil.disk_usage(folder).free < FREE_OCTETS:
            findings.append(
                Finding(
                    name,
                    "look",
                    _("The disk of {path} is nearly full.").format(path=folder),
                    _("Without room accounting is not acknowledged."),
                )
            )
        yield from findings or [Finding(name, "ok", str(folder))]

    # --- The shared engine -------------------------------------------------------------------------------

    def _engine(self) -> Iterator[Finding]:
        path = load(self.office.config_path).engine
        if not path:
            return
        for window in (Path(path), accounting_path(Path(path))):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
                try:
                    line.connect(str(window))
                except OSError as fault:
                    yield Finding(
                        "engine",
                        "fault",
                        _("Nobody is at {path} ({cause}); each FreeRADIUS decides by itself, more slowly.").format(
                            path=window, cause=fault.strerror
                        ),
                        "systemctl enable --now prepaid-engine",
                    )
                    return
        user, owner = raddb.radiusd_user(self.directory), Path(path).owner()
        if user and user not in (owner, "root"):
            yield Finding(
                "engine",
                "fault",
                _("The engine runs as {owner} and serves no other account; FreeRADIUS runs as {user}.").format(
                    owner=owner, user=user
                ),
                _("Run 'prepaid engine' as {user}.").format(user=user),
            )
            return
        yield Finding("engine", "ok", path)

    # --- FreeRADIUS ------------------------------------------------------------------------------------

    def _freeradius(self) -> Iterator[Finding]:
        version = raddb.freeradius_version()
        raddb_files.check_version(version)
        yield Finding("freeradius", "ok", ".".join(map(str, version)))
        yield from self._secrecy()
        problems = raddb.problems_of(self.office, self.directory)
        for problem in problems:
            yield Finding(
                "raddb",
                "fault",
                f"{problem['path']}: {problem['what']}",
                f"prepaid raddb install --dir {self.directory}",
            )
        if not problems:
            yield Finding("raddb", "ok", str(self.directory))
            yield from self._configuration()

    def _secrecy(self) -> Iterator[Finding]:
        """What is off in Debian's radiusd.conf, and is turned on by who looks for a fault, and forgotten."""
        path = self.directory / "radiusd.conf"
        found = dict.fromkeys(
            re.findall(rf'(?mi)^\s*({"|".join(TELLS_PINS)})\s*=\s*"?(?:yes|on)\b', raddb.content(path) or "")
        )
        if found:
            yield Finding(
                "pins",
                "fault",
                _("{path} turns on {options}: FreeRADIUS writes PINs down.").format(
                    path=path, options=", ".join(found)
                ),
                _("Set them to no, restart FreeRADIUS, and remove the log and the cores that it has written."),
            )

    def _configuration(self) -> Iterator[Finding]:
        """FreeRADIUS' own check, which loads the module; as root, because its files are closed to others."""
        if os.geteuid() != 0:
            yield Finding("configuration", "look", _("FreeRADIUS' own check was not made."), _("Run this as root."))
            return
        try:
            done = subprocess.run(
                [raddb.freeradius_program(), "-C", "-l", "stdout", "-d", str(self.directory)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=CHECK_SECONDS,
                env=os.environ | {"TZ": "UTC"},
            )
        except subprocess.TimeoutExpired:
            yield Finding(
                "configuration",
                "fault",
                _("FreeRADIUS' own check does not come to an end."),
                f"freeradius -XC -d {self.directory}",
            )
            return
        if done.returncode == 0:
            yield Finding("configuration", "ok", _("FreeRADIUS accepts it"))
        else:
            words = (done.stdout + done.stderr).strip().splitlines()
            yield Finding(
                "configuration",
                "fault",
                words[-1] if words else str(done.returncode),
                f"freeradius -XC -d {self.directory}",
            )

    # --- A login ---------------------------------------------------------------------------------------

    def _login(self) -> Iterator[Finding]:
        choice = raddb.installed_choice(self.office, raddb.read_record(self.directory))
        if choice.serve == "acct":
            return
        host = self._host(choice)
        nas = self._nas_at(host)
        if nas is None:
            yield Finding(
                "login",
                "look",
                _("None was tried: no NAS has the address {address}.").format(address=host),
                f"prepaid nas add doctor --address {host} --secret-file FILE",
            )
            return
        client = doctor_login.Client(host, choice.auth_port, choice.acct_port, self._secret(nas).encode())
        yield self._stranger(client)
        if self.serial_text:
            yield from self._card(client, choice)

    @staticmethod
    def _host(choice) -> str:
        """Where this machine reaches its FreeRADIUS."""
        given = [address for address in choice.addresses if address not in ("*", "::")]
        return given[0] if given else ("::1" if choice.addresses == ("::",) else "127.0.0.1")

    def _nas_at(self, host: str) -> Nas | None:
        """The NAS that this machine is to FreeRADIUS, which asks the module's catalogue."""
        return Catalogue(Connection(load(self.office.config_path))).nas(host)

    def _read_nas(self) -> list[Nas]:
        with self.office.reading(), self.office.tuples() as cursor:
            return module_store.read_nas(cursor)

    def _secret(self, nas: Nas) -> str:
        return pin.open_nas_secret(nas.secret_sealed, nas.key_number, nas.name, self.office.keyring)

    def _stranger(self, client) -> Finding:
        name = "login"
        answer = client.log_in(doctor_login.unknown_serial(), doctor_login.any_pin())
        if answer is None:
            return Finding(
                name,
                "fault",
                _("FreeRADIUS does not answer on {host}, port {port}.").format(host=client.host, port=client.auth_port),
                "systemctl status freeradius; journalctl -u freeradius",
            )
        if answer.is_accept:
            return Finding(
                name,
                "fault",
                _("A serial that is no card's was let in."),
                _("Stop FreeRADIUS; something else than prepaid cards answers these logins."),
            )
        return Finding(
            name,
            "ok",
            _("a stranger was refused within {milliseconds} ms").format(milliseconds=round(answer.seconds * 1000)),
        )

    def _card(self, client, choice) -> Iterator[Finding]:
        name = "card"
        answer = client.log_in(serial.compact(self.serial_text), self.card_pin)
        if answer is None or not answer.is_accept:
            yield Finding(
                name,
                "fault",
                _("Its login was refused: {words}").format(words=answer.words)
                if answer
                else _("Its login had no answer."),
                f"prepaid simulate {self.serial_text}",
            )
            return
        if not answer.session_timeout:
            yield Finding(
                name,
                "fault",
                _("It was let in without a Session-Timeout."),
                f"prepaid raddb check --dir {self.directory}",
            )
        if choice.serve == "both" and not client.report_nothing(serial.compact(self.serial_text), answer):
            yield Finding(
                name, "fault", _("It was let in, but accounting is not acknowledged."), _("See FreeRADIUS' log.")
            )
            return
        yield Finding(name, "ok", _("let in, for {seconds} s").format(seconds=answer.session_timeout))


def wanted_rights(script: str, account: str) -> set[tuple[str, str, str]]:
    """What grants.sql gives an account, as `store.doctor.rights` tells it.

    >>> sorted(wanted_rights("GRANT SELECT (a, b), INSERT ON {database}.t TO {x};", "{x}"))
    [('INSERT', 't', ''), ('SELECT', 't', 'a'), ('SELECT', 't', 'b')]
    """
    text = re.sub(r"--.*", "", script)
    wanted = set()
    for rights, table in re.findall(
        rf"GRANT\s+([^;]+?)\s+ON\s+\{{database\}}\.(\S+)\s+TO\s+{re.escape(account)}\s*;", text
    ):
        for privilege, columns in re.findall(r"([A-Z][A-Z ]*[A-Z])\s*(?:\(([^)]*)\))?", rights):
            for column in re.findall(r"\w+", columns) or [""]:
                wanted.add((privilege, table, column))
    return wanted


def _listed(rights: set[tuple[str, str, str]]) -> str:
    return ", ".join(
        sorted({f"{privilege} {table}{column and '.' + column}".strip() for privilege, table, column in rights})
    )
