"""prepaid track: everything that happened to a card, in time order."""

import json
import signal
import threading
from datetime import datetime
from types import FrameType

import click

from . import store
from .block import sentence_of
from .shell import output, selection
from .shell.command import cli, option, pass_office
from .shell.office import Office
from .shell.shared_options import list_options
from .store.rows import Row

# On a terminal and in a pipe every row has these columns; in JSON a row has everything that belongs to it.
COLUMNS = ("at", "what", "reason", "operator", "nas", "device", "seconds", "octets", "note", "tries")
# What a narrow terminal does not show, the first first.
LEAST_IMPORTANT = ("tries", "note", "device", "operator", "octets", "nas", "seconds")
# These events of a batch concern only those of its cards that are in stock at that time.
OF_STOCK = ("exported", "received")
FOLLOW_SECONDS = 1


@cli.command()
@click.argument("serial")
@option(
    "--follow",
    is_flag=True,
    help="Continue, and print new events until Ctrl-C (exit status 0); with --json, one line for each.",
)
@list_options
@pass_office
def track(office: Office, serial: str, follow: bool, as_json: bool) -> None:
    """Show everything that happened to a card, in time order: deliveries, logins, sessions, refusals, changes.

    \b
    Example:
        prepaid track LIVRE000000016
    """
    if follow:
        _follow(office, serial, as_json)
        return
    _tell(history(office, serial), as_json)
    if not as_json:
        _tell_open_blocks(office, serial)


def history(office: Office, serial: str) -> list[Row]:
    """The events of a card in time order, read in one snapshot.

    Events of the same millisecond keep the order of a card's life: made, sold, used.
    """
    with office.reading() as cursor:
        card = selection.find(cursor, serial)
        changes = store.track.card_events(cursor, card["id"])
        rows = [
            *(
                of_batch(event)
                for event in store.track.batch_events(cursor, card["batch_id"], card["serial"])
                if event["what"] not in OF_STOCK or status_at(event["at"], changes, card["status"]) == "created"
            ),
            *map(of_change, changes),
            *(row for session in store.track.sessions(cursor, card["id"]) for row in of_session(session)),
            *(of_refusal(refusal) for refusal in store.track.refusals(cursor, card["id"])),
            *({"what": "disconnect", **attempt} for attempt in store.track.disconnect_attempts(cursor, card["id"])),
        ]
    return sorted(
        ({name: value for name, value in row.items() if value is not None} for row in rows), key=lambda row: row["at"]
    )


def status_at(moment: datetime, changes: list[Row], status_now: str) -> str:
    """A card's status at a moment, by its changes in time order.

    >>> sold = [{"at": datetime(2026, 3, 2), "from_status": "created", "to_status": "delivered"}]
    >>> status_at(datetime(2026, 3, 3), sold, "delivered"), status_at(datetime(2026, 3, 1), sold, "delivered")
    ('delivered', 'created')
    """
    for change in changes:
        if change["from_status"] is not None and change["at"] > moment:
            return str(change["from_status"])
    return status_now


def of_batch(event: Row) -> Row:
    """An event of the whole batch; the detail of an export is an object with its format, fields and SHA-256."""
    detail = event["detail"]
    return {**event, "detail": json.loads(detail) if detail and detail.startswith("{") else detail}


def of_change(event: Row) -> Row:
    """A change of the card; `open` marks a block that is not lifted yet, `block` is the reason of a block that was lifted.

    >>> of_change({"what": "block_added", "reason": "Stolen", "scope": "serial", "block": "Stolen", "is_open": 1})
    {'what': 'block_added', 'reason': 'Stolen', 'scope': 'serial', 'open': True}
    >>> of_change({"what": "unblocked", "reason": "Found", "scope": "serial", "block": "Stolen", "is_open": 0})
    {'what': 'unblocked', 'reason': 'Found', 'scope': 'serial', 'block': 'Stolen'}
    """
    row = {name: value for name, value in event.items() if name not in ("block", "is_open")}
    if event["block"] is None:
        return row
    if event["what"] not in ("blocked", "block_added"):
        return {**row, "block": event["block"]}
    return {**row, "open": True} if event["is_open"] else row


def of_session(session: Row) -> list[Row]:
    """Two events: a login, and the session that followed if the NAS reported one.

    >>> of_session({"login_at": datetime(2026, 3, 2), "nas": "hotspot", "device": "", "login_number": 1,
    ...             "acct_session_id": "", "started_at": None, "heard_at": None, "is_open": 0})
    [{'at': datetime.datetime(2026, 3, 2, 0, 0), 'what': 'login', 'nas': 'hotspot', 'device': None, 'login_number': 1}]
    """
    session = {**session, "device": session["device"] or None}
    rows: list[Row] = []
    if session["login_at"] is not None:
        rows.append(
            {
                "at": session["login_at"],
                "what": "login",
                **{name: session[name] for name in ("nas", "device", "login_number")},
            }
        )
    if session["acct_session_id"]:
        begun = session["started_at"] or session["login_at"] or session["heard_at"] or session["ended_at"]
        reported = {name: value for name, value in session.items() if name not in ("login_at", "is_open")}
        rows.append(
            {
                "at": begun,
                "what": "session",
                **reported,
                "reason": session["end_cause"] or session["due_cause"],
                "open": bool(session["is_open"]),
            }
        )
    return rows


def of_refusal(refusal: Row) -> Row:
    """One event for several refused logins of one source, at the time of the first."""
    return {
        "at": refusal["first_at"],
        "what": "refused",
        **{name: refusal[name] for name in ("reason", "nas", "source", "tries", "last_at")},
    }


def _tell(rows: list[Row], as_json: bool) -> None:
    if as_json:
        output.print_rows(rows, as_json)
    else:
        output.print_rows(
            [{name: row.get(name) for name in COLUMNS} for row in map(_with_lifted_block, rows)],
            False,
            COLUMNS,
            LEAST_IMPORTANT,
        )


def _with_lifted_block(row: Row) -> Row:
    """A row as people see it: a block that was lifted while others stay is named in the reason."""
    if row["what"] != "block_lifted":
        return row
    return {**row, "reason": ": ".join(text for text in (row["block"], row.get("reason")) if text)}


def _tell_open_blocks(office: Office, serial: str) -> None:
    with office.reading() as cursor:
        blocks = store.block.open_blocks(cursor, selection.find(cursor, serial)["id"])
    for block in blocks:
        output.print_notice(sentence_of(block))


def _follow(office: Office, serial: str, as_json: bool) -> None:
    """Read the history every second, and print what is new; a session that grew is printed again.

    Ctrl-C ends it between two readings, with exit status 0, because that is how it is meant to end.  A second Ctrl-C
    ends it at once.
    """
    is_ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        is_ended.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, end)
    printed: set[str] = set()
    while not is_ended.is_set():
        for row in history(office, serial):
            line = output.as_json_text(row)
            if line not in printed:
                printed.add(line)
                output.print_text(
                    line
                    if as_json
                    else "  ".join(text for name in COLUMNS if (text := output.formatted(name, row.get(name))))
                )
        is_ended.wait(FOLLOW_SECONDS)
