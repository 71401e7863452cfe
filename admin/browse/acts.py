"""What an operator does on the screen is done by the command itself, in this process.

So the rules, the questions about roles and the sentences of an act have one home: `prepaid block` and the key B do the same.
"""

import contextlib
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import click

from freeradius_module.sentence import Sentence

from ..shell.command import cli
from ..shell.office import Office
from ..shell.text import _
from ..store.rows import Row


class Target(NamedTuple):
    """What an act is about: a card or a batch."""

    # How a dialogue names it.
    words: str
    serial: str | None = None
    batch: int | None = None
    # For a card: who has it, and its note.
    partner: str = ""
    note: str = ""


class Act(NamedTuple):
    """Something that an operator can do on the screen."""

    key: str
    title: Sentence
    # What the operator fills in, and what of it is required.
    asks: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    # The command has --dry-run, whose sentence is the question before it is done.
    is_confirmed: bool = True
    of_card: bool = True
    of_batch: bool = True


ACTS = {
    "edit": Act("e", Sentence("Edit the note"), ("note",), is_confirmed=False, of_batch=False),
    "deliver": Act("d", Sentence("Deliver to a partner"), ("partner",), ("partner",)),
    "return": Act("r", Sentence("Return from the partner"), ("partner", "reason"), ("partner",)),
    "block": Act("b", Sentence("Block"), ("reason",), ("reason",)),
    "unblock": Act("u", Sentence("Unblock"), ("reason",)),
    "delete": Act("x", Sentence("Delete"), ("reason",), ("reason",)),
    "export": Act(
        "o",
        Sentence("Export for the print shop"),
        ("format", "output"),
        ("format", "output"),
        is_confirmed=False,
        of_card=False,
    ),
    # Of no batch: it makes one.
    "generate": Act(
        "g", Sentence("Generate cards"), ("product", "count"), ("product", "count"), is_confirmed=False, of_card=False
    ),
}


# The target on a list without batches: only `generate` is possible.
NO_BATCH = 0


def possible(target: Target) -> dict[str, Act]:
    """The acts that this target can have.  The database decides whether its status and the roles allow them.

    >>> list(possible(Target("", batch=NO_BATCH)))
    ['generate']
    """
    if target.batch == NO_BATCH:
        return {"generate": ACTS["generate"]}
    return {name: act for name, act in ACTS.items() if (act.of_card if target.batch is None else act.of_batch)}


def arguments(name: str, target: Target, values: Mapping[str, str]) -> list[str]:
    """The command line of an act.

    >>> arguments("block", Target("", serial="A017"), {"reason": "--yes"})
    ['block', '--reason=--yes', '--yes', '--', 'A017']
    >>> arguments("deliver", Target("", serial="A017"), {"partner": "Banca"})
    ['deliver', '--partner=Banca', '--range=A017-A017']
    >>> arguments("edit", Target("", serial="A017"), {"note": ""})
    ['edit', '--note=none', '--', 'A017']
    """
    line = [name]
    for option, value in values.items():
        if value or option == "note":
            line.append(f"--{option}={value or 'none'}")
    if name in ("block", "unblock", "delete"):
        # The screen has asked already.
        line.append("--yes")
    if name == "generate":
        return line
    if target.batch is not None:
        return [*line, f"--batch={target.batch}"]
    if name in ("deliver", "return"):
        return [*line, f"--range={target.serial}-{target.serial}"]
    return [*line, "--", target.serial or ""]


class Outcome(NamedTuple):
    is_done: bool
    # What the command printed.
    sentence: str


def run(office: Office, line: Sequence[str], dry_run: bool = False) -> Outcome:
    """Run a command line, with --dry-run or without.  It cannot ask: its input is empty."""
    printed = io.StringIO()
    status: object
    full_line = ["--config", office.config_path, line[0], *(["--dry-run"] if dry_run else []), *line[1:]]
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), _no_input():
        try:
            status = cli.main(full_line, prog_name="prepaid", standalone_mode=False)
        except click.ClickException as error:
            status = error.exit_code
            printed.write(error.format_message())
        except click.Abort:
            status = 1
            printed.write(_("The command asked a question that the screen cannot answer. Nothing was changed."))
    return Outcome(not status, printed.getvalue().strip())


@contextlib.contextmanager
def _no_input() -> Iterator[None]:
    before = sys.stdin
    sys.stdin = io.StringIO()
    try:
        yield
    finally:
        sys.stdin = before


def target_of_card(row: Row) -> Target:
    words = _("Card {serial}").format(serial=row["serial"])
    return Target(words, serial=row["serial"], partner=row.get("partner") or "", note=row.get("note") or "")


def target_of_batch(number: int) -> Target:
    return Target(_("Batch {batch}").format(batch=number), batch=number)
