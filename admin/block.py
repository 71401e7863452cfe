"""prepaid block, unblock, delete: stop cards, let them go on, take them out of stock."""

import sys

import click

from . import store
from .custody import dry_run_option
from .shell import errors, output, selection
from .shell.command import cli, json_option, option, pass_office
from .shell.text import _, plural


def choosing_options(command):
    """Which cards, why, and how careful."""
    for decorate in reversed(
        (
            click.argument("serials", nargs=-1, metavar="[SERIAL]..."),
            selection.batch_option,
            selection.range_option,
            option("--reason", help="Why, for the history."),
            option("--yes", is_flag=True, help="Do not ask, for scripts."),
            dry_run_option,
            json_option,
        )
    ):
        command = decorate(command)
    return command


@cli.command()
@choosing_options
@pass_office
def block(office, serials, batch_id, range_text, reason, yes, dry_run, as_json):
    """Stop cards in any status but redeemed; their open sessions are cut.

    Cards that are blocked already stay as they are.

    \b
    Example:
        prepaid block LIVRE000000016 --reason "Reported stolen"
        prepaid block --range LIVRE000000016-LIVRE000010005 --reason "Parcel lost"
    """

    def look(cursor):
        chosen = selection.by_any(cursor, serials, batch_id, range_text)
        found = selection.counted(cursor, chosen)
        _refuse_if_any(found, "redeemed", _("its credit is on the voice platform already"))
        _refuse_if_any(found, "deleted", _("it is not in use any more"))
        return chosen.choice, sum(row["count"] for status, row in found.items() if status != "blocked")

    def act(cursor, choice):
        # The cards first: from then on no login of theirs is written, and those that were are found.
        count = store.card.block(cursor, choice)
        store.card.make_sessions_due(cursor, choice, "blocked")
        return count

    def ask(count):
        if count > 1 and not yes and sys.stdin.isatty():
            _ask(plural("Block {count} card?", "Block {count} cards?", count), count)

    count = carry_out(office, reason, look, ask, act, dry_run)
    _tell(
        "blocked",
        count,
        dry_run,
        as_json,
        plural("{count} card blocked.", "{count} cards blocked.", count),
        plural("Would block {count} card.", "Would block {count} cards.", count),
    )


@cli.command()
@choosing_options
@pass_office
def unblock(office, serials, batch_id, range_text, reason, yes, dry_run, as_json):
    """Give blocked cards the status back that they had before.

    \b
    Example:
        prepaid unblock LIVRE000000016 --reason "Found again"
    """

    def look(cursor):
        chosen = selection.by_any(cursor, serials, batch_id, range_text)
        found = selection.counted(cursor, chosen)
        if "blocked" not in found:
            raise errors.Refused(
                _("Nothing is blocked: {words} has {statuses}."),
                words=chosen.words,
                statuses=", ".join(output.formatted("status", status) for status in found),
            )
        return chosen.choice, found["blocked"]["count"]

    def ask(count):
        if count > 1 and not yes and sys.stdin.isatty():
            _ask(plural("Unblock {count} card?", "Unblock {count} cards?", count), count)

    count = carry_out(office, reason, look, ask, store.card.unblock, dry_run)
    _tell(
        "unblocked",
        count,
        dry_run,
        as_json,
        plural("{count} card unblocked.", "{count} cards unblocked.", count),
        plural("Would unblock {count} card.", "Would unblock {count} cards.", count),
    )


@cli.command()
@choosing_options
@pass_office
def delete(office, serials, batch_id, range_text, reason, yes, dry_run, as_json):
    """Delete cards in stock, for good: all of them or none.  Their serials are never used again.

    \b
    Example:
        prepaid delete --batch 31 --reason "Misprinted" --yes
    """

    def look(cursor):
        chosen = selection.by_any(cursor, serials, batch_id, range_text)
        cards = selection.require_only(cursor, chosen, selection.counted(cursor, chosen), "created")
        return chosen.choice, cards["count"]

    def ask(count):
        # What cannot be undone is asked of scripts too; they say --yes.
        if not yes:
            _ask(plural("Delete {count} card for good?", "Delete {count} cards for good?", count), count)

    count = carry_out(office, reason, look, ask, store.card.delete, dry_run)
    _tell(
        "deleted",
        count,
        dry_run,
        as_json,
        plural("{count} card deleted.", "{count} cards deleted.", count),
        plural("Would delete {count} card.", "Would delete {count} cards.", count),
    )


def carry_out(office, reason, look, ask, act, dry_run: bool) -> int:
    """Look, ask, look again and act: nobody waits for an answer with other people's cards locked."""
    with office.transaction() as cursor:
        _choice, count = look(cursor)
    if dry_run or count == 0:
        return count
    ask(count)
    with office.transaction(reason=reason) as cursor:
        choice, count_now = look(cursor)
        # The answer was given to the first count, and to no other.
        if count_now != count or act(cursor, choice) != count:
            raise errors.Busy()
    return count


def _ask(question: str, count: int) -> None:
    if not output.confirm(question.format(count=count)):
        raise errors.Refused(_("Nothing was changed."))


def _refuse_if_any(found: dict, status: str, why: str) -> None:
    if status in found:
        raise errors.Refused(
            _("Card {serial} is {status}: {why}. Nothing was changed."),
            serial=found[status]["first_serial"],
            status=output.formatted("status", status),
            why=why,
        )


def _tell(what: str, count: int, dry_run: bool, as_json: bool, done: str, would: str) -> None:
    sentence = would if dry_run else done
    output.print_result({what: count, "dry_run": dry_run}, sentence.format(count=count), as_json)
