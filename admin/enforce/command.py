"""prepaid enforce: cut every session that should be off, and see that it is.

Once, for cron, or for good with --watch, for systemd.  Two at once do not disturb each other.
"""

import signal
import time

import click
import pymysql

from .. import store
from ..books.audit import Sealer
from ..shell import errors, output
from ..shell.command import cli, json_option, option, pass_office
from ..shell.text import _
from .enforcer import Enforcer

# How often the database is asked what is due: with this, a cause is acted on within a second.
POLL_SECONDS = 0.5
# And this often while there is more to do than the NAS may be asked at once.
BUSY_POLL_SECONDS = 0.05
HOUSE_SECONDS = 30
# After a failure of the database, doubled up to the longest.
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


@cli.command()
@option("--watch", is_flag=True, help="Go on for good: a cause is acted on within two seconds.")
@option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(0, 300),
    default=5,
    help="Seconds that the NAS have to report the end of what was cut, without --watch.  [5]",
)
@json_option
@pass_office
def enforce(office, watch, wait_seconds, as_json):
    """Cut every session that should be off: blocked, exhausted, expired, out of hours, replaced.

    The NAS is asked to disconnect it (RFC 5176), again and again until it is off; that is believed when the NAS
    reports the session's end, or does not report it any more.  A session past its fair use gets its reduced speed.
    What is still on is listed, and the exit status is 1.

    \b
    Example:
        prepaid enforce
        prepaid enforce --watch
    """
    enforcer = Enforcer(office)
    try:
        if watch:
            _watch(office, enforcer)
            return
        _once(office, enforcer, wait_seconds)
    finally:
        enforcer.close()
    with office.reading() as cursor:
        rows = store.session.still_on(cursor)
    output.print_rows(rows, as_json, COLUMNS)
    if any(row["action"] == "disconnect" for row in rows):
        raise errors.Refused(
            _("Sessions that should be off are still on: {count}. What their NAS said is listed."),
            count=sum(row["action"] == "disconnect" for row in rows),
        )


def _once(office, enforcer: Enforcer, wait_seconds: float) -> None:
    """Try what is due, each until its NAS has answered or not, and give the Stops some time to come."""
    while enforcer.keep_house():
        pass
    while enforcer.look() or enforcer.is_waiting:
        enforcer.hear(1.0)
    until = time.monotonic() + wait_seconds
    while time.monotonic() < until and _waits_for_a_stop(office):
        time.sleep(0.1)
        # A NAK is answered at once by the same question in fewer words.
        enforcer.look()
        enforcer.hear(0.1)
    while enforcer.is_waiting:
        enforcer.hear(1.0)


def _waits_for_a_stop(office) -> bool:
    """Whether an answer may still come, another enforcer's included, or the end that a NAS has promised."""
    with office.reading() as cursor:
        return any(
            row["outcome"] in ("sent", "ack", "nak")
            for row in store.session.still_on(cursor)
            if row["action"] == "disconnect"
        )


def _watch(office, enforcer: Enforcer) -> None:
    """Until SIGTERM or SIGINT.  A database that is away is waited for: what is due then is still due after it."""
    stop = _Stop()
    sealer = Sealer(office)
    retry_seconds = RETRY_SECONDS
    next_house = 0.0
    while not stop.is_asked:
        try:
            next_look = time.monotonic() + (BUSY_POLL_SECONDS if enforcer.look() else POLL_SECONDS)
            if time.monotonic() >= next_house:
                # While there are more cards to turn to expired, some at each look.
                next_house = time.monotonic() + (0 if enforcer.keep_house() else HOUSE_SECONDS)
                sealer.keep_up()
            while not stop.is_asked and (left := next_look - time.monotonic()) > 0:
                enforcer.hear(left)
            retry_seconds = RETRY_SECONDS
        except (pymysql.MySQLError, errors.NotReachable) as error:
            failure = error if isinstance(error, errors.OfficeError) else errors.of_database(error, office.config_path)
            if not isinstance(failure, errors.NotReachable | errors.Busy):
                raise
            output.print_notice(str(failure))
            office.close()
            stop.sleep(retry_seconds)
            retry_seconds = min(retry_seconds * 2, LONGEST_RETRY_SECONDS)


class _Stop:
    """What a signal asks for: an end after the statement that is under way."""

    def __init__(self):
        self.is_asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.is_asked and time.monotonic() < until:
            time.sleep(0.1)

    def _ask(self, number, frame) -> None:
        self.is_asked = True
