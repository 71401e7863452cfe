"""prepaid sessions: which sessions are open, which reports of NAS were inconsistent, and who had an address."""

import ipaddress

import click

from . import store
from .shell import clock, errors, output
from .shell.command import cli, option, pass_office
from .shell.find import find_nas
from .shell.office import Office
from .shell.option_types import TYPED_MOMENT, Moment
from .shell.shared_options import list_options
from .shell.text import _
from .store.rows import Cursor, Row

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


# With a port, which private address had it.
NAT_COLUMNS = ("private_address", "nat_begin_at", "nat_end_at", "serial", "nas", "device", "started_at", "ended_at")

# What a narrow terminal does not show, the first first.  The answer about an address is always shown whole.
OPEN_LEAST_IMPORTANT = ("due_cause", "acct_session_id", "due_at", "heard_at", "used_octets", "nas")
ANOMALY_LEAST_IMPORTANT = ("acct_session_id", "nas")


def _address(_ctx: click.Context | None, _param: click.Parameter | None, value: str | None) -> str | None:
    """An address or a delegated prefix, as the records spell it.

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


@cli.command()
@option("--serial", help="Only of this card.")
@option("--nas", "nas_name", help="Only on this NAS.")
@option(
    "--anomalies",
    is_flag=True,
    help="List inconsistent reports of NAS. They are recorded; nothing is charged by guessing.",
)
@option("--address", callback=_address, metavar="IP", help="Who had this IPv4 or IPv6 address, or delegated prefix.")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port, if many customers share the address (CGNAT); needs the imported log of the NAT.",
)
@option(
    "--at",
    "moment_at",
    type=TYPED_MOMENT,
    metavar="TIME",
    help="The time, with its offset (2026-03-02T17:30-03:00); without one it is in the office's time zone.",
)
@option("--reason", help="Why you ask for the address, such as the number of a court order. It is recorded.")
@list_options
@pass_office
def sessions(
    office: Office,
    serial: str | None,
    nas_name: str | None,
    anomalies: bool,
    address: str | None,
    port: int | None,
    moment_at: Moment | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """List the open sessions; or, with --address and --at, who had an address at that time.

    At another hour another person had the address: a time without its offset is in the office's time zone, and the
    command says which one it took before it answers.

    A question about an address is answered from all sessions, archived ones included, and is recorded with the account
    that asked it. With --port, the log that 'prepaid nat import' has read says which private address it was.

    \b
    Example:
        prepaid sessions --nas hotspot-centro
        prepaid sessions --anomalies
        prepaid sessions --address 10.5.0.7 --at 2026-03-02T17:30-03:00 --reason "Order 123/2026"
        prepaid sessions --address 203.0.113.9 --port 40123 --at 2026-03-02T17:30-03:00 --reason "Order 123/2026"
    """
    if (address is None) != (moment_at is None):
        raise errors.WrongUsage(_("Give --address and --at together: an address has another owner at another time."))
    if address is None and reason is not None:
        raise errors.WrongUsage(_("--reason is only for --address."))
    if port is not None and (address is None or ":" in address):
        raise errors.WrongUsage(_("--port is only for --address with an IPv4 address."))
    if address is not None and (serial or nas_name or anomalies):
        raise errors.WrongUsage(_("--address cannot be combined with --serial, --nas or --anomalies."))
    if address is not None and moment_at is not None:
        _tell_who_had(office, address, port, moment_at, reason, as_json)
        return
    nas_id = None
    if nas_name is not None:
        with office.reading() as cursor:
            nas_id = find_nas(cursor, nas_name)["id"]
    wanted = {"serial": serial, "nas_id": nas_id}
    with office.streaming() as cursor:
        if anomalies:
            store.session.anomalies(cursor, wanted)
            output.print_rows(cursor, as_json, ANOMALY_COLUMNS, ANOMALY_LEAST_IMPORTANT)
        else:
            store.session.open_sessions(cursor, wanted)
            output.print_rows(map(_with_flags, cursor), as_json, OPEN_COLUMNS, OPEN_LEAST_IMPORTANT)


def _tell_who_had(
    office: Office, address: str, port: int | None, moment_at: Moment, reason: str | None, as_json: bool
) -> None:
    moment = moment_at.at
    if not moment_at.has_offset:
        place = clock.zone_name()
        output.print_notice(
            _("--at has no offset, so it is taken in the time zone {zone}: it is {moment} UTC.").format(
                zone=place, moment=moment
            )
        )

    def ask(cursor: Cursor) -> tuple[int, list[Row]]:
        if moment > store.connection.now(cursor):
            raise errors.WrongUsage(
                _("{moment} UTC is in the future; write the time with its offset from UTC."), moment=moment
            )
        return store.session.who_had(cursor, address, port, moment, reason, forms(address))

    number, rows = office.change(ask)
    output.print_rows(rows, as_json, ADDRESS_COLUMNS if port is None else NAT_COLUMNS)
    if port is not None:
        _tell_gaps(office, address, port, rows)
    output.print_notice(
        _("The question was recorded with number {number}: {address} at {moment} UTC.").format(
            number=number, address=address, moment=moment
        )
    )


def _tell_gaps(office: Office, address: str, port: int, rows: list[Row]) -> None:
    """Say what the NAT log does not know, or knows in two ways, or what no session fits to."""
    if not rows:
        with office.reading() as cursor:
            imports = store.nat.imports(cursor)
        last = imports[0]["file"] if imports else "-"
        output.print_notice(
            _(
                "No record of the NAT log has {address}, port {port}, at that time. The last import was {file}; see 'prepaid nat "
                "list'."
            ).format(address=address, port=port, file=last)
        )
    for row in rows:
        if row["serial"] is None:
            output.print_notice(
                _("{private_address} had it, but no card had {private_address} then.").format(
                    private_address=row["private_address"]
                )
            )
    if len({row["private_address"] for row in rows}) > 1:
        output.print_notice(
            _("The NAT log names several private addresses; compare the protocol, and the clock of the NAT.")
        )


def forms(address: str) -> list[str]:
    """All texts that a session with this address may have recorded: the address, or a prefix that contains it.

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


def _with_flags(row: Row) -> Row:
    return {**row, "is_due": bool(row["is_due"]), "is_stale": bool(row["is_stale"])}
