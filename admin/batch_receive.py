"""prepaid batch receive: a batch comes back from the print shop; spoiled and lost cards are deleted under a note."""

import click

from freeradius_module.rules import serial

from . import store
from .batch import batch
from .shell import errors, output
from .shell.command import json_option, option, pass_office
from .shell.find import find_batch
from .shell.line_errors import LineErrors
from .shell.office import Office
from .shell.shared_options import dry_run_option, note_reason_option, require_yes, yes_option
from .shell.text import _, in_context, plural
from .shell.text_file import encoding_of
from .store.rows import Cursor

SERIALS_A_STATEMENT = 1000
LONGEST_REASON = 255
# The first line of a file that is not a serial but the heading of the column.
HEADINGS = ("SERIAL", "SERIALNUMBER")


@batch.command()
@click.argument("number", type=click.IntRange(1))
@option(
    "--missing",
    "path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="File with the serials of the missing cards, one on each line (in a CSV file, the first field); - is standard "
    "input.",
)
@note_reason_option
@yes_option
@dry_run_option
@json_option
@pass_office
def receive(
    office: Office, number: int, path: str, reason: str | None, yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Record that a batch came back from the print shop: spoiled and missing cards are deleted for good, under a note.

    All of them or none: each card must be in stock and belong to this batch.  An empty file means that no card is
    missing.

    \b
    Example:
        prepaid batch receive 31 --missing spoiled.txt --reason "Print shop's list of 2026-03-02"
    """
    if reason is not None and not 1 <= len(reason.strip()) <= LONGEST_REASON:
        raise errors.WrongUsage(_("A reason has 1 to {most} characters."), most=LONGEST_REASON)
    reason = reason or _("Spoiled or missing at the print shop")
    lines = _read(path)

    def look(cursor: Cursor) -> tuple[list[str], int]:
        return _checked(cursor, number, lines, path), store.batch.count_by_status(cursor, number).get("created", 0)

    void, in_stock = office.change(look)
    # Deleting cannot be undone, so scripts must confirm it too, with --yes.
    if void and not (yes or dry_run):
        question = plural(
            "Delete {count} of the {total} cards in stock of batch {batch} for good?",
            "Delete {count} of the {total} cards in stock of batch {batch} for good?",
            len(void),
        )
        require_yes(question.format(count=len(void), total=in_stock, batch=number))
    note = None if dry_run else _delete(office, number, lines, path, void, reason)
    _tell(number, note, void, in_stock - len(void), dry_run, as_json)


def _read(path: str) -> dict[str, int]:
    """The serials in a file, and for each one the line on which it first stands."""
    lines: dict[str, int] = {}
    encoding = "utf-8-sig" if path == "-" else encoding_of(path)
    with click.open_file(path, encoding=encoding, errors="replace") as file:
        for line, text in enumerate(file, start=1):
            first_field = text.replace(";", ",").replace("\t", ",").partition(",")[0].strip().strip('"')
            compacted = serial.compact(first_field)
            if compacted and not (line == 1 and compacted in HEADINGS):
                lines.setdefault(compacted, line)
    return lines


def _checked(cursor: Cursor, number: int, lines: dict[str, int], path: str) -> list[str]:
    """The serials in order, if each is a card in stock of this batch; else all errors at once.  Locks the batch."""
    find_batch(cursor, number)
    store.batch.lock(cursor, [number])
    wrong = LineErrors(path)
    serials = list(lines)
    for some in _chunks(serials):
        found = {card["serial"]: card for card in store.card.find(cursor, some)}
        for one in some:
            card = found.get(one)
            if card is None:
                wrong.add(lines[one], _("there is no card {serial}.").format(serial=ascii(one[:64]).strip("'")))
            elif card["batch_id"] != number:
                sentence = _("card {serial} belongs to batch {batch}.").format(serial=one, batch=card["batch_id"])
                wrong.add(lines[one], sentence)
            elif card["status"] != "created":
                status = in_context("word", card["status"])
                wrong.add(lines[one], _("card {serial} is {status}, not in stock.").format(serial=one, status=status))
            if wrong.is_enough:
                break
    wrong.raise_if_any()
    return sorted(serials)


def _delete(office: Office, number: int, lines: dict[str, int], path: str, void: list[str], reason: str) -> int | None:
    """Delete the cards under a note of their own; returns the note's number, or None if no card is missing."""

    def delete(cursor: Cursor) -> int | None:
        # The confirmation was given for exactly these cards.
        if _checked(cursor, number, lines, path) != void:
            raise errors.Changed()
        note = None
        if void:
            note = store.note.add(cursor, "void", None, reason)
            store.connection.set_reason(cursor, reason, note)
        for some in _chunks(void):
            if store.card.delete(cursor, store.card.of_serials(some)) != len(some):
                raise errors.Busy()
        detail = _("{count} void, note {note}").format(count=len(void), note=note) if note else None
        store.batch.record(cursor, number, "received", reason, detail)
        return note

    return office.change(delete, reason)


def _tell(number: int, note: int | None, void: list[str], received: int, dry_run: bool, as_json: bool) -> None:
    facts = {
        "batch": number,
        "note": note,
        "voided": len(void),
        "received": received,
        "first_serial": min(void, default=None),
        "last_serial": max(void, default=None),
        "dry_run": dry_run,
    }
    if dry_run:
        sentence = plural(
            "Would delete {voided} card of batch {batch}; {received} would remain. Nothing was changed.",
            "Would delete {voided} cards of batch {batch}; {received} would remain. Nothing was changed.",
            len(void),
        )
    elif not void:
        sentence = _("Batch {batch} was received: {received} cards in stock, none missing.")
    else:
        sentence = plural(
            "Note {note}: {voided} card of batch {batch} is void; {received} remain in stock.",
            "Note {note}: {voided} cards of batch {batch} are void; {received} remain in stock.",
            len(void),
        )
    output.print_result(facts, sentence.format(**facts), as_json)


def _chunks(serials: list[str]) -> list[list[str]]:
    return [serials[start : start + SERIALS_A_STATEMENT] for start in range(0, len(serials), SERIALS_A_STATEMENT)]
