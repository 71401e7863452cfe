"""prepaid reconcile: checks that the sums of the books agree.

Everything is read within one snapshot, so logins and accounting that happen meanwhile do not change the result.
"""

from collections.abc import Callable, Iterator

from .. import store
from ..shell import errors, output
from ..shell.command import cli, json_option, pass_office
from ..shell.office import Office
from ..shell.text import _
from ..store.rows import TupleCursor, TupleRow
from . import run

CARDS_A_RANGE = 20_000

# The rules by name: those that are checked on ranges of cards, and those on all notes, batches and partners.
OF_CARDS = {
    "ledger": store.reconcile.wrong_entries,
    "usage": store.reconcile.wrong_usage,
    "sessions": store.reconcile.wrong_sessions,
    "status": store.reconcile.wrong_statuses,
    "block": store.reconcile.wrong_blocks,
    "custody": store.reconcile.wrong_custody,
    "history": store.reconcile.wrong_events,
    "transfer": store.reconcile.wrong_transfers,
    "voice": store.reconcile.wrong_voice_credits,
}
OF_PAPERS = {
    "note": store.reconcile.wrong_notes,
    "batch": store.reconcile.wrong_batches,
    "partner": store.reconcile.wrong_accounts,
    "role": store.reconcile.wrong_roles,
}


@cli.command()
@json_option
@pass_office
def reconcile(office: Office, as_json: bool) -> None:
    """Check that the books agree, and list what does not. Logins may continue meanwhile.

    \b
    ledger    the credit added to a card is the sum of its compensating entries
    usage     the usage of a card is the sum of its sessions, archived ones included
    sessions  no session has posted more than it used
    status    a card's status is the last one of its history, which has no gap
    block     a card is blocked while one of its blocks is open, and no longer
    custody   a card that is with a partner has a delivery note to that partner
    history   each change of status is permitted, and who did something to a card held a role for it then
    transfer  what a transfer took from one card, it gave to the other
    voice     a redeemed card has a credit with the card's value, and no other card has one
    note      a note has as many cards as changed hands with it
    batch     a batch has as many cards as its row states
    partner   a partner's account has the sums of its notes and payments
    role      who made a batch, note, payment or voice credit, or asked for an address, held the role then

    \b
    Example:
        prepaid reconcile
    """
    office.work_without_admin_as("prepaid-enforce")
    with office.reading(), office.tuples() as cursor:
        first, last = store.reconcile.card_ids(cursor)
        with output.progress(last - first + 1, _("Reconciling")) as advance:
            bad = list(faults(cursor, first, last, advance))
    run.record(office, "reconcile", len(bad))
    checks = [*OF_CARDS, *OF_PAPERS]
    if as_json:
        output.print_record({"checks": checks, "faults": bad}, as_json)
    elif bad:
        output.print_rows(bad)
    else:
        output.print_result({}, _("The books agree: {checks}.").format(checks=output.formatted("checks", checks)))
    if bad:
        raise errors.Refused(_("The books do not agree: {count} faults are listed."), count=len(bad))


def faults(
    cursor: TupleCursor, first: int, last: int, advance: Callable[[int], object] = lambda count: None
) -> Iterator[dict[str, str]]:
    """What does not agree: the rule (check), the card, note, batch or partner (of, which), and the two values (one, other)."""
    for begin in range(first, last + 1, CARDS_A_RANGE):
        end = min(begin + CARDS_A_RANGE - 1, last)
        for name, rule in OF_CARDS.items():
            for row in rule(cursor, begin, end):
                yield _fault(name, "card", row)
        advance(end - begin + 1)
    for name, rule_of_papers in OF_PAPERS.items():
        for row in rule_of_papers(cursor):
            yield _fault(name, name, row)


def _fault(check: str, of: str, row: TupleRow) -> dict[str, str]:
    which, compared, left, right = (value.decode() if isinstance(value, bytes) else value for value in row)
    return {"check": check, "of": of, "which": str(which), "compared": compared, "one": str(left), "other": str(right)}
