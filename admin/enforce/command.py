"""prepaid enforce: disconnect every session that should be off, and verify that it is.

It runs once, for cron, or until stopped with --watch, for systemd.  Several enforcers may run at the same time.
"""

import signal
import time
from types import FrameType

import click
import pymysql

from .. import store
from ..books.audit import Sealer
from ..shell import errors, output
from ..shell.command import cli, json_option, option, pass_office
from ..shell.module_settings import module_settings
from ..shell.office import Office
from ..shell.service import Service
from ..shell.text import _
from .enforcer import Enforcer

# How often the database is asked for sessions that are due.
POLL_SECONDS = 0.5
# The same while more requests wait than the NAS may be sent at once.
BUSY_POLL_SECONDS = 0.05
# How often cards are marked as expired.
HOUSE_SECONDS = 30
# The pause after a failure of the database, doubled up to the longest.
RETRY_SECONDS = 1
LONGEST_RETRY_SECONDS = 30

COLUMNS = (
    "action",
    "serial",
    "nas",
    "acct_session_id",
    "due_at",
    "due_cause",
    "attempts",
    "outcome",
    "error_cause",
    "heard_at",
)
# What a narrow terminal does not show, the first first.
LEAST_IMPORTANT = ("error_cause", "acct_session_id", "heard_at", "attempts", "due_cause", "nas")


@cli.command()
@option("--watch", is_flag=True, help="Run until stopped, as a service: a cause is acted on within two seconds.")
@option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(0, 300),
    default=5,
    help="Without --watch: how many seconds to wait for the NAS to report the ends of the sessions.  [5]",
)
@json_option
@pass_office
def enforce(office: Office, watch: bool, wait_seconds: int, as_json: bool) -> None:
    """Disconnect every session that should be off: blocked, exhausted, expired, out of hours, replaced.

    The NAS is asked to disconnect it (RFC 5176), repeatedly until it is off. A session counts as off when the NAS
    reports its end, or no longer reports it. A session past its fair use gets its reduced speed.
    Sessions that are still on are listed, and the exit status is 1.

    \b
    Example:
        prepaid enforce
        prepaid enforce --watch
    """
    office.work_as("prepaid-enforce")
    enforcer = Enforcer(office, is_service=watch)
    sealer = Sealer(office)
    try:
        if watch:
            _watch(office, enforcer, sealer)
            return
        _once(office, enforcer, wait_seconds)
    finally:
        sealer.end()
        enforcer.close()
    with office.reading() as cursor:
        rows = store.disconnect.still_on(cursor)
    output.print_rows(rows, as_json, COLUMNS, LEAST_IMPORTANT)
    if any(row["action"] == "disconnect" for row in rows):
        raise errors.Refused(
            _("Sessions that should be off are still on: {count}. The NAS' answers are listed."),
            count=sum(row["action"] == "disconnect" for row in rows),
        )


def _once(office: Office, enforcer: Enforcer, wait_seconds: float) -> None:
    """Try each session that is due, wait for the NAS' answers, and then up to `wait_seconds` for the Stops."""
    while enforcer.keep_house():
        pass
    while enforcer.look() or enforcer.is_waiting:
        enforcer.hear(1.0)
    until = time.monotonic() + wait_seconds
    while time.monotonic() < until and _waits_for_a_stop(office):
        time.sleep(0.1)
        # After a NAK the request is repeated at once with fewer attributes.
        enforcer.look()
        enforcer.hear(0.1)
    while enforcer.is_waiting:
        enforcer.hear(1.0)


def _waits_for_a_stop(office: Office) -> bool:
    """Whether a NAS may still answer, this enforcer or another one, or may still send the Stop that it has agreed to."""
    with office.reading() as cursor:
        return any(
            row["outcome"] in ("sent", "ack", "nak")
            for row in store.disconnect.still_on(cursor)
            if row["action"] == "disconnect"
        )


def _watch(office: Office, enforcer: Enforcer, sealer: Sealer) -> None:
    """Run until SIGTERM or SIGINT.  Waits while the database is away: a session that is due then is still due afterwards."""
    stop = _Stop()
    log_format = module_settings(office).log
    is_away = False
    retry_seconds = RETRY_SECONDS
    next_house = 0.0
    service = Service()
    service.is_ready()
    while not stop.is_asked:
        service.works()
        try:
            next_look = time.monotonic() + (BUSY_POLL_SECONDS if enforcer.look() else POLL_SECONDS)
            if is_away:
                output.print_event(log_format, "enforcer", "database_back", _("The database is back."))
                is_away = False
            if time.monotonic() >= next_house:
                # While more cards are to be marked as expired, some are marked after each look.
                next_house = time.monotonic() + (0 if enforcer.keep_house() else HOUSE_SECONDS)
                sealer.keep_up()
            while not stop.is_asked and (left := next_look - time.monotonic()) > 0:
                service.works()
                enforcer.hear(left)
            retry_seconds = RETRY_SECONDS
        except (pymysql.MySQLError, errors.NotReachable) as error:
            failure = error if isinstance(error, errors.OfficeError) else errors.of_database(error, office.config_path)
            if not isinstance(failure, errors.NotReachable | errors.Busy):
                raise
            if not is_away:
                output.print_event(log_format, "enforcer", "database_away", str(failure))
            is_away = True
            office.close()
            stop.sleep(retry_seconds)  # Shorter than the watchdog's time.
            retry_seconds = min(retry_seconds * 2, LONGEST_RETRY_SECONDS)


class _Stop:
    """Notes SIGTERM and SIGINT, so that the enforcer stops after the statement that it is executing."""

    def __init__(self) -> None:
        self.is_asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.is_asked and time.monotonic() < until:
            time.sleep(0.1)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.is_asked = True
