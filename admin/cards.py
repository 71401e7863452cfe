"""prepaid list, show, edit: cards, and the few things of a card that the office may change by hand."""

import sys
from array import array
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import click

from freeradius_module.sealing import pin

from . import store
from .block import sentence_of
from .shell import clock, errors, output, selection
from .shell.command import cli, json_option, option, pass_office
from .shell.find import find_batch, find_partner, find_product
from .shell.office import Office
from .shell.option_types import CLEARED, DATE, DAY_OR_MOMENT, Word, clearable
from .shell.shared_options import list_options, rehearsal_option
from .shell.text import _
from .store.rows import Cursor, Row

# How often a card may be released from its device, unless the option file says otherwise: phones change their address.
UNBINDS_A_MONTH = 3
MONTH_DAYS = 30
LISTED = (
    "serial",
    "status",
    "product",
    "batch",
    "partner",
    "remaining_seconds",
    "remaining_octets",
    "remaining_cents",
    "first_login_at",
    "expires_at",
)
# What a narrow terminal does not show, the first first.
LEAST_IMPORTANT = (
    "first_login_at",
    "batch",
    "expires_at",
    "partner",
    "remaining_cents",
    "remaining_octets",
    "remaining_seconds",
    "product",
)
# With a thousand values or more in a list, the server makes a table of them instead of using the index.
CARDS_A_PAGE = 500


@cli.command("list")
@option(
    "--status",
    multiple=True,
    type=Word(store.card.LISTED_STATUSES),
    help="Only in this status; can be given several times.",
)
@selection.batch_option
@option("--product", "product_name", metavar="NAME", help="Only of this product.")
@option("--partner", "partner_name", metavar="NAME", help="Only cards that this partner has.")
@selection.range_option
@option("--from", "made_from", type=DATE, metavar="DATE", help="Only cards made on this day or later.")
@option("--to", "made_to", type=DATE, metavar="DATE", help="Only cards made on this day or earlier.")
@option("--after", metavar="SERIAL", help="Continue after this card: the last one of the previous page.")
@option("--limit", type=click.IntRange(1), help="At most this many cards.")
@list_options
@pass_office
def list_(
    office: Office,
    status: tuple[str, ...],
    batch_id: int | None,
    product_name: str | None,
    partner_name: str | None,
    range_text: str | None,
    made_from: date | None,
    made_to: date | None,
    after: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """List cards, in the order in which they were made.

    \b
    Example:
        prepaid list --status delivered --partner "Banca do Norte"
        prepaid list --batch 31 --limit 100 --after LIVRE000000016 --json
    """
    if limit is None and not as_json and sys.stdout.isatty():
        limit = output.TERMINAL_ROWS + 1
    wanted: dict[str, Any] = {
        "status": list(status) or None,
        "batch_id": batch_id,
        "made_from": made_from and clock.begin_of(made_from),
        "made_to": made_to and clock.end_of(made_to),
        "limit": limit,
    }
    with office.reading() as cursor:
        # A name that does not exist is an error, not an empty list.
        if batch_id is not None:
            find_batch(cursor, batch_id)
        if product_name is not None:
            wanted["product_id"] = find_product(cursor, product_name)["id"]
        if partner_name is not None:
            wanted["partner_id"] = find_partner(cursor, partner_name)["id"]
        if range_text is not None:
            first, last = selection.find_ends(cursor, range_text)
            wanted["first_serial"], wanted["last_serial"] = first["serial"], last["serial"]
        if after is not None:
            wanted["after_id"] = selection.find(cursor, after)["id"]
        with office.stream() as stream:
            store.card.ids(stream, wanted)
            # Four octets for each card: the numbers of ten million cards fit into memory, their rows do not.
            card_ids = array("I", (row["id"] for row in stream))
        output.print_rows(map(public, in_pages(cursor, card_ids)), as_json, LISTED, LEAST_IMPORTANT)


def in_pages(cursor: Cursor, card_ids: Sequence[int]) -> Iterator[Row]:
    """The overviews of these cards, read some hundreds at a time within the caller's snapshot."""
    for at in range(0, len(card_ids), CARDS_A_PAGE):
        yield from store.card.overviews(cursor, list(card_ids[at : at + CARDS_A_PAGE]))


@cli.command()
@click.argument("serial")
@option(
    "--pin",
    "with_pin",
    is_flag=True,
    help="Also show the PIN.  It needs the role see_pin, and is recorded in the card's history.",
)
@json_option
@pass_office
def show(office: Office, serial: str, with_pin: bool, as_json: bool) -> None:
    """Show a card: its status, its credit, what was used, what is left, and until when it is valid.

    \b
    Example:
        prepaid show LIVRE000000016
        prepaid show LIVRE000000016 --pin
    """
    if not with_pin:
        with office.reading() as cursor:
            _print(_overview(cursor, serial), as_json)
        return
    keyring = office.keyring

    def read(cursor: Cursor) -> Row:
        card = selection.find(cursor, serial)
        row = _overview(cursor, serial)
        sealed, key_number = store.card.read_pin(cursor, card["id"])
        return {"serial": row["serial"], "pin": pin.open_sealed(sealed, key_number, card["serial"], keyring), **row}

    _print(office.change(read), as_json)


def _print(row: Row, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        output.print_record(row, as_json)
        return
    output.print_record(row | {"blocks": None})
    for block in row["blocks"]:
        output.print_text(sentence_of(block))


@cli.command()
@click.argument("serial")
@option("--note", type=clearable(click.STRING), help='A note about the card; "none" removes it.')
@option(
    "--expires",
    type=clearable(DAY_OR_MOMENT),
    metavar="DATE",
    help='The new last day of use, or a moment; "none": no end but the product\'s. A compensating entry.',
)
@option(
    "--unbind",
    is_flag=True,
    help="Release the card from its device: it will be bound to the next one; a compensating entry.",
)
@option("--reason", help="The reason; required with --expires and --unbind.")
@rehearsal_option
@json_option
@pass_office
def edit(office: Office, serial: str, note: Any, expires: Any, unbind: bool, reason: str | None, as_json: bool) -> None:
    """Change a card's note or the end of its validity, or release it from its device.

    \b
    Example:
        prepaid edit LIVRE000000016 --expires 2026-12-31 --reason "Hotspot was down for a week"
        prepaid edit LIVRE000000016 --expires none --reason "Sold without an end"
    """
    if note is None and expires is None and not unbind:
        raise errors.WrongUsage(_("Say what to change: --note, --expires or --unbind."))
    why = reason or ""
    if (expires is not None or unbind) and not why.strip():
        raise errors.WrongUsage(_("A compensating entry needs a reason: --reason TEXT."))

    def change(cursor: Cursor) -> Row:
        card = selection.find(cursor, serial)
        # Lock the card before its status is read: another command may redeem or delete it at the same moment.
        store.entry.lock(cursor, [card["id"]])
        card = selection.find(cursor, serial)
        if card["status"] in ("deleted", "redeemed"):
            raise errors.Refused(
                _("Card {serial} is {status} and cannot be changed."),
                serial=card["serial"],
                status=output.formatted("status", card["status"]),
            )
        if note is not None:
            store.card.set_note(cursor, card["id"], None if note is CLEARED else note)
        if expires is not None:
            _extend(cursor, card, expires, why)
        if unbind:
            _unbind(office, cursor, card, why)
        return _overview(cursor, serial)

    row = office.change(change, reason)
    output.print_result(row, _("Card {serial} was changed.").format(serial=row["serial"]), as_json)


def _extend(cursor: Cursor, card: Row, expires: Any, reason: str) -> None:
    """Move the end of a card's validity, or remove it: then the product's last day applies, and to a card that was never
    used also the product's days from its first login."""
    until = None if expires is CLEARED else end_of(expires)
    store.entry.add(cursor, card["id"], "extended", reason, expires_at=until)
    if until is not None:
        store.card.end_sessions_by(cursor, card["id"], until)
    store.card.reopen_expired(cursor, card["id"])


def _unbind(office: Office, cursor: Cursor, card: Row, reason: str) -> None:
    """Release a locked card from its device; so often a month and no more, because more often means a shared card."""
    most = office.number("unbinds_a_month", UNBINDS_A_MONTH)
    released = store.entry.unbound_since(cursor, card["id"], MONTH_DAYS)
    if len(released) >= most:
        raise errors.Refused(
            _(
                "Card {serial} was released from its device {count} times within {days} days; at most {most} are allowed "
                "(unbinds_a_month in {config}). The next one is possible on {day}. Nothing was changed."
            ),
            serial=card["serial"],
            count=len(released),
            days=MONTH_DAYS,
            most=most,
            config=office.config_path,
            day=output.formatted("at", released[-most] + timedelta(days=MONTH_DAYS)) if most else "-",
        )
    store.entry.add(cursor, card["id"], "unbound", reason)


def public(row: Row) -> Row:
    """A row of the view card_overview as it is printed: without internal columns, and with the remaining money."""
    credit, used = row["credit_cents"], row["used_cents"]
    shown: Row = {}
    for name, value in row.items():
        if name in ("id", "price_cents", "status_before_block"):
            continue
        shown[name] = value
        if name == "used_cents":
            # The credit of a redeemed card is on the voice platform.
            is_empty = row["status"] == "redeemed"
            shown["remaining_cents"] = None if credit is None else 0 if is_empty else max(credit - used, 0)
    return shown


def _overview(cursor: Cursor, text: str) -> Row:
    card = selection.find(cursor, text)
    row = store.card.overview(cursor, card["serial"])
    if row is None:
        raise errors.NotFound(
            _("Card {serial} is deleted. See when and by whom: 'prepaid track {serial}'."), serial=card["serial"]
        )
    return {**public(row), "blocks": store.block.open_blocks(cursor, card["id"])}


def end_of(expires: date | datetime) -> datetime:
    """The moment (UTC) at which a validity ends: *expires* itself, or the end of that day in the office's time zone."""
    return expires if isinstance(expires, datetime) else clock.end_of(expires)
