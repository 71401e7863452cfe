"""prepaid batch receive: what the print shop has spoiled or lost is void, with a protocol."""

import click

from freeradius_module.rules import serial

from . import store
from .batch import batch
from .custody import dry_run_option
from .shell import errors, output
from .shell.command import json_option, option, pass_office
from .shell.line_errors import LineErrors
from .shell.text import _, in_context, plural

SERIALS_A_STATEMENT = 1000
LONGEST_REASON = 255


@batch.command()
@click.argument("number", type=click.IntRange(1))
@option(
    "--missing",
    "path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="The serials that did not come, one a line (of a CSV file the first field); - is standard input.",
)
@option("--reason", help="Why, for the protocol and the history.")
@option("--yes", is_flag=True, help="Do not ask, for scripts.")
@dry_run_option
@json_option
@pass_office
def receive(office, number, path, reason, yes, dry_run, as_json):
    """Take a batch from the print shop: spoiled and missing cards are deleted, for good, with a numbered protocol.

    All of them or none: each must be in stock and of this batch.  An empty file says that all have come.

    \b
    Example:
        prepaid batch receive 31 --missing spoiled.txt --reason "Print shop's list of 2026-03-02"
    """
    if reason is not None and not 1 <= len(reason.strip()) <= LONGEST_REASON:
        raise errors.WrongUsage(_("A reason has 1 to {most} letters."), most=LONGEST_REASON)
    listed = _read(path)
    reason = reason or _("Spoiled or missing at the print shop")
    with office.transaction() as cursor:
        void = _looked_up(cursor, number, listed, path)
        in_stock = store.batch.count_by_status(cursor, number).get("created", 0)
    # What cannot be undone is asked of scripts too; they say --yes.
    if void and not (yes or dry_run):
        question = plural(
            "Delete {count} of the {total} cards of batch {batch} in stock, for good?",
            "Delete {count} of the {total} cards of batch {batch} in stock, for good?",
            len(void),
        )
        if not output.confirm(question.format(count=len(void), total=in_stock, batch=number)):
            raise errors.Refused(_("Nothing was changed."))
    note = None if dry_run else _void(office, number, listed, path, void, reason)
    facts = {
        "batch": number,
        "note": note,
        "voided": len(void),
        "received": in_stock - len(void),
        "first_serial": min(void, default=None),
        "last_serial": max(void, default=None),
        "dry_run": dry_run,
    }
    sentence = (
        _("Would delete {voided} cards of batch {batch}; {received} would remain. Nothing was changed.")
        if dry_run
        else _("Batch {batch} is received: {received} cards in stock, none missing.")
        if not void
        else _("Note {note}: {voided} cards of batch {batch} are void; {received} remain in stock.")
    )
    output.print_result(facts, sentence.format(**facts), as_json)


def _void(office, number: int, listed: dict[str, int], path: str, void: list[str], reason: str) -> int | None:
    """Delete the cards under a note of their own; the number of the note, if there was anything to delete."""
    with office.transaction(reason=reason) as cursor:
        # The answer was given to those cards, and to no other.
        if _looked_up(cursor, number, listed, path) != void:
            raise errors.Busy()
        note = None
        if void:
            note = store.note.add(cursor, "void", None, reason)
            store.connection.set_reason(cursor, reason, note)
        for start in range(0, len(void), SERIALS_A_STATEMENT):
            some = void[start : start + SERIALS_A_STATEMENT]
            if store.card.delete(cursor, store.card.of_serials(some)) != len(some):
                raise errors.Busy()
        store.batch.record(
            cursor,
            number,
            "received",
            reason,
            note and _("{count} void, note {note}").format(count=len(void), note=note),
        )
        return note


def _read(path: str) -> dict[str, int]:
    """The serials of a file, each with its line, as they were written."""
    listed: dict[str, int] = {}
    with click.open_file(path, encoding="utf-8-sig", errors="replace") as file:
        for line, text in enumerate(file, start=1):
            first = text.replace(";", ",").replace("\t", ",").partition(",")[0].strip().strip('"')
            compacted = serial.compact(first)
            # A heading says what the column is.
            if compacted and not (line == 1 and compacted in ("SERIAL", "SERIALNUMBER")):
                listed.setdefault(compacted, line)
    return listed


def _looked_up(cursor, number: int, listed: dict[str, int], path: str) -> list[str]:
    """The serials, in order, once it is certain that each is a card of this batch in stock; the batch is locked."""
    if store.batch.find(cursor, number) is None:
        raise errors.UnknownBatch(batch=number)
    store.batch.lock(cursor, [number])
    wrong = LineErrors(path)
    serials = list(listed)
    for start in range(0, len(serials), SERIALS_A_STATEMENT):
        some = serials[start : start + SERIALS_A_STATEMENT]
        found = {card["serial"]: card for card in store.card.find(cursor, some)}
        for one in some:
            card = found.get(one)
            if card is None:
                wrong.add(listed[one], _("there is no card {serial}.").format(serial=ascii(one[:64]).strip("'")))
            elif card["batch_id"] != number:
                wrong.add(
                    listed[one], _("card {serial} is of batch {batch}.").format(serial=one, batch=card["batch_id"])
                )
            elif card["status"] != "created":
                wrong.add(
                    listed[one],
                    _("card {serial} is {status}, and not in stock.").format(
                        serial=one, status=in_context("word", card["status"])
                    ),
                )
            if wrong.is_enough:
                break
    wrong.raise_if_any()
    return sorted(serials)
