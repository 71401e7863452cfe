"""What several commands share: options, the type of a new name, the changes of an edit, the questions for --yes and --reason."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from freeradius_module.sentence import Sentence

from . import errors, output
from .command import Decorated, json_option, option
from .office import Office
from .option_types import CLEARED, Amount
from .text import _


def together(*decorators: Callable[[Any], Any]) -> Callable[[Decorated], Decorated]:
    """One decorator for several options and arguments, which the help lists in this order."""

    def decorated(command: Decorated) -> Decorated:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorated


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    # print_rows reads these, so that no command has to pass them on.
    ctx.meta[f"{output.META}.{param.name}"] = value


# The options of a command that prints a list.
list_options = together(
    option(
        "--header",
        is_flag=True,
        expose_value=False,
        callback=_remember,
        help="In a pipe, begin with a line of the columns' names, which are those of --json.",
    ),
    option(
        "--no-pager",
        is_flag=True,
        expose_value=False,
        callback=_remember,
        help="On a terminal, print a long list at once instead of page by page ($PAGER).",
    ),
    json_option,
)
dry_run_option = option("--dry-run", is_flag=True, help="Show what would happen; change nothing.")


def _rehearse(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    office = ctx.find_object(Office)
    if value and office is not None:
        office.dry_run = True


# For commands that only use the database: all is done and checked in the transaction, which is then rolled back.
rehearsal_option = option(
    "--dry-run", is_flag=True, expose_value=False, callback=_rehearse, help="Show what would happen; change nothing."
)
yes_option = option("--yes", is_flag=True, help="Do not ask for confirmation (for scripts).")
reason_option = option("--reason", help="The reason, for the history.")
note_reason_option = option("--reason", help="The reason, for the note and the history.")


def require_yes(question: str) -> None:
    """Ask a person; any answer but yes ends the command, with nothing changed."""
    if not output.confirm(question):
        raise errors.Refused(_("Nothing was changed."))


def require_reason(reason: str | None) -> str:
    """The reason of a command that needs one: a person is asked for it, a script must give it."""
    if reason is None and sys.stdin.isatty():
        reason = output.ask(_("Reason"))
    if reason is None or not reason.strip():
        raise errors.WrongUsage(_("Give the reason: --reason TEXT."))
    return reason.strip()


def name_type(most: int) -> Amount:
    """The type of a new name, which has up to *most* characters.

    >>> name_type(64).parse("Banca do Norte")
    'Banca do Norte'
    >>> name_type(64).parse(" Banca")
    Traceback (most recent call last):
        ...
    ValueError: a name has 1 to 64 characters, without spaces around it.
    """

    def parse(text: str) -> str:
        if not 1 <= len(text) <= most or text != text.strip():
            raise ValueError(Sentence("a name has 1 to {most} characters, without spaces around it.", most=most))
        return text

    return Amount("name", parse)


def changes_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that an edit sets, by the values of its options: an absent option changes nothing, `none` sets NULL.

    >>> changes_of({"contact": "Ana", "document": None, "commission_basis_points": CLEARED})
    {'contact': 'Ana', 'commission_basis_points': None}
    """
    return {column: None if value is CLEARED else value for column, value in values.items() if value is not None}
