"""prepaid charge: charge what waits in the accounting queue, by the module's own rules.

A packet is charged with hundreds of others in one statement and one commit, and only then is it taken off the queue.  To be
killed in between means to charge some again, which changes nothing: a session's counters only rise to what was
reported.  So several chargers need not agree on the order of their files either, but for the packets of which
`Charges.needs_order` says that they do.
"""

import gc
import math
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pymysql

from freeradius_module import settings
from freeradius_module.connection import DatabaseAway, RowLocked, WrongSchema
from freeradius_module.engine.accounting import NeverCharged
from freeradius_module.engine.engine import Engine
from freeradius_module.queue_record import Record, Unreadable

from ..shell import errors, output
from ..shell.command import cli, json_option, option, pass_office
from ..shell.text import _, translated
from .files import Group, Queue, WorkFile

GROUP_RECORDS = 500
# What the database says of itself and not of a packet: disk full, read only, rights or tables missing, no memory.  Then
# packets wait; to put them all into the quarantine would help nobody.
SERVER_TROUBLE = {
    3,
    1021,
    1030,
    1036,
    1037,
    1038,
    1041,
    1044,
    1045,
    1054,
    1114,
    1142,
    1143,
    1146,
    1206,
    1227,
    1290,
    1370,
    1792,
    1836,
}
# How soon new packets are seen: at once while they come, and never later than this.
PAUSE_SECONDS_MIN = 0.01
PAUSE_SECONDS_MAX = 0.05
DATABASE_PAUSE_SECONDS = 0.5
# How often it is recorded how far the queue is charged.
RECORD_SECONDS = 1.0
# A file that cannot be brought to its end because the disk is full does not hold up the others.
FILE_PAUSE_SECONDS = 5.0


@cli.command()
@option("--watch", is_flag=True, help="Go on for ever, as a service: new packets are charged at once.")
@json_option
@pass_office
def charge(office, watch, as_json):
    """Charge what waits in the accounting queue.

    Whatever cannot be charged goes to the quarantine with its reason and holds up nothing.  Several may run at once.
    With --watch a database that is away is waited for.

    \b
    Example:
        prepaid charge
        prepaid charge --watch
    """
    # A group is ten thousand small tuples that are soon gone; to look for rings among them takes a sixth of the time.
    gc.set_threshold(100_000)
    charger = charger_of(office, queue_of(office), is_patient=watch)
    if watch:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: charger.end())
        charger.watch()
    else:
        charger.charge_all()
        tell_charged(charger, as_json)


def charger_of(office, queue: Queue, *, is_patient: bool = False) -> "Charger":
    """With the module's rules, on the module's own connection."""
    return Charger(Engine(module_settings(office)), queue, config_path=office.config_path, is_patient=is_patient)


def queue_of(office) -> Queue:
    folder = module_settings(office).queue
    if not folder:
        raise errors.WrongUsage(
            _("The group [prepaid] of {config} names no directory for the queue: queue = /var/spool/prepaid-cards"),
            config=office.config_path,
        )
    return Queue(Path(folder))


def tell_charged(charger: "Charger", as_json: bool) -> None:
    output.print_result(
        {"charged": charger.charged, "quarantined": charger.quarantined},
        _("Charged {charged} packets; {quarantined} went to the quarantine.").format(
            charged=charger.charged, quarantined=charger.quarantined
        ),
        as_json,
    )


class Charger:
    """`is_patient`: waits for a database that is away; otherwise that ends the command."""

    def __init__(self, engine: Engine, queue: Queue, *, config_path: str, is_patient: bool):
        self.charged = 0
        self.quarantined = 0
        self._engine = engine
        self._queue = queue
        self._config_path = config_path
        self._is_patient = is_patient
        self._is_ended = False
        self._name = f"{socket.gethostname()}:{queue.folder.resolve()}"[:190]
        self._recorded_at = -math.inf
        self._not_before: dict[Path, float] = {}

    def charge_all(self) -> None:
        """Once: what waits now."""
        self._when_database_answers(self._engine.check)
        self.charge_waiting()

    def watch(self) -> None:
        """For ever, until `end`."""
        with self._queue.charging():
            self._when_database_answers(self._engine.check)
            pause_seconds = PAUSE_SECONDS_MIN
            while not self._is_ended:
                has_charged = self.charge_waiting()
                pause_seconds = PAUSE_SECONDS_MIN if has_charged else min(pause_seconds * 2, PAUSE_SECONDS_MAX)
                time.sleep(pause_seconds)

    def end(self) -> None:
        """After the group that is being charged."""
        self._is_ended = True

    def charge_waiting(self) -> bool:
        """Charge what waits now and is not another charger's; whether there was anything."""
        began = time.monotonic()
        self._queue.take_over()
        has_charged = False
        for path in self._queue.work_files():
            has_charged |= self._charge(path)
        if not self._queue.work_files() and began >= self._recorded_at + RECORD_SECONDS:
            # What arrived before we looked is charged, by us or by another charger.
            self._when_database_answers(lambda: self._record_queue(time.monotonic() - began))
        return has_charged

    def _charge(self, path: Path) -> bool:
        if self._not_before.get(path, 0.0) > time.monotonic():
            return False
        file = self._queue.claim(path)
        if file is None:
            return False
        with file:
            try:
                self._charge_file(file)
            except OSError as fault:
                if not self._is_patient:
                    raise errors.Refused(
                        _("{path} stays as it is: {cause}. What was charged of it will not be charged twice."),
                        path=path,
                        cause=fault.strerror or fault,
                    ) from fault
                self._not_before[path] = time.monotonic() + FILE_PAUSE_SECONDS
                output.print_notice(_("{path} is tried again later: {cause}").format(path=path, cause=fault))
                return False
        return True

    def _charge_file(self, file: WorkFile) -> None:
        for group in file.groups(GROUP_RECORDS):
            self._when_database_answers(lambda group=group: self._charge_group(file, group))
            if self._is_ended:
                return
            file.note_charged(group.end_octets)
        file.remove()

    def _charge_group(self, file: WorkFile, group: Group) -> None:
        records = [part for part in group.parts if isinstance(part, Record)]
        refused = [part for part in group.parts if isinstance(part, Unreadable)]
        older = self._queue.older_than(file.path)
        if older and any(self._engine.charges.needs_order(one.pairs) for one in records):
            self._charge_or_await(older)
        now = time.time()
        if records and not older and time.monotonic() >= self._recorded_at + RECORD_SECONDS:
            self._record_queue(max(now - records[0].received_at, 0.0))
        results = self._engine.charges.queued([(one.pairs, max(now - one.received_at, 0.0)) for one in records])
        for fault in results:
            if isinstance(fault, pymysql.MySQLError) and fault.args[:1] and fault.args[0] in SERVER_TROUBLE:
                raise DatabaseAway(str(fault)) from fault
        # A row that somebody has locked keeps its own packets waiting, and no others.
        locked = [record for record, fault in zip(records, results, strict=True) if isinstance(fault, RowLocked)]
        refused += [
            Unreadable(record.text, _reason(fault))
            for record, fault in zip(records, results, strict=True)
            if fault is not None and not isinstance(fault, RowLocked)
        ]
        if locked:
            self._queue.put_back(locked)
        if refused:
            self._queue.set_aside(refused)
        self.charged += len(records) - sum(fault is not None for fault in results)
        self.quarantined += len(refused)

    def _record_queue(self, waiting_seconds: float) -> None:
        """Say how far the queue is charged, so that logins take no session for silent whose report waits here."""
        try:
            self._engine.charges.record_queue(self._name, waiting_seconds)
        except pymysql.MySQLError as fault:
            raise DatabaseAway(str(fault)) from fault
        self._recorded_at = time.monotonic()

    def _charge_or_await(self, older: list[Path]) -> None:
        """What came before: by us if nobody does it, else when another charger is ready with it."""
        for path in older:
            while path.exists() and not self._charge(path):
                if self._is_ended or self._not_before.get(path, 0.0) > time.monotonic():
                    break
                time.sleep(PAUSE_SECONDS_MIN)

    def _when_database_answers(self, work: Callable[[], None]) -> None:
        was_away = False
        while not self._is_ended:
            try:
                work()
            except (DatabaseAway, WrongSchema) as fault:
                if not self._is_patient:
                    raise errors.NotReachable(
                        cause=fault, group=settings.RADIUS_GROUP, config=self._config_path
                    ) from fault
                if not was_away:
                    output.print_notice(
                        _("The database is away; the queue keeps what comes: {cause}").format(cause=fault)
                    )
                was_away = True
                time.sleep(DATABASE_PAUSE_SECONDS)
            else:
                if was_away:
                    output.print_notice(_("The database is back."))
                return


def _reason(fault: Exception) -> str:
    return str(fault) if isinstance(fault, NeverCharged) else f"{type(fault).__name__}: {fault}"


def module_settings(office) -> settings.Settings:
    try:
        return settings.load(office.config_path)
    except settings.SettingsError as fault:
        raise errors.WrongUsage(translated(fault)) from fault
