"""prepaid sessions: who is on, what NAS reported that does not add up, and who had an address."""

import ipaddress
from datetime import UTC, datetime

import click

from . import store
from .shell import errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.text import _

OPEN_COLUMNS = (
    "serial",
    "nas",
    "acct_session_id",
    "device",
    "started_at",
    "heard_at",
    "used_seconds",
    "used_octets",
    "due_at",
    "due_cause",
)
ANOMALY_COLUMNS = ("at", "serial", "nas", "acct_session_id", "what", "detail")
ADDRESS_COLUMNS = (
    "serial",
    "nas",
    "device",
    "started_at",
    "ended_at",
    "framed_ipv4",
    "framed_ipv6",
    "delegated_prefix",
)


def _address(ctx, param, value):
    """One address, or a delegated prefix, in the spelling that the records have.

    >>> _address(None, None, "2001:DB8:0::5"), _address(None, None, "2001:db8:1::/56")
    ('2001:db8::5', '2001:db8:1::/56')
    """
    if value is None:
        return None
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        pass
    try:
        return str(ipaddress.IPv6Network(value))
    except ValueError:
        raise click.BadParameter(
            _("{value!r} is not an address. Write it like 10.5.0.7, 2001:db8::5 or 2001:db8:1::/56.").format(
                value=value
            )
        ) from None


def _moment(ctx, param, value):
    """A moment as the database has it: in UTC.  Without an offset it is UTC already.

    >>> _moment(None, None, "2026-03-02T17:30-03:00")
    datetime.datetime(2026, 3, 2, 20, 30)
    """
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            _(
                "{value!r} is not a time. Write it like 2026-03-02T17:30:00-03:00, or in UTC like 2026-03-02T20:30:00Z."
            ).format(value=value)
        ) from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


@cli.command()
@option("--serial", help="Of this card only.")
@option("--nas", "nas_name", help="On this NAS only.")
@option("--anomalies", is_flag=True, help="What NAS reported that does not add up; it was never billed by guess.")
@option("--address", callback=_address, metavar="IP", help="Who had this IPv4 or IPv6 address, or delegated prefix.")
@option(
    "--at",
    "moment_at",
    callback=_moment,
    metavar="TIME",
    help="When; with its offset (2026-03-02T17:30-03:00), or in UTC.",
)
@option("--reason", help="Why the address is asked for: the number of the court's order, for one. It is recorded.")
@json_option
@pass_office
def sessions(office, serial, nas_name, anomalies, address, moment_at, reason, as_json):
    """Who is on; or, with --address and --at, who had an address then.

    The question about an address is answered from live and archived sessions, and recorded with the account
    that asked it.

    \b
    Example:
        prepaid sessions --nas hotspot-centro
        prepaid sessions --anomalies
        prepaid sessions --address 10.5.0.7 --at 2026-03-02T17:30-03:00 --reason "Order 123/2026"
    """
    if (address is None) != (moment_at is None):
        raise errors.WrongUsage(_("--address and --at belong together: an address has another owner tomorrow."))
    if address is None and reason is not None:
        raise errors.WrongUsage(_("--reason belongs to --address."))
    if address is not None and (serial or nas_name or anomalies):
        raise errors.WrongUsage(_("--address is a question of its own: leave --serial, --nas and --anomalies out."))
    if address is not None:
        _tell_who_had(office, address, moment_at, reason, as_json)
        return
    wanted = {"serial": serial, "nas_id": _nas_id(office, nas_name)}
    with office.streaming() as cursor:
        if anomalies:
            store.session.anomalies(cursor, wanted)
            output.print_rows(cursor, as_json, ANOMALY_COLUMNS)
        else:
            store.session.open_sessions(cursor, wanted)
            output.print_rows(map(_with_flags, cursor), as_json, OPEN_COLUMNS)


def _tell_who_had(office, address: str, moment_at: datetime, reason: str | None, as_json: bool) -> None:
    with office.transaction() as cursor:
        if moment_at > store.connection.now(cursor):
            raise errors.WrongUsage(
                _("{moment} UTC is in the future; write the time with its offset from UTC."), moment=moment_at
            )
        number, rows = store.session.who_had(cursor, address, moment_at, reason, forms(address))
    output.print_rows(rows, as_json, ADDRESS_COLUMNS)
    output.print_notice(
        _("Question {number} is recorded: {address} at {moment} UTC.").format(
            number=number, address=address, moment=moment_at
        )
    )


def forms(address: str) -> list[str]:
    """Whatever a session may say that has this address: itself, or a prefix that holds it.

    >>> forms("10.5.0.7")
    ['10.5.0.7']
    >>> [form for form in forms("2001:db8::5") if form.endswith(("/64", "::5", "/128"))]
    ['2001:db8::5', '2001:db8::/64', '2001:db8::5/128']
    >>> forms("8000::/1")
    ['8000::/1', '::/0']
    """
    if ":" not in address:
        return [address]
    network = ipaddress.IPv6Network(address)
    holders = [str(network.supernet(new_prefix=length)) for length in range(network.prefixlen)]
    if "/" in address:
        return [address, *reversed(holders)]
    return [address, *holders, str(network)]


def _nas_id(office, name: str | None) -> int | None:
    if name is None:
        return None
    with office.reading() as cursor:
        rows = store.nas.listed(cursor)
    for row in rows:
        if row["name"] == name:
            return row["id"]
    raise errors.UnknownNas(name=name, hint=errors.did_you_mean(name, [row["name"] for row in rows]))


def _with_flags(row: dict) -> dict:
    return {**row, "is_due": bool(row["is_due"]), "is_stale": bool(row["is_stale"])}
