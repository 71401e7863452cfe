"""prepaid operator add, list, remove: the people of the office, each with an account of the database.

The roles of the account limit what an operator may do, in this program and in the mysql shell alike.  The history names
the account that the database itself saw.
"""

import re
import secrets
import sys
from collections.abc import Callable
from typing import TextIO

import click

from . import db, store
from .shell import errors, output
from .shell.command import Decorated, cli, json_option, option, pass_office
from .shell.office import Office
from .shell.option_types import Word
from .shell.shared_options import list_options, rehearsal_option
from .shell.text import _

# The history has the account's name up to its @, and it stands in an option file.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PASSWORD_BYTES = 18


@cli.group("operator")
def operators() -> None:
    """Operators: the people of the office, each with an account and roles of their own."""


def role_option(help_text: str, required: bool = False) -> Callable[[Decorated], Decorated]:
    return option(
        "--role", "chosen", multiple=True, required=required, type=Word(store.roles.ROLES, "role"), help=help_text
    )


@operators.command()
@click.argument("name")
@role_option("A role; can be given several times.  'prepaid operator list --roles' explains them.", True)
@option(
    "--password-file",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE",
    help="File whose first line is the password; - is standard input.  [one is made, and shown once]",
)
@db.owner_options
@rehearsal_option
@json_option
@pass_office
def add(
    office: Office,
    name: str,
    chosen: tuple[str, ...],
    password_file: TextIO | None,
    root_user: str | None,
    root_socket: str | None,
    as_json: bool,
) -> None:
    """Create an operator's account with these roles, or give an operator more roles.

    It is an account of the database, so it takes an account that may create others: root, or --root-user.

    \b
    Example:
        sudo prepaid operator add ana --role see --role block
        sudo prepaid operator add print-office --role export --role see_pin --password-file -
    """
    _check_name(office, name)
    database = db.database_name(office)
    password = None
    with db.owner_connection(office, root_user, root_socket) as connection, connection.cursor() as cursor:
        store.schema.use(cursor, database)
        # An operator without an account is left over from a run in which the server refused the password.
        has_account = store.operator.has_account(cursor, name)
        if has_account and not store.operator.listed(cursor, name):
            raise errors.Refused(
                _("The database already has an account {name!r} that is not an operator's. Choose another name."),
                name=name,
            )
        if has_account and password_file is not None:
            raise errors.WrongUsage(
                _("{name} already has a password. Change it in the mysql shell with ALTER USER."), name=name
            )
        if office.dry_run:
            # Accounts and roles cannot be rolled back.
            held = {role for known in store.operator.listed(cursor, name) for role in known["roles"]} | set(chosen)
            roles = [role for role in store.roles.ROLES if role in held]
            sentence = _("Operator {name} has the roles {roles}.").format(name=name, roles=", ".join(roles))
            output.print_result({"operator": name, "roles": roles, "option_file": []}, sentence, as_json)
            return
        store.operator.give(cursor, database, name, list(chosen))
        if not has_account:
            password = _read(password_file) if password_file is not None else secrets.token_urlsafe(PASSWORD_BYTES)
            store.operator.create(cursor, database, name, db.hosts_of(office.settings("prepaid-admin")), password)
        (row,) = store.operator.listed(cursor, name)
        connection.commit()
    option_file = [] if password is None else _option_file(office, name, password)
    said = [
        _("Operator {name} has the roles {roles}.").format(name=name, roles=output.formatted("roles", row["roles"]))
    ]
    if option_file:
        hint = _("Put these lines into an option file that only {name} can read; the password is not shown again:")
        said += [hint.format(name=name), "", *option_file]
    output.print_result({**row, "option_file": option_file}, "\n".join(said), as_json)


@operators.command("list")
@option("--roles", "only_roles", is_flag=True, help="List the roles instead, and what each is for.")
@list_options
@pass_office
def list_(office: Office, only_roles: bool, as_json: bool) -> None:
    """List the operators and their roles.

    \b
    Example:
        prepaid operator list
        prepaid operator list --roles
    """
    if only_roles:
        rows = [{"role": role, "may": _(store.roles.ROLES[role])} for role in store.roles.ROLES]
        output.print_rows(rows, as_json, ("role", "may"))
        return
    with office.reading() as cursor:
        output.print_rows(store.operator.listed(cursor), as_json, ("operator", "roles"))


@operators.command()
@click.argument("name")
@role_option("Remove only this role, and keep the account; can be given several times.")
@db.owner_options
@rehearsal_option
@json_option
@pass_office
def remove(
    office: Office, name: str, chosen: tuple[str, ...], root_user: str | None, root_socket: str | None, as_json: bool
) -> None:
    """Remove an operator's account, or some of its roles.  The name stays in the history.

    \b
    Example:
        sudo prepaid operator remove ana
        sudo prepaid operator remove ana --role block
    """
    database = db.database_name(office)
    with db.owner_connection(office, root_user, root_socket) as connection, connection.cursor() as cursor:
        store.schema.use(cursor, database)
        known = store.operator.listed(cursor)
        held = next((row["roles"] for row in known if row["operator"] == name), None)
        if held is None:
            raise errors.UnknownOperator(name=name, hint=errors.did_you_mean(name, [row["operator"] for row in known]))
        for role in chosen:
            if role not in held:
                raise errors.Refused(
                    _("{name} has the roles {roles}, but not {role}. Nothing was changed."),
                    name=name,
                    role=output.formatted("role", role),
                    roles=output.formatted("roles", held),
                )
        left = [role for role in held if role not in chosen] if chosen else []
        if office.dry_run:
            pass  # Accounts and roles cannot be rolled back.
        elif left:
            store.operator.take(cursor, database, name, list(chosen))
        else:
            store.operator.remove(cursor, database, name)
        connection.commit()
    sentence = _("Operator {name} has the roles {roles}.") if left else _("Operator {name} was removed.")
    output.print_result(
        {"operator": name, "roles": left}, sentence.format(name=name, roles=output.formatted("roles", left)), as_json
    )


def _check_name(office: Office, name: str) -> None:
    if not NAME.fullmatch(name):
        raise errors.WrongUsage(
            _("{name!r} cannot be an account's name. Use up to 64 letters, digits, '.', '_' and '-'."), name=name
        )
    if name in {office.settings(group).get("user") for group in (*db.GROUPS.values(), "prepaid-owner")} | {"root"}:
        raise errors.Refused(
            _("{name!r} is the account of a program, not of a person. Choose another name."), name=name
        )


def _read(file: TextIO) -> str:
    """The password, from a terminal without showing it, or from the first line of a file."""
    if file is sys.stdin and sys.stdin.isatty():
        return str(click.prompt(_("Password"), hide_input=True, confirmation_prompt=True, err=True))
    password = file.readline().rstrip("\r\n")
    if not password:
        raise errors.WrongUsage(_("The password is empty. It must be the first line of the file."))
    return password


def _option_file(office: Office, name: str, password: str) -> list[str]:
    """The lines of an option file for this operator: the account, and the office's other settings."""
    office_settings = office.settings("prepaid-admin")
    kept = [
        f"{key} = {office_settings[key]}"
        for key in ("unix_socket", "socket", "host", "port", "hosts", "database")
        if office_settings.get(key)
    ]
    rest = [f"{key} = {value}" for key, value in office.settings("prepaid").items()]
    return ["[prepaid-admin]", f"user = {name}", f"password = {password}", *kept, "", "[prepaid]", *rest]
