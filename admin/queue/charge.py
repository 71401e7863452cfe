"""prepaid charge: charge the packets in the accounting queue, by the module's own rules.

Hundreds of packets are charged in one statement and one commit, and only then are they removed from the queue.  A charger
that is killed in between charges some packets again.  That changes nothing, because a session's counters only rise to
what was reported.  For the same reason several chargers may charge their files in any order.  The exceptions are the
packets for which `Charges.needs_order` returns True: they wait until all older files are charged.
"""

import functools
import gc
import math
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pymysql
from pymysql.constants import ER

from freeradius_module import settings
from freeradius_module.connection import DatabaseAway, RowLocked, WrongSchema
from freeradius_module.engine.accounting import NeverCharged
from freeradius_module.engine.engine import Engine
from freeradius_module.queue_record import Record, Unreadable

from ..shell import errors, output
from ..shell.command import cli, json_option, option, pass_office
from ..shell.module_settings import module_settings
from ..shell.office import Office
from ..shell.service import Service
from ..shell.text import _
from .files import Group, Queue, WorkFile

# The account that charges, where the option file has one for it; else FreeRADIUS'.
CHARGE_GROUP = "prepaid-charge"
GROUP_RECORDS = 500
# MariaDB's errors that are about the server and not about a packet: disk full, read only, rights or tables missing, no
# memory.  The packets then wait.  In the quarantine they would have to be replayed by hand.
SERVER_TROUBLE = {
    3,  # EE_WRITE: a file cannot be written
    ER.DISK_FULL,
    ER.GET_ERRNO,
    ER.OPEN_AS_READONLY,
    ER.OUTOFMEMORY,
    ER.OUT_OF_SORTMEMORY,
    ER.OUT_OF_RESOURCES,
    ER.DBACCESS_DENIED_ERROR,
    ER.ACCESS_DENIED_ERROR,
    ER.BAD_FIELD_ERROR,
    ER.RECORD_FILE_FULL,
    ER.TABLEACCESS_DENIED_ERROR,
    ER.COLUMNACCESS_DENIED_ERROR,
    ER.NO_SUCH_TABLE,
    ER.LOCK_TABLE_FULL,
    ER.SPECIFIC_ACCESS_DENIED_ERROR,
    ER.OPTION_PREVENTS_STATEMENT,
    ER.PROCACCESS_DENIED_ERROR,
    1792,  # ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
    1836,  # ER_READ_ONLY_MODE
}
# The pause between two looks at the queue: the shortest while packets arrive, doubled up to the longest while none do.
PAUSE_SECONDS_MIN = 0.01
PAUSE_SECONDS_MAX = 0.05
DATABASE_PAUSE_SECONDS = 0.5
# The shortest time between two records of how far the queue is charged.
RECORD_SECONDS = 1.0
# The pause after a file could not be finished, for example because the disk is full.  Other files do not wait for it.
FILE_PAUSE_SECONDS = 5.0


@cli.command()
@option("--watch", is_flag=True, help="Run until stopped, as a service: new packets are charged at once.")
@json_option
@pass_office
def charge(office: Office, watch: bool, as_json: bool) -> None:
    """Charge the packets in the accounting queue.

    A packet that cannot be charged goes to the quarantine with the reason, and no other packet waits for it.  Several
    chargers may run at the same time.  With --watch the charger waits while the database is away.

    \b
    Example:
        prepaid charge
        prepaid charge --watch
    """
    # A group is ten thousand small tuples that live for a moment.  Searching them for reference cycles would take a sixth of
    # the time.
    gc.set_threshold(100_000)
    charger = charger_of(office, queue_of(office), is_patient=watch)
    if watch:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_signal: charger.end())
        charger.watch(Service())
    else:
        charger.charge_all()
        print_charged(charger, as_json)


def charger_of(office: Office, queue: Queue, *, is_patient: bool = False) -> "Charger":
    """A charger that works by the module's rules, on the module's own connection."""
    return Charger(
        Engine(module_settings(office, CHARGE_GROUP)), queue, config_path=office.config_path, is_patient=is_patient
    )


def queue_of(office: Office) -> Queue:
    """The queue that the option file names.  Raises WrongUsage if it names none."""
    folder = module_settings(office, CHARGE_GROUP).queue
    if not folder:
        raise errors.WrongUsage(
            _("The group [prepaid] of {config} names no directory for the queue: queue = /var/spool/prepaid-cards"),
            config=office.config_path,
        )
    return Queue(Path(folder))


def print_charged(charger: "Charger", as_json: bool) -> None:
    output.print_result(
        {"charged": charger.charged, "quarantined": charger.quarantined},
        _("Charged {charged} packets; {quarantined} went to the quarantine.").format(
            charged=charger.charged, quarantined=charger.quarantined
        ),
        as_json,
    )


class Charger:
    """Charges the packets of one queue.

    If `is_patient`, it waits while the database is away; otherwise that is an error.  `charged` and `quarantined` count packets.
    """

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
        # Called again and again while packets are charged or waited for.
        self._works: Callable[[], None] = lambda: None

    def charge_all(self) -> None:
        """Charge what is in the queue now, and return."""
        self._when_database_answers(self._engine.check)
        self.charge_waiting()

    def watch(self, service: Service) -> None:
        """Charge what arrives, until `end` is called."""
        self._works = service.works
        with self._queue.charging():
            # While the database is away the charger waits, which is its work, too.
            service.is_ready()
            self._when_database_answers(self._engine.check)
            pause_seconds = PAUSE_SECONDS_MIN
            while not self._is_ended:
                self._works()
                has_charged = self.charge_waiting()
                pause_seconds = PAUSE_SECONDS_MIN if has_charged else min(pause_seconds * 2, PAUSE_SECONDS_MAX)
                time.sleep(pause_seconds)

    def end(self) -> None:
        """Stop after the group that is being charged."""
        self._is_ended = True

    def charge_waiting(self) -> bool:
        """Charge every work file that no other charger has claimed.  Returns whether there was any."""
        began = time.monotonic()
        self._queue.take_over()
        has_charged = False
        for path in self._queue.work_files():
            has_charged |= self._charge(path)
        if not self._queue.work_files() and began >= self._recorded_at + RECORD_SECONDS:
            # Everything that arrived before `began` is charged, by this charger or by another one.
            self._when_database_answers(lambda: self._record_queue(time.monotonic() - began))
        return has_charged

    def _charge(self, path: Path) -> bool:
        """Charge one work file.  Returns False if it is not available now, or could not be finished."""
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
                        _("{path} could not be finished: {cause}. What was charged of it will not be charged twice."),
                        path=path,
                        cause=fault.strerror or fault,
                    ) from fault
                self._not_before[path] = time.monotonic() + FILE_PAUSE_SECONDS
                text = _("{path} is tried again later: {cause}").format(path=path, cause=fault)
                output.print_event(self._engine.settings.log, "charger", "file_put_off", text)
                return False
        return True

    def _charge_file(self, file: WorkFile) -> None:
        for group in file.groups(GROUP_RECORDS):
            self._when_database_answers(functools.partial(self._charge_group, file, group))
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
            if isinstance(fault, WrongSchema):
                # An upgrade is under way: the packets wait for the charger of the new version.
                raise fault
        # Packets whose row is locked wait; no others wait for them.
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
        """Record how far the queue is charged, so that a login does not take a session for silent whose report is in the queue."""
        try:
            self._engine.charges.record_queue(self._name, waiting_seconds)
        except pymysql.MySQLError as fault:
            raise DatabaseAway(str(fault)) from fault
        self._recorded_at = time.monotonic()

    def _charge_or_await(self, older: list[Path]) -> None:
        """Charge the older files, or wait until another charger has charged them."""
        for path in older:
            while path.exists() and not self._charge(path):
                self._works()
                if self._is_ended or self._not_before.get(path, 0.0) > time.monotonic():
                    break
                time.sleep(PAUSE_SECONDS_MIN)

    def _when_database_answers(self, work: Callable[[], object]) -> None:
        """Do this work; a patient charger repeats it until the database answers."""
        was_away = False
        while not self._is_ended:
            self._works()
            try:
                work()
            except (DatabaseAway, WrongSchema) as fault:
                if not self._is_patient:
                    raise errors.NotReachable(
                        cause=fault, group=settings.RADIUS_GROUP, config=self._config_path
                    ) from fault
                if not was_away:
                    text = _("The database is away, and packets stay in the queue: {cause}").format(cause=fault)
                    output.print_event(self._engine.settings.log, "charger", "database_away", text)
                was_away = True
                time.sleep(DATABASE_PAUSE_SECONDS)
            else:
                if was_away:
                    output.print_event(
                        self._engine.settings.log, "charger", "database_back", _("The database is back.")
                    )
                return


def _reason(fault: Exception) -> str:
    return str(fault) if isinstance(fault, NeverCharged) else f"{type(fault).__name__}: {fault}"
