"""prepaid reconcile: the sums of the books agree.

Everything is read within one snapshot, so that logins and accounting that go on meanwhile change nothing of it.
"""

from collections.abc import Iterator

import pymysql.cursors

from .. import store
from ..shell import errors, output
from ..shell.command import cli, json_option, pass_office
from ..shell.text import _

CARDS_A_RANGE = 20_000

OF_CARDS = {
    "ledger": store.reconcile.wrong_entries,
    "usage": store.reconcile.wrong_usage,
    "sessions": store.reconcile.wrong_sessions,
    "status": store.reconcile.wrong_statuses,
    "custody": store.reconcile.wrong_custody,
    "history": store.reconcile.wrong_events,
    "transfer": store.reconcile.wrong_transfers,
    "voice": store.reconcile.wrong_voice_credits,
}
OF_PAPERS = {"note": store.reconcile.wrong_notes, "batch": store.reconcile.wrong_batches}


@cli.command()
@json_option
@pass_office
def reconcile(office, as_json):
    """Check that the books agree, and list what does not; logins may go on meanwhile.

    \b
    ledger    what was added to a card is the sum of its compensating entries
    usage     what a card has used is the sum of its sessions, archived ones included
    sessions  no session has posted more than it used
    status    a card's status is the last one of its history, which has no break
    custody   a card that was handed over has a delivery note to the partner that has it
    history   each change of status is a permitted one, and FreeRADIUS' account made none that is the office's
    transfer  what a transfer took from one card it gave to the other
    voice     a redeemed card has a credit of what it was worth, and no other card has one
    note      a note says as many cards as changed hands with it
    batch     a batch has as many cards as it says

    \b
    Example:
        prepaid reconcile
    """
    with office.reading() as cursor, cursor.connection.cursor(pymysql.cursors.Cursor) as plain:
        first, last = store.reconcile.card_ids(plain)
        with output.progress(last - first + 1, _("Reconciling")) as advance:
            bad = list(faults(plain, first, last, advance))
    checks = [*OF_CARDS, *OF_PAPERS]
    if as_json:
        output.tell_one({"checks": checks, "faults": bad}, as_json)
    elif bad:
        output.tell_rows(bad)
    else:
        output.tell_done({}, _("The books agree: {checks}.").format(checks=", ".join(checks)))
    if bad:
        raise errors.Refused(_("The books do not agree: {count} faults are listed."), count=len(bad))


def faults(cursor, first: int, last: int, advance=lambda count: None) -> Iterator[dict]:
    """What does not agree: the rule, the card, note or batch, and the two values that should be one."""
    for begin in range(first, last + 1, CARDS_A_RANGE):
        end = min(begin + CARDS_A_RANGE - 1, last)
        for name, rule in OF_CARDS.items():
            for row in rule(cursor, begin, end):
                yield _fault(name, "card", row)
        advance(end - begin + 1)
    for name, rule in OF_PAPERS.items():
        for row in rule(cursor):
            yield _fault(name, name, row)


def _fault(check: str, of: str, row: tuple) -> dict:
    which, compared, left, right = (value.decode() if isinstance(value, bytes) else value for value in row)
    return {"check": check, "of": of, "which": str(which), "compared": compared, "one": str(left), "other": str(right)}
