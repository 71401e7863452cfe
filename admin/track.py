"""prepaid track: everything that happened to a card, in time order."""

import json
import time

import click

from . import store
from .shell import output, selection
from .shell.command import cli, json_option, option, pass_office

# On a terminal and in a pipe every row has these; JSON has all that belongs to a row, and nothing that does not.
COLUMNS = ("at", "what", "reason", "operator", "nas", "device", "seconds", "octets", "note", "tries")
# What happens to a batch happens to those of its cards that are in stock then.
OF_STOCK = ("exported", "received")
FOLLOW_SECONDS = 1


@cli.command()
@click.argument("serial")
@option("--follow", is_flag=True, help="Go on and print what happens, until Ctrl-C; with --json a line for each.")
@json_option
@pass_office
def track(office, serial, follow, as_json):
    """Everything that happened to a card: made, sold, logins, sessions, refusals, cuts, changes.

    \b
    Example:
        prepaid track LIVRE000000016
    """
    if follow:
        _follow(office, serial, as_json)
    else:
        _tell(history(office, serial), as_json)


def history(office, serial: str) -> list[dict]:
    """The rows, seen at one moment.

    What happened within the same millisecond keeps the order of a card's life: made, sold, used.
    """
    with office.reading() as cursor:
        card = selection.find(cursor, serial)
        changes = store.track.card_events(cursor, card["id"])
        rows = [
            *(
                of_batch(event)
                for event in store.track.batch_events(cursor, card["batch_id"])
                if event["what"] not in OF_STOCK or status_at(event["at"], changes, card["status"]) == "created"
            ),
            *changes,
            *(row for session in store.track.sessions(cursor, card["id"]) for row in of_session(session)),
            *(of_refusal(refusal) for refusal in store.track.refusals(cursor, card["id"])),
            *({"what": "cut", **cut} for cut in store.track.disconnect_attempts(cursor, card["id"])),
        ]
    return sorted(
        ({name: value for name, value in row.items() if value is not None} for row in rows), key=lambda row: row["at"]
    )


def status_at(moment, changes: list[dict], status_now: str) -> str:
    """A card's status at some moment: a batch may be exported when some of its cards are sold already.

    >>> status_at(5, [{"at": 3, "from_status": "created", "to_status": "delivered"}], "delivered")
    'delivered'
    >>> status_at(2, [{"at": 3, "from_status": "created", "to_status": "delivered"}], "delivered")
    'created'
    """
    later = (change for change in changes if change["from_status"] is not None and change["at"] > moment)
    return next(later, {"from_status": status_now})["from_status"]


def of_batch(event: dict) -> dict:
    """What happened to the whole batch; of an export also its form, fields and SHA-256."""
    detail = event["detail"]
    return {**event, "detail": json.loads(detail) if detail and detail.startswith("{") else detail}


def of_session(session: dict) -> list[dict]:
    """A login, and the session that came of it if the NAS ever reported one.

    >>> from datetime import datetime
    >>> of_session({"login_at": datetime(2026, 3, 2), "nas": "hotspot", "device": "", "login_number": 1,
    ...             "acct_session_id": "", "started_at": None, "heard_at": None, "is_open": 0})
    [{'at': datetime.datetime(2026, 3, 2, 0, 0), 'what': 'login', 'nas': 'hotspot', 'device': None, 'login_number': 1}]
    """
    session = {**session, "device": session["device"] or None}
    rows = []
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
        told = {name: value for name, value in session.items() if name not in ("login_at", "is_open")}
        rows.append(
            {
                "at": begun,
                "what": "session",
                **told,
                "reason": session["end_cause"] or session["due_cause"],
                "open": bool(session["is_open"]),
            }
        )
    return rows


def of_refusal(refusal: dict) -> dict:
    """Some refused logins of one source; the time is that of the first."""
    return {
        "at": refusal["first_at"],
        "what": "refused",
        **{name: refusal[name] for name in ("reason", "nas", "source", "tries", "last_at")},
    }


def _tell(rows: list[dict], as_json: bool) -> None:
    if as_json:
        output.print_rows(rows, as_json)
    else:
        output.print_rows([{name: row.get(name) for name in COLUMNS} for row in rows])


def _follow(office, serial: str, as_json: bool) -> None:
    """Look again every second.  A session that grew is told again; the connection is idle in between."""
    told = set()
    while True:
        for row in history(office, serial):
            line = output.as_json_text(row)
            if line not in told:
                told.add(line)
                output.print_text(
                    line
                    if as_json
                    else "  ".join(text for name in COLUMNS if (text := output.formatted(name, row.get(name))))
                )
        time.sleep(FOLLOW_SECONDS)
