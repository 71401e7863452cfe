"""prepaid voice pending, export, confirm: redeemed credits on their way to the voice platform (VSC), each exactly once.

A transaction gives a credit the number of its export before the file is written.  So each credit is in exactly one
export, even if the command is killed, and a lost file can be written again by its number.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TextIO

import click

from freeradius_module.rules import units

from . import store
from .files import csv
from .shell import errors, line_errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.new_file import NewFile
from .shell.office import Office
from .shell.shared_options import list_options, rehearsal_option
from .shell.text import _, plural
from .store.rows import Cursor, Row

FIELDS = ("credit", "account", "serial", "money", "seconds", "redeemed_at")
COLUMNS = ("credit", "account", "serial", "credit_cents", "credit_seconds", "redeemed_at", "export", "exported_at")
# What a narrow terminal does not show, the first first.
LEAST_IMPORTANT = ("exported_at", "export", "redeemed_at", "credit_seconds")
LONGEST_REFERENCE = 64


class Answer(NamedTuple):
    """A line of the platform's answer."""

    line: int
    reference: str


@cli.group()
def voice() -> None:
    """Telephony: credits that the voice platform has to add."""


@voice.command()
@list_options
@pass_office
def pending(office: Office, as_json: bool) -> None:
    """Credits that the platform has not confirmed, with the export that they are in, if any.

    \b
    Example:
        prepaid voice pending
    """
    with office.reading() as cursor:
        rows = ({name: row[name] for name in COLUMNS} for row in store.voice.unconfirmed(cursor))
        output.print_rows(rows, as_json, COLUMNS, LEAST_IMPORTANT)


@voice.command()
@option("--output", "path", required=True, type=click.Path(), help="The file to make, readable by you only.")
@option("--number", type=click.IntRange(1), help="Write the file of this export again instead of making a new one.")
@option("--force", is_flag=True, help="Replace the file if it exists.")
@rehearsal_option
@json_option
@pass_office
def export(office: Office, path: str, number: int | None, force: bool, as_json: bool) -> None:
    """Write all credits that are not in an export yet into a file for the platform (CSV).

    \b
    Example:
        prepaid voice export --output vsc-17.csv
        prepaid voice export --number 17 --output vsc-17.csv
    """

    def take(cursor: Cursor) -> tuple[int | None, list[Row]]:
        taken = store.voice.take_for_export(cursor)
        return taken, [] if taken is None else store.voice.of_export(cursor, taken)

    with NewFile(path, force) as new:
        if number is None:
            number, credits = office.change(take)
            if number is None:
                output.print_result(
                    {"export": None, "count": 0, "file": None}, _("There is nothing to export."), as_json
                )
                return
        else:
            with office.reading() as cursor:
                credits = store.voice.of_export(cursor, number)
        if not credits:
            raise _unknown_export(number)
        if office.dry_run:
            output.print_result(
                {"export": None, "count": len(credits), "file": None},
                plural("A file with {count} credit.", "A file with {count} credits.", len(credits)).format(
                    count=len(credits)
                ),
                as_json,
            )
            return
        new.file.write(_lines(credits))
        try:
            digest = new.sha256()
            new.publish()
        except errors.OfficeError as error:
            raise errors.Refused(
                _("{cause} The credits belong to export {number}: write its file with --number {number}."),
                cause=error,
                number=number,
            ) from error
    output.print_result(
        {"export": number, "count": len(credits), "file": path, "sha256": digest},
        _("File created: {path}").format(path=path),
        as_json,
    )


@voice.command()
@click.argument("file", required=False, type=click.File("r", encoding="utf-8-sig"))
@option("--export", "number", type=click.IntRange(1), help="All credits of this export, without references.")
@rehearsal_option
@json_option
@pass_office
def confirm(office: Office, file: TextIO | None, number: int | None, as_json: bool) -> None:
    """Record what the platform has added: a CSV file with the columns credit and reference, or a whole export.

    All or nothing.  A credit that was confirmed before with the same reference stays as it is.

    \b
    Example:
        prepaid voice confirm answer-17.csv
        prepaid voice confirm --export 17
    """
    if (file is None) == (number is None):
        raise errors.WrongUsage(_("Give what is confirmed: either a FILE or --export N."))
    # The file is read once: standard input cannot be read again.
    answers = _read(file) if file is not None else {}

    def record(cursor: Cursor) -> tuple[int, int]:
        wanted: dict[int, str | None] = {}
        if file is not None:
            _require_exported(cursor, answers, file.name)
            wanted.update({credit: answer.reference for credit, answer in answers.items()})
        elif number is not None:
            wanted.update(dict.fromkeys(_of_export(cursor, number)))
        return len(wanted), sum(store.voice.confirm(cursor, *confirmed) for confirmed in wanted.items())

    count, new = office.change(record)
    facts = {"confirmed": new, "confirmed_before": count - new}
    sentence = plural("{count} credit confirmed.", "{count} credits confirmed.", new).format(count=new)
    if count > new:
        sentence += " " + _("{count} had been confirmed before.").format(count=count - new)
    output.print_result(facts, sentence, as_json)


def _lines(credits: Sequence[dict[str, Any]]) -> bytes:
    """The content of the platform's file."""
    rows = [
        (
            row["credit"],
            csv.defused_code(row["account"]),
            csv.defused_code(row["serial"]),
            None if row["credit_cents"] is None else units.plain_money(row["credit_cents"]),
            row["credit_seconds"],
            output.json_value(row["redeemed_at"]),
        )
        for row in credits
    ]
    return csv.lines([FIELDS, *rows])


def _of_export(cursor: Cursor, number: int) -> list[int]:
    credits = [row["credit"] for row in store.voice.of_export(cursor, number)]
    if not credits:
        raise _unknown_export(number)
    # Locked in the order of their numbers, as for every confirmation, so that two of them cannot deadlock.
    store.voice.lock(cursor, credits)
    return credits


def _unknown_export(number: int) -> errors.NotFound:
    return errors.NotFound(
        _("There is no export {number}. See the credits with 'prepaid voice pending'."), number=number
    )


def _read(file: TextIO) -> dict[int, Answer]:
    """The file's lines by credit, if every line is right; otherwise a refusal that lists all errors."""
    wrong = line_errors.LineErrors(file.name)
    wanted: dict[int, Answer] = {}
    references: dict[str, int] = {}
    for line, row in line_errors.rows(file, wrong, ("credit", "reference"), (*FIELDS, "reference")):
        credit, reference = row["credit"], row["reference"]
        if not (credit.isascii() and credit.isdigit() and len(credit) < 18):
            wrong.add(line, _("{credit!r} is not the number of a credit.").format(credit=credit))
        elif not 1 <= len(reference) <= LONGEST_REFERENCE:
            wrong.add(line, _("a reference has 1 to {most} characters.").format(most=LONGEST_REFERENCE))
        elif int(credit) in wanted:
            wrong.add(
                line,
                _("credit {credit} is already in line {other}.").format(credit=credit, other=wanted[int(credit)].line),
            )
        elif reference in references:
            wrong.add(
                line,
                _("reference {reference!r} is already in line {other}.").format(
                    reference=reference, other=references[reference]
                ),
            )
        else:
            wanted[int(credit)], references[reference] = Answer(line, reference), line
    wrong.raise_if_any()
    if not wanted:
        raise errors.Refused(_("{path} confirms nothing."), path=file.name)
    return wanted


def _require_exported(cursor: Cursor, wanted: dict[int, Answer], path: str) -> None:
    """Lock the credits; refuse those that are in no export, or were confirmed with another reference."""
    wrong = line_errors.LineErrors(path)
    known = store.voice.lock(cursor, sorted(wanted))
    for number, (line, reference) in wanted.items():
        found = known.get(number)
        if found is None or found["export_number"] is None:
            wrong.add(line, _("credit {credit} is not in any export.").format(credit=number))
        elif found["confirmed_at"] is not None and found["reference"] not in (None, reference):
            wrong.add(
                line,
                _("credit {credit} was confirmed with the reference {reference!r}.").format(
                    credit=number, reference=found["reference"]
                ),
            )
    wrong.raise_if_any()
