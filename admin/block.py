"""prepaid block, unblock, delete: stop cards, let them work again, take them out of stock for good."""

import sys
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import click

from . import store
from .shell import errors, output, scanned, selection
from .shell.command import cli, json_option, option, pass_office
from .shell.office import Office
from .shell.shared_options import dry_run_option, reason_option, require_reason, require_yes, together, yes_option
from .shell.text import _, in_context, plural
from .store.block import Match
from .store.card import Choice
from .store.rows import Cursor, Row

# What a command will do, as it is shown before it is done.
Plan = TypeVar("Plan")

SCOPES = ("serial", "range", "batch", "import")

choosing_options = together(
    click.argument("serials", nargs=-1, metavar="[SERIAL]..."),
    selection.batch_option,
    selection.range_option,
    reason_option,
    yes_option,
    dry_run_option,
    json_option,
)


class NewBlocks(NamedTuple):
    """The cards that get a block, and how many of them are blocked already, for other reasons."""

    card_ids: list[int]
    blocked_before: int


class Lifting(NamedTuple):
    """Which blocks are lifted and which stay, by scope and reason; how many cards work again, and how many do not."""

    lifted: list[Row]
    staying: list[Row]
    freed: int
    still_blocked: int


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

    Every block keeps its reason. A card that is blocked already gets one more block, and works again when all its
    blocks are lifted. The same block is not made twice. A terminal asks for the reason; a script gives --reason.
    With -, serials are read from standard input, one on each line.

    \b
    Example:
        prepaid block LIVRE000000016 --reason "Reported stolen"
        prepaid block --range LIVRE000000016-LIVRE000010005 --reason "Parcel lost"
    """
    why = (reason or "") if dry_run else require_reason(reason)
    scope = scope_of(serials, batch_id)
    wanted = scanned.given(serials)

    def look(cursor: Cursor) -> tuple[Choice, NewBlocks]:
        chosen = selection.by_any(cursor, wanted, batch_id, range_text)
        why_not = {"redeemed": _("its credit is already on the voice platform"), "deleted": _("it is no longer in use")}
        selection.require_lines(cursor, chosen, lambda card: _objection(card, why_not))
        found = selection.counted(cursor, chosen)
        for status, objection in why_not.items():
            _refuse_if_any(found, status, objection)
        cards = store.block.cards_without(cursor, chosen.choice, scope, why)
        blocked = sum(card["status"] == "blocked" for card in cards)
        return chosen.choice, NewBlocks([card["id"] for card in cards], blocked)

    def act(cursor: Cursor, choice: Choice, plan: NewBlocks) -> bool:
        # The cards first: from then on no login of theirs can be recorded, and every earlier one is found.
        store.block.add(cursor, plan.card_ids, scope, why)
        store.card.make_sessions_due(cursor, choice, "blocked")
        return True

    def ask(plan: NewBlocks) -> None:
        count = len(plan.card_ids)
        if count > 1 and not yes and sys.stdin.isatty():
            require_yes(plural("Block {count} card?", "Block {count} cards?", count).format(count=count))

    plan = carry_out(office, why or None, look, ask, act, lambda plan: bool(plan.card_ids), dry_run)
    count, before = len(plan.card_ids), plan.blocked_before
    sentences = [
        plural("Would block {count} card.", "Would block {count} cards.", count)
        if dry_run
        else plural("{count} card blocked.", "{count} cards blocked.", count)
    ]
    if before:
        sentences.append(_("Blocked already, for another reason: {before}."))
    if count == 0:
        sentences.append(_("They already have this block."))
    output.print_result(
        {"blocked": count, "blocked_before": before, "dry_run": dry_run},
        " ".join(sentences).format(count=count, before=before),
        as_json,
    )


@cli.command()
@choosing_options
@option("--reason-of", metavar="TEXT", help="Lift only the blocks that were made for exactly this reason.")
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
    reason_of: str | None,
) -> None:
    """Lift blocks. A card without an open block returns to the status that it had before.

    With serials: all blocks of these cards. With --batch or --range: the blocks that were made with that option, so a
    card of the batch that was blocked as stolen stays blocked. --reason-of lifts the blocks with that reason instead,
    however they were made. Blocks with different reasons are lifted together only after a confirmation that lists
    them; a script gives --yes or --reason-of. The answer names the blocks that were lifted, and those that stay.
    With -, serials are read from standard input, one on each line.

    \b
    Example:
        prepaid unblock LIVRE000000016 --reason "Found again"
        prepaid unblock --batch 31 --reason "Parcel arrived"
        prepaid unblock --range LIVRE000000016-LIVRE000010005 --reason-of "Parcel lost"
    """
    match = Match(SCOPES if serials or reason_of is not None else (scope_of(serials, batch_id),), reason_of)
    wanted = scanned.given(serials)

    def look(cursor: Cursor) -> tuple[Choice, Lifting]:
        chosen = selection.by_any(cursor, wanted, batch_id, range_text)
        selection.require_lines(cursor, chosen, lambda card: selection.other_status(card, "blocked"))
        found = selection.counted(cursor, chosen)
        if "blocked" not in found:
            raise errors.Refused(
                _("None of these cards is blocked: {words} has the status {statuses}."),
                words=chosen.words,
                statuses=", ".join(output.formatted("status", status) for status in found),
            )
        kinds = store.block.kinds(cursor, chosen.choice)
        lifted = [kind for kind in kinds if match.includes(kind)]
        if not lifted:
            raise errors.Refused(
                _(
                    "No block matches. The open blocks of these cards are: {kinds}. Choose one with --reason-of TEXT, or "
                    "name the cards by their serials. Nothing was changed."
                ),
                kinds=_kinds(kinds),
            )
        staying = [kind for kind in kinds if not match.includes(kind)]
        return chosen.choice, Lifting(lifted, staying, *store.block.outcome(cursor, chosen.choice, match))

    def ask(plan: Lifting) -> None:
        if yes:
            return
        if len(plan.lifted) > 1:
            require_yes(_("Lift all of these blocks: {kinds}?").format(kinds=_kinds(plan.lifted)))
        elif plan.freed > 1 and sys.stdin.isatty():
            question = plural("Unblock {count} card?", "Unblock {count} cards?", plan.freed)
            require_yes(question.format(count=plan.freed))

    def act(cursor: Cursor, choice: Choice, plan: Lifting) -> bool:
        lifted = store.block.lift(cursor, store.block.matching(cursor, choice, match), reason)
        return bool(lifted == sum(kind["count"] for kind in plan.lifted))

    plan = carry_out(office, reason, look, ask, act, lambda plan: True, dry_run)
    output.print_result(
        {
            "unblocked": plan.freed,
            "still_blocked": plan.still_blocked,
            "lifted": plan.lifted,
            "staying": plan.staying,
            "dry_run": dry_run,
        },
        _told(plan, dry_run),
        as_json,
    )


def _told(plan: Lifting, dry_run: bool) -> str:
    sentences = [
        plural("Would unblock {count} card.", "Would unblock {count} cards.", plan.freed)
        if dry_run
        else plural("{count} card unblocked.", "{count} cards unblocked.", plan.freed),
        _("Blocks that would be lifted: {lifted}.") if dry_run else _("Blocks lifted: {lifted}."),
    ]
    if plan.still_blocked:
        sentences.append(
            plural(
                "{still} card stays blocked: {staying}.", "{still} cards stay blocked: {staying}.", plan.still_blocked
            )
        )
    return "\n".join(sentences).format(
        count=plan.freed, lifted=_kinds(plan.lifted), still=plan.still_blocked, staying=_kinds(plan.staying)
    )


def _kinds(kinds: list[Row]) -> str:
    """Blocks by reason, for people."""
    return ", ".join(
        _("{reason} ({scope}, {count})").format(
            reason=output.formatted("reason", kind["reason"]), scope=_word_of(kind["scope"]), count=kind["count"]
        )
        for kind in kinds
    )


def sentence_of(row: Row) -> str:
    """An open block, for people."""
    return _("Open block: {reason} ({scope}, {operator}, {at})").format(
        reason=output.formatted("reason", row["reason"]),
        scope=_word_of(row["scope"]),
        operator=row["operator"],
        at=output.formatted("made_at", row["made_at"]),
    )


def _word_of(scope: str) -> str:
    """What a block was made for, for people."""
    return {"serial": _("card"), "range": _("range"), "batch": _("batch"), "import": _("import")}[scope]


def scope_of(serials: tuple[str, ...], batch_id: int | None) -> str:
    """What a block is made for: the option that names its cards."""
    return "serial" if serials else "batch" if batch_id is not None else "range"


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

    A terminal asks for the reason; a script gives --reason.  With -, serials are read from standard input, one on each
    line.

    \b
    Example:
        prepaid delete --batch 31 --reason "Misprinted" --yes
        prepaid delete - --reason "Damaged" --yes < scanned.txt
    """
    wanted = scanned.given(serials, must_ask=not (yes or dry_run))
    why = (reason or "") if dry_run else require_reason(reason)

    def look(cursor: Cursor) -> tuple[Choice, int]:
        chosen = selection.by_any(cursor, wanted, batch_id, range_text)
        selection.require_lines(cursor, chosen, lambda card: selection.other_status(card, "created"))
        cards = selection.require_only(cursor, chosen, selection.counted(cursor, chosen), "created")
        return chosen.choice, cards["count"]

    def ask(count: int) -> None:
        # Deleting cannot be undone, so scripts must confirm it too, with --yes.
        if not yes:
            question = plural("Delete {count} card for good?", "Delete {count} cards for good?", count)
            require_yes(question.format(count=count))

    def act(cursor: Cursor, choice: Choice, count: int) -> bool:
        return store.card.delete(cursor, choice) == count

    count = carry_out(office, why, look, ask, act, bool, dry_run)
    sentence = (
        plural("Would delete {count} card.", "Would delete {count} cards.", count)
        if dry_run
        else plural("{count} card deleted.", "{count} cards deleted.", count)
    )
    output.print_result({"deleted": count, "dry_run": dry_run}, sentence.format(count=count), as_json)


def carry_out(
    office: Office,
    reason: str | None,
    look: Callable[[Cursor], tuple[Choice, Plan]],
    ask: Callable[[Plan], None],
    act: Callable[[Cursor, Choice, Plan], bool],
    does_something: Callable[[Plan], bool],
    dry_run: bool,
) -> Plan:
    """Look, ask, look again, and act; returns the plan that was carried out.

    *look* finds the cards and refuses those that cannot be changed.  The first look ends its transaction before the
    question is asked, so that the cards are not locked while a person thinks.  *act* returns whether it did what the
    plan says.
    """
    _choice, plan = office.change(look)
    if dry_run or not does_something(plan):
        return plan
    ask(plan)

    def act_as_planned(cursor: Cursor) -> None:
        choice, plan_now = look(cursor)
        # The confirmation was given for the first plan.
        if plan_now != plan:
            raise errors.Changed()
        if not act(cursor, choice, plan):
            raise errors.Busy()

    office.change(act_as_planned, reason)
    return plan


def _objection(card: Row, why_not: dict[str, str]) -> str | None:
    """What is wrong with a scanned card whose status is among these."""
    if card["status"] not in why_not:
        return None
    return _("card {serial} is {status}: {why}.").format(
        serial=card["serial"], status=in_context("word", card["status"]), why=why_not[card["status"]]
    )


def _refuse_if_any(found: dict[str, Row], status: str, why: str) -> None:
    if status in found:
        raise errors.Refused(
            _("Card {serial} is {status}: {why}. Nothing was changed."),
            serial=found[status]["first_serial"],
            status=output.formatted("status", status),
            why=why,
        )
