"""prepaid operator add, list, remove: the people of the office, each with an account of the database.

What somebody may do is what the roles of his account may do, in this program and in the mysql shell alike; and the
history names the account that the database itself saw.
"""

import re
import secrets
import sys

import click

from . import db, store
from .shell import errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.text import _

# An account's name stands in the history up to its @, and in an option file.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PASSWORD_BYTES = 18


@cli.group("operator")
def operators():
    """Operators: the people of the office, each with an account and roles of his own."""


def role_option(help_text: str, required: bool = False):
    return option(
        "--role", "chosen", multiple=True, required=required, type=click.Choice(list(store.roles.ROLES)), help=help_text
    )


@operators.command()
@click.argument("name")
@role_option("What he may do; can be given several times.  'prepaid operator list --roles' says what each is.", True)
@option(
    "--password-file",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE|-",
    help="The password: the first line of a file, or of what comes in.  [one is made and shown once]",
)
@db.owner_options
@json_option
@pass_office
def add(office, name, chosen, password_file, root_user, root_socket, as_json):
    """Make an account with these roles, or give an operator further roles.

    It is an account of the database, so it takes somebody who may make one: root, or --root-user.

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
        is_known = bool(store.operator.listed(cursor, name))
        # Roles without an account are what is left where the server did not like the password.
        has_account = store.operator.has_account(cursor, name)
        if has_account and not is_known:
            raise errors.Refused(
                _("The database has an account {name!r} already that is no operator. Choose another name."), name=name
            )
        if has_account and password_file is not None:
            raise errors.WrongUsage(
                _("{name} has a password already. Change it in the mysql shell with ALTER USER."), name=name
            )
        store.operator.give(cursor, database, name, list(chosen))
        if not has_account:
            password = _read(password_file) if password_file is not None else secrets.token_urlsafe(PASSWORD_BYTES)
            store.operator.create(cursor, database, name, db.hosts_of(office.settings("prepaid-admin")), password)
        (row,) = store.operator.listed(cursor, name)
        connection.commit()
    lines = [] if password is None else _option_file(office, name, password)
    output.print_result(
        {**row, "option_file": lines},
        "\n".join(
            [_("Operator {name} has the roles {roles}.").format(name=name, roles=", ".join(row["roles"]))]
            + (
                [
                    _("For the option file, readable by {name} only; the password is not shown again:").format(
                        name=name
                    ),
                    "",
                    *lines,
                ]
                if lines
                else []
            )
        ),
        as_json,
    )


@operators.command("list")
@option("--roles", "only_roles", is_flag=True, help="The roles that there are, and what each is for.")
@json_option
@pass_office
def list_(office, only_roles, as_json):
    """Operators and their roles.

    \b
    Example:
        prepaid operator list
        prepaid operator list --roles
    """
    if only_roles:
        output.print_rows([{"role": role, "may": _(store.roles.ROLES[role])} for role in store.roles.ROLES], as_json)
        return
    with office.reading() as cursor:
        output.print_rows(store.operator.listed(cursor), as_json)


@operators.command()
@click.argument("name")
@role_option("Take only this role away, and leave the account; can be given several times.")
@db.owner_options
@json_option
@pass_office
def remove(office, name, chosen, root_user, root_socket, as_json):
    """Remove an operator's account, or some of his roles.  His name stays in the history.

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
                    _("{name} does not have the role {role}, but {roles}. Nothing was changed."),
                    name=name,
                    role=role,
                    roles=", ".join(held),
                )
        left = [role for role in held if role not in chosen] if chosen else []
        if left:
            store.operator.take(cursor, database, name, list(chosen))
        else:
            store.operator.remove(cursor, database, name)
        connection.commit()
    output.print_result(
        {"operator": name, "roles": left},
        _("Operator {name} has the roles {roles}.").format(name=name, roles=", ".join(left))
        if left
        else _("Operator {name} is removed.").format(name=name),
        as_json,
    )


def _check_name(office, name: str) -> None:
    if not NAME.fullmatch(name):
        raise errors.WrongUsage(
            _("{name!r} is not a name for an account. It has letters, digits, '.', '_' and '-'."), name=name
        )
    if name in {office.settings(group).get("user") for group in (*db.GROUPS.values(), "prepaid-owner")} | {"root"}:
        raise errors.Refused(
            _("{name!r} is the account of a program, not of a person. Choose another name."), name=name
        )


def _read(file) -> str:
    if file is sys.stdin and sys.stdin.isatty():
        return click.prompt(_("Password"), hide_input=True, confirmation_prompt=True, err=True)
    password = file.readline().rstrip("\r\n")
    if not password:
        raise errors.WrongUsage(_("The password is empty. It is the first line of the file."))
    return password


def _option_file(office, name: str, password: str) -> list[str]:
    """The operator's own option file: his account, and the rest as the office has it."""
    office_settings = office.settings("prepaid-admin")
    kept = [
        f"{key} = {office_settings[key]}"
        for key in ("unix_socket", "socket", "host", "port", "hosts", "database")
        if office_settings.get(key)
    ]
    rest = [f"{key} = {value}" for key, value in office.settings("prepaid").items()]
    return ["[prepaid-admin]", f"user = {name}", f"password = {password}", *kept, "", "[prepaid]", *rest]
