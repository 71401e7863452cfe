"""prepaid nas add, list, show, edit, remove: the equipment that asks FreeRADIUS.

FreeRADIUS reads its clients from here and serves a new NAS within a minute, without a restart.
"""

import ipaddress

import click

from freeradius_module.rules import vendors
from freeradius_module.sealing import pin

from . import store
from .shell import complete_names, errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.text import _

COUNTER_RULES = ("gigawords", "wraps", "resets")
COLUMNS = ("name", "address", "vendor", "disconnect_port", "require_message_authenticator", "counter_rule")
# What the column holds, the seal's own octets and a reserve taken off.
SECRET_OCTETS = 255


@cli.group()
def nas():
    """NAS: the equipment that asks FreeRADIUS."""


def _address(ctx, param, value):
    """One spelling for each address, so that the database can tell that two are the same.

    >>> _address(None, None, "10.1.2.3"), _address(None, None, "2001:DB8:0::/32")
    ('10.1.2.3/32', '2001:db8::/32')
    """
    if value is None:
        return None
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
        _("{value} is both a host and a network: is it {host} or {network}?").format(
            value=value, host=interface.ip, network=interface.network
        )
    )


def _secret(ctx, param, file):
    """The first line of a file: a secret is never an argument, where `ps` and the shell's history show it."""
    if file is None:
        return None
    secret = file.readline().rstrip("\r\n")
    if not secret or not secret.isascii() or not secret.isprintable() or len(secret) > SECRET_OCTETS:
        raise click.BadParameter(
            _("its first line is not a secret: 1 to {most} ASCII signs.").format(most=SECRET_OCTETS)
        )
    return secret


def nas_options(required: bool):
    def decorated(command):
        for decorate in reversed(
            (
                option(
                    "--address",
                    required=required,
                    callback=_address,
                    metavar="CIDR",
                    help="Its address, or a network of such NAS; the longest match serves a packet.",
                ),
                option(
                    "--secret-file",
                    "secret",
                    required=required,
                    type=click.File("r", encoding="utf-8", errors="replace"),
                    callback=_secret,
                    help="File whose first line is the shared secret; - is standard input.",
                ),
                option(
                    "--vendor",
                    type=click.Choice(vendors.VENDORS),
                    default="generic" if required else None,
                    help="Whose attributes it understands.  [generic]",
                ),
                option(
                    "--disconnect-port",
                    type=click.IntRange(1, 65535),
                    default=3799 if required else None,
                    help="Where it listens for Disconnect-Requests.  [3799]",
                ),
                option(
                    "--message-authenticator/--no-message-authenticator",
                    "require_message_authenticator",
                    default=True if required else None,
                    help="Whether it must send Message-Authenticator; only old NAS send none (CVE-2024-3596).  [must]",
                ),
                option(
                    "--counter-rule",
                    type=click.Choice(COUNTER_RULES),
                    default="gigawords" if required else None,
                    help="How a counter that falls within a session is read: as an old packet (the NAS sends Gigawords), "
                    "as a wrap at 2^32, or as a restart from zero.  [gigawords]",
                ),
            )
        ):
            command = decorate(command)
        return command

    return decorated


@nas.command()
@click.argument("name")
@nas_options(required=True)
@json_option
@pass_office
def add(office, name, secret, as_json, **values):
    """Let a NAS ask FreeRADIUS; it is served within a minute.

    \b
    Example:
        prepaid nas add hotspot-centro --address 10.1.2.3 --vendor mikrotik --secret-file -
    """
    if not 1 <= len(name.strip()) <= 64 or name != name.strip():
        raise errors.WrongUsage(_("A NAS' name has 1 to 64 signs, without blanks around it."))
    number, sealed = pin.seal_nas_secret(secret, name, office.keyring)
    with office.transaction() as cursor:
        store.nas.add(cursor, {"name": name, "secret_sealed": sealed, "key_number": number, **values})
        row = find(cursor, name)
    output.tell_done(
        _public(row), _("NAS {name} at {address} is added.").format(name=name, address=row["address"]), as_json
    )


@nas.command("list")
@json_option
@pass_office
def list_(office, as_json):
    """All NAS.

    \b
    Example:
        prepaid nas list --json
    """
    with office.reading() as cursor:
        output.tell_rows(map(_public, store.nas.listed(cursor)), as_json)


@nas.command()
@click.argument("name", shell_complete=complete_names.nas)
@json_option
@pass_office
def show(office, name, as_json):
    """One NAS.  Its secret is not shown.

    \b
    Example:
        prepaid nas show hotspot-centro
    """
    with office.reading() as cursor:
        output.tell_one(_public(find(cursor, name)), as_json)


@nas.command()
@click.argument("name", shell_complete=complete_names.nas)
@nas_options(required=False)
@json_option
@pass_office
def edit(office, name, secret, as_json, **values):
    """Change what is given and leave the rest.

    \b
    Example:
        prepaid nas edit hotspot-centro --vendor chilli
    """
    changes = {column: value for column, value in values.items() if value is not None}
    if secret is not None:
        changes["key_number"], changes["secret_sealed"] = pin.seal_nas_secret(secret, name, office.keyring)
    if not changes:
        raise errors.WrongUsage(_("Say what to change; see 'prepaid nas edit --help'."))
    with office.transaction() as cursor:
        store.nas.change(cursor, find(cursor, name)["id"], changes)
        row = find(cursor, name)
    output.tell_done(
        _public(row), _("NAS {name} is changed; FreeRADIUS notices within a minute.").format(name=name), as_json
    )


@nas.command()
@click.argument("name", shell_complete=complete_names.nas)
@json_option
@pass_office
def remove(office, name, as_json):
    """Take a NAS out of service that has no sessions in the records.

    \b
    Example:
        prepaid nas remove hotspot-centro
    """
    with office.transaction() as cursor:
        row = find(cursor, name)
        if store.nas.has_sessions(cursor, row["id"]):
            raise errors.Refused(
                _(
                    "NAS {name} has sessions in the records, which have to be kept. Change its secret instead: "
                    "'prepaid nas edit {name} --secret-file FILE'."
                ),
                name=name,
            )
        store.nas.remove(cursor, row["id"])
    output.tell_done(_public(row), _("NAS {name} is removed.").format(name=name), as_json)


def find(cursor, name: str) -> dict:
    """The NAS of this name, or the nearest ones as a hint."""
    rows = store.nas.listed(cursor)
    for row in rows:
        if row["name"] == name:
            return row
    raise errors.UnknownNas(name=name, hint=errors.did_you_mean(name, [row["name"] for row in rows]))


def _public(row: dict) -> dict:
    return {column: row[column] for column in COLUMNS}
