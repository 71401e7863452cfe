"""prepaid nas add, list, show, edit, remove: the access equipment that asks FreeRADIUS.

FreeRADIUS reads its clients from the table nas, and serves a new NAS within a minute, without a restart.
"""

import ipaddress
from collections.abc import Callable
from typing import Any, TextIO

import click

from freeradius_module.attributes import BY_CERTIFICATE
from freeradius_module.rules import vendors
from freeradius_module.sealing import pin

from . import store
from .shell import complete_names, errors, output
from .shell.command import Decorated, cli, json_option, option, pass_office
from .shell.find import find_nas
from .shell.office import Office
from .shell.shared_options import changes_of, list_options, name_type, rehearsal_option, together
from .shell.text import _
from .store.rows import Cursor, Row

COUNTER_RULES = ("gigawords", "wraps", "resets")
COLUMNS = ("name", "address", "vendor", "disconnect_port", "require_message_authenticator", "counter_rule")
# What a narrow terminal does not show, the first first.
LEAST_IMPORTANT = ("counter_rule", "require_message_authenticator", "disconnect_port", "vendor")
# The column also holds the seal's own octets and a reserve.
SECRET_OCTETS = 255
# The secret of every NAS over TLS, where the certificates prove who speaks (RFC 6614, section 2.3).
TLS_SECRET = "radsec"  # noqa: S105
# A session's record of its NAS holds so many characters, and "tls:" before the name.
TLS_NAME_MOST = 41


@cli.group()
def nas() -> None:
    """NAS: the access equipment that asks FreeRADIUS."""


def _address(_ctx: click.Context | None, _param: click.Parameter | None, value: str | None) -> str | None:
    """An address or network in its one usual spelling, so that the database notices a second NAS with the same address.

    >>> _address(None, None, "10.1.2.3"), _address(None, None, "2001:DB8:0::/32")
    ('10.1.2.3/32', '2001:db8::/32')
    """
    return None if value is None else checked_address(value)


def checked_address(value: str) -> str:
    """An address or network in its usual spelling.  Raises click.BadParameter."""
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        pass
    try:
        interface = ipaddress.ip_interface(value)
    except ValueError:
        raise click.BadParameter(
            _("{value!r} is not an address. Write it like 10.1.2.3, 10.1.2.0/24 or 2001:db8::/32.").format(value=value)
        ) from None
    raise click.BadParameter(
        _("{value} could mean the host {host} or the network {network}. Write one of them.").format(
            value=value, host=interface.ip, network=interface.network
        )
    )


def _secret(_ctx: click.Context, _param: click.Parameter, file: TextIO | None) -> str | None:
    """The first line of a file: as an argument, a secret would show in `ps` and in the shell's history."""
    if file is None:
        return None
    return checked_secret(file.readline())


def checked_secret(line: str) -> str:
    """A secret without the end of its line.  Raises click.BadParameter."""
    secret = line.rstrip("\r\n")
    if not secret or not secret.isascii() or not secret.isprintable() or len(secret) > SECRET_OCTETS:
        raise click.BadParameter(
            _("its first line is not a secret, which has 1 to {most} ASCII characters.").format(most=SECRET_OCTETS)
        )
    return secret


def nas_options(is_new: bool) -> Callable[[Decorated], Decorated]:
    """The options of a NAS; a new one needs an address and a secret, or --tls, and gets a default for the rest."""
    return together(
        option(
            "--address",
            callback=_address,
            metavar="CIDR",
            help="Its address, or a network with several NAS; the longest matching prefix applies.",
        ),
        option(
            "--secret-file",
            "secret",
            type=click.File("r", encoding="utf-8", errors="replace"),
            callback=_secret,
            help="File whose first line is the shared secret; - is standard input.",
        ),
        option(
            "--vendor",
            type=click.Choice(vendors.VENDORS),
            default="generic" if is_new else None,
            help="The vendor of the NAS; it says which attributes are sent to it.  [generic]",
        ),
        option(
            "--disconnect-port",
            type=click.IntRange(1, 65535),
            default=3799 if is_new else None,
            help="The UDP port on which it accepts Disconnect-Requests.  [3799]",
        ),
        option(
            "--message-authenticator/--no-message-authenticator",
            "require_message_authenticator",
            default=True if is_new else None,
            help="Whether it must send a Message-Authenticator; only old NAS send none (CVE-2024-3596).  [must]",
        ),
        option(
            "--counter-rule",
            type=click.Choice(COUNTER_RULES),
            default="gigawords" if is_new else None,
            help="What a counter that falls within a session means: an old packet (gigawords: the NAS sends Gigawords), a "
            "wrap at 2^32 (wraps), or a restart from zero (resets).  [gigawords]",
        ),
    )


@nas.command()
@click.argument("name", type=name_type(64))
@nas_options(is_new=True)
@option(
    "--tls",
    "is_tls",
    is_flag=True,
    help="It sends over TLS (RadSec), with a certificate whose common name is NAME; instead of address and secret.",
)
@rehearsal_option
@json_option
@pass_office
def add(office: Office, /, name: str, secret: str | None, is_tls: bool, as_json: bool, **values: Any) -> None:
    """Add a NAS; FreeRADIUS serves it within a minute.

    \b
    Example:
        prepaid nas add hotspot-centro --address 10.1.2.3 --vendor mikrotik --secret-file -
        prepaid nas add hotspot-praia --tls --vendor mikrotik
    """
    if is_tls:
        _check_tls(name, values["address"], secret)
        values["address"], secret = f"{BY_CERTIFICATE}{name}", TLS_SECRET
    for missing, value in (("--address", values["address"]), ("--secret-file", secret)):
        if value is None:
            raise errors.WrongUsage(
                _("A NAS needs {option}; or --tls, if it sends over TLS with a certificate."), option=missing
            )
    number, sealed = pin.seal_nas_secret(secret or "", name, office.keyring)

    def add_it(cursor: Cursor) -> Row:
        store.nas.add(cursor, {"name": name, "secret_sealed": sealed, "key_number": number, **values})
        return find_nas(cursor, name)

    row = office.change(add_it)
    output.print_result(
        _public(row), _("NAS {name} at {address} was added.").format(name=name, address=row["address"]), as_json
    )


@nas.command("list")
@list_options
@pass_office
def list_(office: Office, as_json: bool) -> None:
    """List all NAS.

    \b
    Example:
        prepaid nas list --json
    """
    with office.reading() as cursor:
        output.print_rows(map(_public, store.nas.listed(cursor)), as_json, COLUMNS, LEAST_IMPORTANT)


@nas.command()
@click.argument("name", shell_complete=complete_names.nas)
@json_option
@pass_office
def show(office: Office, name: str, as_json: bool) -> None:
    """Show a NAS, without its secret.

    \b
    Example:
        prepaid nas show hotspot-centro
    """
    with office.reading() as cursor:
        output.print_record(_public(find_nas(cursor, name)), as_json)


@nas.command()
@click.argument("name", shell_complete=complete_names.nas)
@nas_options(is_new=False)
@rehearsal_option
@json_option
@pass_office
def edit(office: Office, /, name: str, secret: str | None, as_json: bool, **values: Any) -> None:
    """Change the given values and keep the others.

    \b
    Example:
        prepaid nas edit hotspot-centro --vendor chilli
    """
    changes = changes_of(values)
    if secret is not None:
        changes["key_number"], changes["secret_sealed"] = pin.seal_nas_secret(secret, name, office.keyring)
    if not changes:
        raise errors.WrongUsage(_("Say what to change; see '{command} --help'."), command="prepaid nas edit")

    def change(cursor: Cursor) -> Row:
        row = find_nas(cursor, name)
        if row["address"].startswith(BY_CERTIFICATE) and ("address" in changes or secret is not None):
            raise errors.Refused(
                _(
                    "NAS {name} is known by its certificate, and has neither address nor secret. Add a NAS of another name for its "
                    "address."
                ),
                name=name,
            )
        store.nas.change(cursor, row["id"], changes)
        return find_nas(cursor, name)

    row = office.change(change)
    output.print_result(
        _public(row),
        _("NAS {name} was changed; FreeRADIUS uses the change within a minute.").format(name=name),
        as_json,
    )


@nas.command()
@click.argument("name", shell_complete=complete_names.nas)
@rehearsal_option
@json_option
@pass_office
def remove(office: Office, name: str, as_json: bool) -> None:
    """Remove a NAS that has no sessions in the records.

    \b
    Example:
        prepaid nas remove hotspot-centro
    """

    def take_out(cursor: Cursor) -> Row:
        row = find_nas(cursor, name)
        if store.nas.has_sessions(cursor, row["id"]):
            raise errors.Refused(
                _(
                    "NAS {name} cannot be removed: it has sessions in the records, which must be kept. To lock it out, change "
                    "its secret: 'prepaid nas edit {name} --secret-file FILE'."
                ),
                name=name,
            )
        store.nas.remove(cursor, row["id"])
        return row

    row = office.change(take_out)
    output.print_result(_public(row), _("NAS {name} was removed.").format(name=name), as_json)


def _check_tls(name: str, address: str | None, secret: str | None) -> None:
    """Refuse what cannot be the name of a certificate, or contradicts --tls."""
    if address is not None or secret is not None:
        raise errors.WrongUsage(
            _("--tls cannot be combined with --address and --secret-file: the certificate says which NAS it is.")
        )
    if len(name) > TLS_NAME_MOST or not name.isascii():
        raise errors.WrongUsage(
            _("The name of a NAS with --tls is that of its certificate: at most {most} ASCII characters."),
            most=TLS_NAME_MOST,
        )


def _public(row: Row) -> Row:
    return {column: row[column] for column in COLUMNS}
