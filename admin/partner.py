"""prepaid partner add, list, show, edit, retire: the shops that sell the cards."""

from collections.abc import Callable
from typing import Any

import click
from stdnum.br import cnpj, cpf

from . import store
from .shell import complete_names, errors, output
from .shell.command import Decorated, cli, json_option, option, pass_office
from .shell.find import find_partner
from .shell.office import Office
from .shell.option_types import CLEARED, MONEY, PERCENT, clearable
from .shell.shared_options import changes_of, list_options, name_type, rehearsal_option, together
from .shell.text import _
from .store.rows import Cursor, Row

NAME = name_type(128)
LISTED = ("name", "document", "contact", "commission_basis_points", "retired_at")
# What a narrow terminal does not show, the first first.
LEAST_IMPORTANT = ("retired_at", "contact")


@cli.group()
def partner() -> None:
    """Partners: the shops that sell the cards."""


def partner_options(is_new: bool) -> Callable[[Decorated], Decorated]:
    """The options of a partner; in an edit, the word `none` removes a value."""
    text, percent, money = (clearable(kind) for kind in (click.STRING, PERCENT, MONEY))
    if is_new:
        text, percent = click.STRING, PERCENT
    return together(
        option("--document", type=text, help="CNPJ or CPF."),
        option(
            "--commission",
            "commission_basis_points",
            type=percent,
            help="Commission, in per cent of the face value.  [the product's]",
        ),
        option(
            "--credit-limit",
            "credit_limit_cents",
            type=money,
            metavar="AMOUNT",
            help="The most that unsold cards and debt may amount to, less commission; `none`: no limit.  [none]",
        ),
        option("--contact", type=text, help="Contact: a name, a telephone number or an e-mail address."),
    )


@partner.command()
@click.argument("name", type=NAME)
@partner_options(is_new=True)
@rehearsal_option
@json_option
@pass_office
def add(office: Office, /, name: str, as_json: bool, **values: Any) -> None:
    """Add a partner.

    \b
    Example:
        prepaid partner add "Banca do Norte" --document 11.222.333/0001-81 --commission 12.5 --credit-limit 500.00
    """
    values["document"] = _document(values["document"])
    limit = values.pop("credit_limit_cents")

    def add_it(cursor: Cursor) -> Row:
        number = store.partner.add(cursor, {"name": name, **values})
        if limit not in (None, CLEARED):
            store.partner.set_credit_limit(cursor, number, limit)
        return find_partner(cursor, name)

    row = office.change(add_it)
    output.print_result(_public(row), _("Partner {name} was added.").format(name=name), as_json)


@partner.command("list")
@option("--all", "retired_too", is_flag=True, help="Also list retired partners.")
@list_options
@pass_office
def list_(office: Office, retired_too: bool, as_json: bool) -> None:
    """List the partners that can receive cards.

    \b
    Example:
        prepaid partner list
    """
    with office.reading() as cursor:
        output.print_rows(map(_public, store.partner.listed(cursor, retired_too)), as_json, LISTED, LEAST_IMPORTANT)


@partner.command()
@click.argument("name", shell_complete=complete_names.partner)
@json_option
@pass_office
def show(office: Office, name: str, as_json: bool) -> None:
    """Show a partner.

    \b
    Example:
        prepaid partner show "Banca do Norte"
    """
    with office.reading() as cursor:
        output.print_record(_public(find_partner(cursor, name)), as_json)


@partner.command()
@click.argument("name", shell_complete=complete_names.partner)
@option("--rename", "new_name", type=NAME, metavar="NAME", help="The new name.")
@partner_options(is_new=False)
@rehearsal_option
@json_option
@pass_office
def edit(office: Office, /, name: str, new_name: str | None, as_json: bool, **values: Any) -> None:
    """Change the given values and keep the others; "none" removes a value.

    A changed commission applies to later deliveries: each delivery note keeps the commission of its day.  A credit limit
    below what the partner has and owes stops deliveries until it has paid or returned cards.

    \b
    Example:
        prepaid partner edit "Banca do Norte" --commission 10
        prepaid partner edit "Banca do Norte" --credit-limit 800.00
    """
    changes = changes_of({"name": new_name, **values})
    if changes.get("document"):
        changes["document"] = _document(changes["document"])
    if not changes:
        raise errors.WrongUsage(_("Say what to change; see '{command} --help'."), command="prepaid partner edit")
    columns = {column: value for column, value in changes.items() if column != "credit_limit_cents"}

    def change(cursor: Cursor) -> Row:
        number = find_partner(cursor, name)["id"]
        if "credit_limit_cents" in changes:
            store.partner.set_credit_limit(cursor, number, changes["credit_limit_cents"])
        if columns:
            store.partner.change(cursor, number, columns)
        return find_partner(cursor, changes.get("name", name))

    row = office.change(change)
    output.print_result(_public(row), _("Partner {name} was changed.").format(name=row["name"]), as_json)


@partner.command()
@click.argument("name", shell_complete=complete_names.partner)
@rehearsal_option
@json_option
@pass_office
def retire(office: Office, name: str, as_json: bool) -> None:
    """Stop deliveries to a partner.  The cards that it has stay valid and can be returned.

    \b
    Example:
        prepaid partner retire "Banca do Norte"
    """

    def take_back(cursor: Cursor) -> tuple[int, Row]:
        return store.partner.retire(cursor, find_partner(cursor, name)["id"]), find_partner(cursor, name)

    retired, row = office.change(take_back)
    sentence = _("Partner {name} was retired.") if retired else _("Partner {name} was already retired.")
    output.print_result(_public(row), sentence.format(name=name), as_json)


def _document(text: str | None) -> str | None:
    """A CNPJ or CPF in its usual form; anything else unchanged, with a hint on stderr, because partners may be foreign.

    >>> _document("11222333000181"), _document("390.533.447-05")
    ('11.222.333/0001-81', '390.533.447-05')
    """
    if text is None:
        return None
    for kind in (cnpj, cpf):
        if kind.is_valid(text):
            return str(kind.format(text))
    output.print_notice(
        _("{document} is not a valid CNPJ or CPF (length or check digits); it is saved as it is.").format(document=text)
    )
    return text


def _public(row: Row) -> Row:
    return {column: value for column, value in row.items() if column != "id"}
