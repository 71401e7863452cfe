"""prepaid queue status, replay, quarantine: look after the accounting queue."""

from datetime import UTC, datetime

from freeradius_module import attributes
from freeradius_module.queue_record import Record

from ..shell import output
from ..shell.command import cli, json_option, pass_office
from ..shell.text import _
from .charge import charger_of, queue_of, tell_charged
from .files import age_seconds


@cli.group()
def queue():
    """The accounting queue: what FreeRADIUS has answered and is not charged yet."""


@queue.command()
@json_option
@pass_office
def status(office, as_json):
    """How much waits, for how long already, whether a charger runs, and what is in the quarantine.

    \b
    Example:
        prepaid queue status
    """
    place = queue_of(office)
    waiting = place.waiting()
    is_charged = place.is_charged()
    output.print_record(
        {
            "queue": str(place.folder),
            "waiting": waiting.records,
            "waiting_octets": waiting.octets,
            "oldest_at": _moment(waiting.oldest_at),
            "lag_seconds": round(age_seconds(waiting.oldest_at), 3),
            "is_charger_running": is_charged,
            "quarantined": sum(1 for _each in place.quarantined()),
        },
        as_json,
    )
    if not is_charged:
        output.print_notice(
            _("No charger runs. Start it with 'systemctl start prepaid-charge', or run 'prepaid charge --watch'.")
        )


@queue.command()
@json_option
@pass_office
def replay(office, as_json):
    """Charge what waits, and try again what is in the quarantine, after its cause was mended.

    To replay twice changes nothing: a packet counts once.  What still cannot be charged goes back to the quarantine.

    \b
    Example:
        prepaid queue quarantine
        prepaid queue replay
    """
    place = queue_of(office)
    charger = charger_of(office, place)
    place.take_over("quarantine")
    charger.charge_all()
    tell_charged(charger, as_json)


@queue.command()
@json_option
@pass_office
def quarantine(office, as_json):
    """Show the packets that could not be charged, and why.

    \b
    Example:
        prepaid queue quarantine --json
    """
    output.print_rows(
        map(_row, queue_of(office).quarantined()), as_json, columns=["received_at", "nas", "serial", "what", "reason"]
    )


def _row(part) -> dict:
    request = attributes.values(part.pairs) if isinstance(part, Record) else {}
    return {
        "received_at": _moment(part.received_at) if isinstance(part, Record) else None,
        "nas": request.get(attributes.SOURCE_ADDRESS),
        "serial": request.get("User-Name"),
        "what": request.get("Acct-Status-Type"),
        "acct_session_id": request.get("Acct-Session-Id"),
        "seconds": request.get("Acct-Session-Time"),
        # FreeRADIUS itself writes no reason: it puts aside only what it cannot hand to a program.
        "reason": part.reason or _("a text in it is not UTF-8 or holds a control character"),
        "record": part.text,
    }


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
