"""prepaid block, unblock, delete: stop cards, let them work again, take them out of stock for good."""

import sys
from collections.abc import Callable

import click
import pymysql

from . import store
from .shell import errors, output, selection
from .shell.command import cli, json_option, pass_office
from .shell.office import Office
from .shell.shared_options import dry_run_option, reason_option, require_yes, together, yes_option
from .shell.text import _, plural
from .store.card import Choice
from .store.rows import Cursor, Row

# Finds the cards and refuses those that cannot be changed; returns the choice, and how many cards it will change.
Look = Callable[[Cursor], tuple[Choice, int]]
# A login on another node of a cluster may make the commit fail; of many cards, one that logs in just then is enough.
TRIES = 8

choosing_options = together(
    click.argument("serials", nargs=-1, metavar="[SERIAL]..."),
    selection.batch_option,
    selection.range_option,
    reason_option,
    yes_option,
    dry_run_option,
    json_option,
)


@cli.command()
@choosing_options
@pass_office
def block(
    office: Office,
    serials: tuple[str, ...],
    batch_id: int | None,
    range_text: str | None,
    reason: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Block cards in any status except redeemed; their open sessions are disconnected.

    Cards that are already blocked stay as they are.

    \b
    Example:
        prepaid block LIVRE000000016 --reason "Reported stolen"
        prepaid block --range LIVRE000000016-LIVRE000010005 --reason "Parcel lost"
    """

    def look(cursor: Cursor) -> tuple[Choice, int]:
        chosen = selection.by_any(cursor, serials, batch_id, range_text)
        found = selection.counted(cursor, chosen)
        _refuse_if_any(found, "redeemed", _("its credit is already on the voice platform"))
        _refuse_if_any(found, "deleted", _("it is no longer in use"))
        return chosen.choice, sum(row["count"] for status, row in found.items() if status != "blocked")

    def act(cursor: Cursor, choice: Choice) -> int:
        # The cards first: from then on no login of theirs can be recorded, and every earlier one is found.
        count = store.card.block(cursor, choice)
        store.card.make_sessions_due(cursor, choice, "blocked")
        return count

    def ask(count: int) -> None:
        if count > 1 and not yes and sys.stdin.isatty():
            require_yes(plural("Block {count} card?", "Block {count} cards?", count).format(count=count))

    count = carry_out(office, reason, look, ask, act, dry_run)
    sentence = (
        plural("Would block {count} card.", "Would block {count} cards.", count)
        if dry_run
        else plural("{count} card blocked.", "{count} cards blocked.", count)
    )
    output.print_result({"blocked": count, "dry_run": dry_run}, sentence.format(count=count), as_json)


@cli.command()
@choosing_options
@pass_office
def unblock(
    office: Office,
    serials: tuple[str, ...],
    batch_id: int | None,
    range_text: str | None,
    reason: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Unblock cards: each returns to the status that it had before.

    \b
    Example:
        prepaid unblock LIVRE000000016 --reason "Found again"
    """

    def look(cursor: Cursor) -> tuple[Choice, int]:
        chosen = selection.by_any(cursor, serials, batch_id, range_text)
        found = selection.counted(cursor, chosen)
        if "blocked" not in found:
            raise errors.Refused(
                _("None of these cards is blocked: {words} has the status {statuses}."),
                words=chosen.words,
                statuses=", ".join(output.formatted("status", status) for status in found),
            )
        return chosen.choice, found["blocked"]["count"]

    def ask(count: int) -> None:
        if count > 1 and not yes and sys.stdin.isatty():
            require_yes(plural("Unblock {count} card?", "Unblock {count} cards?", count).format(count=count))

    count = carry_out(office, reason, look, ask, store.card.unblock, dry_run)
    sentence = (
        plural("Would unblock {count} card.", "Would unblock {count} cards.", count)
        if dry_run
        else plural("{count} card unblocked.", "{count} cards unblocked.", count)
    )
    output.print_result({"unblocked": count, "dry_run": dry_run}, sentence.format(count=count), as_json)


@cli.command()
@choosing_options
@pass_office
def delete(
    office: Office,
    serials: tuple[str, ...],
    batch_id: int | None,
    range_text: str | None,
    reason: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Delete cards in stock for good: all of them or none.  Their serials are never used again.

    \b
    Example:
        prepaid delete --batch 31 --reason "Misprinted" --yes
    """

    def look(cursor: Cursor) -> tuple[Choice, int]:
        chosen = selection.by_any(cursor, serials, batch_id, range_text)
        cards = selection.require_only(cursor, chosen, selection.counted(cursor, chosen), "created")
        return chosen.choice, cards["count"]

    def ask(count: int) -> None:
        # Deleting cannot be undone, so scripts must confirm it too, with --yes.
        if not yes:
            question = plural("Delete {count} card for good?", "Delete {count} cards for good?", count)
            require_yes(question.format(count=count))

    count = carry_out(office, reason, look, ask, store.card.delete, dry_run)
    sentence = (
        plural("Would delete {count} card.", "Would delete {count} cards.", count)
        if dry_run
        else plural("{count} card deleted.", "{count} cards deleted.", count)
    )
    output.print_result({"deleted": count, "dry_run": dry_run}, sentence.format(count=count), as_json)


def carry_out(
    office: Office,
    reason: str | None,
    look: Look,
    ask: Callable[[int], None],
    act: Callable[[Cursor, Choice], int],
    dry_run: bool,
) -> int:
    """Look, ask, look again, and act; returns how many cards were changed.

    The first look ends its transaction before the question is asked, so that the cards are not locked while a person
    thinks.
    """
    with office.transaction() as cursor:
        _choice, count = look(cursor)
    if dry_run or count == 0:
        return count
    ask(count)
    for tries in range(1, TRIES + 1):
        try:
            _act(office, reason, look, act, count)
            break
        except pymysql.MySQLError as error:
            if tries == TRIES or not errors.has_lost_race(error):
                raise
    return count


def _act(office: Office, reason: str | None, look: Look, act: Callable[[Cursor, Choice], int], count: int) -> None:
    with office.transaction(reason=reason) as cursor:
        choice, count_now = look(cursor)
        # The confirmation was given for the first count.
        if count_now != count or act(cursor, choice) != count:
            raise errors.Busy()


def _refuse_if_any(found: dict[str, Row], status: str, why: str) -> None:
    if status in found:
        raise errors.Refused(
            _("Card {serial} is {status}: {why}. Nothing was changed."),
            serial=found[status]["first_serial"],
            status=output.formatted("status", status),
            why=why,
        )
