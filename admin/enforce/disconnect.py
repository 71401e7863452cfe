"""prepaid disconnect: end a card's sessions now, and say what happened."""

import time

import click

from .. import store
from ..shell import errors, output
from ..shell.command import cli, json_option, option, pass_office
from ..shell.text import _
from .enforcer import Enforcer

COLUMNS = ("serial", "nas", "acct_session_id", "is_off", "outcome", "error_cause")


@cli.command()
@click.argument("serial")
@option("--reason", help="Why; it is in the card's history.")
@option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(0, 300),
    default=10,
    help="Seconds that the NAS has to report the end.  [10]",
)
@json_option
@pass_office
def disconnect(office, serial, reason, wait_seconds, as_json):
    """End a card's sessions now.  The card stays as it is: 'prepaid block' keeps it from logging in again.

    \b
    Example:
        prepaid disconnect 4000000017 --reason "asked by the customer"
    """
    with office.transaction() as cursor:
        found = store.card.find(cursor, [serial])
        if not found or found[0]["status"] == "deleted":
            raise errors.UnknownCard(serial=serial, hint="")
        card_id = found[0]["id"]
        login_numbers = store.session.open_logins(cursor, card_id)
        store.session.make_due(cursor, card_id, "disconnected")
        if login_numbers:
            store.session.record_disconnect(cursor, card_id, reason)
    if not login_numbers:
        output.print_rows([], as_json)
        output.print_notice(_("Card {serial} has no session.").format(serial=serial))
        return
    rows = _cut(office, card_id, login_numbers, wait_seconds)
    output.print_rows(rows, as_json, COLUMNS)
    if not all(row["is_off"] for row in rows):
        raise errors.Refused(
            _(
                "Not every session is known to be off yet. 'prepaid enforce' goes on trying; what the NAS said is listed."
            )
        )


def _cut(office, card_id: int, login_numbers: list[int], wait_seconds: float) -> list[dict]:
    """Ask the NAS, and wait until the sessions' own reports say that they are off, or the time is up."""
    enforcer = Enforcer(office)
    try:
        with office.reading() as cursor:
            due = store.session.due_of_card(cursor, card_id)
        enforcer.cut([row for row in due if row["acct_session_id"]])
        until = time.monotonic() + wait_seconds
        while True:
            enforcer.hear(0.2)
            with office.reading() as cursor:
                rows = store.session.disconnect_results(cursor, card_id, login_numbers)
            is_over = all(row["is_off"] for row in rows) or time.monotonic() >= until
            if is_over and not enforcer.is_waiting:
                return rows
            if not enforcer.is_waiting:
                time.sleep(0.1)
    finally:
        enforcer.close()
