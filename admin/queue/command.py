"""prepaid queue status, replay, quarantine: look after the accounting queue."""

import copy
from datetime import UTC, datetime
from typing import Any

from freeradius_module import attributes
from freeradius_module.queue_record import Record, Unreadable

from ..shell import output
from ..shell.command import cli, json_option, pass_office
from ..shell.office import Office
from ..shell.shared_options import list_options
from ..shell.text import _
from .charge import charger_of, print_charged, queue_of
from .files import age_seconds


@cli.group()
def queue() -> None:
    """The accounting queue: packets that FreeRADIUS has answered and that are not charged yet."""


@queue.command()
@json_option
@pass_office
def status(office: Office, as_json: bool) -> None:
    """How many packets wait, for how long, whether a charger runs, and how many packets are in the quarantine.

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
def replay(office: Office, as_json: bool) -> None:
    """Charge what waits, and try the packets in the quarantine again, once their cause is removed.

    Replaying twice changes nothing, because a packet counts once.  A packet that still cannot be charged goes back to the
    quarantine.

    \b
    Example:
        prepaid queue quarantine
        prepaid queue replay
    """
    place = queue_of(office)
    charger = charger_of(office, place)
    place.take_over("quarantine")
    charger.charge_all()
    print_charged(charger, as_json)


@queue.command()
@list_options
@pass_office
def quarantine(office: Office, as_json: bool) -> None:
    """Show the packets that could not be charged, and why.

    \b
    Example:
        prepaid queue quarantine --json
    """
    output.print_rows(
        map(_row, queue_of(office).quarantined()), as_json, columns=["received_at", "nas", "serial", "what", "reason"]
    )


# Other programs call the group by its former name, `prepaid spool`.
_former_name = copy.copy(queue)
_former_name.hidden = True
cli.add_command(_former_name, "spool")


def _row(part: Record | Unreadable) -> dict[str, Any]:
    request = attributes.values(part.pairs) if isinstance(part, Record) else {}
    return {
        "received_at": _moment(part.received_at) if isinstance(part, Record) else None,
        "nas": request.get(attributes.SOURCE_ADDRESS),
        "serial": request.get("User-Name"),
        "what": request.get("Acct-Status-Type"),
        "acct_session_id": request.get("Acct-Session-Id"),
        "seconds": request.get("Acct-Session-Time"),
        # A record without a reason was written by FreeRADIUS itself, which quarantines only what it cannot pass to Python.
        "reason": part.reason or _("it contains text that is not UTF-8, or a control character"),
        "record": part.text,
    }


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
