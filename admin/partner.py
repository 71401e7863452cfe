"""prepaid partner add, list, show, edit, retire: the shops that sell the cards."""

import click
from stdnum.br import cnpj, cpf

from . import store
from .shell import complete_names, errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.find import find_partner
from .shell.option_types import CLEARED, PERCENT, clearable
from .shell.text import _


@cli.group()
def partner():
    """Partners: the shops that sell the cards."""


def partner_options(edit: bool):
    may_clear = clearable if edit else lambda kind: kind

    def decorated(command):
        for decorate in reversed(
            (
                option("--document", type=may_clear(click.STRING), help="CNPJ or CPF."),
                option(
                    "--commission",
                    "commission_basis_points",
                    type=may_clear(PERCENT),
                    help="Share of the face value, in per cent.  [the product's]",
                ),
                option("--contact", type=may_clear(click.STRING), help="Who to ask, and how."),
            )
        ):
            command = decorate(command)
        return command

    return decorated


@partner.command()
@click.argument("name")
@partner_options(edit=False)
@json_option
@pass_office
def add(office, name, as_json, **values):
    """Take up a partner.

    \b
    Example:
        prepaid partner add "Banca do Norte" --document 11.222.333/0001-81 --commission 12.5
    """
    values = {**values, "name": _checked_name(name), "document": _document(values["document"])}
    with office.transaction() as cursor:
        store.partner.add(cursor, values)
        row = find_partner(cursor, name)
    output.print_result(_public(row), _("Partner {name} is added.").format(name=name), as_json)


@partner.command("list")
@option("--all", "retired_too", is_flag=True, help="Retired ones too.")
@json_option
@pass_office
def list_(office, retired_too, as_json):
    """All partners that can receive cards.

    \b
    Example:
        prepaid partner list
    """
    with office.reading() as cursor:
        output.print_rows(map(_public, store.partner.listed(cursor, retired_too)), as_json)


@partner.command()
@click.argument("name", shell_complete=complete_names.partner)
@json_option
@pass_office
def show(office, name, as_json):
    """One partner.

    \b
    Example:
        prepaid partner show "Banca do Norte"
    """
    with office.reading() as cursor:
        output.print_record(_public(find_partner(cursor, name)), as_json)


@partner.command()
@click.argument("name", shell_complete=complete_names.partner)
@option("--rename", "new_name", metavar="NAME", help="Another name.")
@partner_options(edit=True)
@json_option
@pass_office
def edit(office, name, new_name, as_json, **values):
    """Change what is given and leave the rest; "none" empties a value.

    A commission that is changed counts for later deliveries: it is frozen on each delivery note.

    \b
    Example:
        prepaid partner edit "Banca do Norte" --commission 10
    """
    changes = {column: None if value is CLEARED else value for column, value in values.items() if value is not None}
    if changes.get("document"):
        changes["document"] = _document(changes["document"])
    if new_name is not None:
        changes["name"] = _checked_name(new_name)
    if not changes:
        raise errors.WrongUsage(_("Say what to change; see 'prepaid partner edit --help'."))
    with office.transaction() as cursor:
        store.partner.change(cursor, find_partner(cursor, name)["id"], changes)
        row = find_partner(cursor, changes.get("name", name))
    output.print_result(_public(row), _("Partner {name} is changed.").format(name=row["name"]), as_json)


@partner.command()
@click.argument("name", shell_complete=complete_names.partner)
@json_option
@pass_office
def retire(office, name, as_json):
    """Deliver nothing to this partner any more.  Cards that it has stay valid and can be returned.

    \b
    Example:
        prepaid partner retire "Banca do Norte"
    """
    with office.transaction() as cursor:
        retired = store.partner.retire(cursor, find_partner(cursor, name)["id"])
        row = find_partner(cursor, name)
    sentence = _("Partner {name} is retired.") if retired else _("Partner {name} was retired before.")
    output.print_result(_public(row), sentence.format(name=name), as_json)


def _checked_name(name: str) -> str:
    if not 1 <= len(name.strip()) <= 128 or name != name.strip():
        raise errors.WrongUsage(_("A partner's name has 1 to 128 signs, without blanks around it."))
    return name


def _document(text: str | None) -> str | None:
    """CNPJ and CPF in their usual form.  Anything else is kept as it is, with a word about it: partners may be foreign.

    >>> _document("11222333000181"), _document("390.533.447-05")
    ('11.222.333/0001-81', '390.533.447-05')
    """
    if text is None:
        return None
    for kind in (cnpj, cpf):
        if kind.is_valid(text):
            return kind.format(text)
    output.print_notice(
        _("{document} is neither a CNPJ nor a CPF (the check digits say so); it is kept as it is.").format(
            document=text
        )
    )
    return text


def _public(row: dict) -> dict:
    return {column: value for column, value in row.items() if column != "id"}
