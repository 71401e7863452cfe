"""prepaid disconnect: end a card's sessions now, and report the result."""

import time
from typing import Any

import click

from .. import store
from ..shell import errors, output
from ..shell.command import cli, json_option, option, pass_office
from ..shell.office import Office
from ..shell.shared_options import rehearsal_option
from ..shell.text import _, plural
from ..store.rows import Cursor, Row
from .enforcer import Enforcer

COLUMNS = ("serial", "nas", "acct_session_id", "is_off", "outcome", "error_cause")
# What a narrow terminal does not show, the first first.
LEAST_IMPORTANT = ("error_cause", "acct_session_id", "nas")


@cli.command()
@click.argument("serial")
@option("--reason", help="Why; written to the card's history.")
@option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(0, 300),
    default=10,
    help="How many seconds to wait for the NAS to report the end.  [10]",
)
@rehearsal_option
@json_option
@pass_office
def disconnect(office: Office, serial: str, reason: str | None, wait_seconds: int, as_json: bool) -> None:
    """End a card's sessions now.  The card can log in again; 'prepaid block' prevents that.

    \b
    Example:
        prepaid disconnect 4000000017 --reason "asked by the customer"
    """

    def make_due(cursor: Cursor) -> tuple[Row, list[int]]:
        found = store.card.find(cursor, [serial])
        if not found or found[0]["status"] == "deleted":
            raise errors.UnknownCard(serial=serial, hint="")
        card_id = found[0]["id"]
        login_numbers = store.disconnect.open_logins(cursor, card_id)
        store.session.make_due(cursor, card_id, "disconnected")
        if login_numbers:
            store.disconnect.record_disconnect(cursor, card_id, reason)
        return found[0], login_numbers

    card, login_numbers = office.change(make_due)
    if office.dry_run:
        _tell_dry_run(card["serial"], len(login_numbers), as_json)
        return
    if not login_numbers:
        output.print_rows([], as_json, COLUMNS)
        output.print_notice(_("Card {serial} has no session.").format(serial=serial))
        return
    rows = _disconnect(office, card["id"], login_numbers, wait_seconds)
    output.print_rows(rows, as_json, COLUMNS, LEAST_IMPORTANT)
    if not all(row["is_off"] for row in rows):
        raise errors.Refused(
            _("Not every session is known to be off yet. 'prepaid enforce' keeps trying; the NAS' answers are listed.")
        )


def _tell_dry_run(serial: str, sessions: int, as_json: bool) -> None:
    sentence = plural(
        "{count} session of card {serial} is disconnected.",
        "{count} sessions of card {serial} are disconnected.",
        sessions,
    ).format(count=sessions, serial=serial)
    output.print_result({"serial": serial, "sessions": sessions}, sentence, as_json)


def _disconnect(office: Office, card_id: int, login_numbers: list[int], wait_seconds: float) -> list[dict[str, Any]]:
    """Send the requests, and wait until the sessions' own reports show that they are off, or the time is up."""
    enforcer = Enforcer(office)
    try:
        with office.reading() as cursor:
            due = store.disconnect.due_of_card(cursor, card_id)
        enforcer.disconnect([row for row in due if row["acct_session_id"]])
        until = time.monotonic() + wait_seconds
        while True:
            enforcer.hear(0.2)
            with office.reading() as cursor:
                rows = store.disconnect.disconnect_results(cursor, card_id, login_numbers)
            is_over = all(row["is_off"] for row in rows) or time.monotonic() >= until
            if is_over and not enforcer.is_waiting:
                return rows
            if not enforcer.is_waiting:
                time.sleep(0.1)
    finally:
        enforcer.close()
